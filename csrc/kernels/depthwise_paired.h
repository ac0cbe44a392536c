/* The rolling tile for planes that fill no more than half of a vector: two planes roll together, one in each half, each with taps
 * of its own. */
#ifndef DSCONV_DEPTHWISE_PAIRED_H
#define DSCONV_DEPTHWISE_PAIRED_H

#include "depthwise_rolling.h"

#if LANE_COUNT >= 16 && !FEW_TILES

/* Lanes of a plane that exist for one column tap, and those of both. */
typedef struct { mask one, both; } paired_lanes;

typedef struct { const real *x[2]; real *y[2]; } paired_planes;

INLINE paired_lanes lanes_of_both(dsc_int low, dsc_int high)
{
    mask one = v_mask(low, high);
    return (paired_lanes){one, mask_in_halves(one)};
}

/* A row of both planes, `row` elements from their first, into the sums [first, last]; `all`: of every output. */
INLINE void add_paired_row(const int K, const int all, const paired_planes *p, dsc_int row, int first, int last,
                           const paired_lanes *lanes, vec (*taps)[ROLLING_ROWS], vec (*sums)[ROLLED_VECTORS], dsc_int dilation)
{
    UNROLL
    for (int c = 0; c < K; ++c) {
        const dsc_int at = row + c * dilation;
        vec x = v_load_halves(p->x[0] + at, p->x[1] + at, lanes[c].one);
        UNROLL
        for (int i = 0; i < K; ++i)
            if (all || (i >= first && i <= last))
                sums[i][0] = v_add_product_masked(sums[i][0], x, taps[i][c], lanes[c].both);
    }
}

/* See roll_dense_plane. */
INLINE void roll_pair(const depthwise_tile *t, const int K, const epilogue *finish, const paired_planes *p, vec bias,
                      const paired_lanes *lanes, mask stored, vec (*taps)[ROLLING_ROWS])
{
    const roll_kind k = {.rows = K, .columns = K, .vectors = 1, .masked = 1};
    const int before = K - 1;
    dsc_int x = 0, y = 0;
    vec sums[ROLLING_ROWS][ROLLED_VECTORS];
    start_rolling(k, bias, sums);
    UNROLL
    for (int r = 0; r < before; ++r, x += t->row) {
        if (r >= t->row_first)
            add_paired_row(K, 0, p, x, 0, r, lanes, taps, sums, t->dilation);
        shift_sums(k, bias, sums);
    }
    for (dsc_int left = t->rows - before; left > 0; --left, x += t->row, y += t->y_row) {
        add_paired_row(K, 1, p, x, 0, 0, lanes, taps, sums, t->dilation);
        v_store_halves(p->y[0] + y, p->y[1] + y, v_finish(finish, sums[before][0]), stored);
        shift_sums(k, bias, sums);
    }
    UNROLL
    for (int r = 0; r < before; ++r, x += t->row, y += t->y_row) {
        if (t->rows + r < t->row_last)
            add_paired_row(K, 0, p, x, r + 1, before, lanes, taps, sums, t->dilation);
        v_store_halves(p->y[0] + y, p->y[1] + y, v_finish(finish, sums[before][0]), stored);
        shift_sums(k, bias, sums);
    }
}

/* All planes of the tile; an odd one at the end is its own partner. */
INLINE void roll_pairs(const depthwise_tile *tile, const int K)
{
    const depthwise_tile t = *tile;
    const epilogue finish = *t.finish;
    const mask stored = v_mask(0, t.width);
    paired_lanes lanes[ROLLING_ROWS];
    for (int c = 0; c < K; ++c)
        lanes[c] = lanes_of_both(t.inside_low - c * t.dilation, at_most(t.inside_high - c * t.dilation, t.width));
    for (dsc_int plane = 0; plane < t.planes; plane += 2) {
        const dsc_int other = at_most(plane + 1, t.planes - 1);
        const real *first = t.taps + plane * t.taps_plane, *second = t.taps + other * t.taps_plane;
        const paired_planes p = {.x = {t.x + plane * t.x_plane, t.x + other * t.x_plane},
                                 .y = {t.y + plane * t.y_plane, t.y + other * t.y_plane}};
        vec taps[ROLLING_ROWS][ROLLING_ROWS];
        for (int i = 0; i < K; ++i)
            for (int c = 0; c < K; ++c) {
                const dsc_int tap = i * t.tap_row + c * t.tap_column;
                taps[i][c] = v_halves(first[tap], second[tap]);
            }
        roll_pair(&t, K, &finish, &p, v_halves(t.bias[plane * t.bias_plane], t.bias[other * t.bias_plane]), lanes, stored,
                  taps);
    }
}

#define ROLL_PAIRS(K) static __attribute__((noinline)) void roll_pairs_##K(const depthwise_tile *t) { roll_pairs(t, K); }
ROLL_PAIRS(3) ROLL_PAIRS(5)

/* The function for square kernels of that size, or NULL: larger ones are for vectors of channels, see depthwise_vectors.h. */
static tile_function paired_function(dsc_int size)
{
    return size == 3 ? roll_pairs_3 : size == 5 ? roll_pairs_5 : NULL;
}

#else

static tile_function paired_function(dsc_int size)
{
    (void)size;
    return NULL;
}

#endif
#endif
