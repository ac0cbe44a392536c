/* The depthwise stage of a tile of narrow floats or complex numbers, as a call on reals. */
#ifndef DSCONV_CONVERTED_DEPTHWISE_H
#define DSCONV_CONVERTED_DEPTHWISE_H

#include "converted_plan.h"

/* What is known of a tile before any channel is looked at. */
typedef struct {
    const dsc_problem *p;
    const dsc_plan *plan;
    dsc_int image, first[3], count[3], outputs;
    tile_region region;
    dsc_extent e;            /* of the call on reals */
    bool pixels;
    dsc_int whole;           /* channels by which it is planned */
    converted_scratch s;
} converted_tile;

/* Where depthwise results go: planes of channels and of their parts, so far apart, or pixels of these steps, their parts
 * neighbours. In the panel of the pointwise stage, `plane` is from one of its rows to the next, be they planes or pixels. */
typedef struct { real *y; dsc_int plane, part, step[3]; } converted_target;

static void set_region(converted_tile *t)
{
    const dsc_problem *p = t->p;
    t->e = p->e;
    if (!p->fold) {
        t->region = region_of_tile(&p->e, t->first, t->count);
        t->e = extent_of_region(&p->e, &t->region, t->count);
        return;
    }
    t->region.volume = 1;
    for (int axis = 0; axis < 3; ++axis) {
        t->region.axis[axis] = (axis_region){.step = 1, .count = p->e.in[axis]};
        t->region.volume *= p->e.in[axis];
    }
}

static void dense_steps(const dsc_int size[3], dsc_int element, dsc_int step[3])
{
    step[2] = element, step[1] = size[2] * step[2], step[0] = size[1] * step[1];
}

/* A part of the taps of channel c, for its multiplier or summand m. That of the imaginary ones is negative if they are
 * conjugated. */
static void convert_taps(const converted_tile *t, dsc_int c, dsc_int m, int part, real *target)
{
    const dsc_problem *p = t->p;
    const dsc_int *kernel = p->e.kernel, *step = p->taps.step;
    const char *taps = element(p, p->taps.data, t->image * p->taps.batch + c * p->taps.channel + m * p->taps.multiplier + part);
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j, target += kernel[2]) {
            fetch(p, target, element(p, taps, k * step[0] + j * step[1]), step[2], kernel[2]);
            for (dsc_int i = 0; part && p->conjugate && i < kernel[2]; ++i)
                target[i] = -target[i];
        }
}

static real convert_bias(const converted_tile *t, const dsc_vector *bias, dsc_int o, int part)
{
    return bias->data ? fetch_one(t->p, element(t->p, bias->data, t->image * bias->batch + o * bias->step + part)) : 0;
}

/* A call on reals that computes `channels` channels of the tile. */
static dsc_problem real_problem(const converted_tile *t, dsc_int channels, dsc_int summands)
{
    const dsc_problem *p = t->p;
    dsc_problem r = {.e = t->e, .batch = 1, .channels = channels, .multiplier = 1, .outputs = channels, .summands = summands,
                     .whole = t->whole, .format = DSC_NATIVE, .item = sizeof(real), .parts = 1, .fold = p->fold, .threads = 1,
                     .taps_activation = p->taps_activation, .stop = p->stop, .poll = p->poll};
    const dsc_int volume = taps_of(p);
    r.taps = (dsc_taps){.data = (char *)t->s.taps, .channel = volume * summands, .multiplier = volume};
    dense_steps(p->e.kernel, 1, r.taps.step);
    r.taps_bias = (dsc_vector){.data = (char *)t->s.bias, .step = 1};
    return r;
}

static void run_reals(const dsc_problem *r, void (*plan)(const dsc_problem *, dsc_plan *),
                      void (*run)(const dsc_problem *, const dsc_plan *, dsc_int, dsc_int, void *), void *memory)
{
    dsc_plan own;
    plan(r, &own);
    const dsc_int piece = own.work > LOOK_WORK ? 1 : at_least(own.items, 1);
    for (dsc_int i = 0; i < own.items && !dsc_stopped(r); i += piece)
        run(r, &own, i, i + piece, memory);
}

static const char *input_of(const converted_tile *t, dsc_int channel)
{
    return element(t->p, t->p->x.data, t->image * t->p->x.batch + channel * t->p->x.channel);
}

/* A part of the taps of channels [c, c + n), for output m of each. */
static void convert_channels(const converted_tile *t, dsc_int c, dsc_int n, dsc_int m, int part)
{
    const dsc_problem *p = t->p;
    const dsc_int inputs = p->summands, taps = taps_of(p), *step = p->taps.step, *kernel = p->e.kernel;
    const bool rows = step[2] == 1 && (kernel[1] == 1 || step[1] == kernel[2]) &&
                      (kernel[0] == 1 || step[0] == kernel[1] * kernel[2]);
    if (rows && inputs == 1 && p->parts == 1 && p->taps.channel == taps)
        fetch(p, t->s.taps, element(p, p->taps.data, t->image * p->taps.batch + c * taps + m * p->taps.multiplier), 1, n * taps);
    else
        for (dsc_int i = 0; i < n * inputs; ++i)
            convert_taps(t, c + i / inputs, m + i % inputs, part, t->s.taps + i * taps);
}

/* Taps for two neighbouring planes each. */
static void repeat_taps(real *taps, dsc_int n, dsc_int volume)
{
    for (dsc_int i = n - 1; i >= 0; --i) {
        memmove(taps + (2 * i + 1) * volume, taps + i * volume, (size_t)volume * sizeof(real));
        memmove(taps + 2 * i * volume, taps + i * volume, (size_t)volume * sizeof(real));
    }
}

