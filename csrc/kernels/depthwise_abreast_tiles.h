/* Depthwise convolution where the channel axis is dense, for sets with few registers: some pixels of a row abreast, all their
 * vectors of channels one after the other. Lines of x are read whole and nearly in the order of memory; to march along a row
 * (depthwise_marching.h) takes more registers, and reads each line by halves.
 *
 * Sums run over depth, then rows, then columns. */
#ifndef DSCONV_DEPTHWISE_ABREAST_TILES_H
#define DSCONV_DEPTHWISE_ABREAST_TILES_H

#include "channel_region.h"

PLAIN_ADDRESSES

#define ABREAST 8               /* most pixels */
#define ABREAST_TAPS 7          /* column taps in registers */
#define LINE_VECTORS 2
#define PIXELS_AHEAD 8          /* asked for so far ahead */

/* What is constant in one of the functions below. `columns`: column taps; ABREAST_LONG: any number of neighbours, in blocks;
 * ABREAST_APART: one by one, whatever stride and dilation. `parts`: 2 where pairs of lanes are complex numbers. */
enum { ABREAST_LONG = 0, ABREAST_APART = -1 };
typedef struct { int pixels, clipped, columns, stride, vectors, tail, parts; } abreast_kind;

/* What the tiles of a row have in common. */
typedef struct {
    dsc_int slices, rows, columns;   /* taps: of depth and rows those that exist, or one of each and no column where none exists */
    dsc_int x_slice, x_row, x_column, x_pixel;   /* from one tap, one pixel to the next */
    dsc_int tap_slice, tap_row, tap_column, tap_vector, y_pixel;
    dsc_int apart, pixels_apart, size;   /* input columns: from a tap, a pixel to the next; how many there are */
    mask lanes;                /* that are channels, if not all */
    dsc_int x_ahead;           /* from a pixel's first input to one to ask for; 0: nothing is asked for */
    bool past;
    const epilogue *finish;
} abreast_row;

/* x and taps are of the first depth and row tap that exist, and of column tap 0 of the first pixel, in input column `start`. */
typedef struct {
    const real *x, *taps, *bias;
    real *y;
    dsc_int start, vectors;    /* of channels, one after the other */
} abreast_tile;

typedef vec abreast_sums[ABREAST][LINE_VECTORS];

/* `count` neighbouring column taps. Each input is loaded once for all pixels that read it; of a clipped tile some do not exist. */
INLINE void add_window(const abreast_row *t, const abreast_kind k, const int count, const real *x, dsc_int start,
                       const real *taps, vec (*sums)[LINE_VECTORS])
{
    vec tap[ABREAST_TAPS][2];
    UNROLL
    for (int i = 0; i < count; ++i, taps += t->tap_column) {
        UNROLL
        for (int part = 0; part < k.parts; ++part)
            tap[i][part] = v_load(taps + part * LANES);
        if (count < ABREAST_TAPS && k.parts == 1)   /* more are operands from memory */
            V_KEEP(tap[i][0]);
    }
    UNROLL_MORE
    for (int c = 0; c < (k.pixels - 1) * k.stride + count; ++c, x += t->x_column) {
        if (k.clipped && (start + c < 0 || start + c >= t->size))
            continue;
        vec input = v_load(x);
        V_KEEP(input);
        UNROLL
        for (int part = 0; part < k.parts; ++part) {
            if (part)
                input = v_exchange(input);
            UNROLL
            for (int p = 0; p < k.pixels; ++p)
                if (c >= p * k.stride && c - p * k.stride < count)
                    sums[p][0] += tap[c - p * k.stride][part] * input;
        }
    }
}

