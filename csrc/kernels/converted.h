/* Convolutions of narrow floats and of complex numbers: a tile of the call becomes a call on reals in scratch, which stay in
 * cache, and its results are converted where they are stored. So these types have every kernel that reals have.
 *
 * A complex convolution is two real ones, by the real parts of its factors and by the imaginary ones, of both parts of x as if
 * they were two channels or two images: i times the second is added to the first. Most have kernels of their own, see
 * depthwise_complex.h; here are strides, phases and paddings that these do not know. */
#ifndef DSCONV_CONVERTED_H
#define DSCONV_CONVERTED_H

#include "converted_mixing.h"

static void run_converted_planes(const converted_tile *t, dsc_int c, dsc_int n)
{
    const dsc_problem *p = t->p;
    const dsc_int plane = p->parts * t->outputs;
    const converted_target to = {.y = t->s.y, .plane = plane, .part = t->outputs};
    fetch_planes(t, c, n);
    for (dsc_int m = 0; m < p->multiplier && !dsc_stopped(p); ++m) {
        convolve_planes(t, c, n, m, &to);
        for (dsc_int i = 0; i < n; ++i)
            store_channel(t, (c + i) * p->multiplier + m,
                          (result_rows){to.y + i * plane, p->parts == 2 ? t->s.second + i * plane : NULL, t->outputs},
                          t->s.bias + i * p->parts);
    }
}

static void run_converted_channels(const converted_tile *t, dsc_int c, dsc_int n)
{
    const dsc_problem *p = t->p;
    converted_target to = {.y = t->s.y};
    if (!t->pixels) {
        run_converted_planes(t, c, n);
    } else if (p->format == DSC_NATIVE) {
        memcpy(to.step, p->y.step, sizeof to.step);
        to.y = (real *)output_of(t, c, 0, 0, 0);
        convolve_pixels(t, c, n, &to);
    } else {
        dense_steps(t->count, n, to.step);
        convolve_pixels(t, c, n, &to);
        store_pixels(t, c, to.y, n, n);
    }
}

/* What is larger than the caches: results are stored past them, and what the next tile reads is asked for. */
static dsc_problem look_beyond(const dsc_problem *p, const dsc_plan *plan)
{
    dsc_problem own = *p;
    const int axis = plan->columns > 1 ? 2 : 1;
    const dsc_int *in = p->e.in, stride = p->e.stride[axis], tile = axis == 2 ? plan->column_width : plan->band_rows;
    const double x = (double)in[0] * (double)in[1] * (double)in[2] * (double)p->channels, images = (double)p->batch * p->item;
    own.past = output_volume(&p->e) * (double)p->outputs * images > PAST_BYTES;
    if (x * images > PAST_BYTES && !p->e.transposed && stride <= in[axis])   /* else the product might exceed an integer */
        own.ahead = tile * stride * p->x.step[axis] * p->item;
    return own;
}

static void run_converted(const dsc_problem *given, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory)
{
    const dsc_problem own = look_beyond(given, plan), *p = &own;
    converted_tile t = {.p = p, .plan = plan, .pixels = converts_pixels(p), .s = lay_out_converted(p, plan, memory)};
    t.whole = groups_in_vectors(p, plan) ? p->channels * p->parts : 1;
    item_cursor c = item_at(p, plan, plan->groups, begin);
    for (dsc_int i = begin; i < end && !dsc_stopped(p); ++i, next_item(&c)) {
        const dsc_int cursor[3] = {c.depth, c.band, c.column}, channel = c.channel * plan->group;
        t.image = c.image, t.outputs = 1;
        tile_counts(plan, t.count);
        for (int axis = 0; axis < 3; ++axis) {
            t.first[axis] = cursor[axis] * t.count[axis];
            t.count[axis] = at_most(t.count[axis], p->e.out[axis] - t.first[axis]);
            t.outputs *= t.count[axis];
        }
        set_region(&t);
        if (mixes(p))
            run_converted_mixing(&t);
        else
            run_converted_channels(&t, channel, at_most(plan->group, p->channels - channel));
    }
}

static void plan_any_depthwise(const dsc_problem *p, dsc_plan *plan)
{
    if (is_complex_in_place(p)) {
        const dsc_problem reals = complex_as_reals(p);
        plan_depthwise(&reals, plan);
    } else if (is_native(p)) {
        plan_depthwise(p, plan);
    } else {
        plan_converted(p, plan);
    }
}

static void run_any_depthwise(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory)
{
    if (is_complex_in_place(p)) {
        const dsc_problem reals = complex_as_reals(p);
        run_depthwise(&reals, plan, begin, end, memory);
    } else if (is_native(p)) {
        run_depthwise(p, plan, begin, end, memory);
    } else {
        run_converted(p, plan, begin, end, memory);
    }
}

static void plan_any_separable(const dsc_problem *p, dsc_plan *plan)
{
    is_native(p) ? plan_separable(p, plan) : plan_converted(p, plan);
}

static void run_any_separable(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory)
{
    is_native(p) ? run_separable(p, plan, begin, end, memory) : run_converted(p, plan, begin, end, memory);
}

#endif
