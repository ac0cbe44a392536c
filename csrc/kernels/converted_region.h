/* What a tile of a call on narrow floats or complex numbers reads, as reals in scratch: the part of x that its outputs meet.
 * Narrow floats are a plane of reals for each channel, complex numbers two, or where channels are dense, pixels of them. */
#ifndef DSCONV_CONVERTED_REGION_H
#define DSCONV_CONVERTED_REGION_H

#include "formats.h"
#include "window.h"

/* Elements first, first + step, ... of an axis of x, and the convolution as it is seen from them. `padded`: they may lie
 * outside, and are what the padding mode makes of them; `whole`: they are all of the axis, and the mode remains. */
typedef struct { dsc_int first, step, count, low, stride, dilation; bool padded, whole; } axis_region;

typedef struct { axis_region axis[3]; dsc_int volume; } tile_region;

#define NEAR_SPAN (1 << 14)   /* elements from the first to the last tap of an output */

/* From the first to the last padded position that `outputs` outputs in a row read. */
static dsc_int axis_span(const dsc_extent *e, int axis, dsc_int outputs)
{
    return (outputs - 1) * e->stride[axis] + (e->kernel[axis] - 1) * e->dilation[axis] + 1;
}

/* Are only the elements that taps meet wanted, for a single output? Along columns of one image that would be another convolution,
 * whose order of summation may differ: there, only if they lie far apart. */
static bool reads_apart(const dsc_extent *e, int axis, dsc_int outputs)
{
    return outputs == 1 && (axis < 2 || axis_span(e, axis, 1) > NEAR_SPAN);
}

/* Most elements that they, or fewer outputs, amount to. A single one may read as many as it has taps, however far apart. */
static dsc_int axis_reading(const dsc_extent *e, int axis, dsc_int outputs)
{
    const dsc_int in = e->in[axis], stride = e->stride[axis];
    if (e->transposed)
        return outputs >= e->out[axis] ? in : at_most((axis_span(e, axis, 1) + outputs - 1) / stride + 2, in);
    if (reads_apart(e, axis, outputs))
        return e->kernel[axis];
    if (e->mode == DSC_ZEROS)
        return at_most(axis_span(e, axis, outputs), in);
    return at_least(at_most(axis_span(e, axis, outputs), 2 * in), e->kernel[axis]);
}

static axis_region transposed_axis(const dsc_extent *e, int axis, dsc_int output, dsc_int outputs)
{
    const dsc_int stride = e->stride[axis], reach = axis_span(e, axis, 1) - 1, position = output + e->low[axis];
    const dsc_int first = position > reach ? at_most((position - reach) / stride, at_least(e->in[axis] - 1, 0)) : 0;
    const dsc_int last = at_most((position + outputs - 1) / stride + 1, e->in[axis]);
    return (axis_region){.first = first, .step = 1, .count = at_least(last - first, 0), .low = position - first * stride,
                         .stride = stride, .dilation = e->dilation[axis]};
}

static axis_region single_output(const dsc_extent *e, int axis, dsc_int position)
{
    dsc_int first = 0, last = e->kernel[axis];
    if (e->mode == DSC_ZEROS)
        clip_taps(position, e->dilation[axis], e->kernel[axis], e->in[axis], 0, &first, &last);
    return (axis_region){.first = position + first * e->dilation[axis], .step = e->dilation[axis], .count = last - first,
                         .low = first, .stride = 1, .dilation = 1, .padded = e->mode != DSC_ZEROS};
}

/* What outputs [output, output + outputs) read along one axis. */
static axis_region region_along(const dsc_extent *e, int axis, dsc_int output, dsc_int outputs)
{
    const dsc_int in = e->in[axis];
    if (e->transposed)
        return transposed_axis(e, axis, output, outputs);
    const dsc_int position = output * e->stride[axis] - e->low[axis];
    if (reads_apart(e, axis, outputs))
        return single_output(e, axis, position);
    const dsc_int span = axis_span(e, axis, outputs);
    axis_region a = {.first = position, .step = 1, .count = span, .stride = e->stride[axis], .dilation = e->dilation[axis]};
    if (e->mode == DSC_ZEROS || (position >= 0 && position + span <= in)) {
        a.first = at_most(at_least(position, 0), in);
        a.count = at_least(at_most(position + span, in) - a.first, 0), a.low = a.first - position;
    } else if (span <= 2 * in) {
        a.padded = true;
    } else {
        a.whole = true, a.first = 0, a.count = in, a.low = -position;
    }
    return a;
}

