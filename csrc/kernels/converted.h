/* Convolutions of narrow floats and of complex numbers: a tile of the call becomes a call on reals in scratch, which stay in
 * cache, and its results are converted where they are stored. So these types have every kernel that reals have.
 *
 * A complex tap is four real ones. Planes: each part of an output sums over both parts of its input. Where channels are
 * dense, the parts are channels, and the result is the sum of two convolutions, of x and of x with its parts exchanged. */
#ifndef DSCONV_CONVERTED_H
#define DSCONV_CONVERTED_H

#include "converted_region.h"
#include "separable.h"

#define CONVERTED_BYTES (192 << 10)   /* of a depthwise tile: x and y as reals, a part of the second-level cache */
#define PIXEL_SHARE 0.75              /* ... where channels are dense: of dsc_panel_bytes */
#define CONVERTED_OUTPUTS 48          /* channels of pointwise results, parts counted, that are kept as reals */
#define PIXEL_CHANNELS 128            /* of a pixel, parts counted, that are converted in one run if there are so many */
#define CONVERTED_COLUMNS 256         /* a tile gets no narrower than this to become smaller, but as the last resort */
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

/* Reals of scratch for one depthwise channel of a tile: x and y. */
static double channel_reals(const dsc_problem *p, const dsc_plan *plan)
{
    return p->parts * (tile_reading(p, plan) * (double)p->summands + tile_outputs(plan) * (double)p->multiplier);
}

/* Bytes that a group of them may take. */
static double group_bytes(const dsc_problem *p)
{
    const double most = converts_pixels(p) ? PIXEL_SHARE * (double)dsc_panel_bytes() : CONVERTED_BYTES;
    return mixes(p) ? most / 2 : most;
}

