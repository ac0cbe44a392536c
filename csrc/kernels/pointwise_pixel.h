/* A pointwise convolution of a pixel or a few, which is what a linear layer of one row is, and what many planes have beyond
 * whole vectors: outputs are the lanes, and squares of weights are transposed in registers and never stored. Sums run over the
 * summands in order, as everywhere. */
#ifndef DSCONV_POINTWISE_PIXEL_H
#define DSCONV_POINTWISE_PIXEL_H

#include "pointwise_tile.h"
#include "transpose.h"

/* More at a time are not worth it: short vectors have fewer lanes that could be left empty. */
#if VECTOR_REGISTERS >= 32
#define SQUARE_PIXELS (LANE_COUNT / 4)
#else
#define SQUARE_PIXELS 1
#endif
#define SQUARE_BYTES (64 << 10)   /* of weights that vectors of pixels and then the rest are multiplied by, while in cache ... */
#define SQUARE_ROWS (4 * MIX_ROWS)   /* ... or so many rows */

/* Weights [output][summand], rows `row` apart; x: a dense row of summands for each pixel. */
typedef struct { const real *weights; dsc_int row, depth; const real *x; } pixel_product;

INLINE void load_square(const pixel_product *t, dsc_int k, vec *column)
{
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        __builtin_prefetch(t->weights + i * t->row + k + SQUARES_AHEAD * LANES, 0, 2);
    load_transposed(t->weights + k, t->row, column);
}

/* The summands k, k + 1, ... of a square, for LANES outputs. */
INLINE void add_square(const pixel_product *t, const int pixels, dsc_int k, vec *sums)
{
    vec column[LANE_COUNT];
    load_square(t, k, column);
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i) {
        UNROLL
        for (int q = 0; q < pixels; ++q)
            sums[q] += v_spread(t->x[q * t->depth + k + i]) * column[i];
    }
}

/* Of those only the ones from `from` to `to`. */
static __attribute__((noinline)) void add_part(const pixel_product *t, int pixels, dsc_int k, dsc_int from, dsc_int to,
                                               vec *sums)
{
    vec column[LANE_COUNT];
    load_square(t, k, column);
    for (int q = 0; q < pixels; ++q)
        for (dsc_int i = from; i < to; ++i)
            sums[q] += v_spread(t->x[q * t->depth + k + i]) * column[i];
}

/* LANES outputs, depth at least LANES. Squares begin at lines, see transpose_squares; the first and the last overlap others,
 * of which they repeat nothing. */
INLINE void add_products(const pixel_product *t, const int pixels, vec *all)
{
    const dsc_int ahead = (dsc_int)((uintptr_t)t->weights / sizeof(real) % LANES);
    dsc_int k = t->row % LANES == 0 && ahead > 0 ? LANES - ahead : 0;
    vec sums[4];
    if (k > 0)
        add_part(t, pixels, 0, 0, k, all);
    UNROLL
    for (int q = 0; q < pixels; ++q)
        sums[q] = all[q];
    for (; k + LANES <= t->depth; k += LANES)
        add_square(t, pixels, k, sums);
    UNROLL
    for (int q = 0; q < pixels; ++q)
        all[q] = sums[q];
    if (k < t->depth)
        add_part(t, pixels, t->depth - LANES, k - t->depth + LANES, LANES, all);
}

static void add_products_of_one(const pixel_product *t, vec *sums) { add_products(t, 1, sums); }
#if SQUARE_PIXELS >= 2
static void add_products_of_two(const pixel_product *t, vec *sums) { add_products(t, 2, sums); }
#else
#define add_products_of_two add_products_of_one
#endif
#if SQUARE_PIXELS >= 4
static void add_products_of_four(const pixel_product *t, vec *sums) { add_products(t, 4, sums); }
#else
#define add_products_of_four add_products_of_two
#endif

