/* Rolling tiles of two or three vectors, of which the last may begin within the one before, for kernels that are square or one row,
 * and rows longer than a vector: no vector ends beyond a row, so that all are stored whole, and all but the outermost lanes exist.
 *
 * Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_OVERLAPPING_H
#define DSCONV_DEPTHWISE_OVERLAPPING_H

#include "depthwise_rolling.h"

#if FEW_TILES || defined VECTOR_FREE_MASKS
static tile_function overlapping_function(dsc_int rows, dsc_int columns, bool deep, dsc_int vectors)
{
    (void)rows, (void)columns, (void)deep, (void)vectors;
    return NULL;
}
#else
#define OVERLAP(KH, KW) \
    static __attribute__((noinline)) void overlap_##KH##_##KW(const depthwise_tile *t) \
    { roll_densely(t, (roll_kind){.rows = KH, .columns = KW, .vectors = 2, .masked = ZEROS, .overlaps = 1}); }
OVERLAP(3, 3) OVERLAP(4, 4) OVERLAP(5, 5) OVERLAP(7, 7) OVERLAP(1, 3) OVERLAP(1, 5) OVERLAP(1, 7)
#define OVERLAP_DEEP(V) \
    static __attribute__((noinline)) void overlap_deep_3_##V(const depthwise_tile *t) \
    { roll_densely(t, (roll_kind){.rows = 3, .columns = 3, .vectors = V, .masked = ZEROS, .overlaps = 1, .deep = 1}); }
OVERLAP_DEEP(2) OVERLAP_DEEP(3)

/* Square kernels, and those of one row; `deep`: of several depth taps. */
static tile_function overlapping_function(dsc_int rows, dsc_int columns, bool deep, dsc_int vectors)
{
    const bool row = rows == 1;
    if (deep)
        return rows == 3 && columns == 3 ? (vectors == 3 ? overlap_deep_3_3 : overlap_deep_3_2) : NULL;
    if (rows != columns && !row)
        return NULL;
    switch (columns) {
    case 4: return row ? NULL : overlap_4_4;
    case 3: return row ? overlap_1_3 : overlap_3_3;
    case 5: return row ? overlap_1_5 : overlap_5_5;
    case 7: return row ? overlap_1_7 : overlap_7_7;
    default: return NULL;
    }
}
#endif

/* Vectors of the next tile of a row of which so many columns are left. The sums of two are too few to hide how long one takes that
 * runs over depth taps as well; four vectors are two tiles of two. */
static dsc_int vectors_overlapping(bool deep, dsc_int left)
{
    return deep && (left > 4 * LANES || (left > 2 * LANES && left <= 3 * LANES)) ? 3 : 2;
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
