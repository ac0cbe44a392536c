/* Rolling tiles on complex numbers: pairs of lanes are their parts. The real part of a tap multiplies the inputs as they are, the
 * imaginary part i times them. */
#ifndef DSCONV_DEPTHWISE_TURNING_H
#define DSCONV_DEPTHWISE_TURNING_H

#include "depthwise_rolling.h"

PLAIN_ADDRESSES

/* What i is multiplied by. */
static real complex_turn(const dsc_problem *p)
{
    return p->parts == 1 ? 0 : p->conjugate ? -1 : 1;
}

/* Most vectors of a tile; `square`: of 3 x 3 taps. */
static dsc_int complex_vectors(const depthwise_tile *t, bool square)
{
    return square && rolls_densely(t, 3) ? TILE_VECTORS : ANY_VECTORS;
}

#if FEW_TILES
static tile_function complex_tile(const depthwise_tile *t, bool square, dsc_int vectors)
{
    (void)t, (void)square, (void)vectors;
    return NULL;
}
#else
#define COMPLEX_TILE(KH, KW, V, how) \
    static __attribute__((noinline)) void complex_##how##_##KH##_##KW##_##V(const depthwise_tile *t) \
    { how(t, (roll_kind){.rows = KH, .columns = KW, .vectors = V, .masked = 1, .complex = 1}); }
#define COMPLEX_TILES(KH) COMPLEX_TILE(KH, 0, 1, roll) COMPLEX_TILE(KH, 0, 2, roll)
#define COMPLEX_ENTRIES(KH) {complex_roll_##KH##_0_1, complex_roll_##KH##_0_2}
#define COMPLEX_DENSE(V) COMPLEX_TILE(3, 3, V, roll_densely)
#define COMPLEX_DENSE_ENTRY(V) complex_roll_densely_3_3_##V
COMPLEX_TILES(3) COMPLEX_TILES(5) COMPLEX_TILES(7)
COMPLEX_DENSE(1) COMPLEX_DENSE(2)
#if TILE_VECTORS == 4
COMPLEX_DENSE(4)
#endif

/* The tile of so many vectors for the rows of this one. */
static tile_function complex_tile(const depthwise_tile *t, bool square, dsc_int vectors)
{
    static const tile_function dense[TILE_VECTORS] = {
        COMPLEX_DENSE_ENTRY(1), COMPLEX_DENSE_ENTRY(2),
#if TILE_VECTORS == 4
        NULL, COMPLEX_DENSE_ENTRY(4),
#endif
    };
    static const tile_function rolling[][ANY_VECTORS] = {
        [3] = COMPLEX_ENTRIES(3), [5] = COMPLEX_ENTRIES(5), [7] = COMPLEX_ENTRIES(7),
    };
    return square && rolls_densely(t, 3) ? dense[vectors - 1] : rolling[t->kernel_rows][vectors - 1];
}
#endif

USUAL_ADDRESSES

#endif