INLINE void add_windows(const abreast_row *t, const abreast_kind k, const real *x, dsc_int start,
                        const real *taps, vec (*sums)[LINE_VECTORS])
{
    dsc_int left = t->columns;
    for (; left >= ABREAST_TAPS; left -= ABREAST_TAPS, start += ABREAST_TAPS) {
        add_window(t, k, ABREAST_TAPS, x, start, taps, sums);
        x += ABREAST_TAPS * t->x_column, taps += ABREAST_TAPS * t->tap_column;
    }
    UNROLL
    for (int count = 4; count > 0; count /= 2)
        if (left >= count) {
            add_window(t, k, count, x, start, taps, sums);
            x += count * t->x_column, taps += count * t->tap_column, left -= count, start += count;
        }
}

/* Column taps of one row, each loaded for all pixels. */
INLINE void add_apart(const abreast_row *t, const abreast_kind k, const real *x, dsc_int start,
                        const real *taps, vec (*sums)[LINE_VECTORS])
{
    for (dsc_int left = t->columns; left > 0; --left, x += t->x_column, taps += t->tap_column, start += t->apart) {
        vec tap[LINE_VECTORS][2];
        UNROLL
        for (int v = 0; v < k.vectors; ++v) {
            UNROLL
            for (int part = 0; part < k.parts; ++part)
                tap[v][part] = v_load(taps + v * t->tap_vector + part * LANES);
        }
        const real *input = x;
        dsc_int column = start;
        UNROLL
        for (int p = 0; p < k.pixels; ++p, input += t->x_pixel, column += t->pixels_apart) {
            if (k.clipped && (column < 0 || column >= t->size))
                continue;
            UNROLL
            for (int v = 0; v < k.vectors; ++v) {
                vec in = v_load_lanes(input + v * LANES, k.tail, t->lanes);
                sums[p][v] += tap[v][0] * in;
                if (k.parts == 2)
                    sums[p][v] += tap[v][1] * v_exchange(in);
            }
        }
    }
}

INLINE void clamp_abreast(const epilogue *finish, const abreast_kind k, vec (*sums)[LINE_VECTORS])
{
    const vec low = v_spread(finish->low), high = v_spread(finish->high);
    UNROLL
    for (int p = 0; p < k.pixels; ++p) {
        UNROLL
        for (int v = 0; v < k.vectors; ++v)
            sums[p][v] = v_at_most(v_at_least(sums[p][v], low), high);
    }
}

INLINE void store_abreast(const abreast_row *t, const abreast_kind k, const bool past, real *y, vec (*sums)[LINE_VECTORS])
{
    const dsc_int pixel = t->y_pixel;
    UNROLL
    for (int p = 0; p < k.pixels; ++p, y += pixel) {
        UNROLL
        for (int v = 0; v < k.vectors; ++v) {
            if (k.tail)
                v_store_start(y + v * LANES, sums[p][v], t->lanes);
            else if (past)
                v_store_past(y + v * LANES, sums[p][v]);
            else
                v_store(y + v * LANES, sums[p][v]);
        }
    }
}

/* Inputs that a later tile of the row reads and none has read, and results. */
INLINE void announce_abreast(const abreast_row *t, const abreast_kind k, const real *x, const real *y)
{
    x += t->x_ahead, y += PIXELS_AHEAD * t->y_pixel;
    UNROLL
    for (int p = 0; p < k.pixels; ++p, x += t->x_pixel, y += t->y_pixel)
        __builtin_prefetch(x), __builtin_prefetch(y, 1);
}

/* All taps of a vector, or of a line, of channels. */
INLINE void add_abreast(const abreast_row *t, const abreast_kind k, const real *x, const real *taps, dsc_int start,
                        vec (*sums)[LINE_VECTORS])
{
    dsc_int slices = t->slices;
    do {
        const real *row = x, *row_taps = taps;
        dsc_int rows = t->rows;
        do {
            if (k.columns == ABREAST_APART)
                add_apart(t, k, row, start, row_taps, sums);
            else if (k.columns == ABREAST_LONG)
                add_windows(t, k, row, start, row_taps, sums);
            else
                add_window(t, k, k.columns, row, start, row_taps, sums);
            row += t->x_row, row_taps += t->tap_row;
        } while (--rows);
        x += t->x_slice, taps += t->tap_slice;
    } while (--slices);
}

