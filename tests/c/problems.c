/* A case as the library's problem: what the caller of the kernels makes of the arrays of each operation. */
#include "testing.h"

#include <string.h>

static dsc_map map_of(const operand *o)
{
    const dsc_int *step = o->at.step;
    return (dsc_map){.data = o->data, .batch = step[IMAGE], .channel = step[CHANNEL],
                     .step = {step[DEPTH], step[ROW], step[COLUMN]}};
}

static dsc_vector vector_of(const operand *o)
{
    return (dsc_vector){o->data, o->at.step[0], o->at.step[1]};
}

static void group_channels(dsc_map *map, dsc_int multiplier)
{
    map->multiplier = map->channel;
    map->channel *= multiplier;
}

static void exchange_maps(dsc_problem *p)
{
    dsc_map x = p->x;
    p->x = p->y, p->y = x;
}

static void turn_to_input(const test_case *t, dsc_problem *p)
{
    exchange_maps(p);
    p->conjugate = true;
    if (t->row->window == NO_WINDOW) {
        p->mixing = (dsc_matrix){p->mixing.data, p->mixing.batch, p->mixing.column, p->mixing.row};
        p->channels = t->outputs, p->outputs = t->channels;
        return;
    }
    group_channels(&p->x, p->multiplier);
    p->summands = p->multiplier, p->multiplier = 1, p->outputs = p->channels;
    p->fold = p->e.mode != DSC_ZEROS;
    dsc_exchange(&p->e);
}

static void turn_to_taps(const test_case *t, dsc_problem *p)
{
    group_channels(&p->y, p->multiplier);
    if (t->row->window == CONVOLUTION)
        return;
    exchange_maps(p);
    p->conjugate = true;
    dsc_exchange(&p->e);
}

static void turn_to_sums(dsc_problem *p)
{
    p->channels = p->outputs;
    p->taps = (dsc_taps){.data = p->mixing_bias.data, .batch = p->mixing_bias.batch, .channel = p->mixing_bias.step};
}

/* The images that are summed over: the axes of more or less than one. */
static void list_images(test_case *t)
{
    const layout *x = &t->array[X].at, *y = &t->array[Y].at;
    const dsc_int sizes[IMAGE_AXES] = {t->sum_a, t->sum_b};
    bool exchanged = t->row->result == TAPS && t->row->window == TRANSPOSED;
    t->images = (dsc_images){.count = t->sum_a * t->sum_b};
    for (int i = 0; i < IMAGE_AXES; ++i) {
        dsc_int of_x = t->array[X].data ? x->step[IMAGES_A + i] : 0, of_y = y->step[IMAGES_A + i];
        if (sizes[i] == 1)
            continue;
        t->images.size[t->images.axes] = sizes[i];
        t->images.x[t->images.axes] = exchanged ? of_y : of_x;
        t->images.y[t->images.axes++] = exchanged ? of_x : of_y;
    }
}

dsc_fit resolve_case(const test_case *t, dsc_extent *e)
{
    int axis;
    if (t->row->window == CONVOLUTION)
        return dsc_resolve(&t->geometry, t->in, t->kernel, e, &axis);
    if (t->row->window == TRANSPOSED)
        return dsc_resolve_transposed(&t->geometry, t->in, t->kernel, NULL, e, &axis);
    *e = (dsc_extent){.kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    memcpy(e->in, t->in, sizeof e->in), memcpy(e->out, t->out, sizeof e->out);
    return DSC_FITS;
}

static dsc_problem forward_problem(test_case *t)
{
    const operand *arrays = t->array;
    const layout *taps = &arrays[TAPS].at, *mixing = &arrays[MIXING].at;
    dsc_problem p = {.batch = t->batch, .channels = t->channels, .multiplier = t->multiplier, .outputs = t->outputs,
                     .summands = 1, .format = t->kind->format, .item = (int)t->kind->item, .parts = t->kind->parts,
                     .images = &t->images, .threads = 1, .taps_activation = t->inner, .mixing_activation = t->outer};
    resolve_case(t, &p.e);
    if (arrays[X].data)
        p.x = map_of(&arrays[X]);
    p.y = map_of(&arrays[Y]);
    if (t->tidy)
        dsc_tidy_map(&p.x, t->in, t->channels), dsc_tidy_map(&p.y, t->out, t->outputs);
    if (arrays[TAPS].data)
        p.taps = (dsc_taps){arrays[TAPS].data, taps->step[0], taps->step[1], taps->step[2],
                            {taps->step[3], taps->step[4], taps->step[5]}};
    if (arrays[MIXING].data)
        p.mixing = (dsc_matrix){arrays[MIXING].data, mixing->step[0], mixing->step[1], mixing->step[2]};
    if (arrays[TAPS_BIAS].data)
        p.taps_bias = vector_of(&arrays[TAPS_BIAS]);
    if (arrays[MIXING_BIAS].data)
        p.mixing_bias = vector_of(&arrays[MIXING_BIAS]);
    return p;
}

dsc_problem problem_of(test_case *t)
{
    dsc_problem p = forward_problem(t);
    list_images(t);
    if (t->row->result == X)
        turn_to_input(t, &p);
    else if (t->row->result == TAPS)
        turn_to_taps(t, &p);
    else if (t->row->result == MIXING_BIAS)
        turn_to_sums(&p);
    if (t->row->window == NO_WINDOW && t->tidy)
        dsc_collapse_pixels(&p);
    if (t->row->kernel != DSC_DEPTHWISE || !t->tidy)
        return p;
    if (p.y.channel == 1 && p.e.kernel[0] > 1 && p.e.kernel[1] == 1)
        dsc_exchange_rows(&p);
    else
        dsc_merge_axes(&p);
    return p;
}
