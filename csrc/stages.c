/* A separable convolution in two stages: the depthwise results of whole images go where those of the call will, and are replaced
 * there. Neither stage waits for scratch that holds both. */
#include "dsconv.h"
#include "kernels/walk.h"

#include <string.h>

#define STAGE_BYTES (4 << 20)   /* results of images that go through the stages together: a part of the last-level cache */

static dsc_problem depthwise_stage(const dsc_problem *p)
{
    dsc_problem stage = *p;
    stage.outputs = p->channels * p->multiplier;
    stage.mixing = (dsc_matrix){.data = NULL}, stage.packed = NULL;
    stage.mixing_bias = (dsc_vector){.data = NULL}, stage.mixing_activation = DSC_LINEAR;
    return stage;
}

static dsc_problem pointwise_stage(const dsc_problem *p)
{
    dsc_problem stage = *p;
    stage.channels = p->channels * p->multiplier, stage.multiplier = 1;
    stage.x = p->y;
    stage.taps = (dsc_taps){.data = NULL};
    stage.taps_bias = (dsc_vector){.data = NULL}, stage.taps_activation = DSC_LINEAR;
    stage.e = (dsc_extent){.kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    memcpy(stage.e.in, p->e.out, sizeof stage.e.in);
    memcpy(stage.e.out, p->e.out, sizeof stage.e.out);
    dsc_collapse_pixels(&stage);
    return stage;
}

static char *image_of(const dsc_problem *p, char *data, dsc_int batch, dsc_int image)
{
    return data ? data + batch * image * p->item : NULL;
}

static dsc_problem some_images(const dsc_problem *p, dsc_int first, dsc_int count)
{
    dsc_problem some = *p;
    some.batch = count;
    some.x.data = image_of(p, p->x.data, p->x.batch, first);
    some.y.data = image_of(p, p->y.data, p->y.batch, first);
    some.taps.data = image_of(p, p->taps.data, p->taps.batch, first);
    some.mixing.data = image_of(p, p->mixing.data, p->mixing.batch, first);
    some.taps_bias.data = image_of(p, p->taps_bias.data, p->taps_bias.batch, first);
    some.mixing_bias.data = image_of(p, p->mixing_bias.data, p->mixing_bias.batch, first);
    return some;
}

static dsc_int images_together(const dsc_problem *p)
{
    const double bytes = output_volume(&p->e) * (double)p->outputs * p->item;
    return bytes * (double)p->batch <= STAGE_BYTES ? p->batch : bytes * 2 > STAGE_BYTES ? 1 : (dsc_int)(STAGE_BYTES / bytes);
}

dsc_status dsc_execute_stages(const dsc_table *table, const dsc_problem *p)
{
    const dsc_int together = images_together(p);
    dsc_status status = DSC_DONE;
    for (dsc_int first = 0; first < p->batch && status == DSC_DONE; first += together) {
        const dsc_problem some = some_images(p, first, at_most(together, p->batch - first));
        dsc_problem depthwise = depthwise_stage(&some), pointwise = pointwise_stage(&some);
        dsc_problem copy;
        status = dsc_execute(&table->operation[DSC_DEPTHWISE], table->arrange_axes(&depthwise, &copy));
        if (status == DSC_DONE)
            status = dsc_execute(&table->operation[DSC_POINTWISE], &pointwise);
    }
    return status;
}
