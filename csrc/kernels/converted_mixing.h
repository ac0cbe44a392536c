/* The pointwise stage of a tile of narrow floats or complex numbers: what it multiplies is a panel in scratch, and the product a
 * call on reals.
 *
 * A complex channel is two real ones, so that factors are read where they lie. Planes: x and i x, whose reals are columns. Where
 * channels are dense: pixels are two, which sum to the real and to the imaginary parts of results. */
#ifndef DSCONV_CONVERTED_MIXING_H
#define DSCONV_CONVERTED_MIXING_H

#include "converted_depthwise.h"
#include "depthwise_complex.h"

/* Where the tile's results of output channel o go. */
static char *output_of(const converted_tile *t, dsc_int o, dsc_int depth, dsc_int row, dsc_int column)
{
    const dsc_map *y = &t->p->y;
    return element_of(t->p, y->data, t->image * y->batch + o * y->channel + (t->first[0] + depth) * y->step[0] +
                                         (t->first[1] + row) * y->step[1] + (t->first[2] + column) * y->step[2]);
}

/* Output channel o from planes of results, and from a bias if they are complex. */
static void store_channel(const converted_tile *t, dsc_int o, result_rows planes, const real *bias)
{
    const dsc_map *y = &t->p->y;
    const bool join = y->step[1] == t->count[2] * y->step[2];
    const dsc_int rows = join ? 1 : t->count[1], run = join ? t->count[1] * t->count[2] : t->count[2];
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < rows; ++j) {
            put(t->p, output_of(t, o, k, j, 0), y->step[2], &planes, bias, run);
            planes.by_real += t->p->parts == 2 && !planes.part ? 2 * run : run;
            if (planes.by_imaginary)
                planes.by_imaginary += run;
        }
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

/* Complex numbers of the panel have been stored as they are: make of each what the parts of a factor multiply. Planes: a row of i
 * times the numbers follows. Pixels: one that sums to the real part of results, and one that sums to the imaginary part. */
static void turn_panel(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int rows = t->pixels ? t->outputs : mixed_channels(p) / 2, count = t->pixels ? mixed_channels(p) : 2 * t->outputs;
    const real turn = complex_turn(p);
    const vec straight = v_zip_low(v_spread(1), v_spread(-turn)), crossed = v_zip_low(v_spread(1), v_spread(turn));
    for (dsc_int i = 0; i < rows; ++i) {
        real *row = panel->y + 2 * i * panel->plane, *second = row + panel->plane;
        for (dsc_int j = 0; j < count; j += LANES) {
            const vec x = v_load_first(row + j, count - j);
            v_store_first(second + j, t->pixels ? v_exchange(x) * crossed : v_times_i(x, turn), count - j);
            if (t->pixels)
                v_store_first(row + j, x * straight, count - j);
        }
    }
}

/* What the pointwise stage reads where there is no other: x itself. */
static void fetch_panel(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int parts = p->parts;
    if (t->pixels) {
        fetch_pixels(p, &t->region, input_of(t, 0), 1, mixed_channels(p), panel->y, parts * panel->plane);
        return;
    }
    for (dsc_int c = 0; c < p->channels; ++c) {
        real *row = panel->y + c * parts * panel->plane;
        for (int part = 0; part < parts; ++part)
            fetch_region(p, &t->region, element(p, input_of(t, c), part), parts == 1 ? row : t->s.y + part * t->outputs);
        if (parts == 2)
            put_pairs(row, 2, &(result_rows){t->s.y, NULL, t->outputs}, NULL, t->outputs);
    }
}

/* The depthwise stage of complex channels [c, c + n) of the tile as a call of its own, results to the panel. */
static dsc_problem panel_problem(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int output = c * p->multiplier;
    dsc_problem q = *p;
    q.batch = 1, q.channels = n, q.outputs = n * p->multiplier, q.threads = 1, q.mixing.data = NULL;
    q.taps.data = (char *)element(p, p->taps.data, t->image * p->taps.batch + c * p->taps.channel);
    if (p->taps_bias.data)
        q.taps_bias.data = (char *)element(p, p->taps_bias.data, t->image * p->taps_bias.batch + output * p->taps_bias.step);
    q.y = (dsc_map){.data = (char *)(panel->y + 2 * output * (t->pixels ? 1 : panel->plane)),
                    .channel = t->pixels ? 2 : 2 * panel->plane};
    dense_steps(t->count, t->pixels ? 2 * panel->plane : 2, q.y.step);
    return q;
}

/* Are there kernels that read x and store there? The order of summation follows from that, so it must be the same for all tiles:
 * a tile of a single dilated column of planes would read x in steps. */