INLINE void run_abreast(const abreast_row *t, const abreast_tile *tile, const abreast_kind k)
{
    const real *x = tile->x, *taps = tile->taps, *bias = tile->bias;
    real *y = tile->y;
    const dsc_int start = tile->start;
    dsc_int left = tile->vectors;
    do {
        abreast_sums sums;
        UNROLL
        for (int v = 0; v < k.vectors; ++v, bias += LANES) {
            UNROLL
            for (int p = 0; p < k.pixels; ++p)
                sums[p][v] = v_load(bias);
        }
        if (t->x_ahead && (k.vectors == LINE_VECTORS || (uintptr_t)x % LINE_BYTES < VECTOR_BYTES))
            announce_abreast(t, k, x, y);
        add_abreast(t, k, x, taps, start, sums);
        if (t->finish->clamp)
            clamp_abreast(t->finish, k, sums);
        if (!k.tail && t->past)
            store_abreast(t, k, true, y, sums);
        else
            store_abreast(t, k, false, y, sums);
        x += k.vectors * LANES, y += k.vectors * LANES, taps += k.vectors * t->tap_vector;
        left -= k.vectors;
    } while (left > 0);
}

typedef void (*abreast_function)(const abreast_row *, const abreast_tile *);

#define ABREAST_CLIP(name, P, clip, ...) \
    static void name##_##P##_##clip(const abreast_row *r, const abreast_tile *t) \
    { run_abreast(r, t, (abreast_kind){P, clip, __VA_ARGS__}); }
#define ABREAST_BOTH(name, P, ...) ABREAST_CLIP(name, P, 0, __VA_ARGS__) ABREAST_CLIP(name, P, 1, __VA_ARGS__)
#if FEW_TILES
#define ABREAST_THREE(name, ...)
#define ABREAST_SIX(name, ...)
#define ABREAST_ODD(name, P)
#else
#define ABREAST_THREE(name, ...) ABREAST_BOTH(name, 3, __VA_ARGS__)
#define ABREAST_SIX(name, ...) ABREAST_BOTH(name, 6, __VA_ARGS__)
#define ABREAST_ODD(name, P) ABREAST_PAIR(name, P),
#endif
#define ABREAST_FEW(name, ...) \
    ABREAST_BOTH(name, 1, __VA_ARGS__) ABREAST_BOTH(name, 2, __VA_ARGS__) ABREAST_THREE(name, __VA_ARGS__) \
    ABREAST_BOTH(name, 4, __VA_ARGS__)
#define ABREAST_ALL(name, ...) ABREAST_FEW(name, __VA_ARGS__) ABREAST_SIX(name, __VA_ARGS__) ABREAST_BOTH(name, 8, __VA_ARGS__)
#define ABREAST_PAIR(name, P) {name##_##P##_0, name##_##P##_1}
#define ABREAST_FEW_ENTRIES(name) \
    ABREAST_PAIR(name, 1), ABREAST_PAIR(name, 2), ABREAST_ODD(name, 3) ABREAST_PAIR(name, 4)
#define ABREAST_ENTRIES(name) {ABREAST_FEW_ENTRIES(name), ABREAST_ODD(name, 6) ABREAST_PAIR(name, 8)}

