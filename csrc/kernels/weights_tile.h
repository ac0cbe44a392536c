/* The register tiles of the depthwise weight gradient: the sums of J x I taps stay in registers while the outputs pass.
 *
 * Planar: lanes are neighbouring outputs, and each lane sums its own. Interleaved: lanes are channels. */
#ifndef DSCONV_WEIGHTS_TILE_H
#define DSCONV_WEIGHTS_TILE_H

#include "../vec.h"
#include "walk.h"

#define TAPS_TILE 3   /* most tap rows and tap columns of a tile */

/* Output row r meets x row r + j in tap row j. */
typedef struct {
    const real *x;
    dsc_int x_row, x_column[TAPS_TILE];   /* steps to the next row, to the tap columns */
    const real *y;
    dsc_int y_row, rows, columns;
    dsc_int row_first, row_last;          /* x rows that exist */
    dsc_int position, dilation, width;    /* x column of output column 0 under the first tap, from tap to tap; of x */
    real *sums;                           /* [tap row][tap column][lane] */
    dsc_int sums_row;
} weights_tile;

INLINE void load_sums(const real *from, dsc_int row, const int J, const int I, vec (*sums)[TAPS_TILE])
{
    UNROLL
    for (int j = 0; j < J; ++j) {
        UNROLL
        for (int i = 0; i < I; ++i)
            sums[j][i] = v_load(from + j * row + i * LANES);
    }
}

INLINE void save_sums(real *to, dsc_int row, const int J, const int I, vec (*sums)[TAPS_TILE])
{
    UNROLL
    for (int j = 0; j < J; ++j) {
        UNROLL
        for (int i = 0; i < I; ++i)
            v_store(to + j * row + i * LANES, sums[j][i]);
    }
}

/* x row r of one vector of columns, with the output rows r, r - 1, ... whose indices lie in [first, last]. */
INLINE void gather_row(const weights_tile *t, const int J, const int I, const int masked, const int all, const mask *m,
                       const real *x, int first, int last, const vec *y, vec (*sums)[TAPS_TILE])
{
    UNROLL
    for (int i = 0; i < I; ++i) {
        vec value = masked ? v_load_masked(x + t->x_column[i], m[i]) : v_load(x + t->x_column[i]);
        V_KEEP(value);
        UNROLL
        for (int j = 0; j < J; ++j)
            if (all || (j >= first && j <= last))
                sums[j][i] += value * y[j];
    }
}

/* One vector of columns, all rows. */
INLINE void gather_column(const weights_tile *t, const int J, const int I, const int masked, dsc_int column,
                          vec (*sums)[TAPS_TILE])
{
    mask m = v_mask(0, t->columns - column), exist[TAPS_TILE];
    vec y[TAPS_TILE] = {{0}};
    UNROLL
    for (int i = 0; i < I; ++i) {
        dsc_int at = t->position + column + i * t->dilation;
        exist[i] = v_mask(-at, at_most(t->width - at, t->columns - column));
    }
    for (dsc_int r = 0; r < t->rows + J - 1; ++r) {
        const real *x = t->x + r * t->x_row + column, *next = t->y + r * t->y_row + column;
        int first = r >= t->rows ? (int)(r - t->rows + 1) : 0, last = r < J - 1 ? (int)r : J - 1;
        UNROLL
        for (int j = J - 1; j > 0; --j)
            y[j] = y[j - 1];
        if (r < t->rows)
            y[0] = masked ? v_load_masked(next, m) : v_load(next);
        if (r < t->row_first || r >= t->row_last)
            continue;
        if (first == 0 && last == J - 1)
            gather_row(t, J, I, masked, 1, exist, x, 0, 0, y, sums);
        else
            gather_row(t, J, I, masked, 0, exist, x, first, last, y, sums);
    }
}

INLINE void gather_taps(const weights_tile *tile, const int J, const int I)
{
    const weights_tile t = *tile;
    vec sums[TAPS_TILE][TAPS_TILE];
    load_sums(t.sums, t.sums_row, J, I, sums);
    for (dsc_int column = 0; column < t.columns; column += LANES) {
        dsc_int first = t.position + column, last = first + LANES + (I - 1) * t.dilation;
        if (first >= 0 && last <= t.width && column + LANES <= t.columns)
            gather_column(&t, J, I, 0, column, sums);
        else
            gather_column(&t, J, I, 1, column, sums);
    }
    save_sums(t.sums, t.sums_row, J, I, sums);
}

