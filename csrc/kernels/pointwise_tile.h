/* The register tile of the pointwise stage: y[r][c] = bias + sum over k of a[r][k] * b[k][c].
 *
 * R rows are broadcast from `a`, V vectors of columns loaded from `b`. Planar: rows are output channels, columns pixels.
 * Interleaved: rows are pixels, columns output channels. Sums run over k in order, whatever the tile. */
#ifndef DSCONV_POINTWISE_TILE_H
#define DSCONV_POINTWISE_TILE_H

#include "epilogue.h"
#include "walk.h"

#if VECTOR_REGISTERS >= 32
#define MIX_ROWS 8
#define MIX_VECTORS 4
#define MIX_VECTORS_USUAL 3   /* four only where that spares a second pass over the weights */
#define MIX_ROWS_FOUR 6
#else
#define MIX_ROWS 6
#define MIX_VECTORS 2
#define MIX_VECTORS_USUAL 2
#define MIX_ROWS_FOUR 6
#endif

typedef struct {
    const real *a;
    dsc_int a_row, a_step;
    const real *b;
    dsc_int b_step;
    dsc_int depth;                /* products in one sum */
    const real *row_bias;         /* of row 0, or NULL */
    dsc_int row_bias_step;
    const real *column_bias;      /* dense and readable for all V vectors, or NULL */
    real *y;
    dsc_int y_row, y_column, width;
    bool resume, last;            /* continue the sums in y; these are the last products */
    const epilogue *finish;
    const dsc_problem *problem;
} mixing_tile;

INLINE vec resume_sum(const mixing_tile *t, const real *y, int count)
{
    if (t->y_column != 1)
        return v_gather(y, t->y_column, count);
    return v_load_masked(y, v_mask(0, count));
}

INLINE void start_mixing(const mixing_tile *t, const int R, const int V, vec sums[][MIX_VECTORS])
{
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            if (t->resume)
                sums[r][v] = resume_sum(t, t->y + r * t->y_row + v * LANES * t->y_column,
                                        (int)at_most(t->width - v * LANES, LANES));
            else if (t->row_bias)
                sums[r][v] = v_spread(t->row_bias[r * t->row_bias_step]);
            else
                sums[r][v] = t->column_bias ? v_load(t->column_bias + v * LANES) : v_spread(0);
        }
    }
}

INLINE void store_mixed(const mixing_tile *t, const int R, const int V, vec sums[][MIX_VECTORS])
{
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            real *y = t->y + r * t->y_row + v * LANES * t->y_column;
            dsc_int left = t->width - v * LANES;
            vec sum = t->last ? v_finish(t->finish, sums[r][v]) : sums[r][v];
            if (t->y_column != 1)
                v_scatter(y, t->y_column, sum, (int)at_most(left, LANES));
            else if (left >= LANES)
                v_store(y, sum);
            else
                v_store_masked(y, sum, v_mask(0, left));
        }
        if (t->last)
            finish_later(t->finish, t->y + r * t->y_row, t->y_column, t->width);
    }
}

INLINE void run_mixing(const mixing_tile *t, const int R, const int V)
{
    vec sums[MIX_ROWS][MIX_VECTORS];
    const real *row[MIX_ROWS], *b = t->b;
    start_mixing(t, R, V, sums);
    UNROLL
    for (int r = 0; r < R; ++r)
        row[r] = t->a + r * t->a_row;
    dsc_int step = t->a_step, b_step = t->b_step, k = 0;
    for (dsc_int left = t->depth; left > 0; --left, k += step, b += b_step) {
        vec column[MIX_VECTORS];
        UNROLL
        for (int v = 0; v < V; ++v)
            column[v] = v_load(b + v * LANES);
        UNROLL
        for (int r = 0; r < R; ++r) {
            vec factor = v_spread(row[r][k]);
            UNROLL
            for (int v = 0; v < V; ++v)
                sums[r][v] += factor * column[v];
        }
    }
    store_mixed(t, R, V, sums);
}

typedef void (*mixing_function)(const mixing_tile *);

#define MIX(R, V) static void mix_##R##_##V(const mixing_tile *t) { run_mixing(t, R, V); }
#if MIX_VECTORS == 4
#define MIXES(R) MIX(R, 1) MIX(R, 2) MIX(R, 3)
#define MIX_ENTRIES(R) {mix_##R##_1, mix_##R##_2, mix_##R##_3, mix_##R##_4}
#define mix_7_4 NULL
#define mix_8_4 NULL
MIX(1, 4) MIX(2, 4) MIX(3, 4) MIX(4, 4) MIX(5, 4) MIX(6, 4)
#else
#define MIXES(R) MIX(R, 1) MIX(R, 2)
#define MIX_ENTRIES(R) {mix_##R##_1, mix_##R##_2}
#endif
MIXES(1) MIXES(2) MIXES(3) MIXES(4) MIXES(5) MIXES(6)
#if MIX_ROWS == 8
MIXES(7) MIXES(8)
#endif

/* [R - 1][V - 1] */
static const mixing_function mixing_table[MIX_ROWS][MIX_VECTORS] = {
    MIX_ENTRIES(1), MIX_ENTRIES(2), MIX_ENTRIES(3), MIX_ENTRIES(4), MIX_ENTRIES(5), MIX_ENTRIES(6),
#if MIX_ROWS == 8
    MIX_ENTRIES(7), MIX_ENTRIES(8),
#endif
};

/* All rows of one block of columns, in row blocks of nearly equal size. */
static void mix_rows(mixing_tile t, dsc_int rows, int vectors)
{
    dsc_int blocks = divide_up(rows, vectors == 4 ? MIX_ROWS_FOUR : MIX_ROWS);
    for (dsc_int i = 0, row = 0; i < blocks; ++i) {
        if (i % 64 == 63 && dsc_stopped(t.problem))
            return;
        dsc_int here = (rows - row) / (blocks - i);
        mixing_table[here - 1][vectors - 1](&t);
        t.a += here * t.a_row;
        t.y += here * t.y_row;
        if (t.row_bias)
            t.row_bias += here * t.row_bias_step;
        row += here;
    }
}

/* Vectors of the next block of columns, when `left` columns remain. */
static int block_vectors(dsc_int left)
{
    dsc_int vectors = divide_up(left, LANES);
    if (vectors == MIX_VECTORS)
        return MIX_VECTORS;
    return (int)divide_up(vectors, divide_up(vectors, MIX_VECTORS_USUAL));
}

#endif
