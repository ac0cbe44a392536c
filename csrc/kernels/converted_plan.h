/* Calls on narrow floats and complex numbers: how they are cut into tiles, and the scratch that a tile takes. */
#ifndef DSCONV_CONVERTED_PLAN_H
#define DSCONV_CONVERTED_PLAN_H

#include "converted_region.h"
#include "separable.h"

#define CONVERTED_BYTES (384 << 10)   /* of a depthwise tile: x and y as reals, a part of the second-level cache */
#define PIXEL_SHARE 0.75              /* ... where channels are dense: of dsc_panel_bytes */
#define CONVERTED_OUTPUTS 48          /* channels of pointwise results, parts counted, that are kept as reals */
#define CHANNEL_BYTES_MOST (16 << 20) /* of one channel, however much is read twice */
#define PIXEL_CHANNELS 128            /* of a pixel, parts counted, that are converted in one run if there are so many */
#define CONVERTED_COLUMNS 256         /* a tile gets no narrower than this to become smaller, but as the last resort ... */
#define PLANE_COLUMNS 2048            /* ... or than this, for planes: a run of memory as long as can be */
#define LOOK_WORK 1e8                 /* multiply-adds of a tile, beyond which it is looked for interrupts inside */
#define NATIVE_BYTES (PACKED_BYTES_MOST + (128 << 10))   /* scratch of any depthwise call on reals */

/* Are pixels of dense channels what scratch holds? */
static bool converts_pixels(const dsc_problem *p)
{
    const bool y_dense = p->y.channel == p->parts && p->y.step[2] != p->parts, x_dense = p->x.channel == p->parts;
    return y_dense && x_dense && p->channels * p->parts >= LANES && p->multiplier == 1 && p->summands == 1 && !p->fold;
}

static bool mixes(const dsc_problem *p)
{
    return p->mixing.data != NULL;
}

static void tile_counts(const dsc_plan *plan, dsc_int count[3])
{
    count[0] = plan->slices, count[1] = plan->band_rows, count[2] = plan->column_width;
}

static double tile_outputs(const dsc_plan *plan)
{
    return (double)plan->slices * (double)plan->band_rows * (double)plan->column_width;
}

/* Elements of x that a whole tile reads. */
static double tile_reading(const dsc_problem *p, const dsc_plan *plan)
{
    dsc_int count[3];
    double volume = 1;
    tile_counts(plan, count);
    for (int axis = 0; axis < 3; ++axis)
        volume *= (double)(p->fold ? p->e.in[axis] : axis_reading(&p->e, axis, count[axis]));
    return volume;
}

static dsc_int taps_of(const dsc_problem *p)
{
    return p->e.kernel[0] * p->e.kernel[1] * p->e.kernel[2];
}

/* Reals of scratch for one depthwise channel of a tile: x and y, the latter by each part of complex factors. */
static double channel_reals(const dsc_problem *p, const dsc_plan *plan)
{
    return p->parts * (tile_reading(p, plan) * (double)p->summands + tile_outputs(plan) * p->parts);
}

/* Bytes that a group of them may take. */
static double group_bytes(const dsc_problem *p)
{
    const double most = converts_pixels(p) ? PIXEL_SHARE * (double)dsc_panel_bytes() : CONVERTED_BYTES;
    return mixes(p) ? most / 2 : most;
}

/* Make the tile smaller along the axis where that costs the least reading twice. False: it cannot be, or, unless that is
 * needed, more than a third of what it reads would be read by others too. */
static bool shrink_tile(const dsc_extent *e, dsc_plan *plan, dsc_int columns, bool needed)
{
    dsc_int *size[3] = {&plan->slices, &plan->band_rows, &plan->column_width};
    int best = -1;
    double most = needed ? 0 : 2;
    for (int axis = 0; axis < 3; ++axis) {
        const double gain = (double)*size[axis] * (double)e->stride[axis] / (double)axis_span(e, axis, 1);
        const bool narrow = axis == 2 && *size[2] <= columns && (plan->slices > 1 || plan->band_rows > 1);
        if (*size[axis] > 1 && !narrow && gain > most)
            best = axis, most = gain;
    }
    if (best >= 0)
        *size[best] = best == 1 ? *size[1] - divide_up(*size[1], 8) : divide_up(*size[best], 2);
    return best >= 0;
}

/* Rows that march together, or are unrolled together, should not leave one alone. */
static void round_rows(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int rows = plan->band_rows;
    if (converts_pixels(p) && rows < p->e.out[1])
        plan->band_rows = rows >= 6 ? rows - rows % 6 : rows >= 3 ? 3 : rows;
}

static void plan_converted_tiles(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int *out = p->e.out;
    plan->slices = out[0], plan->band_rows = out[1], plan->column_width = out[2];
    if (p->fold)
        return;
    const dsc_int mixed = at_least(mixed_channels(p), 1);
    const dsc_int least = converts_pixels(p) ? at_most(PIXEL_CHANNELS / p->parts, p->channels) : 1;
    const double pixels = at_least((dsc_int)(dsc_panel_bytes() / 2 / sizeof(real)) / mixed, LANES);
    const double most = group_bytes(p) / sizeof(real);
    for (;;) {
        const double reals = is_pointwise(p) ? 0 : channel_reals(p, plan);
        const bool wide = mixes(p) && tile_outputs(plan) * p->parts > at_most((dsc_int)pixels * p->parts, PIXELS_MOST);
        const bool fits = !wide && reals * (double)least <= most;
        if (fits || !shrink_tile(&p->e, plan, converts_pixels(p) ? CONVERTED_COLUMNS : PLANE_COLUMNS, wide || reals * sizeof(real) > CHANNEL_BYTES_MOST))
            break;
    }
    round_rows(p, plan);
}

