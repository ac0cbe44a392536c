/* Convolutions of narrow floats and of complex numbers: a tile of the call becomes a call on reals in scratch, which stay in
 * cache, and its results are converted where they are stored. So these types have every kernel that reals have.
 *
 * A complex tap is four real ones. Planes: each part of an output sums over both parts of its input. Where channels are
 * dense, the parts are channels, and the result is the sum of two convolutions, of x and of x with its parts exchanged. */
#ifndef DSCONV_CONVERTED_H
#define DSCONV_CONVERTED_H

#include "converted_depthwise.h"

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
    r.e = (dsc_extent){.in = {1, 1, t->outputs}, .out = {1, 1, t->outputs}, .kernel = {1, 1, 1}, .stride = {1, 1, 1},
                       .dilation = {1, 1, 1}};
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
    static void plan_any_##name(const dsc_problem *p, dsc_plan *plan) \
    { is_native(p) ? plan_##name(p, plan) : plan_converted(p, plan); } \
    static void run_any_##name(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory) \
    { is_native(p) ? run_##name(p, plan, begin, end, memory) : run_converted(p, plan, begin, end, memory); }
BY_FORMAT(depthwise)
BY_FORMAT(separable)

#endif
