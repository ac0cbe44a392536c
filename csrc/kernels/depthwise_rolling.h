/* The planar tile for two, three, five and seven row taps: all rows of a column of vectors in one sweep.
 *
 * Input row r is loaded once and feeds the KH outputs that use it, whose sums roll through registers: sums[i] belongs to
 * output r - i. The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_ROLLING_H
#define DSCONV_DEPTHWISE_ROLLING_H

#include "depthwise_tile.h"

#define ROLLING_ROWS 7
#define AHEAD 6              /* rows that are asked for before they are needed */
#define ROLLING_COLUMNS 16   /* most column taps of a masked tile */

#define ROLLING_RESIDENT 3   /* most column taps of the tiles whose taps stay in registers */

/* Which lanes of a tile exist for one column tap. Only its first and its last vector meet borders; where it has one, that is
 * [0]. */
typedef mask column_edges[2];

INLINE void find_edges(const depthwise_tile *t, const int V, dsc_int column, mask *edges)
{
    dsc_int low = t->inside_low - column * t->dilation, high = at_most(t->inside_high - column * t->dilation, t->width);
    edges[0] = v_mask(low, high);
    edges[1] = v_mask(low - (V - 1) * LANES, high - (V - 1) * LANES);
}

INLINE void load_edges(const real *p, const int V, const int masked, const mask *edges, vec *x)
{
    UNROLL
    for (int v = 0; v < V; ++v) {
        bool edge = masked && (v == 0 || v == V - 1);
        x[v] = edge ? v_load_masked(p + v * LANES, edges[v > 0]) : v_load(p + v * LANES);
        V_KEEP(x[v]);
    }
}

INLINE void add_edges(vec *sums, const int V, const int masked, const mask *edges, const vec *x, vec tap)
{
    UNROLL
    for (int v = 0; v < V; ++v) {
        bool edge = masked && (v == 0 || v == V - 1);
        sums[v] = edge ? v_add_product_masked(sums[v], x[v], tap, edges[v > 0]) : sums[v] + x[v] * tap;
    }
}

/* Input row r into the sums [first, last]; `all`: of every output that it can feed. */
INLINE void roll_row(const depthwise_tile *t, const int KH, const int V, const int masked, const int all, dsc_int r,
                     int first, int last, column_edges *edges, vec (*sums)[TILE_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = t->x + r * t->row + s.x, *taps = t->taps + s.taps;
        x += t->column_first * t->dilation, taps += t->column_first * t->tap_column;
        for (dsc_int c = t->column_first; c < t->column_last; ++c, x += t->dilation, taps += t->tap_column) {
            vec row[TILE_VECTORS];
            load_edges(x, V, masked, edges[c], row);
            UNROLL
            for (int i = 0; i < KH; ++i)
                if (all || (i >= first && i <= last))
                    add_edges(sums[i], V, masked, edges[c], row, v_spread(taps[i * t->tap_row]));
        }
    }
}

/* The same for one depth tap and KW column taps. */
INLINE void roll_row_resident(const depthwise_tile *t, const int KH, const int KW, const int V, const int masked, const int all,
                              dsc_int r, int first, int last, column_edges *edges,
                              vec (*taps)[ROLLING_RESIDENT], vec (*sums)[TILE_VECTORS])
{
    const real *x = t->x + r * t->row;
    UNROLL
    for (int c = 0; c < KW; ++c) {
        vec row[TILE_VECTORS];
        load_edges(x + c * t->dilation, V, masked, edges[c], row);
        UNROLL
        for (int i = 0; i < KH; ++i)
            if (all || (i >= first && i <= last))
                add_edges(sums[i], V, masked, edges[c], row, taps[i][c]);
    }
}

/* A tile runs down its columns, which the memory does not foresee: ask for what it will need. */
INLINE void announce_row(const real *p, const int written, const int V)
{
    UNROLL
    for (int v = 0; v < V; ++v)
        __builtin_prefetch(p + v * LANES, written);
}

/* One plane: all input rows that feed the tile. */
INLINE void roll_plane(const depthwise_tile *t, const int KH, const int KW, const int V, const int masked,
                       column_edges *edges)
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
        announce_row(t->x + (r + AHEAD) * t->row, 0, V);
        announce_row(t->y + (r - (KH - 1) + AHEAD) * t->y_row, 1, V);
        if (r >= t->row_first && r < t->row_last) {
            if (KW && all)
                roll_row_resident(t, KH, KW, V, masked, 1, r, 0, 0, edges, taps, sums);
            else if (KW)
                roll_row_resident(t, KH, KW, V, masked, 0, r, first, last, edges, taps, sums);
            else if (all)
                roll_row(t, KH, V, masked, 1, r, 0, 0, edges, sums);
            else
                roll_row(t, KH, V, masked, 0, r, first, last, edges, sums);
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
    column_edges edges[ROLLING_COLUMNS];
    t.finish = &finish;
    if (masked)
        for (dsc_int c = KW ? 0 : t.column_first; c < (KW ? KW : t.column_last) && c < ROLLING_COLUMNS; ++c)
            find_edges(&t, V, c, edges[c]);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_plane(&t, KH, KW, V, masked, edges);
}