/* Make the tile smaller along the axis where that costs the least reading twice. False: it cannot be. */
static bool shrink_tile(const dsc_extent *e, dsc_plan *plan)
{
    dsc_int *size[3] = {&plan->slices, &plan->band_rows, &plan->column_width};
    int best = -1;
    double most = 0;
    for (int axis = 0; axis < 3; ++axis) {
        const double gain = (double)*size[axis] * (double)e->stride[axis] / (double)axis_span(e, axis, 1);
        const bool narrow = axis == 2 && *size[2] <= CONVERTED_COLUMNS && (plan->slices > 1 || plan->band_rows > 1);
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
    const dsc_int mixed = at_least(mixed_channels(p), 1), least = converts_pixels(p) ? at_most(PIXEL_CHANNELS / p->parts, p->channels) : 1;
    const double pixels = at_least((dsc_int)(dsc_panel_bytes() / 2 / sizeof(real)) / mixed, LANES);
    const double most = group_bytes(p) / sizeof(real);
    while ((mixes(p) && tile_outputs(plan) > at_most((dsc_int)pixels, PIXELS_MOST)) ||
           (!is_pointwise(p) && channel_reals(p, plan) * (double)least > most))
        if (!shrink_tile(&p->e, plan))
            break;
    round_rows(p, plan);
}

/* Depthwise channels that are converted together. */
static dsc_int converted_group(const dsc_problem *p, const dsc_plan *plan)
{
    const double fit = group_bytes(p) / sizeof(real) / channel_reals(p, plan);
    dsc_int group = fit < 1 ? 1 : fit > (double)p->channels ? p->channels : (dsc_int)fit;
    if (!mixes(p))
        group = at_most(group, divide_up(p->channels, p->threads));
    if (converts_pixels(p))
        group = at_most(round_up(group, LANES), p->channels);
    return at_least(group, 1);
}

/* Scratch of one thread, laid out; `end`: what it takes. */
typedef struct {
    real *x, *taps, *bias, *y, *second;   /* depthwise, a group of channels */
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

static double panel_pixels(const dsc_plan *plan)
{
    return tile_outputs(plan) < 0x1p40 ? (double)panel_step((dsc_int)tile_outputs(plan)) : tile_outputs(plan);
}

static converted_scratch lay_out_converted(const dsc_problem *p, const dsc_plan *plan, void *memory)
{
    converted_scratch s = {.end = 0};
    char *from = memory ? (char *)aligned(memory) : NULL;
    const double group = (double)plan->group * p->parts, x = group * (double)p->summands * tile_reading(p, plan);
    const double taps = group * (double)p->summands * kernel_volume(&p->e), mixed = (double)mixed_channels(p);
    if (!is_pointwise(p)) {
        s.x = take(from, &s.end, x);
        s.taps = take(from, &s.end, taps);
        s.bias = take(from, &s.end, group);
        const bool added = converts_pixels(p) && p->parts == 2;
        s.y = take(from, &s.end, mixes(p) || added ? 0 : group * (double)p->multiplier * tile_outputs(plan));
        s.second = take(from, &s.end, added ? group * tile_outputs(plan) : 0);
    }
    if (mixes(p)) {
        s.panel = take(from, &s.end, converts_pixels(p) ? (double)panel_step((dsc_int)mixed) * tile_outputs(plan) : mixed * panel_pixels(plan));
        s.mixing = take(from, &s.end, CONVERTED_OUTPUTS * mixed);
        s.mixing_bias = take(from, &s.end, CONVERTED_OUTPUTS);
        s.result = take(from, &s.end, CONVERTED_OUTPUTS * panel_pixels(plan));
    }
    s.native = from ? from + (size_t)s.end : NULL;
    return s;
}

/* What is known of a tile before any channel is looked at. */
typedef struct {
    const dsc_problem *p;
    const dsc_plan *plan;
    dsc_int image, first[3], count[3], outputs;
    tile_region region;
    dsc_extent e;            /* of the call on reals */
    bool pixels;
    converted_scratch s;
} converted_tile;

/* Where depthwise results go: planes `plane` apart, or pixels of these steps. */
typedef struct { real *y; dsc_int plane, step[3]; } converted_target;

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

/* Taps of channel c, for its multiplier or summand m, as reals that take one input part to one output part. */
static void convert_taps(const converted_tile *t, dsc_int c, dsc_int m, int in, int out, real *target)
{
    const dsc_problem *p = t->p;
    const dsc_int *kernel = p->e.kernel, *step = p->taps.step;
    const bool negative = p->parts == 2 && factor_negative(p, in, out);
    const char *taps = element(p, p->taps.data, t->image * p->taps.batch + c * p->taps.channel + m * p->taps.multiplier +
                                                    (p->parts == 2 ? factor_part(in, out) : 0));
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j, target += kernel[2]) {
            fetch(p, target, element(p, taps, k * step[0] + j * step[1]), step[2], kernel[2]);
            for (dsc_int i = 0; negative && i < kernel[2]; ++i)
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
                     .format = DSC_NATIVE, .item = sizeof(real), .parts = 1, .fold = p->fold, .threads = 1,
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

/* The taps of channels [c, c + n) that give part `out` of output m of each. */
static void convert_channels(const converted_tile *t, dsc_int c, dsc_int n, dsc_int m, int out)
{
    const dsc_problem *p = t->p;
    const dsc_int inputs = p->summands * p->parts, taps = taps_of(p), *step = p->taps.step, *kernel = p->e.kernel;
    const bool rows = step[2] == 1 && (kernel[1] == 1 || step[1] == kernel[2]) && (kernel[0] == 1 || step[0] == kernel[1] * kernel[2]);
    if (rows && inputs == 1 && p->taps.channel == taps)
        fetch(p, t->s.taps, element(p, p->taps.data, t->image * p->taps.batch + c * taps + m * p->taps.multiplier), 1, n * taps);
    else
        for (dsc_int i = 0; i < n * inputs; ++i)
            convert_taps(t, c + i / inputs, m + i % inputs / p->parts, (int)(i % p->parts), out, t->s.taps + i * taps);
    for (dsc_int i = 0; i < n; ++i)
        t->s.bias[i] = convert_bias(t, &p->taps_bias, (c + i) * p->multiplier + m, out);
}

/* Channels [c, c + n) as planes: output m of each, one of its parts. */
static void convolve_part(const converted_tile *t, dsc_int c, dsc_int n, dsc_int m, int out, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const dsc_int inputs = p->summands * p->parts;
    dsc_problem r = real_problem(t, n, inputs);
    convert_channels(t, c, n, m, out);
    r.x = (dsc_map){.data = (char *)t->s.x, .channel = inputs * t->region.volume, .multiplier = t->region.volume};
    dense_steps(r.e.in, 1, r.x.step);
    r.y = (dsc_map){.data = (char *)(to->y + (m * p->parts + out) * to->plane), .channel = p->multiplier * p->parts * to->plane};
    dense_steps(t->count, 1, r.y.step);
    run_reals(&r, plan_depthwise, run_depthwise, t->s.native);
}

static void convolve_planes(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *to)
{
    const dsc_problem *p = t->p;
    real *x = t->s.x;
    for (dsc_int i = 0; i < n; ++i)
        for (dsc_int s = 0; s < p->summands; ++s)
            for (int part = 0; part < p->parts; ++part, x += t->region.volume)
                fetch_region(p, &t->region, element(p, input_of(t, c + i), s * p->x.multiplier + part), x);
    for (dsc_int m = 0; m < p->multiplier && !dsc_stopped(p); ++m)
        for (int out = 0; out < p->parts; ++out)
            convolve_part(t, c, n, m, out, to);
}

/* Pairs of reals: their elements exchanged. */
static void exchange_parts(real *x, dsc_int count)
{
    dsc_int i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec v = v_load(x + i);
        v_store(x + i, v_zip_low(v_odd(v, v), v_even(v, v)));
    }
    for (; i < count; i += 2) {
        real low = x[i];
        x[i] = x[i + 1], x[i + 1] = low;
    }
}

/* Channels [c, c + n) as pixels: of the two real factors of each complex one, those that keep the parts or exchange them. */
static void convolve_channels(const converted_tile *t, dsc_int c, dsc_int n, bool exchange, const dsc_map *x,
                              const converted_target *to)
{
    const dsc_problem *p = t->p;
    const dsc_int channels = n * p->parts, taps = taps_of(p);
    dsc_problem r = real_problem(t, channels, 1);
    for (dsc_int i = 0; i < channels; ++i) {
        const int out = (int)(i % p->parts), in = exchange ? 1 - out : out;
        convert_taps(t, c + i / p->parts, 0, in, out, t->s.taps + i * taps);
        t->s.bias[i] = exchange ? 0 : convert_bias(t, &p->taps_bias, c + i / p->parts, out);
    }
    r.x = *x;
    r.y = (dsc_map){.data = (char *)to->y, .channel = 1, .step = {to->step[0], to->step[1], to->step[2]}};
    run_reals(&r, plan_depthwise, run_depthwise, t->s.native);
}

/* y += second, a dense one, `channels` reals of each pixel. */
static void add_pixels(const converted_tile *t, dsc_int channels, const converted_target *to)
{
    const bool join = to->step[2] == channels;
    const dsc_int columns = join ? 1 : t->count[2], run = join ? t->count[2] * channels : channels;
    const real *second = t->s.second;
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < t->count[1]; ++j)
            for (dsc_int i = 0; i < columns; ++i, second += run) {
                real *y = to->y + k * to->step[0] + j * to->step[1] + i * to->step[2];
                for (dsc_int at = 0; at < run; at += LANES) {
                    const mask m = v_mask(0, run - at);
                    v_store_masked(y + at, v_load_masked(y + at, m) + v_load_masked(second + at, m), m);
                }
            }
}

/* x itself, if it holds reals and the region is a part of it. */
static bool reads_directly(const converted_tile *t, dsc_int c, dsc_map *x)
{
    const dsc_problem *p = t->p;
    const axis_region *a = t->region.axis;
    for (int axis = 0; axis < 3; ++axis)
        if (a[axis].padded || a[axis].step != 1 || p->format != DSC_NATIVE)
            return false;
    *x = (dsc_map){.channel = 1, .step = {p->x.step[0], p->x.step[1], p->x.step[2]}};
    x->data = (char *)element(p, input_of(t, c), a[0].first * x->step[0] + a[1].first * x->step[1] + a[2].first * x->step[2]);
    return true;
}

static void convolve_pixels(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *to)
{
    const dsc_problem *p = t->p;
    const dsc_int channels = n * p->parts;
    dsc_map copy = {.data = (char *)t->s.x, .channel = 1}, own = copy;
    dense_steps(t->e.in, channels, copy.step);
    const bool direct = reads_directly(t, c, &own);
    if (!direct)
        fetch_pixels(p, &t->region, input_of(t, c), channels, t->s.x);
    convolve_channels(t, c, n, false, direct ? &own : &copy, to);
    if (p->parts == 1)
        return;
    if (direct)
        fetch_pixels(p, &t->region, input_of(t, c), channels, t->s.x);
    exchange_parts(t->s.x, t->region.volume * channels);
    converted_target second = {.y = t->s.second};
    dense_steps(t->count, channels, second.step);
    convolve_channels(t, c, n, true, &copy, &second);
    add_pixels(t, channels, to);
}

/* Where the tile's results of output channel o go. */
static char *output_of(const converted_tile *t, dsc_int o, dsc_int depth, dsc_int row, dsc_int column)
{
    const dsc_map *y = &t->p->y;
    return element_of(t->p, y->data, t->image * y->batch + o * y->channel + (t->first[0] + depth) * y->step[0] +
                                         (t->first[1] + row) * y->step[1] + (t->first[2] + column) * y->step[2]);
}

/* Output channel o from the planes of its parts. */
static void store_channel(const converted_tile *t, dsc_int o, const real *plane, dsc_int part)
{
    const dsc_map *y = &t->p->y;
    const bool join = y->step[1] == t->count[2] * y->step[2];
    const dsc_int rows = join ? 1 : t->count[1], run = join ? t->count[1] * t->count[2] : t->count[2];
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < rows; ++j, plane += run)
            put(t->p, output_of(t, o, k, j, 0), y->step[2], plane, part, run);
}

