/* A pointwise convolution of a single pixel, which is what a linear layer of one row is: each weight is used once, so squares
 * of weights are transposed in registers and never stored. Sums run over the summands in order, as everywhere. */
#ifndef DSCONV_POINTWISE_PIXEL_H
#define DSCONV_POINTWISE_PIXEL_H

#include "pointwise_tile.h"
#include "transpose.h"

/* Weights [output][summand], rows `row` apart; x dense. */
typedef struct { const real *weights; dsc_int row, depth; const real *x; } pixel_product;

/* Of the summands k, k + 1, ... of a square those from `from` to `to`, for LANES outputs. */
INLINE vec add_square(const pixel_product *t, dsc_int k, dsc_int from, dsc_int to, vec sum)
{
    const real *weights = t->weights;
    vec column[LANE_COUNT];
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        __builtin_prefetch(weights + i * t->row + k + SQUARES_AHEAD * LANES, 0, 2);
    load_transposed(weights + k, t->row, column);
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        if (i >= from && i < to)
            sum += v_spread(t->x[k + i]) * column[i];
    return sum;
}

/* LANES outputs, depth at least LANES. Squares begin at lines, see transpose_squares; the first and the last overlap others,
 * of which they repeat nothing. */
static vec add_products(const pixel_product *t, vec sum)
{
    const dsc_int ahead = (dsc_int)((uintptr_t)t->weights / sizeof(real) % LANES);
    dsc_int k = t->row % LANES == 0 && ahead > 0 ? LANES - ahead : 0;
    if (k > 0)
        sum = add_square(t, 0, 0, k, sum);
    for (; k + LANES <= t->depth; k += LANES)
        sum = add_square(t, k, 0, LANES, sum);
    return k < t->depth ? add_square(t, t->depth - LANES, k - t->depth + LANES, LANES, sum) : sum;
}

static void start_outputs_of_pixel(const mixing_tile *m, const real *y, dsc_int first, real *lanes)
{
    if (m->resume)
        copy_strided(lanes, y, m->y_column, LANES);
    else if (m->row_bias)
        copy_strided(lanes, m->row_bias + first * m->row_bias_step, m->row_bias_step, LANES);
    else
        v_store(lanes, v_spread(0));
}

/* All outputs, at least LANES of them; y_column: from one to the next. The last vector overlaps the one before, whose results
 * it leaves alone. */
static void mix_pixel(const mixing_tile *m, const real *weights, dsc_int row, dsc_int outputs)
{
    for (dsc_int o = 0; o < outputs && !dsc_stopped(m->problem); o += LANES) {
        const dsc_int base = at_most(o, outputs - LANES);
        const pixel_product t = {weights + base * row, row, m->depth, m->a};
        real *y = m->y + base * m->y_column, lanes[LANES];
        start_outputs_of_pixel(m, y, base, lanes);
        vec sum = add_products(&t, v_load(lanes));
        v_store(lanes, m->last ? v_finish(m->finish, sum) : sum);
        for (dsc_int i = o - base; i < LANES; ++i)
            y[i * m->y_column] = lanes[i];
        if (m->last)
            finish_later(m->finish, y + (o - base) * m->y_column, m->y_column, base + LANES - o);
    }
}

#endif