/* The lanes of the two vectors that each vector of a tile is made of, for a pair of column taps. */
typedef mask pair_edges[2][2];

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
                            dsc_int step, int first, int last, pair_edges *pairs, vec (*sums)[TILE_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = t->x + (2 * step + phase) * t->row + s.x, *taps = t->taps + s.taps;
        for (dsc_int c = 0; c < t->column_last; c += 2) {
            vec even[2], odd[2];
            UNROLL
            for (int v = 0; v < V; ++v)
                load_pair(x + c + 2 * v * LANES, masked, pairs[c / 2][v > 0], &even[v], &odd[v]);
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
INLINE void roll_plane_by_two(const depthwise_tile *t, const int KH, const int V, const int masked, pair_edges *pairs)
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
        announce_row(t->x + (2 * step + AHEAD) * t->row, 0, 2 * V);
        announce_row(t->x + (2 * step + AHEAD + 1) * t->row, 0, 2 * V);
        announce_row(t->y + (step - (live - 1) + AHEAD / 2) * t->y_row, 1, V);
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
    pair_edges pairs[ROLLING_COLUMNS / 2 + 1];
    t.finish = &finish;
    if (masked)
        for (dsc_int c = 0; c < t.column_last && c < ROLLING_COLUMNS; c += 2)
            for (int half = 0; half < 2 * V; ++half)
                pairs[c / 2][half / 2][half % 2] =
                    v_mask(t.inside_low - c - half * LANES,
                           at_most(t.inside_high, 2 * t.width + t.column_last) - c - half * LANES);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_plane_by_two(&t, KH, V, masked, pairs);
}

#define ROLL(KH, KW, V) \
    static void roll_##KH##_##KW##_##V(const depthwise_tile *t) { roll(t, KH, KW, V, 0); } \
    static void roll_##KH##_##KW##_##V##_edges(const depthwise_tile *t) { roll(t, KH, KW, V, 1); }
#define ROLL_ENTRY(KH, KW, V) {roll_##KH##_##KW##_##V, roll_##KH##_##KW##_##V##_edges}
#if TILE_VECTORS == 4
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2) ROLL(KH, KW, 3) ROLL(KH, KW, 4)
#define ROLL_ENTRIES(KH, KW) \
    {ROLL_ENTRY(KH, KW, 1), ROLL_ENTRY(KH, KW, 2), ROLL_ENTRY(KH, KW, 3), ROLL_ENTRY(KH, KW, 4)}
#else
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2)
#define ROLL_ENTRIES(KH, KW) {ROLL_ENTRY(KH, KW, 1), ROLL_ENTRY(KH, KW, 2)}
#endif

ROLLS(2, 2) ROLLS(2, 0) ROLLS(3, 3) ROLLS(3, 0) ROLLS(5, 0) ROLLS(7, 0)

#define ROLL_BY_TWO(KH, V) \
    static void roll_##KH##_by_two_##V(const depthwise_tile *t) { roll_by_two(t, KH, V, 0); } \
    static void roll_##KH##_by_two_##V##_edges(const depthwise_tile *t) { roll_by_two(t, KH, V, 1); }
#define BY_TWO_ENTRY(KH, V) {roll_##KH##_by_two_##V, roll_##KH##_by_two_##V##_edges}
#define BY_TWO_ENTRIES(KH) {BY_TWO_ENTRY(KH, 1), BY_TWO_ENTRY(KH, 2)}

ROLL_BY_TWO(3, 1) ROLL_BY_TWO(3, 2) ROLL_BY_TWO(5, 1) ROLL_BY_TWO(5, 2) ROLL_BY_TWO(7, 1) ROLL_BY_TWO(7, 2)

enum {
    ROLLING_2_2, ROLLING_2, ROLLING_3_3, ROLLING_3, ROLLING_5, ROLLING_7, ROLLING_3_BY_TWO, ROLLING_5_BY_TWO,
    ROLLING_7_BY_TWO, NOT_ROLLING
};

/* [kind][vectors - 1][edges] */
static const tile_function rolling_table[NOT_ROLLING][TILE_VECTORS][2] = {
    ROLL_ENTRIES(2, 2), ROLL_ENTRIES(2, 0), ROLL_ENTRIES(3, 3), ROLL_ENTRIES(3, 0), ROLL_ENTRIES(5, 0), ROLL_ENTRIES(7, 0),
    BY_TWO_ENTRIES(3), BY_TWO_ENTRIES(5), BY_TWO_ENTRIES(7),
};

static bool by_two(int rolling)
{
    return rolling >= ROLLING_3_BY_TWO && rolling != NOT_ROLLING;
}

#endif