ABREAST_ALL(abreast_long, ABREAST_LONG, 1, 1, 0, 1)
ABREAST_FEW(abreast_apart, ABREAST_APART, 1, 1, 0, 1)
ABREAST_FEW(abreast_tail, ABREAST_APART, 1, 1, 1, 1)
ABREAST_FEW(abreast_complex, ABREAST_APART, 1, 1, 0, 2)
ABREAST_FEW(abreast_complex_tail, ABREAST_APART, 1, 1, 1, 2)
ABREAST_ALL(abreast_3, 3, 1, 1, 0, 1)
ABREAST_ALL(abreast_3_strided, 3, 2, 1, 0, 1)
#if !FEW_TILES
ABREAST_FEW(abreast_lines, ABREAST_APART, 1, LINE_VECTORS, 0, 1)
ABREAST_FEW(abreast_complex_3, 3, 1, 1, 0, 2)
ABREAST_FEW(abreast_complex_5, 5, 1, 1, 0, 2)
ABREAST_FEW(abreast_complex_7, 7, 1, 1, 0, 2)
ABREAST_ALL(abreast_1, 1, 1, 1, 0, 1)
ABREAST_ALL(abreast_2, 2, 1, 1, 0, 1)
ABREAST_ALL(abreast_5, 5, 1, 1, 0, 1)
ABREAST_ALL(abreast_7, 7, 1, 1, 0, 1)
ABREAST_ALL(abreast_5_strided, 5, 2, 1, 0, 1)
ABREAST_ALL(abreast_7_strided, 7, 2, 1, 0, 1)
#endif

/* Pixels of a tile, by its place in the tables. */
#if FEW_TILES
static const int abreast_widths[] = {1, 2, 4, 8};
#else
static const int abreast_widths[] = {1, 2, 3, 4, 6, 8};
#endif
#define ABREAST_WIDTHS ((int)(sizeof abreast_widths / sizeof *abreast_widths))

/* [kind][width][clipped] */
enum { TILES_LONG, TILES_APART, TILES_TAIL, TILES_COMPLEX, TILES_COMPLEX_TAIL, TILES_3, TILES_3_STRIDED, TILES_LINES, TILES_1,
       TILES_2, TILES_5, TILES_7, TILES_5_STRIDED, TILES_7_STRIDED, TILES_COMPLEX_3, TILES_COMPLEX_5, TILES_COMPLEX_7 };
static const abreast_function abreast_table[][ABREAST_WIDTHS][2] = {
    ABREAST_ENTRIES(abreast_long), {ABREAST_FEW_ENTRIES(abreast_apart)}, {ABREAST_FEW_ENTRIES(abreast_tail)},
    {ABREAST_FEW_ENTRIES(abreast_complex)}, {ABREAST_FEW_ENTRIES(abreast_complex_tail)},
    ABREAST_ENTRIES(abreast_3), ABREAST_ENTRIES(abreast_3_strided),
#if !FEW_TILES
    {ABREAST_FEW_ENTRIES(abreast_lines)}, ABREAST_ENTRIES(abreast_1), ABREAST_ENTRIES(abreast_2), ABREAST_ENTRIES(abreast_5),
    ABREAST_ENTRIES(abreast_7), ABREAST_ENTRIES(abreast_5_strided), ABREAST_ENTRIES(abreast_7_strided),
    {ABREAST_FEW_ENTRIES(abreast_complex_3)}, {ABREAST_FEW_ENTRIES(abreast_complex_5)}, {ABREAST_FEW_ENTRIES(abreast_complex_7)},
#endif
};

/* Tiles by column taps: of neighbouring pixels, and of those two apart. 0: none. */
#if FEW_TILES
static const int abreast_dense[ABREAST_TAPS + 1] = {[3] = TILES_3}, abreast_strided[ABREAST_TAPS + 1] = {[3] = TILES_3_STRIDED};
static const int abreast_complex[ABREAST_TAPS + 1] = {0};
#define ABREAST_SINGLY TILES_APART
#else
static const int abreast_dense[ABREAST_TAPS + 1] = {[1] = TILES_1, [2] = TILES_2, [3] = TILES_3, [5] = TILES_5, [7] = TILES_7};
static const int abreast_strided[ABREAST_TAPS + 1] = {[3] = TILES_3_STRIDED, [5] = TILES_5_STRIDED, [7] = TILES_7_STRIDED};
static const int abreast_complex[ABREAST_TAPS + 1] = {[3] = TILES_COMPLEX_3, [5] = TILES_COMPLEX_5, [7] = TILES_COMPLEX_7};
#define ABREAST_SINGLY TILES_LINES
#endif

USUAL_ADDRESSES

#endif
