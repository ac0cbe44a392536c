/* The table of rolling tiles, by kernel rows and columns. */
#ifndef DSCONV_DEPTHWISE_KINDS_H
#define DSCONV_DEPTHWISE_KINDS_H

#include "depthwise_apart.h"
#include "depthwise_halving.h"
#include "depthwise_overlapping.h"

enum {
    ROLLING_1_1, ROLLING_1, ROLLING_2_2, ROLLING_2, ROLLING_3_3, ROLLING_3, ROLLING_4,
    ROLLING_5_5, ROLLING_5, ROLLING_7_7, ROLLING_7, HALVING_3, HALVING_5, HALVING_7,
    HALVING_3_3, HALVING_5_5, HALVING_7_7, NOT_ROLLING
};

/* [kind][vectors - 1][edges] */
static const tile_function rolling_table[NOT_ROLLING][TILE_VECTORS][2] = {
    ROLL_ENTRIES(1, 1), ROLL_ENTRIES(1, 0), ROLL_ENTRIES(2, 2), ROLL_ENTRIES(2, 0), ROLL_ENTRIES(3, 3), ROLL_ENTRIES(3, 0),
    FOUR_ENTRIES, SQUARE_ENTRIES(5), LARGE_ENTRIES(5), SQUARE_ENTRIES(7), LARGE_ENTRIES(7),
    HALVE_ANY_ENTRIES(3), HALVE_ANY_ENTRIES(5), HALVE_ANY_ENTRIES(7), HALVE_ENTRIES(3), HALVE_ENTRIES(5), HALVE_ENTRIES(7),
};

static bool halves(int rolling)
{
    return rolling >= HALVING_3 && rolling != NOT_ROLLING;
}

/* For these kernel rows and stride 2 in both axes. */
static int halving_kind(const dsc_extent *e)
{
    bool square = e->kernel[1] == e->kernel[2] && e->kernel[2] <= LANES + 1;   /* what one more vector holds */
    switch (e->kernel[1]) {
    case 3: return square ? HALVING_3_3 : HALVING_3;
    case 5: return square ? HALVING_5_5 : HALVING_5;
    case 7: return square ? HALVING_7_7 : HALVING_7;
    default: return NOT_ROLLING;
    }
}

/* Too few rows to roll. */
static bool are_apart(const depthwise_tile *t)
{
    return t->rows < t->kernel_rows - 1;
}

/* Vectors of the widest tile that has a function for these rows; *rolling becomes the kind to use for them. */
static dsc_int most_vectors(int *rolling, const depthwise_tile *t)
{
    if (!halves(*rolling) && are_apart(t))
        return TILE_VECTORS;
    if (!halves(*rolling))
        return rolls_densely(t, t->kernel_rows) ? TILE_VECTORS : at_most(TILE_VECTORS, ANY_VECTORS);
    if (*rolling >= HALVING_3_3 && !halves_densely(t, t->kernel_rows))
        *rolling -= HALVING_3_3 - HALVING_3;
    return *rolling >= HALVING_3_3 ? HALVED_VECTORS : 1;
}

/* Of so many vectors, as many as there is a function for. */
static dsc_int vectors_rolling(int rolling, dsc_int vectors)
{
    while (!rolling_table[rolling][vectors - 1][1])
        --vectors;
    return vectors;
}

/* For these kernel rows and rows that share input; `one_slice`: one depth tap of one input. */
static int rolling_kind(const dsc_extent *e, dsc_int rows, bool one_slice)
{
    const dsc_int columns = one_slice ? e->kernel[2] : 0;
    switch (e->kernel[1]) {
    case 1: return rows == 1 ? NOT_ROLLING : columns == 1 ? ROLLING_1_1 : ROLLING_1;
    case 2: return columns == 2 ? ROLLING_2_2 : ROLLING_2;
    case 3: return columns == 3 ? ROLLING_3_3 : ROLLING_3;
    case 4: return ROLLING_4;
    case 5: return columns == 5 ? ROLLING_5_5 : ROLLING_5;
    case 7: return columns == 7 ? ROLLING_7_7 : ROLLING_7;
    default: return NOT_ROLLING;
    }
}

#endif
