/* The planar tile for two, three, five and seven row taps: all rows of a column of vectors in one sweep.
 *
 * Input row r is loaded once and feeds the KH outputs that use it, whose sums roll through registers: sums[i] belongs to
 * output r - i. The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_ROLLING_H
#define DSCONV_DEPTHWISE_ROLLING_H

#include "depthwise_tile.h"

#define ROLLING_ROWS 7
#define ROLLING_COLUMNS 16   /* most column taps of a masked tile */
#define ROLLING_MASKED (1 << MASKED_LOG2)

#define ROLLING_RESIDENT 3   /* most column taps of the tiles whose taps stay in registers */

/* Input row r into the sums [first, last]; `all`: of every output that it can feed. */
INLINE void roll_row(const depthwise_tile *t, const int KH, const int V, const int masked, const int all, dsc_int r,
                     int first, int last, mask (*masks)[ROLLING_MASKED], vec (*sums)[TILE_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = t->x + r * t->row + s.x, *taps = t->taps + s.taps;
        x += t->column_first * t->dilation, taps += t->column_first * t->tap_column;
        for (dsc_int c = t->column_first; c < t->column_last; ++c, x += t->dilation, taps += t->tap_column) {
            vec row[TILE_VECTORS];
            load_row(x, V, masked, masks[c], row);
            UNROLL
            for (int i = 0; i < KH; ++i)
                if (all || (i >= first && i <= last))
                    add_row(sums[i], V, masked, masks[c], row, v_spread(taps[i * t->tap_row]));
        }
    }
}

/* The same for one depth tap and KW column taps. */
INLINE void roll_row_resident(const depthwise_tile *t, const int KH, const int KW, const int V, const int masked, const int all,
                              dsc_int r, int first, int last, mask (*masks)[ROLLING_MASKED],
                              vec (*taps)[ROLLING_RESIDENT], vec (*sums)[TILE_VECTORS])
{
    const real *x = t->x + r * t->row;
    UNROLL
    for (int c = 0; c < KW; ++c) {
        vec row[TILE_VECTORS];
        load_row(x + c * t->dilation, V, masked, masks[c], row);
        UNROLL
        for (int i = 0; i < KH; ++i)
            if (all || (i >= first && i <= last))
                add_row(sums[i], V, masked, masks[c], row, taps[i][c]);
    }
}

/* One plane: all input rows that feed the tile. */
INLINE void roll_plane(const depthwise_tile *t, const int KH, const int KW, const int V, const int masked,
                       mask (*masks)[ROLLING_MASKED])
{
    const vec bias = v_spread(*t->bias);
    vec sums[ROLLING_ROWS][TILE_VECTORS], taps[ROLLING_ROWS][ROLLING_RESIDENT];
    UNROLL
    for (int i = 0; i < KH; ++i) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[i][v] = bias;
        UNROLL
        for (int c = 0; c < KW; ++c)
            taps[i][c] = v_spread(t->taps[i * t->tap_row + c * t->tap_column]);
    }
    for (dsc_int r = 0; r < t->rows + KH - 1; ++r) {
        int first = r >= t->rows ? (int)(r - t->rows + 1) : 0, last = r < KH - 1 ? (int)r : KH - 1;
        bool all = first == 0 && last == KH - 1;
        if (r >= t->row_first && r < t->row_last) {
            if (KW && all)
                roll_row_resident(t, KH, KW, V, masked, 1, r, 0, 0, masks, taps, sums);
            else if (KW)
                roll_row_resident(t, KH, KW, V, masked, 0, r, first, last, masks, taps, sums);
            else if (all)
                roll_row(t, KH, V, masked, 1, r, 0, 0, masks, sums);
            else
                roll_row(t, KH, V, masked, 0, r, first, last, masks, sums);
        }
        if (r >= KH - 1)
            store_row(t, V, t->y + (r - (KH - 1)) * t->y_row, sums[KH - 1]);
        UNROLL
        for (int v = 0; v < V; ++v) {
            UNROLL
            for (int i = KH - 1; i > 0; --i)
                sums[i][v] = sums[i - 1][v];
            sums[0][v] = bias;
        }
    }
}

INLINE void roll(const depthwise_tile *tile, const int KH, const int KW, const int V, const int masked)
{
    /* Copies: what is stored to y could otherwise be the tile, and every field be read again in every row. */
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    mask masks[ROLLING_COLUMNS][ROLLING_MASKED];
    t.finish = &finish;
    if (masked)
        for (dsc_int c = KW ? 0 : t.column_first; c < (KW ? KW : t.column_last) && c < ROLLING_COLUMNS; ++c)
            column_masks(&t, V, c, masks[c]);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_plane(&t, KH, KW, V, masked, masks);
}

/* Lanes `2 * l` and `2 * l + 1` of a pair of vectors that starts at a column tap. */
INLINE void load_pair(const real *p, const int masked, const mask *pair, vec *even, vec *odd)
{
    vec low = masked ? v_load_masked(p, pair[0]) : v_load(p);
    vec high = masked ? v_load_masked(p + LANES, pair[1]) : v_load(p + LANES);
    V_KEEP(low);
    V_KEEP(high);
    *even = v_even(low, high);
    *odd = v_odd(low, high);
}

/* Input row 2 * step + phase of a plane with stride 2 into sums[i] of output step - i, i in [first, last]. Column taps
 * are taken in pairs: one load of two vectors serves both. Masked: lanes outside are zero, all taps are finite. */
