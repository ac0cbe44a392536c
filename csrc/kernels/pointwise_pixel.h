/* A pointwise convolution of a single pixel, which is what a linear layer of one row is: outputs are the lanes, and squares of
 * weights are transposed in registers and never stored. Sums run over the summands in order, as everywhere. */
#ifndef DSCONV_POINTWISE_PIXEL_H
#define DSCONV_POINTWISE_PIXEL_H

#include "pointwise_tile.h"
#include "transpose.h"

/* Weights [output][summand], rows `row` apart; x: the pixel, dense. */
typedef struct { const real *weights; dsc_int row, depth; const real *x; } pixel_product;

INLINE void load_square(const pixel_product *t, dsc_int k, vec *column)
{
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        __builtin_prefetch(t->weights + i * t->row + k + SQUARES_AHEAD * LANES, 0, 2);
    load_transposed(t->weights + k, t->row, column);
}

/* The summands k, k + 1, ... of a square, for LANES outputs. */
INLINE vec add_square(const pixel_product *t, dsc_int k, vec sum)
{
    vec column[LANE_COUNT];
    load_square(t, k, column);
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        sum += v_spread(t->x[k + i]) * column[i];
    return sum;
}

/* Of those only the ones from `from` to `to`. */
static __attribute__((noinline)) vec add_part(const pixel_product *t, dsc_int k, dsc_int from, dsc_int to, vec sum)
{
    vec column[LANE_COUNT];
    load_square(t, k, column);
    for (dsc_int i = from; i < to; ++i)
        sum += v_spread(t->x[k + i]) * column[i];
    return sum;
}

/* LANES outputs, depth at least LANES. Squares begin at lines, see transpose_squares; the first and the last overlap others,
 * of which they repeat nothing. */
static __attribute__((noinline)) vec add_products(const pixel_product *t, vec sum)
{
    const dsc_int ahead = (dsc_int)((uintptr_t)t->weights / sizeof(real) % LANES);
    dsc_int k = t->row % LANES == 0 && ahead > 0 ? LANES - ahead : 0;
    if (k > 0)
        sum = add_part(t, 0, 0, k, sum);
    for (; k + LANES <= t->depth; k += LANES)
        sum = add_square(t, k, sum);
    return k < t->depth ? add_part(t, t->depth - LANES, k - t->depth + LANES, LANES, sum) : sum;
}

static vec start_outputs_of_pixel(const mixing_tile *m, const real *y, dsc_int first)
{
    real lanes[LANES] = {0};
    gather_outputs(m, y, first, LANES, lanes);
    return v_load(lanes);
}

/* Outputs [begin, end) of a vector of them. */
static void store_outputs_of_pixel(const mixing_tile *m, real *y, vec sum, dsc_int begin, dsc_int end)
{
    real lanes[LANES];
    v_store(lanes, m->last ? v_finish(m->finish, sum) : sum);
    if (m->last)
        finish_later(m->finish, lanes, 1, LANES);
    for (dsc_int i = begin; i < end; ++i)
        y[i * m->y_row] = lanes[i];
}

/* Outputs [first, outputs) of a pixel; m->a, m->y and m->row_bias are those of the very first, and there are at least LANES.
 * A vector that would end beyond all outputs begins earlier. */
static void mix_pixel(const mixing_tile *m, const real *x, dsc_int first, dsc_int outputs)
{
    for (dsc_int o = first; o < outputs && !dsc_stopped(m->problem); o += LANES) {
        const dsc_int base = at_most(o, outputs - LANES);
        const pixel_product t = {m->a + base * m->a_row, m->a_row, m->depth, x};
        real *y = m->y + base * m->y_row;
        const vec sum = add_products(&t, start_outputs_of_pixel(m, y, base));
        store_outputs_of_pixel(m, y, sum, o - base, LANES);
    }
}

#if MIX_PACKED
/* A pixel or a few, x being [summand][pixel], times `blocks` of packed weights: several sums, for one has to wait for the one
 * before. */
INLINE void add_packed(const mixing_tile *m, const real *weights, const real *x, const int pixels, const int blocks, vec *all)
{
    vec sums[4];
    UNROLL
    for (int i = 0; i < pixels * blocks; ++i)
        sums[i] = all[i];
    for (dsc_int k = 0; k < m->depth; ++k, weights += LANES, x += pixels) {
        UNROLL
        for (int b = 0; b < blocks; ++b) {
            vec column = v_load(weights + b * m->packed_block);
            V_KEEP(column);
            UNROLL
            for (int q = 0; q < pixels; ++q)
                sums[b * pixels + q] += v_spread(x[q]) * column;
        }
    }
    UNROLL
    for (int i = 0; i < pixels * blocks; ++i)
        all[i] = sums[i];
}

/* Outputs from `o` on of a pixel or a few, of which a fourth may be the third once more. */
INLINE void mix_packed(const mixing_tile *m, const real *x, const int pixels, const int blocks, dsc_int o)
{
    const real *weights = m->packed + o / LANES * m->packed_block;
    real *y = m->y + o * m->y_row;
    vec sums[4];
    for (int i = 0; i < pixels * blocks; ++i)
        sums[i] = start_outputs_of_pixel(m, y + i / pixels * LANES * m->y_row + at_most(i % pixels, m->rests - 1) * m->y_column,
                                         o + i / pixels * LANES);
    add_packed(m, weights, x, pixels, blocks, sums);
    for (int i = 0; i < pixels * blocks; ++i)
        if (i % pixels < m->rests)
            store_outputs_of_pixel(m, y + i / pixels * LANES * m->y_row + i % pixels * m->y_column, sums[i], 0, LANES);
}

static void mix_packed_1(const mixing_tile *m, const real *x, dsc_int o) { mix_packed(m, x, 1, 1, o); }
static void mix_packed_2(const mixing_tile *m, const real *x, dsc_int o) { mix_packed(m, x, 2, 1, o); }
static void mix_packed_4(const mixing_tile *m, const real *x, dsc_int o) { mix_packed(m, x, 4, 1, o); }

/* All whole vectors of outputs; returns how many outputs that were. */
static dsc_int mix_packed_pixels(const mixing_tile *m, const real *x, dsc_int outputs)
{
    dsc_int o = 0;
    for (; m->rests == 1 && o + 4 * LANES <= outputs; o += 4 * LANES)
        mix_packed(m, x, 1, 4, o);
    for (; m->rests == 2 && o + 2 * LANES <= outputs; o += 2 * LANES)
        mix_packed(m, x, 2, 2, o);
    for (; o + LANES <= outputs; o += LANES)
        (m->rests == 1 ? mix_packed_1 : m->rests == 2 ? mix_packed_2 : mix_packed_4)(m, x, o);
    return o;
}
#endif

#endif
