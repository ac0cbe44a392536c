/* The weight gradient of a pointwise convolution: the product of y (outputs x pixels) and x (pixels x channels), summed over
 * images. Runs of pixels of x are packed [pixel][channel] and go through the tile of the pointwise stage. */
#ifndef DSCONV_POINTWISE_WEIGHTS_H
#define DSCONV_POINTWISE_WEIGHTS_H

#include "pointwise_tile.h"
#include "reduction.h"
#include "transpose.h"

#define RUN_PIXELS 192       /* pixels packed at a time: a block of them stays in the first-level cache */
#define BLOCK_PIXELS 1024    /* products in one block of the sum, at least; less than twice as many */
#define OUTPUTS_MOST 96      /* outputs of an item */

/* What one item sums: some outputs x some channels of the weights. */
typedef struct {
    const dsc_problem *p;
    dsc_int batch, output, outputs, channel, channels;
    int vectors;                 /* that the channels fill */
    cascade sums;                /* blocks [output][channels, whole vectors] */
    real *packed;
    dsc_int waiting;             /* pixels in the open block */
} product_item;

static dsc_int product_columns(const dsc_problem *p)
{
    return at_most(round_up(p->channels, LANES), MIX_VECTORS_USUAL * LANES);
}

static void plan_products(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int *out = p->e.out;
    double runs = (double)p->images->count * (double)out[0] * (double)out[1] * (double)divide_up(out[2], RUN_PIXELS);
    dsc_int columns = at_least(product_columns(p), LANES), rows = at_most(p->outputs, OUTPUTS_MOST);
    *plan = (dsc_plan){.levels = cascade_levels(runs), .group = at_least(rows, 1)};
    plan->groups = divide_up(p->outputs, plan->group);
    plan->columns = divide_up(p->channels, columns);
    plan->items = p->batch * plan->groups * plan->columns;
    plan->scratch = (size_t)((plan->levels + 1) * rows * columns + RUN_PIXELS * columns) * sizeof(real) + 64;
    plan->work = output_volume(&p->e) * (double)p->images->count * (double)p->batch * (double)p->channels *
                 (double)p->outputs;
}

/* `pixels` pixels, x and y at the first of them. */
static void add_run(product_item *w, const real *x, const real *y, dsc_int pixels)
{
    const dsc_problem *p = w->p;
    const epilogue linear = make_epilogue(DSC_LINEAR);
    dsc_int columns = w->vectors * LANES;
    mixing_tile t = {
        .problem = p, .a = y + w->output * p->y.channel, .a_row = p->y.channel, .a_step = p->y.step[2], .b = w->packed,
        .b_step = columns, .depth = pixels, .y = open_block(&w->sums), .y_row = columns, .y_column = 1, .width = columns,
        .resume = w->waiting > 0, .last = true, .finish = &linear,
    };
    transpose(x + w->channel * p->x.channel, p->x.channel, p->x.step[2], w->channels, pixels, w->packed, columns);
    mix_rows(t, w->outputs, w->vectors);
    w->waiting += pixels;
    if (w->waiting >= BLOCK_PIXELS)
        close_block(&w->sums), w->waiting = 0;
}

static void add_rows_of_pixels(product_item *w, dsc_int image)
{
    const dsc_problem *p = w->p;
    const dsc_int *out = p->e.out;
    const real *x = (const real *)p->x.data + w->batch * p->x.batch + image_offset(p->images, p->images->x, image);
    const real *y = (const real *)p->y.data + w->batch * p->y.batch + image_offset(p->images, p->images->y, image);
    for (dsc_int depth = 0; depth < out[0]; ++depth)
        for (dsc_int row = 0; row < out[1]; ++row)
            for (dsc_int first = 0; first < out[2] && !dsc_stopped(p); first += RUN_PIXELS)
                add_run(w, x + depth * p->x.step[0] + row * p->x.step[1] + first * p->x.step[2],
                        y + depth * p->y.step[0] + row * p->y.step[1] + first * p->y.step[2],
                        at_most(RUN_PIXELS, out[2] - first));
}

static void run_products(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_int columns = product_columns(p);
    for (dsc_int item = begin; item < end && !dsc_stopped(p); ++item) {
        product_item w = {.p = p, .batch = item / plan->columns / plan->groups};
        w.output = item / plan->columns % plan->groups * plan->group, w.channel = item % plan->columns * columns;
        w.outputs = at_most(plan->group, p->outputs - w.output);
        w.channels = at_most(columns, p->channels - w.channel);
        w.vectors = (int)divide_up(w.channels, LANES);
        w.sums = start_cascade(scratch, w.outputs * w.vectors * LANES, plan->levels);
        w.packed = (real *)scratch + (plan->levels + 1) * plan->group * columns;
        for (dsc_int image = 0; image < p->images->count && !dsc_stopped(p); ++image)
            add_rows_of_pixels(&w, image);
        if (w.waiting > 0)
            close_block(&w.sums);
        const real *total = total_of(&w.sums);
        real *weights = (real *)p->mixing.data + w.batch * p->mixing.batch;
        for (dsc_int o = 0; o < w.outputs && !dsc_stopped(p); ++o)
            for (dsc_int c = 0; c < w.channels; ++c)
                weights[(w.output + o) * p->mixing.row + (w.channel + c) * p->mixing.column] =
                    total[o * w.vectors * LANES + c];
    }
}

#endif