/* Pixels of one output row with one vector of channels. Tap column i of output q reads x pixel position + q * stride +
 * i * dilation, if there is one. */
typedef struct {
    const real *x[TAPS_TILE];             /* the x row of each tap row */
    dsc_int x_column, stride, dilation, position, width;
    const real *y;
    dsc_int y_column, columns;
    int channels;                         /* of the vector */
    real *sums;
    dsc_int sums_row;
} pixels_tile;

INLINE void gather_pixel(const pixels_tile *t, const int J, const int I, const int tail, const int clipped, mask m,
                         dsc_int q, vec (*sums)[TAPS_TILE])
{
    vec y = v_load_lanes(t->y + q * t->y_column, tail, m);
    dsc_int position = t->position + q * t->stride;
    UNROLL
    for (int i = 0; i < I; ++i) {
        dsc_int column = position + i * t->dilation;
        if (clipped && (column < 0 || column >= t->width))
            continue;
        UNROLL
        for (int j = 0; j < J; ++j)
            sums[j][i] += y * v_load_lanes(t->x[j] + column * t->x_column, tail, m);
    }
}

INLINE void gather_pixels(const pixels_tile *tile, const int J, const int I, const int tail)
{
    const pixels_tile t = *tile;
    mask m = v_mask(0, t.channels);
    vec sums[TAPS_TILE][TAPS_TILE];
    dsc_int q = 0, inside = at_most(divide_up(at_least(-t.position, 0), t.stride), t.columns);
    dsc_int beyond = t.width - t.position - (I - 1) * t.dilation;
    beyond = at_least(at_most(beyond > 0 ? divide_up(beyond, t.stride) : 0, t.columns), inside);
    load_sums(t.sums, t.sums_row, J, I, sums);
    for (; q < inside; ++q)
        gather_pixel(&t, J, I, tail, 1, m, q, sums);
    for (; q < beyond; ++q)
        gather_pixel(&t, J, I, tail, 0, m, q, sums);
    for (; q < t.columns; ++q)
        gather_pixel(&t, J, I, tail, 1, m, q, sums);
    save_sums(t.sums, t.sums_row, J, I, sums);
}

typedef void (*weights_function)(const weights_tile *);
typedef void (*pixels_function)(const pixels_tile *);

#ifdef VECTOR_FREE_MASKS
#define GATHER_PIXELS(J, I) static void pixels_##J##_##I##_tail(const pixels_tile *t) { gather_pixels(t, J, I, 1); }
#define PIXELS_ENTRY(J, I) {pixels_##J##_##I##_tail, pixels_##J##_##I##_tail}
#else
#define GATHER_PIXELS(J, I) \
    static void pixels_##J##_##I(const pixels_tile *t) { gather_pixels(t, J, I, 0); } \
    static void pixels_##J##_##I##_tail(const pixels_tile *t) { gather_pixels(t, J, I, 1); }
#define PIXELS_ENTRY(J, I) {pixels_##J##_##I, pixels_##J##_##I##_tail}
#endif
#define WEIGHTS(J, I) \
    static void weights_##J##_##I(const weights_tile *t) { gather_taps(t, J, I); } \
    GATHER_PIXELS(J, I)
WEIGHTS(1, 1) WEIGHTS(1, 2) WEIGHTS(1, 3) WEIGHTS(2, 1) WEIGHTS(2, 2) WEIGHTS(2, 3) WEIGHTS(3, 1) WEIGHTS(3, 2) WEIGHTS(3, 3)

/* [J - 1][I - 1] */
static const weights_function weights_table[TAPS_TILE][TAPS_TILE] = {
    {weights_1_1, weights_1_2, weights_1_3}, {weights_2_1, weights_2_2, weights_2_3}, {weights_3_1, weights_3_2, weights_3_3},
};

/* [J - 1][I - 1][last channels] */
static const pixels_function pixels_table[TAPS_TILE][TAPS_TILE][2] = {
    {PIXELS_ENTRY(1, 1), PIXELS_ENTRY(1, 2), PIXELS_ENTRY(1, 3)},
    {PIXELS_ENTRY(2, 1), PIXELS_ENTRY(2, 2), PIXELS_ENTRY(2, 3)},
    {PIXELS_ENTRY(3, 1), PIXELS_ENTRY(3, 2), PIXELS_ENTRY(3, 3)},
};

#endif
