/* Kernels of many taps, a vector of channels at a time, whose taps are packed for it alone. Planes are copied pixel by pixel first:
 * their vectors of columns take all taps of narrow rows, vectors of channels only those that exist. */
#ifndef DSCONV_DEPTHWISE_VECTORS_H
#define DSCONV_DEPTHWISE_VECTORS_H

#include "depthwise_plan.h"

/* The planes of `count` channels to pixels of LANES. */
static void pixels_of_planes(const dsc_problem *p, const real *x, dsc_int count, real *pixels)
{
    const dsc_int rows = p->e.in[1], columns = p->e.in[2], *step = p->x.step;
    if (step[1] == columns * step[2]) {
        transpose(x, p->x.channel, step[2], count, rows * columns, pixels, LANES);
        return;
    }
    for (dsc_int row = 0; row < rows; ++row)
        transpose(x + row * step[1], p->x.channel, step[2], count, columns, pixels + row * columns * LANES, LANES);
}

/* ... and back, so many rows. */
static void planes_of_pixels(const dsc_problem *p, const real *pixels, dsc_int count, dsc_int rows, real *y)
{
    const dsc_int columns = p->e.out[2], *step = p->y.step;
    if (step[2] == 1 && step[1] == columns) {
        transpose_into(pixels, LANES, rows * columns, count, y, p->y.channel);
        return;
    }
    for (dsc_int row = 0; row < rows; ++row)
        for (dsc_int c = 0; c < count; ++c)
            for (dsc_int column = 0; column < columns; ++column)
                y[c * p->y.channel + row * step[1] + column * step[2]] = pixels[(row * columns + column) * LANES + c];
}

/* The call for `count` channels from `first` on; its inputs and results are pixels of LANES unless channels are dense. */
static dsc_problem vector_of_channels(const dsc_problem *p, dsc_int first, dsc_int count)
{
    dsc_problem own = *p;
    own.channels = own.outputs = count, own.batch = 1;
    own.x.data = element_of(p, p->x.data, first * p->x.channel), own.y.data = element_of(p, p->y.data, first * p->y.channel);
    own.taps.data = element_of(p, p->taps.data, first * p->taps.channel);
    own.taps_bias.data = p->taps_bias.data ? element_of(p, p->taps_bias.data, first * p->taps_bias.step) : NULL;
    return own;
}

static dsc_map map_of_pixels(real *pixels, dsc_int columns)
{
    return (dsc_map){.data = (char *)pixels, .channel = 1, .step = {0, columns * LANES, LANES}};
}

/* Channels from `first` on of a tile of whole rows. */
static void run_vector(const dsc_problem *p, const output_tile *t, dsc_int first, const epilogue *finish, void *scratch)
{
    const dsc_extent *e = &p->e;
    const dsc_int count = at_most(LANES, p->channels - first);
    const dsc_problem planes = vector_of_channels(p, first, count);
    const real *x = (const real *)planes.x.data + t->image * p->x.batch;
    real *y = (real *)planes.y.data + t->image * p->y.batch + t->row * p->y.step[1];
    packed_channels packed = no_channels(&planes, 0, scratch);
    if (pixels_dense(p)) {
        depthwise_pixels(&planes, t, &packed, 0, count, finish, y, p->y.step[1], p->y.step[2]);
        return;
    }
    real *in = packed.taps + e->kernel[1] * e->kernel[2] * LANES, *out = in + e->in[1] * e->in[2] * LANES;
    dsc_problem pixels = planes;
    pixels.x = map_of_pixels(in, e->in[2]), pixels.y = map_of_pixels(out, e->out[2]);
    pixels_of_planes(p, x, count, in);
    depthwise_pixels(&pixels, t, &packed, 0, count, finish, out, e->out[2] * LANES, LANES);
    planes_of_pixels(p, out, count, t->rows, y);
}

static void run_vectors_of_channels(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const epilogue finish = make_epilogue(p->taps_activation);
    item_cursor c = item_at(p, plan, plan->groups, begin);
    for (dsc_int i = begin; i < end; ++i, next_item(&c)) {
        const output_tile t = tile_of(p, plan, &c);
        run_vector(p, &t, c.channel * LANES, &finish, scratch);
    }
}

#endif