static tile_region region_of_tile(const dsc_extent *e, const dsc_int first[3], const dsc_int count[3])
{
    tile_region r = {.volume = 1};
    for (int axis = 0; axis < 3; ++axis) {
        r.axis[axis] = region_along(e, axis, first[axis], count[axis]);
        r.volume *= r.axis[axis].count;
    }
    return r;
}

/* The convolution that gives a tile of `count` outputs from its region. */
static dsc_extent extent_of_region(const dsc_extent *e, const tile_region *r, const dsc_int count[3])
{
    dsc_extent own = *e;
    own.mode = DSC_ZEROS;
    for (int axis = 0; axis < 3; ++axis) {
        const axis_region *a = &r->axis[axis];
        own.in[axis] = a->count, own.out[axis] = count[axis], own.low[axis] = a->low;
        own.stride[axis] = a->stride, own.dilation[axis] = a->dilation;
        if (a->whole)
            own.mode = e->mode;
    }
    return own;
}

static dsc_int source_along(const dsc_problem *p, const tile_region *r, int axis, dsc_int i)
{
    const axis_region *a = &r->axis[axis];
    return dsc_source_index(a->first + i * a->step, p->e.in[axis], p->e.mode) * p->x.step[axis];
}

/* Whether the elements of this axis and of those after it are one run in x, `step` apart. */
static bool joins(const dsc_problem *p, const tile_region *r, int axis, dsc_int step, dsc_int run)
{
    return !r->axis[axis].padded && r->axis[axis].step == 1 && (r->axis[axis].count == 1 || p->x.step[axis] == run * step);
}

/* A row of the region: one real of each element. */
static void fetch_columns(const dsc_problem *p, const tile_region *r, const char *row, real *target)
{
    const axis_region *a = &r->axis[2];
    if (!a->padded) {
        fetch(p, target, element(p, row, a->first * p->x.step[2]), a->step * p->x.step[2], a->count);
        return;
    }
    for (dsc_int i = 0, inside; i < a->count; i += inside) {
        const dsc_int position = a->first + i * a->step;
        inside = position >= 0 && position < p->e.in[2] ? at_most(divide_up(p->e.in[2] - position, a->step), a->count - i) : 1;
        fetch(p, target + i, element(p, row, source_along(p, r, 2, i)), a->step * p->x.step[2], inside);
    }
}

/* One real of each element of the region, dense. x: of position 0. */
static void fetch_region(const dsc_problem *p, const tile_region *r, const char *x, real *target)
{
    const axis_region *a = r->axis;
    const bool rows_join = joins(p, r, 2, p->x.step[2], 1) && joins(p, r, 1, p->x.step[2], a[2].count);
    const dsc_int rows = rows_join ? 1 : a[1].count, run = rows_join ? a[1].count * a[2].count : a[2].count;
    for (dsc_int k = 0; k < a[0].count; ++k)
        for (dsc_int j = 0; j < rows; ++j, target += run) {
            const char *row = element(p, x, source_along(p, r, 0, k) + source_along(p, r, 1, j));
            if (rows_join)
                fetch(p, target, element(p, row, a[2].first * p->x.step[2]), p->x.step[2], run);
            else
                fetch_columns(p, r, row, target);
        }
}

/* `count` reals of each pixel of the region, `step` apart in x; pixels are `pitch` apart in the target. */
static void fetch_pixels(const dsc_problem *p, const tile_region *r, const char *x, dsc_int step, dsc_int count, real *target,
                         dsc_int pitch)
{
    const axis_region *a = r->axis;
    const bool join = step == 1 && pitch == count && joins(p, r, 2, count, 1);
    const dsc_int columns = join ? 1 : a[2].count, run = join ? a[2].count * count : count;
    for (dsc_int k = 0; k < a[0].count; ++k)
        for (dsc_int j = 0; j < a[1].count; ++j) {
            const char *row = element(p, x, source_along(p, r, 0, k) + source_along(p, r, 1, j));
            for (dsc_int i = 0; i < columns; ++i, target += join ? run : pitch)
                fetch(p, target, element(p, row, source_along(p, r, 2, i)), step, run);
        }
}

#endif