INLINE void roll_row_by_two(const depthwise_tile *t, const int KH, const int phase, const int V, const int masked,
                            dsc_int step, int first, int last, mask (*pairs)[2], vec (*sums)[TILE_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = t->x + (2 * step + phase) * t->row + s.x, *taps = t->taps + s.taps;
        for (dsc_int c = 0; c < t->column_last; c += 2) {
            vec even[2], odd[2];
            UNROLL
            for (int v = 0; v < V; ++v)
                load_pair(x + c + 2 * v * LANES, masked, pairs[c / 2], &even[v], &odd[v]);
            UNROLL
            for (int i = 0; 2 * i + phase < KH; ++i) {
                const real *tap = taps + (2 * i + phase) * t->tap_row + c * t->tap_column;
                if (i < first || i > last)
                    continue;
                add_row(sums[i], V, 0, NULL, even, v_spread(tap[0]));
                if (c + 1 < t->column_last)
                    add_row(sums[i], V, 0, NULL, odd, v_spread(tap[t->tap_column]));
            }
        }
    }
}

/* One plane with stride 2: sums[i] belongs to output step - i. */
INLINE void roll_plane_by_two(const depthwise_tile *t, const int KH, const int V, const int masked, mask (*pairs)[2])
{
    const int live = (KH + 1) / 2;
    const vec bias = v_spread(*t->bias);
    vec sums[ROLLING_ROWS][TILE_VECTORS];
    UNROLL
    for (int i = 0; i < live; ++i) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[i][v] = bias;
    }
    for (dsc_int step = 0; step < t->rows + live - 1; ++step) {
        int first = step >= t->rows ? (int)(step - t->rows + 1) : 0, last = step < live - 1 ? (int)step : live - 1;
        if (2 * step >= t->row_first && 2 * step < t->row_last)
            roll_row_by_two(t, KH, 0, V, masked, step, first, last, pairs, sums);
        if (2 * step + 1 >= t->row_first && 2 * step + 1 < t->row_last)
            roll_row_by_two(t, KH, 1, V, masked, step, first, last, pairs, sums);
        if (step >= live - 1)
            store_row(t, V, t->y + (step - (live - 1)) * t->y_row, sums[live - 1]);
        UNROLL
        for (int v = 0; v < V; ++v) {
            UNROLL
            for (int i = live - 1; i > 0; --i)
                sums[i][v] = sums[i - 1][v];
            sums[0][v] = bias;
        }
    }
}

INLINE void roll_by_two(const depthwise_tile *tile, const int KH, const int V, const int masked)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    mask pairs[ROLLING_COLUMNS / 2 + 1][2];
    t.finish = &finish;
    if (masked)
        for (dsc_int c = 0; c < t.column_last && c < ROLLING_COLUMNS; c += 2)
            for (int half = 0; half < 2; ++half)
                pairs[c / 2][half] = v_mask(t.inside_low - c - half * LANES,
                                            at_most(t.inside_high, 2 * t.width + t.column_last) - c - half * LANES);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_plane_by_two(&t, KH, V, masked, pairs);
}

#define ROLL(KH, KW, V) static void roll_##KH##_##KW##_##V(const depthwise_tile *t) { roll(t, KH, KW, V, 0); }
#define ROLL_MASKED(KH, KW, V) \
    static void roll_##KH##_##KW##_##V##_masked(const depthwise_tile *t) { roll(t, KH, KW, V, 1); }
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2) ROLL_MASKED(KH, KW, 1) ROLL_MASKED(KH, KW, 2)
#define ROLL_ENTRIES(KH, KW) \
    {{roll_##KH##_##KW##_1, roll_##KH##_##KW##_1_masked}, {roll_##KH##_##KW##_2, roll_##KH##_##KW##_2_masked} \
     ROLL_FOUR(KH, KW)}

ROLLS(2, 2) ROLLS(2, 0) ROLLS(3, 3) ROLLS(3, 0) ROLLS(5, 0) ROLLS(7, 0)
#if TILE_VECTORS == 4
#define ROLLING_LOG2 2
ROLL(2, 2, 4) ROLL(2, 0, 4) ROLL(3, 3, 4) ROLL(3, 0, 4) ROLL(5, 0, 4) ROLL(7, 0, 4)
#define ROLL_FOUR(KH, KW) , {roll_##KH##_##KW##_4, NULL}
#else
#define ROLLING_LOG2 1
#define ROLL_FOUR(KH, KW)
#endif

#define ROLLS_BY_TWO(KH) \
    static void roll_##KH##_by_two_1(const depthwise_tile *t) { roll_by_two(t, KH, 1, 0); } \
    static void roll_##KH##_by_two_2(const depthwise_tile *t) { roll_by_two(t, KH, 2, 0); } \
    static void roll_##KH##_by_two_1_masked(const depthwise_tile *t) { roll_by_two(t, KH, 1, 1); }
#define BY_TWO_ENTRIES(KH) \
    {{roll_##KH##_by_two_1, roll_##KH##_by_two_1_masked}, {roll_##KH##_by_two_2, NULL}}

ROLLS_BY_TWO(3) ROLLS_BY_TWO(5) ROLLS_BY_TWO(7)

enum {
    ROLLING_2_2, ROLLING_2, ROLLING_3_3, ROLLING_3, ROLLING_5, ROLLING_7, ROLLING_3_BY_TWO, ROLLING_5_BY_TWO, ROLLING_7_BY_TWO, NOT_ROLLING
};

/* [kind][log2 vectors][masked] */
static const tile_function rolling_table[NOT_ROLLING][3][2] = {
    ROLL_ENTRIES(2, 2), ROLL_ENTRIES(2, 0), ROLL_ENTRIES(3, 3), ROLL_ENTRIES(3, 0), ROLL_ENTRIES(5, 0), ROLL_ENTRIES(7, 0),
    BY_TWO_ENTRIES(3), BY_TWO_ENTRIES(5), BY_TWO_ENTRIES(7),
};

#endif