static bool fills_in_place(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int width = t->plan->column_width;
    if (p->parts == 1 || (!t->pixels && p->e.dilation[2] > 1 && (width == 1 || p->e.out[2] % width == 1)))
        return false;
    const dsc_problem all = panel_problem(t, 0, p->channels, panel);
    return is_complex_in_place(&all);
}

static void convolve_panel_in_place(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *panel)
{
    dsc_problem q = panel_problem(t, c, n, panel);
    q.e = t->e;
    reads_directly(t, c, &q.x);   /* always: nothing is padded but by zeros */
    const dsc_problem reals = complex_as_reals(&q);
    run_reals(&reals, plan_depthwise, run_depthwise, t->s.native);
}

/* Channels [c, c + n) of the panel as planes. */
static void convolve_panel_planes(const converted_tile *t, dsc_int c, dsc_int n, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int parts = p->parts;
    fetch_planes(t, c, n);
    for (dsc_int m = 0; m < p->multiplier && !dsc_stopped(p); ++m) {
        real *row = panel->y + (c * p->multiplier + m) * parts * panel->plane;
        converted_target to = {.y = row, .plane = panel->plane * p->multiplier};
        if (parts == 2)
            to = (converted_target){.y = t->s.y, .plane = 2 * t->outputs, .part = t->outputs};
        convolve_planes(t, c, n, m, &to);
        for (dsc_int i = 0; parts == 2 && i < n; ++i) {
            const result_rows rows = {to.y + i * to.plane, t->s.second + i * to.plane, t->outputs};
            put_pairs(row + i * 2 * p->multiplier * panel->plane, 2, &rows, t->s.bias + 2 * i, t->outputs);
        }
    }
}

/* All depthwise channels of the tile. */
static void convolve_panel(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const bool in_place = fills_in_place(t, panel);
    for (dsc_int c = 0, n; c < p->channels && !dsc_stopped(p); c += n) {
        converted_target to = *panel;
        n = at_most(t->plan->group, p->channels - c);
        if (in_place && n > 1 && p->channels - c - n == 1)
            --n;   /* one alone would be too few for vectors of channels */
        to.y += c * p->parts;
        if (in_place)
            convolve_panel_in_place(t, c, n, panel);
        else if (t->pixels)
            convolve_pixels(t, c, n, &to);
        else
            convolve_panel_planes(t, c, n, panel);
    }
}

/* Factors of output channels [o, o + n), as rows of reals: complex ones where they lie, if their parts are all that lies there. */
static dsc_matrix convert_factors(const converted_tile *t, dsc_int o, dsc_int n)
{
    const dsc_problem *p = t->p;
    const dsc_int depth = mixed_channels(p);
    const char *factors = element(p, p->mixing.data, t->image * p->mixing.batch + o * p->mixing.row);
    if (p->parts == 2 && p->mixing.column == 2)
        return (dsc_matrix){.data = (char *)factors, .row = p->mixing.row, .column = 1};
    for (dsc_int i = 0; i < n; ++i) {
        const char *from = element(p, factors, i * p->mixing.row);
        real *row = t->s.mixing + i * depth;
        if (p->parts == 1)
            fetch(p, row, from, p->mixing.column, depth);
        for (dsc_int k = 0; p->parts == 2 && k < depth; ++k)
            row[k] = ((const real *)from)[k / 2 * p->mixing.column + k % 2];
    }
    return (dsc_matrix){.data = (char *)t->s.mixing, .row = depth, .column = 1};
}

/* Results for both parts of a pixel, of output channels [o, o + n), to y. */
static void store_pairs(const converted_tile *t, dsc_int o, dsc_int n)
{
    const real *result = t->s.result;
    for (dsc_int k = 0; k < t->count[0]; ++k)
        for (dsc_int j = 0; j < t->count[1]; ++j)
            for (dsc_int i = 0; i < t->count[2]; ++i, result += 2 * n) {
                real *y = (real *)output_of(t, o, k, j, i);
                put_pairs(y, 2, &(result_rows){result, NULL, n}, NULL, n);
                if (t->p->mixing_bias.data)
                    add_reals(y, t->s.mixing_bias, 2 * n);
            }
}

/* Output channels [o, o + n) from results: rows of pixels, or pixels of rows. */
static void store_outputs(const converted_tile *t, dsc_int o, dsc_int n)
{
    const dsc_problem *p = t->p;
    const dsc_int pixels = p->parts * t->outputs;
    if (p->parts == 2 && t->pixels)
        store_pairs(t, o, n);
    else if (t->pixels)
        store_pixels(t, o, t->s.result, n, n);
    else
        for (dsc_int i = 0; i < n; ++i)
            store_channel(t, o + i, (result_rows){t->s.result + i * pixels, NULL, 0}, t->s.mixing_bias + i * p->parts);
}

