/* Rolling tiles of two vectors, of which the second may begin within the first, for square kernels and rows longer than a vector:
 * no vector ends beyond a row, so that all are stored whole, and all but the outermost lanes exist.
 *
 * Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_OVERLAPPING_H
#define DSCONV_DEPTHWISE_OVERLAPPING_H

#include "depthwise_rolling.h"

#if FEW_TILES || defined VECTOR_FREE_MASKS
static tile_function overlapping_function(dsc_int kernel, bool deep) { (void)kernel, (void)deep; return NULL; }
#else
#define OVERLAP(K) \
    static __attribute__((noinline)) void overlap_##K(const depthwise_tile *t) \
    { roll_densely(t, (roll_kind){.rows = K, .columns = K, .vectors = 2, .masked = ZEROS, .overlaps = 1}); }
OVERLAP(3) OVERLAP(5) OVERLAP(7)
static __attribute__((noinline)) void overlap_deep_3(const depthwise_tile *t)
{
    roll_densely(t, (roll_kind){.rows = 3, .columns = 3, .vectors = 2, .masked = ZEROS, .overlaps = 1, .deep = 1});
}

static tile_function overlapping_function(dsc_int kernel, bool deep)
{
    switch (kernel) {
    case 3: return deep ? overlap_deep_3 : overlap_3;
    case 5: return deep ? NULL : overlap_5;
    case 7: return deep ? NULL : overlap_7;
    default: return NULL;
    }
}
#endif

/* Do the borders meet only lanes for which the tile has masks? */
static bool borders_apart(const depthwise_tile *t)
{
    const dsc_int middle = (t->kernel_rows / 2) * t->dilation, reach = (t->kernel_rows - 1) * t->dilation;
    const bool left = t->inside_low <= at_most(t->second, middle), right = t->inside_high >= t->width + middle;
    return left && right && t->inside_high >= LANES + reach;
}

#endif