/* Are channels, or planes of many taps, converted by whole vectors? Threads, which share channels out, do not decide that. */
static bool groups_in_vectors(const dsc_problem *p, const dsc_plan *plan)
{
    const bool many = kernel_volume(&p->e) >= BY_VECTORS_TAPS && p->channels >= LANES;
    return converts_pixels(p) || (many && LANES * channel_reals(p, plan) <= group_bytes(p) / sizeof(real));
}

/* Depthwise channels that are converted together. */
static dsc_int converted_group(const dsc_problem *p, const dsc_plan *plan)
{
    const double fit = group_bytes(p) / sizeof(real) / channel_reals(p, plan);
    dsc_int group = fit < 1 ? 1 : fit > (double)p->channels ? p->channels : (dsc_int)fit;
    if (!mixes(p))
        group = at_most(group, divide_up(p->channels, p->threads));
    if (groups_in_vectors(p, plan))
        group = round_up(at_least(group, 1), LANES);
    /* a pixel of one channel alone would be a plane */
    while (converts_pixels(p) && group < p->channels && p->channels % group == 1)
        group += LANES / 2;
    return at_least(at_most(group, p->channels), 1);
}

/* Scratch of one thread, laid out; `end`: what it takes. */
typedef struct {
    real *x, *taps, *bias, *y, *second;   /* depthwise, a group of channels; second: by imaginary parts */
    real *panel, *mixing, *mixing_bias, *result;      /* pointwise, a group of outputs */
    char *native;
    double end;
} converted_scratch;

/* Room for so many reals after the others; as a double, for it may exceed any integer. */
static real *take(char *memory, double *end, double reals)
{
    real *place = memory ? (real *)(memory + (size_t)*end) : NULL;
    double whole = reals + 2 * LANES;
    *end += whole < 0x1p45 ? (double)round_up((dsc_int)whole, 64) * sizeof(real) : whole * sizeof(real);
    return place;
}

/* A row of the panel: the pixels of a tile, each part of them. */
static double panel_pixels(const dsc_problem *p, const dsc_plan *plan)
{
    const double pixels = tile_outputs(plan) * p->parts;
    return pixels < 0x1p40 ? (double)panel_step((dsc_int)pixels) : pixels;
}

static ONCE_A_CALL converted_scratch lay_out_converted(const dsc_problem *p, const dsc_plan *plan, void *memory)
{
    converted_scratch s = {.end = 0};
    char *from = memory ? (char *)aligned(memory) : NULL;
    const double group = (double)plan->group * p->parts, x = group * (double)p->summands * tile_reading(p, plan);
    const double taps = group * (double)p->summands * kernel_volume(&p->e), mixed = (double)mixed_channels(p);
    if (is_pointwise(p)) {
        s.y = take(from, &s.end, p->parts == 2 ? 2 * tile_outputs(plan) : 0);
    } else {
        s.x = take(from, &s.end, x);
        s.taps = take(from, &s.end, taps);
        s.bias = take(from, &s.end, group);
        const double y = group * tile_outputs(plan);
        s.y = take(from, &s.end, mixes(p) && (converts_pixels(p) || p->parts == 1) ? 0 : y);
        s.second = take(from, &s.end, p->parts == 2 ? y : 0);
    }
    if (mixes(p)) {
        const double pixels = (double)panel_step((dsc_int)mixed) * tile_outputs(plan) * p->parts;
        s.panel = take(from, &s.end, converts_pixels(p) ? pixels : mixed * panel_pixels(p, plan));
        s.mixing = take(from, &s.end, CONVERTED_OUTPUTS * mixed);
        s.mixing_bias = take(from, &s.end, CONVERTED_OUTPUTS * p->parts);
        s.result = take(from, &s.end, CONVERTED_OUTPUTS * panel_pixels(p, plan));
    }
    s.native = from ? from + (size_t)s.end : NULL;
    return s;
}

static ONCE_A_CALL void plan_converted(const dsc_problem *p, dsc_plan *plan)
{
    *plan = (dsc_plan){.group = 1};
    plan_converted_tiles(p, plan);
    plan->bands = divide_up(p->e.out[1], plan->band_rows), plan->columns = divide_up(p->e.out[2], plan->column_width);
    if (!is_pointwise(p))
        plan->group = converted_group(p, plan);
    plan->groups = mixes(p) ? 1 : divide_up(p->channels, plan->group);
    plan->items = p->batch * plan->groups * divide_up(p->e.out[0], plan->slices) * plan->bands * plan->columns;
    const double outputs = output_volume(&p->e) * (double)p->batch * p->parts, taps = is_pointwise(p) ? 0 : kernel_volume(&p->e);
    plan->work = outputs * (mixes(p) ? (double)mixed_channels(p) * ((double)p->outputs + taps)
                                     : (double)p->outputs * (double)p->summands * p->parts * (taps + 8));
    const double mixing = (double)mixing_bytes(at_most(mixed_channels(p), MIXING_MOST));
    const double bytes = lay_out_converted(p, plan, NULL).end + mixing + NATIVE_BYTES;
    plan->scratch = bytes < 0x1p45 ? (size_t)bytes : (size_t)1 << 45;
}

#endif