/* The pointwise stage of the tile, whose pixels are seen as so many, as a call on reals, for output channels [o, o + n). */
static dsc_problem mixing_problem(const converted_tile *t, const converted_target *panel, const dsc_int size[3], dsc_int o,
                                  dsc_int n)
{
    const dsc_problem *p = t->p;
    dsc_problem r = real_problem(t, mixed_channels(p), 1);
    r.taps.data = NULL, r.outputs = n, r.mixing_activation = p->mixing_activation;
    r.e = (dsc_extent){.kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    r.mixing = convert_factors(t, o, n);
    r.x = (dsc_map){.data = (char *)panel->y, .channel = t->pixels ? 1 : panel->plane};
    dense_steps(size, t->pixels ? panel->plane : 1, r.x.step);
    memcpy(r.e.in, size, sizeof r.e.in);
    memcpy(r.e.out, size, sizeof r.e.out);
    return r;
}

/* Complex planes whose rows are dense take results as they are; biases are added to them. */
static bool mixes_in_place(const converted_tile *t)
{
    const dsc_problem *p = t->p;
    return p->parts == 2 && !t->pixels && p->y.step[2] == 2 && p->mixing.column == 2;
}

static void mix_in_place(const converted_tile *t, const converted_target *panel)
{
    const dsc_problem *p = t->p;
    const dsc_int size[3] = {t->count[0], t->count[1], 2 * t->count[2]};
    dsc_problem r = mixing_problem(t, panel, size, 0, p->outputs);
    r.y = (dsc_map){.data = output_of(t, 0, 0, 0, 0), .channel = p->y.channel, .step = {p->y.step[0], p->y.step[1], 1}};
    run_reals(&r, plan_separable, run_separable, t->s.native);
    for (dsc_int o = 0; p->mixing_bias.data && o < p->outputs; ++o) {
        const real bias[2] = {convert_bias(t, &p->mixing_bias, o, 0), convert_bias(t, &p->mixing_bias, o, 1)};
        for (dsc_int k = 0; k < t->count[0]; ++k)
            for (dsc_int j = 0; j < t->count[1]; ++j) {
                real *row = (real *)output_of(t, o, k, j, 0);
                put_numbers(row, 2, row, bias, t->count[2]);
            }
    }
}

/* Output channels [o, o + n) from the panel. */
static void mix_converted(const converted_tile *t, const converted_target *panel, dsc_int o, dsc_int n)
{
    const dsc_problem *p = t->p;
    const dsc_int size[3] = {1, 1, t->outputs * p->parts};
    dsc_problem r = mixing_problem(t, panel, size, o, n);
    for (dsc_int i = 0; i < n * p->parts; ++i)
        t->s.mixing_bias[i] = convert_bias(t, &p->mixing_bias, o + i / p->parts, (int)(i % p->parts));
    if (p->parts == 1)
        r.mixing_bias = (dsc_vector){.data = (char *)t->s.mixing_bias, .step = 1};
    r.y = (dsc_map){.data = (char *)t->s.result, .channel = t->pixels ? 1 : size[2]};
    dense_steps(size, t->pixels ? n : 1, r.y.step);
    run_reals(&r, plan_separable, run_separable, t->s.native);
    store_outputs(t, o, n);
}

static void run_converted_mixing(const converted_tile *t)
{
    const dsc_problem *p = t->p;
    const dsc_int depth = mixed_channels(p);
    converted_target panel = {.y = t->s.panel, .plane = panel_step(p->parts * t->outputs)};
    if (t->pixels)
        panel.plane = is_pointwise(p) ? depth : panel_step(depth);
    dense_steps(t->count, p->parts * panel.plane, panel.step);
    if (is_pointwise(p))
        fetch_panel(t, &panel);
    else
        convolve_panel(t, &panel);
    if (p->parts == 2)
        turn_panel(t, &panel);
    if (mixes_in_place(t)) {
        mix_in_place(t, &panel);
        return;
    }
    /* Equally many at a time: the last should not be few. */
    const dsc_int passes = at_least(divide_up(p->outputs, CONVERTED_OUTPUTS), 1);
    const dsc_int group = at_most(round_up(divide_up(p->outputs, passes), LANES), CONVERTED_OUTPUTS);
    for (dsc_int o = 0, n; o < p->outputs && !dsc_stopped(p); o += n) {
        n = at_most(group, p->outputs - o);
        mix_converted(t, &panel, o, n);
    }
}

#endif
