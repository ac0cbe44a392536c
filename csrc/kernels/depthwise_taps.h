/* The taps of rolling tiles that know how many there are. */
#ifndef DSCONV_DEPTHWISE_TAPS_H
#define DSCONV_DEPTHWISE_TAPS_H

#include "depthwise_edges.h"

#define ROLLING_ROWS 7
#define ROLLING_COLUMNS 16   /* most column taps */
#define DEEP_TAPS 3          /* most depth taps of the tiles that know their column taps */
#define ROLLING_RESIDENT 3   /* most column taps of the tiles whose taps stay in registers */

/* The taps of a kernel close together, so that their addresses are constant. Registers would not hold them all, and what does not
 * fit costs whole vectors to load. */
typedef struct { real tap[ROLLING_ROWS][ROLLING_ROWS]; } near_taps;

INLINE void gather_taps_near(const depthwise_tile *t, const roll_kind k, const real *from, near_taps *taps)
{
    for (int j = 0; j < k.rows; ++j)
        for (int c = 0; c < k.columns; ++c)
            taps->tap[j][c] = from[j * t->tap_row + c * t->tap_column];
}

/* Those of a tile: in registers if there are few. */
typedef struct { vec resident[ROLLING_RESIDENT][ROLLING_RESIDENT]; near_taps near[DEEP_TAPS]; } kernel_taps;

INLINE bool taps_resident(const roll_kind k) { return k.columns <= ROLLING_RESIDENT && !k.complex && !k.deep; }

INLINE vec kernel_tap(const roll_kind k, const kernel_taps *taps, const dsc_int part, const int i, const int c)
{
    return taps_resident(k) ? taps->resident[i][c] : v_spread(taps->near[part].tap[i][c]);
}

INLINE void read_taps(const depthwise_tile *t, const roll_kind k, kernel_taps *taps)
{
    if (!taps_resident(k)) {
        for (int part = 0; part <= k.complex; ++part)
            gather_taps_near(t, k, t->taps + part, &taps->near[part]);
        for (dsc_int depth = 1; k.deep && depth < t->depth_last; ++depth)
            gather_taps_near(t, k, t->taps + depth * t->tap_depth, &taps->near[depth]);
        return;
    }
    UNROLL
    for (int i = 0; i < k.rows; ++i) {
        UNROLL
        for (int c = 0; c < k.columns; ++c)
            taps->resident[i][c] = v_spread(t->taps[i * t->tap_row + c * t->tap_column]);
    }
}

#endif
