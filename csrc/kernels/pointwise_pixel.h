/* A pointwise convolution of a single pixel, which is what a linear layer of one row is: outputs are the lanes, and squares of
 * weights are transposed in registers and never stored. Sums run over the summands in order, as everywhere. */
#ifndef DSCONV_POINTWISE_PIXEL_H
#define DSCONV_POINTWISE_PIXEL_H

#include "pointwise_tile.h"
#include "transpose.h"

/* Weights [output][summand], rows `row` apart; x: the pixel, dense. */
typedef struct { const real *weights; dsc_int row, depth; const real *x; } pixel_product;

INLINE void load_square(const real *weights, const row_steps *rows, vec *column)
{
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        __builtin_prefetch(row_of_square(weights, rows, i) + SQUARES_AHEAD * LANES, 0, 2);
    load_transposed(weights, rows, column);
}

/* The summands of a square, for LANES outputs. */
INLINE vec add_square(const real *weights, const row_steps *rows, const real *x, vec sum)
{
    vec column[LANE_COUNT];
    load_square(weights, rows, column);
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        sum += v_spread(x[i]) * column[i];
    return sum;
}

/* Of those only the ones from `from` to `to`. */
static __attribute__((noinline)) vec add_part(const real *weights, dsc_int row, const real *x, dsc_int from, dsc_int to, vec sum)
{
    const row_steps rows = steps_of_rows(row);
    vec column[LANE_COUNT];
    load_square(weights, &rows, column);
    for (dsc_int i = from; i < to; ++i)
        sum += v_spread(x[i]) * column[i];
    return sum;
}

/* Vectors of outputs that are summed side by side, for a sum alone waits for its own last product. With more registers: not timed. */
#define PIXEL_VECTORS (VECTOR_REGISTERS >= 32 ? 1 : 3)
#define PIXEL_PITCH 2048         /* rows of weights a multiple of so many bytes apart share few sets of the first-level cache: ... */
#define PIXEL_LAG (16 * LANES)   /* ... then each vector of outputs keeps so many summands behind the one before */

/* So many vectors of outputs, depth at least LANES. Squares begin at lines, see transpose_squares; the first and the last overlap
 * others, of which they repeat nothing. */
INLINE void add_products(const pixel_product *t, const int vectors, const dsc_int lag, vec *sums)
{
    const dsc_int ahead = (dsc_int)((uintptr_t)t->weights / sizeof(real) % LANES), row = t->row, depth = t->depth;
    const dsc_int begin = row % LANES == 0 && ahead > 0 ? LANES - ahead : 0;
    const dsc_int left = (depth - begin) % LANES, span = depth - begin - left;
    const row_steps rows = steps_of_rows(row);
    const real *weights[PIXEL_VECTORS], *x = t->x + begin;
    UNROLL
    for (int v = 0; v < vectors; ++v) {
        const real *first = t->weights + v * LANES * row;
        sums[v] = begin > 0 ? add_part(first, row, t->x, 0, begin, sums[v]) : sums[v];
        weights[v] = first + begin - v * lag;
    }
    for (dsc_int k = 0; k < span + (vectors - 1) * lag; k += LANES, x += LANES) {
        UNROLL
        for (int v = 0; v < vectors; ++v) {
            if (lag == 0 || (k >= v * lag && k < span + v * lag))
                sums[v] = add_square(weights[v], &rows, x - v * lag, sums[v]);
            weights[v] += LANES;
            __asm__("" : "+r"(weights[v]));
        }
    }
    UNROLL
    for (int v = 0; v < vectors && left > 0; ++v)
        sums[v] = add_part(t->weights + v * LANES * row + depth - LANES, row, t->x + depth - LANES, LANES - left, LANES, sums[v]);
}

/* The same, with sums in registers. */
#define ADD_PRODUCTS(name, vectors, lag) \
    static __attribute__((noinline)) void name(const pixel_product *t, vec *all) \
    { \
        vec sums[PIXEL_VECTORS]; \
        UNROLL \
        for (int v = 0; v < (vectors); ++v) \
            sums[v] = all[v]; \
        add_products(t, vectors, lag, sums); \
        UNROLL \
        for (int v = 0; v < (vectors); ++v) \
            all[v] = sums[v]; \
    }
ADD_PRODUCTS(add_products_to_one, 1, 0)
ADD_PRODUCTS(add_products_to_all, PIXEL_VECTORS, 0)
ADD_PRODUCTS(add_products_lagging, PIXEL_VECTORS, PIXEL_LAG)

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

/* Outputs [first, end) of a pixel; m->a, m->y and m->row_bias are those of the very first, and `end` is at least LANES. A vector
 * that would end beyond them begins earlier. */
static void mix_pixel(const mixing_tile *m, const real *x, dsc_int first, dsc_int end)
{
    const bool lags = PIXEL_VECTORS > 1 && m->a_row * (dsc_int)sizeof(real) % PIXEL_PITCH == 0;
    for (dsc_int o = first, vectors; o < end && !dsc_stopped(m->problem); o += vectors * LANES) {
        vectors = o + PIXEL_VECTORS * LANES <= end ? PIXEL_VECTORS : 1;
        const dsc_int base = at_most(o, end - vectors * LANES);
        const pixel_product t = {m->a + base * m->a_row, m->a_row, m->depth, x};
        vec sums[PIXEL_VECTORS];
        for (dsc_int v = 0; v < vectors; ++v)
            sums[v] = start_outputs_of_pixel(m, m->y + (base + v * LANES) * m->y_row, base + v * LANES);
        (vectors == 1 ? add_products_to_one : lags ? add_products_lagging : add_products_to_all)(&t, sums);
        for (dsc_int v = 0; v < vectors; ++v)
            store_outputs_of_pixel(m, m->y + (base + v * LANES) * m->y_row, sums[v], v == 0 ? o - base : 0, LANES);
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
