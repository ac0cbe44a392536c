/* Rolling tiles of two to four vectors, of which the last may begin within the one before, for kernels that are square or one row,
 * and rows longer than a vector: no vector ends beyond a row, so that all are stored whole, and all but the outermost lanes exist:
 * masks of the outer column taps are few enough for registers.
 *
 * Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_OVERLAPPING_H
#define DSCONV_DEPTHWISE_OVERLAPPING_H

#include "depthwise_rolling.h"

enum {
    OVERLAPPING_3_3, OVERLAPPING_4_4, OVERLAPPING_5_5, OVERLAPPING_7_7, OVERLAPPING_1_3, OVERLAPPING_1_5, OVERLAPPING_1_7,
    OVERLAPPING_DEEP, NOT_OVERLAPPING
};

#define OVERLAPPED_LEAST 2
#define OVERLAPPED_MOST 4
#if FEW_TILES
static const tile_function overlapping_table[NOT_OVERLAPPING][OVERLAPPED_MOST - OVERLAPPED_LEAST + 1] = {{NULL}};
#else
#define OVERLAP(name, KH, KW, D, V) \
    static __attribute__((noinline)) void overlap_##name##_##V(const depthwise_tile *t) \
    { roll_densely(t, (roll_kind){.rows = KH, .columns = KW, .vectors = V, .masked = ZEROS, .overlaps = 1, .deep = D}); }
#if TILE_VECTORS == 4
#define OVERLAP_WIDE(name, KH, KW, D, V) OVERLAP(name, KH, KW, D, V)
#define WIDE(name, V) overlap_##name##_##V
#else
#define OVERLAP_WIDE(name, KH, KW, D, V)
#define WIDE(name, V) NULL
#endif
PLAIN_LOOPS
PLAIN_WIDE
#define OVERLAP_ROW(KW) OVERLAP(1_##KW, 1, KW, 0, 2) OVERLAP_WIDE(1_##KW, 1, KW, 0, 4)
OVERLAP(3_3, 3, 3, 0, 2) OVERLAP(4_4, 4, 4, 0, 2) OVERLAP(5_5, 5, 5, 0, 2) OVERLAP_WIDE(5_5, 5, 5, 0, 3) OVERLAP(7_7, 7, 7, 0, 2)
OVERLAP_ROW(3) OVERLAP_ROW(5) OVERLAP_ROW(7)
USUAL_WIDE
OVERLAP(deep, 3, 3, 1, 2) OVERLAP(deep, 3, 3, 1, 3) OVERLAP_WIDE(deep, 3, 3, 1, 4)
USUAL_LOOPS

/* [kind][vectors - OVERLAPPED_LEAST]; the sums of two are too few to hide how long one takes that runs over depth taps as well. */
static const tile_function overlapping_table[NOT_OVERLAPPING][OVERLAPPED_MOST - OVERLAPPED_LEAST + 1] = {
    {overlap_3_3_2}, {overlap_4_4_2}, {overlap_5_5_2, WIDE(5_5, 3)}, {overlap_7_7_2},
    {overlap_1_3_2, NULL, WIDE(1_3, 4)}, {overlap_1_5_2, NULL, WIDE(1_5, 4)}, {overlap_1_7_2, NULL, WIDE(1_7, 4)},
    {overlap_deep_2, overlap_deep_3, WIDE(deep, 4)},
};
#endif

static tile_function overlapping_function(int kind, dsc_int vectors)
{
    return overlapping_table[kind][vectors - OVERLAPPED_LEAST];
}

/* `deep`: of several depth taps. */
static int overlapping_kind(dsc_int rows, dsc_int columns, bool deep)
{
    if (FEW_TILES || (rows != columns && (rows != 1 || deep)))
        return NOT_OVERLAPPING;
    if (deep)
        return rows == 3 ? OVERLAPPING_DEEP : NOT_OVERLAPPING;
    switch (columns) {
    case 3: return rows == 1 ? OVERLAPPING_1_3 : OVERLAPPING_3_3;
    case 4: return rows == 1 ? NOT_OVERLAPPING : OVERLAPPING_4_4;
    case 5: return rows == 1 ? OVERLAPPING_1_5 : OVERLAPPING_5_5;
    case 7: return rows == 1 ? OVERLAPPING_1_7 : OVERLAPPING_7_7;
    default: return NOT_OVERLAPPING;
    }
}

/* Are such tiles better than others for rows that fill so many vectors? Where registers hold the sums of four, masks are no
 * bound. */
static bool overlaps_vectors(int kind, dsc_int vectors)
{
    if (vectors < OVERLAPPED_LEAST || kind == NOT_OVERLAPPING)
        return false;
    return TILE_VECTORS < 4 || (kind == OVERLAPPING_3_3 ? vectors == 2 : kind != OVERLAPPING_5_5 || vectors != 4);
}

/* Vectors of the next tile of a row of which so many columns are left: as many as they fill, or as have a function. */
static dsc_int vectors_overlapping(int kind, dsc_int left)
{
    const dsc_int filled = at_least(at_most(divide_up(left, LANES), OVERLAPPED_MOST), OVERLAPPED_LEAST);
    if (overlapping_function(kind, filled))
        return filled;
    return left > OVERLAPPED_MOST * LANES && overlapping_function(kind, 3) ? 3 : OVERLAPPED_LEAST;
}

/* Do the borders meet only lanes for which the tile has masks? */
static bool borders_apart(const depthwise_tile *t, dsc_int columns, dsc_int vectors)
{
    const dsc_int reach = (columns - 1) * t->dilation, before = (vectors - 1) * LANES;
    const bool left = t->inside_low <= at_most(t->second, columns / 2 * t->dilation);
    const bool right = t->inside_high >= t->width + (columns - 1) / 2 * t->dilation;
    const bool between = vectors == 2 || t->inside_low <= LANES;   /* the second vector has none */
    return left && right && between && t->inside_high >= before + reach;
}

#endif