/* Channels [c, c + n) as planes: output m of each, by a part of the taps. The parts of x are channels, for planes that go through
 * a tile together, or images. */
static void convolve_part(const converted_tile *t, dsc_int c, dsc_int n, dsc_int m, int part, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const bool planes = p->parts == 2 && p->summands == 1 && to->plane == 2 * to->part;
    dsc_problem r = real_problem(t, planes ? 2 * n : n, p->summands);
    const dsc_int volume = t->region.volume;
    convert_channels(t, c, n, m, part);
    r.batch = planes ? 1 : p->parts;
    r.x = (dsc_map){.data = (char *)t->s.x, .batch = volume, .multiplier = p->parts * volume,
                    .channel = planes ? volume : p->summands * p->parts * volume};
    dense_steps(r.e.in, 1, r.x.step);
    r.y = (dsc_map){.data = (char *)to->y, .batch = to->part, .channel = planes ? to->part : to->plane};
    dense_steps(t->count, 1, r.y.step);
    if (planes)
        repeat_taps(t->s.taps, n, taps_of(p));
    if (p->parts == 2)
        r.taps_bias.data = NULL;
    run_reals(&r, plan_depthwise, run_depthwise, t->s.native);
}

/* What all outputs of channels [c, c + n) read. */
static void fetch_planes(const converted_tile *t, dsc_int c, dsc_int n)
{
    const dsc_problem *p = t->p;
    real *x = t->s.x;
    for (dsc_int i = 0; i < n; ++i)
        for (dsc_int s = 0; s < p->summands; ++s)
            for (int part = 0; part < p->parts; ++part, x += t->region.volume)
                fetch_region(p, &t->region, element(p, input_of(t, c + i), s * p->x.multiplier + part), x);
}

static converted_target second_planes(const converted_tile *t)
{
    return (converted_target){.y = t->s.second, .plane = 2 * t->outputs, .part = t->outputs};
}

/* Output m of channels [c, c + n), by each part of the taps. */
static void convolve_planes(const converted_tile *t, dsc_int c, dsc_int n, dsc_int m, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const converted_target second = second_planes(t);
    for (dsc_int i = 0; i < n * p->parts; ++i)
        t->s.bias[i] = convert_bias(t, &p->taps_bias, (c + i / p->parts) * p->multiplier + m, (int)(i % p->parts));
    convolve_part(t, c, n, m, 0, to);
    if (p->parts == 2)
        convolve_part(t, c, n, m, 1, &second);
}

/* Channels [c, c + n) as pixels, the parts of complex ones as channels, by a part of the taps. */
static void convolve_channels(const converted_tile *t, dsc_int c, dsc_int n, int part, const dsc_map *x, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const dsc_int channels = n * p->parts, taps = taps_of(p);
    dsc_problem r = real_problem(t, channels, 1);
    for (dsc_int i = 0; i < channels; ++i) {
        convert_taps(t, c + i / p->parts, 0, part, t->s.taps + i * taps);
        t->s.bias[i] = part ? 0 : convert_bias(t, &p->taps_bias, c + i / p->parts, (int)(i % p->parts));
    }
    r.x = *x;
    r.y = (dsc_map){.data = (char *)to->y, .channel = 1, .step = {to->step[0], to->step[1], to->step[2]}};
    run_reals(&r, plan_depthwise, run_depthwise, t->s.native);
}

/* To the results by real parts of taps those by imaginary parts, which are dense. */
static void add_pixels(const converted_tile *t, dsc_int channels, const converted_target *to)
{
    const bool join = to->step[2] == channels;
    const dsc_int columns = join ? 1 : t->count[2], run = join ? t->count[2] * channels : channels;
    const real *second = t->s.second;
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < t->count[1]; ++j)
            for (dsc_int i = 0; i < columns; ++i, second += run)
                add_turned(to->y + k * to->step[0] + j * to->step[1] + i * to->step[2], second, run);
}

/* x itself, if it holds reals and the region is a part of it. */
static bool reads_directly(const converted_tile *t, dsc_int c, dsc_map *x)
{
    const dsc_problem *p = t->p;
    const axis_region *a = t->region.axis;
    dsc_map own = p->x;
    dsc_int first = 0;
    for (int axis = 0; axis < 3; ++axis) {
        if (a[axis].padded || p->format != DSC_NATIVE)
            return false;
        /* Where nothing exists, or no second element, these may be as far as a dilation. */
        first += a[axis].count > 0 ? a[axis].first * p->x.step[axis] : 0;
        own.step[axis] *= a[axis].count > 1 ? a[axis].step : 1;
    }
    own.data = (char *)element(p, input_of(t, c), first);
    own.batch = 0;
    *x = own;
    return true;
}

static void convolve_pixels(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const dsc_int channels = n * p->parts;
    dsc_map x = {.data = (char *)t->s.x, .channel = 1};
    dense_steps(t->e.in, channels, x.step);
    if (reads_directly(t, c, &x))
        x.channel = 1;
    else
        fetch_pixels(p, &t->region, input_of(t, c), 1, channels, t->s.x, channels);
    convolve_channels(t, c, n, 0, &x, to);
    if (p->parts == 1)
        return;
    converted_target second = {.y = t->s.second};
    dense_steps(t->count, channels, second.step);
    convolve_channels(t, c, n, 1, &x, &second);
    add_pixels(t, channels, to);
}

#endif