/* `count` reals of each pixel from output channel o on, `pixel` apart. */
static void store_pixels(const converted_tile *t, dsc_int o, const real *source, dsc_int pixel, dsc_int count)
{
    const dsc_map *y = &t->p->y;
    const bool join = pixel == count && y->step[2] == count;
    const dsc_int columns = join ? 1 : t->count[2], run = join ? t->count[2] * count : count;
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < t->count[1]; ++j)
            for (dsc_int i = 0; i < columns; ++i, source += join ? run : pixel)
                put_reals(t->p, output_of(t, o, k, j, i), 1, source, run);
}

static void run_converted_channels(const converted_tile *t, dsc_int c, dsc_int n)
{
    const dsc_problem *p = t->p;
    converted_target to = {.y = t->s.y, .plane = t->outputs};
    if (!t->pixels) {
        convolve_planes(t, c, n, &to);
        for (dsc_int i = 0; i < n * p->multiplier; ++i)
            store_channel(t, c * p->multiplier + i, to.y + i * p->parts * to.plane, to.plane);
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

/* What the pointwise stage reads where there is no other: x itself. */
static void fetch_panel(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    if (t->pixels) {
        fetch_pixels(p, &t->region, input_of(t, 0), mixed_channels(p), panel->y);
        return;
    }
    for (dsc_int c = 0; c < mixed_channels(p); ++c)
        fetch_region(p, &t->region, element(p, input_of(t, c / p->parts), c % p->parts), panel->y + c * panel->plane);
}

/* All depthwise channels of the tile. */
static void convolve_panel(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    for (dsc_int c = 0, n; c < p->channels && !dsc_stopped(p); c += n) {
        converted_target to = *panel;
        n = at_most(t->plan->group, p->channels - c);
        to.y += t->pixels ? c * p->parts : c * p->multiplier * p->parts * panel->plane;
        if (t->pixels)
            convolve_pixels(t, c, n, &to);
        else
            convolve_planes(t, c, n, &to);
    }
}

/* One row: the factors of `depth` input parts in one part of output channel o. */
static void convert_factors(const converted_tile *t, dsc_int o, int out, dsc_int depth, real *row)
{
    const dsc_problem *p = t->p;
    const char *weights = element(p, p->mixing.data, t->image * p->mixing.batch + o * p->mixing.row);
    if (p->parts == 1) {
        fetch(p, row, weights, p->mixing.column, depth);
        return;
    }
    const real *complex = (const real *)weights;
    const real low = factor_negative(p, 0, out) ? -1 : 1, high = factor_negative(p, 1, out) ? -1 : 1;
    const vec signs = v_zip_low(v_spread(low), v_spread(high));
    dsc_int k = 0;
    for (; p->mixing.column == 2 && k + LANES <= depth; k += LANES) {
        vec v = v_load(complex + k), exchanged = v_zip_low(v_odd(v, v), v_even(v, v));
        v_store(row + k, (out ? exchanged : v) * signs);
    }
    for (; k < depth; k += 2) {
        row[k] = low * complex[k / 2 * p->mixing.column + factor_part(0, out)];
        row[k + 1] = high * complex[k / 2 * p->mixing.column + factor_part(1, out)];
    }
}

/* Output channels [o, o + n) from the panel. */
static void mix_converted(const converted_tile *t, const converted_target *panel, dsc_int o, dsc_int n)
{
    const dsc_problem *p = t->p;
    const dsc_int depth = mixed_channels(p), rows = n * p->parts;
    dsc_problem r = real_problem(t, depth, 1);
    r.taps.data = NULL, r.outputs = rows, r.mixing_activation = p->mixing_activation;
    r.e = (dsc_extent){.in = {1, 1, t->outputs}, .out = {1, 1, t->outputs}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    for (dsc_int i = 0; i < rows; ++i) {
        convert_factors(t, o + i / p->parts, (int)(i % p->parts), depth, t->s.mixing + i * depth);
        t->s.mixing_bias[i] = convert_bias(t, &p->mixing_bias, o + i / p->parts, (int)(i % p->parts));
    }
    r.mixing = (dsc_matrix){.data = (char *)t->s.mixing, .row = depth, .column = 1};
    r.mixing_bias = (dsc_vector){.data = (char *)t->s.mixing_bias, .step = 1};
    r.x = (dsc_map){.data = (char *)panel->y, .channel = t->pixels ? 1 : panel->plane};
    dense_steps(r.e.in, t->pixels ? panel->step[2] : 1, r.x.step);
    r.y = (dsc_map){.data = (char *)t->s.result, .channel = t->pixels ? 1 : t->outputs};
    dense_steps(r.e.out, t->pixels ? rows : 1, r.y.step);
    run_reals(&r, plan_separable, run_separable, t->s.native);
    if (t->pixels)
        store_pixels(t, o, t->s.result, rows, rows);
    for (dsc_int i = 0; !t->pixels && i < n; ++i)
        store_channel(t, o + i, t->s.result + i * p->parts * t->outputs, t->outputs);
}

static void run_converted_mixing(const converted_tile *t)
{
    const dsc_problem *p = t->p;
    converted_target panel = {.y = t->s.panel, .plane = panel_step(t->outputs)};
    dense_steps(t->count, is_pointwise(p) ? mixed_channels(p) : panel_step(mixed_channels(p)), panel.step);
    if (is_pointwise(p))
        fetch_panel(t, &panel);
    else
        convolve_panel(t, &panel);
    for (dsc_int o = 0, n; o < p->outputs && !dsc_stopped(p); o += n) {
        n = at_most(CONVERTED_OUTPUTS / p->parts, p->outputs - o);
        mix_converted(t, &panel, o, n);
    }
}

static void plan_converted(const dsc_problem *p, dsc_plan *plan)
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
    const double bytes = lay_out_converted(p, plan, NULL).end + (double)mixing_bytes(at_most(mixed_channels(p), MIXING_MOST)) + NATIVE_BYTES;
    plan->scratch = bytes < 0x1p45 ? (size_t)bytes : (size_t)1 << 45;
}

static void run_converted(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory)
{
    converted_tile t = {.p = p, .plan = plan, .pixels = converts_pixels(p), .s = lay_out_converted(p, plan, memory)};
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

#define BY_FORMAT(name) \
    static void plan_any_##name(const dsc_problem *p, dsc_plan *plan) { is_native(p) ? plan_##name(p, plan) : plan_converted(p, plan); } \
    static void run_any_##name(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory) \
    { is_native(p) ? run_##name(p, plan, begin, end, memory) : run_converted(p, plan, begin, end, memory); }
BY_FORMAT(depthwise)
BY_FORMAT(separable)

#endif
