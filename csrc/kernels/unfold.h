/* The windows of a standard convolution as rows of a panel: what a pointwise stage sums over instead of channels. */
#ifndef DSCONV_UNFOLD_H
#define DSCONV_UNFOLD_H

#include "strip.h"
#include "transpose.h"
#include "window.h"

/* Elements of one phase of a strip, which holds one padded row of x. */
static dsc_int unfold_pitch(const dsc_extent *e, dsc_int columns)
{
    return round_up(columns + (e->kernel[2] - 1) * e->dilation[2] / e->stride[2] + 1, LANES) + LANES;
}

static dsc_int unfold_strip(const dsc_extent *e, dsc_int columns)
{
    return e->stride[2] * unfold_pitch(e, columns);
}

/* One row of a tile's outputs, taps [first, last) of a row of them, each to a row of the panel `step` apart. */
static void unfold_row(const dsc_problem *p, const strip_shape *shape, const char *x, dsc_int first, dsc_int last,
                       dsc_int columns, real *strip, real *panel, dsc_int step)
{
    const dsc_extent *e = &p->e;
    if (x)
        fill_strip(shape, strip, x);
    for (dsc_int i = first; i < last; ++i, panel += step) {
        const dsc_int at = i * e->dilation[2];
        if (x)
            copy_strided(panel, strip + at % e->stride[2] * shape->phase_pitch + at / e->stride[2], 1, columns);
        else
            clear(panel, columns);
    }
}

/* The row of x that output `row` meets at a row tap of a channel, NULL where it is padded with zeros. */
static const char *unfold_source(const dsc_problem *p, const output_tile *t, dsc_int channel, dsc_int depth_tap, dsc_int row,
                                 dsc_int row_tap)
{
    const dsc_extent *e = &p->e;
    const dsc_int depth = dsc_source_index(t->depth * e->stride[0] - e->low[0] + depth_tap * e->dilation[0], e->in[0], e->mode);
    const dsc_int line = dsc_source_index(row * e->stride[1] - e->low[1] + row_tap * e->dilation[1], e->in[1], e->mode);
    if (depth < 0 || line < 0)
        return NULL;
    return element(p, p->x.data, t->image * p->x.batch + channel * p->x.channel + depth * p->x.step[0] + line * p->x.step[1]);
}

/* Summands [first, first + count) of [channel][tap]; panel rows are `step` apart, rows of the tile `pitch`. */
static void unfold(const dsc_problem *p, const output_tile *t, dsc_int first, dsc_int count, real *strip, real *panel,
                   dsc_int step, dsc_int pitch)
{
    const dsc_extent *e = &p->e;
    const dsc_int *kernel = e->kernel, rows = kernel[0] * kernel[1], end = first + count;
    strip_shape shape = {.p = p, .base = t->column * e->stride[2] - e->low[2], .width = e->in[2], .step = p->x.step[2],
                         .phases = e->stride[2], .phase_pitch = unfold_pitch(e, t->columns), .mode = e->mode};
    shape.span = (t->columns - 1) * e->stride[2] + (kernel[2] - 1) * e->dilation[2] + 1;
    for (dsc_int group = first / kernel[2]; group * kernel[2] < end && !dsc_stopped(p); ++group) {
        const dsc_int begin = at_least(first - group * kernel[2], 0), last = at_most(end - group * kernel[2], kernel[2]);
        const dsc_int channel = group / rows, depth_tap = group / kernel[1] % kernel[0], row_tap = group % kernel[1];
        real *target = panel + (group * kernel[2] + begin - first) * step;
        for (dsc_int row = 0; row < t->rows; ++row)
            unfold_row(p, &shape, unfold_source(p, t, channel, depth_tap, t->row + row, row_tap), begin, last, t->columns,
                       strip, target + row * pitch, step);
    }
}

/* `runs` of `count` elements, each to `to_step` after the one before; a short one may write up to a vector. */
static void copy_runs(const real *from, dsc_int from_step, real *to, dsc_int to_step, dsc_int runs, dsc_int count)
{
    const mask some = v_mask(0, count);
    for (dsc_int run = 0; count < LANES && run < runs; ++run)
        v_store(to + run * to_step, v_load_masked(from + run * from_step, some));
    for (dsc_int i = 0; count >= LANES && i < count; i = next_square(i, count))
        for (dsc_int run = 0; run < runs; ++run)
            v_store(to + run * to_step + i, v_load(from + run * from_step + i));
}

/* The taps of one row of one window, channels side by side. `x`: the row of x, NULL where it is padded with zeros. */
static void unfold_taps(const dsc_problem *p, const char *x, dsc_int column, real *to)
{
    const dsc_extent *e = &p->e;
    for (dsc_int tap = 0; tap < e->kernel[2]; ++tap, to += p->channels) {
        const dsc_int at = x ? dsc_source_index(column + tap * e->dilation[2], e->in[2], e->mode) : -1;
        if (at < 0)
            clear(to, p->channels);
        else
            copy_strided(to, (const real *)x + at * p->x.step[2], p->x.channel, p->channels);
    }
}

/* One row of taps of all windows of a row of the tile; windows lie `step` apart. Where channels lie one after the other, those
 * taps are a run of elements. */
static void unfold_row_of_pixels(const dsc_problem *p, const output_tile *t, const char *x, real *to, dsc_int step)
{
    const dsc_extent *e = &p->e;
    const dsc_int taps = e->kernel[2], stride = e->stride[2], start = t->column * stride - e->low[2];
    const bool dense = x && p->x.channel == 1 && p->x.step[2] == p->channels && e->dilation[2] == 1;
    dsc_int first = t->columns, last = t->columns;
    if (dense)
        clip_taps(start, stride, t->columns, e->in[2] - taps + 1, 0, &first, &last);
    for (dsc_int i = 0; i < first; ++i)
        unfold_taps(p, x, start + i * stride, to + i * step);
    if (last > first)
        copy_runs((const real *)x + (start + first * stride) * p->channels, stride * p->channels, to + first * step, step,
                  last - first, taps * p->channels);
    for (dsc_int i = last; i < t->columns; ++i)
        unfold_taps(p, x, start + i * stride, to + i * step);
}

/* Windows one after the other, `step` apart, each [tap][channel]. */
static void unfold_pixels(const dsc_problem *p, const output_tile *t, real *panel, dsc_int step)
{
    const dsc_int *kernel = p->e.kernel, run = kernel[2] * p->channels;
    for (dsc_int row = 0; row < t->rows && !dsc_stopped(p); ++row, panel += t->columns * step)
        for (dsc_int tap = 0; tap < kernel[0] * kernel[1]; ++tap)
            unfold_row_of_pixels(p, t, unfold_source(p, t, 0, tap / kernel[1], t->row + row, tap % kernel[1]), panel + tap * run,
                                 step);
}

#endif
