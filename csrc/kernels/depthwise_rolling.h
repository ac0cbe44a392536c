/* The planar tile for three, five and seven row taps: all rows of a column of vectors in one sweep.
 *
 * Input row r is loaded once and feeds the KH outputs that use it, whose sums roll through registers: sums[i] belongs to
 * output r - i. The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_ROLLING_H
#define DSCONV_DEPTHWISE_ROLLING_H

#include "depthwise_tile.h"

#define ROLLING_ROWS 7
#define ROLLING_COLUMNS 16   /* most column taps of a masked tile */
#define ROLLING_MASKED 2     /* most vectors of a masked tile: its masks stay in registers */

#define ROLLING_RESIDENT 3   /* column taps of the tile whose taps stay in registers */

/* Input row r into the sums [first, last]; `all`: of every output that it can feed. */
INLINE void roll_row(const depthwise_tile *t, const int KH, const int V, const int masked, const int all, dsc_int r,
                     int first, int last, mask (*masks)[ROLLING_MASKED], vec (*sums)[TILE_VECTORS])
{
    for (dsc_int k = t->depth_first; k < t->depth_last; ++k) {
        const real *x = t->x + r * t->row + k * t->slice, *taps = t->taps + k * t->tap_depth;
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

/* The same for one depth tap and three column taps. */
INLINE void roll_row_resident(const depthwise_tile *t, const int KH, const int V, const int masked, const int all,
                              dsc_int r, int first, int last, mask (*masks)[ROLLING_MASKED],
                              vec (*taps)[ROLLING_RESIDENT], vec (*sums)[TILE_VECTORS])
{
    const real *x = t->x + r * t->row;
    UNROLL
    for (int c = 0; c < ROLLING_RESIDENT; ++c) {
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
                roll_row_resident(t, KH, V, masked, 1, r, 0, 0, masks, taps, sums);
            else if (KW)
                roll_row_resident(t, KH, V, masked, 0, r, first, last, masks, taps, sums);
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

#define ROLL(KH, KW, V) static void roll_##KH##_##KW##_##V(const depthwise_tile *t) { roll(t, KH, KW, V, 0); }
#define ROLL_MASKED(KH, KW, V) \
    static void roll_##KH##_##KW##_##V##_masked(const depthwise_tile *t) { roll(t, KH, KW, V, 1); }
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2) ROLL_MASKED(KH, KW, 1) ROLL_MASKED(KH, KW, 2)
#define ROLL_ENTRIES(KH, KW) \
    {{roll_##KH##_##KW##_1, roll_##KH##_##KW##_2 ROLL_FOUR(KH, KW)}, \
     {roll_##KH##_##KW##_1_masked, roll_##KH##_##KW##_2_masked}}

ROLLS(3, 3) ROLLS(3, 0) ROLLS(5, 0) ROLLS(7, 0)
#if TILE_VECTORS == 4
ROLL(3, 3, 4) ROLL(3, 0, 4) ROLL(5, 0, 4) ROLL(7, 0, 4)
#define ROLL_FOUR(KH, KW) , roll_##KH##_##KW##_4
#else
#define ROLL_FOUR(KH, KW)
#endif

enum { ROLLING_3_3, ROLLING_3, ROLLING_5, ROLLING_7, NOT_ROLLING };

/* [kind][masked][log2 vectors] */
static const tile_function rolling_table[4][2][3] = {
    ROLL_ENTRIES(3, 3), ROLL_ENTRIES(3, 0), ROLL_ENTRIES(5, 0), ROLL_ENTRIES(7, 0),
};

#endif