/* The same for `blocks` of packed weights; several, for one sum has to wait for the one before. */
INLINE void add_packed(const mixing_tile *m, const real *weights, const real *x, const int pixels, const int blocks, vec *all)
{
    vec sums[4];
    UNROLL
    for (int i = 0; i < pixels * blocks; ++i)
        sums[i] = all[i];
    for (dsc_int k = 0; k < m->depth; ++k, weights += LANES, ++x) {
        UNROLL
        for (int b = 0; b < blocks; ++b) {
            vec column = v_load(weights + b * m->packed_block);
            V_KEEP(column);
            UNROLL
            for (int q = 0; q < pixels; ++q)
                sums[b * pixels + q] += v_spread(x[q * m->depth]) * column;
        }
    }
    UNROLL
    for (int i = 0; i < pixels * blocks; ++i)
        all[i] = sums[i];
}

#define ADD_PACKED(pixels, blocks) \
    static void add_packed_##pixels##_##blocks(const mixing_tile *m, const real *weights, const real *x, vec *sums) \
    { add_packed(m, weights, x, pixels, blocks, sums); }
#if MIX_PACKED
ADD_PACKED(1, 1) ADD_PACKED(1, 4) ADD_PACKED(2, 1) ADD_PACKED(2, 2) ADD_PACKED(4, 1)
#endif

static vec start_outputs_of_pixel(const mixing_tile *m, const real *y, dsc_int first)
{
    real lanes[LANES] = {0};
    if (m->resume)
        copy_strided(lanes, y, m->y_row, LANES);
    else if (m->row_bias)
        copy_strided(lanes, m->row_bias + first * m->row_bias_step, m->row_bias_step, LANES);
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

/* Outputs from `o` on, so many blocks of packed weights; returns how many outputs that were. */
static dsc_int mix_packed_pixels(const mixing_tile *m, const real *x, int pixels, dsc_int o, dsc_int last)
{
#if MIX_PACKED
    const int most = 4 / pixels, blocks = o + most * LANES <= last && pixels != 3 ? most : 1;
    const real *weights = m->packed + o / LANES * m->packed_block;
    vec sums[4] = {{0}};
    for (int b = 0; b < blocks; ++b)
        for (int q = 0; q < pixels; ++q)
            sums[b * pixels + q] = start_outputs_of_pixel(m, m->y + (o + b * LANES) * m->y_row + q * m->y_column, o + b * LANES);
    if (pixels == 1)
        (blocks == 4 ? add_packed_1_4 : add_packed_1_1)(m, weights, x, sums);
    else if (pixels == 2)
        (blocks == 2 ? add_packed_2_2 : add_packed_2_1)(m, weights, x, sums);
    else
        add_packed_4_1(m, weights, x, sums);
    for (int b = 0; b < blocks; ++b)
        for (int q = 0; q < pixels; ++q)
            store_outputs_of_pixel(m, m->y + (o + b * LANES) * m->y_row + q * m->y_column, sums[b * pixels + q], 0, LANES);
    return blocks * LANES;
#else
    (void)m, (void)x, (void)pixels, (void)o, (void)last;
    return LANES;
#endif
}

/* Outputs [first, last) of all, which are at least LANES, for up to SQUARE_PIXELS pixels; m->a, m->y and m->row_bias are those
 * of the very first output, x a row of m->depth for each pixel. A vector that would end beyond all outputs begins earlier;
 * others than [first, last) are left alone. */
static void mix_pixels(const mixing_tile *m, const real *x, int pixels, dsc_int first, dsc_int last, dsc_int outputs)
{
    for (dsc_int o = first, done; o < last && !dsc_stopped(m->problem); o += done) {
        done = LANES;
        if (m->packed && o + LANES <= last) {
            done = mix_packed_pixels(m, x, pixels, o, last);
            continue;
        }
        const dsc_int base = at_most(o, outputs - LANES), begin = o - base, end = at_most(last - base, LANES);
        const pixel_product t = {m->a + base * m->a_row, m->a_row, m->depth, x};
        real *y = m->y + base * m->y_row;
        vec sums[4] = {{0}};
        for (int q = 0; q < pixels; ++q)
            sums[q] = start_outputs_of_pixel(m, y + q * m->y_column, base);
        (pixels == 1 ? add_products_of_one : pixels == 2 ? add_products_of_two : add_products_of_four)(&t, sums);
        for (int q = 0; q < pixels; ++q)
            store_outputs_of_pixel(m, y + q * m->y_column, sums[q], begin, end);
    }
}

#endif
