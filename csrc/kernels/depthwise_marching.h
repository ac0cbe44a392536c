/* Depthwise convolution where the channel axis is dense, for 1, 2, 3, 5 or 7 column taps, on sets with many registers: a vector of
 * channels marches along the rows. Every input is loaded once and added to the sums of all outputs that it feeds, which wait in
 * registers.
 *
 * Sums run over columns, then depth, then rows, however many rows march together and wherever an output lies. */
#ifndef DSCONV_DEPTHWISE_MARCHING_H
#define DSCONV_DEPTHWISE_MARCHING_H

#include "epilogue.h"
#include "walk.h"

#define MARCH_COLUMNS 7    /* most column taps */
#define MARCH_RESIDENT 3   /* most column taps, and rows, of kernels that stay in registers */
#define MARCH_RESIDENT_TAPS (MARCH_RESIDENT * MARCH_RESIDENT)
#define MARCH_ROWS 3       /* most rows */
#define MARCH_INPUTS 9     /* most rows of inputs that feed them */
#define MARCH_TAPS 128     /* most taps of a kernel */
#define MARCH_STRIDES 4    /* largest stride */
#define MARCH_SHARING 2    /* ... with which rows march together */
#define LONE_LEAST 3       /* least column taps where the stride is larger */
#define MARCH_AHEAD 8      /* columns of a spread result that are asked for before they are needed: no prefetcher sees them */

/* Rows of outputs, and columns of one residue modulo the dilation, counted among themselves: output column p reads input
 * columns p * stride + tap, of which [low, high) exist. */
typedef struct {
    const real *x;             /* row tap 0 of the first row, input column 0 */
    dsc_int x_row, x_column;   /* from one row tap, one input column to the next */
    dsc_int x_slice, slices;   /* depth taps that exist, the first at x */
    dsc_int low, high, count;
    dsc_int rows, row_first, row_last;   /* row taps, and those that exist where one row marches alone */
    const vec *taps;           /* [depth][row][column][part], the first at the first depth tap that exists */
    const real *bias;
    real *y;
    dsc_int y_row, y_column;
    dsc_int lane_low, lane_high;   /* lanes that are channels */
    bool past;                 /* results are whole lines, and stored past the caches */
    bool spread;               /* pixels of the result have others between them */
    bool asks;                 /* rows that march together: for what the next ones read and write */
    const epilogue *finish;
} channel_march;

/* What is constant in one of the functions below. `resident`: rows of taps that stay in registers; `parts`: 2 where pairs of lanes
 * are complex numbers, whose taps are two vectors, the second for inputs with their parts exchanged. */
typedef struct { int taps, stride, rows, resident, parts; } march_kind;

INLINE int live_outputs(const march_kind k)
{
    return (k.taps + k.stride - 1) / k.stride;
}

/* A column of inputs to the sums that wait: output m along the row gets column tap `newest` - m * stride. Loads are dearer
 * than multiply-adds, so each tap is loaded once for all rows. */
INLINE void add_inputs(const march_kind k, const int tap_rows, const int newest, const vec *x, const vec *taps,
                       const vec *resident, vec sums[][MARCH_ROWS])
{
    UNROLL
    for (int m = 0; m < live_outputs(k); ++m) {
        const int tap = newest - m * k.stride;
        if (tap < 0)
            continue;
        UNROLL
        for (int row = 0; row < tap_rows; ++row) {
            vec factor = (k.resident ? resident : taps)[(row * k.taps + tap) * k.parts];
            V_KEEP(factor);
            UNROLL
            for (int r = 0; r < k.rows; ++r)
                sums[m][r] += factor * x[row + r * k.stride];
        }
    }
}

INLINE bool may_ask(const march_kind k) { return k.rows > 1 && k.parts == 1 && k.taps > 1; }

/* One column of some rows, for the second-level cache. */
INLINE void ask_for_rows(const real *p, dsc_int step, int rows, const int written)
{
#pragma GCC unroll 1
    for (; rows > 0; --rows, p += step)
        __builtin_prefetch(p, written, 2);
}

/* The rows of inputs of a row that marches alone; `part` 1: for the imaginary parts of taps. */
INLINE void add_rows_singly(const channel_march *t, const march_kind k, const int part, const int newest, const real *column,
                            mask m, const vec *taps, vec sums[][MARCH_ROWS])
{
    const real *input = column + t->row_first * t->x_row;
    const vec *row = taps + t->row_first * k.taps * k.parts + part;
    for (dsc_int left = t->row_last - t->row_first; left > 0; --left, row += k.taps * k.parts, input += t->x_row) {
        vec x = v_load_masked(input, m);
        if (part)
            x = v_exchange(x);
        add_inputs(k, 1, newest, &x, row, row, sums);
    }
}

/* Those of rows that march together. */
INLINE void add_rows_together(const channel_march *t, const march_kind k, const int newest, const real *input, mask m,
                              const vec *taps, const vec *resident, vec sums[][MARCH_ROWS])
{
    const int tap_rows = k.resident ? k.resident : k.taps, rows_in = (k.rows - 1) * k.stride + tap_rows;
    vec x[MARCH_INPUTS];
    UNROLL
    for (int j = 0; j < rows_in; ++j, input += t->x_row) {
        x[j] = v_load_masked(input, m);
        V_KEEP(x[j]);
    }
    add_inputs(k, tap_rows, newest, x, taps, resident, sums);
    if (k.parts == 2) {
        UNROLL
        for (int j = 0; j < rows_in; ++j)
            x[j] = v_exchange(x[j]);
        add_inputs(k, tap_rows, newest, x, taps + 1, resident, sums);
    }
}

INLINE void add_column(const channel_march *t, const march_kind k, const int newest, const real *column, mask m,
                       const vec *resident, vec sums[][MARCH_ROWS])
{
    const vec *taps = t->taps;
    for (dsc_int slice = k.resident ? 1 : t->slices; slice > 0;
         --slice, column += t->x_slice, taps += t->rows * k.taps * k.parts) {
        if (k.rows > 1 || k.resident) {
            add_rows_together(t, k, newest, column, m, taps, resident, sums);
            if (may_ask(k) && t->asks)
                ask_for_rows(column + (k.taps + (k.rows - 1) * k.stride) * t->x_row, t->x_row, k.rows * k.stride, 0);
            continue;
        }
        add_rows_singly(t, k, 0, newest, column, m, taps, sums);
        if (k.parts == 2)
            add_rows_singly(t, k, 1, newest, column, m, taps, sums);
    }
}

/* A column of results is complete; the next outputs move up. */
INLINE void store_column(const channel_march *t, const march_kind k, real *y, vec bias, mask m, vec sums[][MARCH_ROWS])
{
    const int live = live_outputs(k);
    UNROLL
    for (int r = 0; r < k.rows; ++r) {
        vec sum = v_finish(t->finish, sums[0][r]);
        if (VECTOR_BYTES == LINE_BYTES && t->past)
            v_store_past(y + r * t->y_row, sum);
        else
            v_store_masked(y + r * t->y_row, sum, m);
        UNROLL
        for (int i = 1; i < live; ++i)
            sums[i - 1][r] = sums[i][r];
        sums[live - 1][r] = bias;
    }
}

INLINE void march(const channel_march *given, const march_kind k)
{
    const channel_march own = *given, *t = &own;   /* results might overwrite the other */
    const vec bias = v_load(t->bias);
    const mask m = v_mask(t->lane_low, t->lane_high);
    vec sums[MARCH_COLUMNS][MARCH_ROWS], resident[MARCH_RESIDENT_TAPS];
    UNROLL
    for (int i = 0; i < k.resident * k.taps; ++i)
        resident[i] = t->taps[i];
    UNROLL
    for (int i = 0; i < live_outputs(k); ++i) {
        UNROLL
        for (int r = 0; r < k.rows; ++r)
            sums[i][r] = bias;
    }
    const int before = at_least(k.taps - k.stride, 0);
    UNROLL
    for (int i = 0; i < before; ++i)
        if (i >= t->low && i < t->high)
            add_column(t, k, i, t->x + i * t->x_column, m, resident, sums);
    const real *x = t->x + (k.taps - k.stride) * t->x_column;
    real *y = t->y;
    dsc_int c = k.taps - k.stride;
    for (dsc_int left = t->count; left > 0; --left, y += t->y_column) {
        UNROLL
        for (int i = 0; i < k.stride; ++i, ++c, x += t->x_column) {
            const int newest = k.taps - k.stride + i;
            if (newest >= 0 && c >= t->low && c < t->high)
                add_column(t, k, newest, x, m, resident, sums);
        }
        for (int r = 0; r < k.rows && t->spread; ++r)
            __builtin_prefetch(y + MARCH_AHEAD * t->y_column + r * t->y_row, 1);
        store_column(t, k, y, bias, m, sums);
        if (may_ask(k) && t->asks && !t->past)
            ask_for_rows(y + k.rows * t->y_row, t->y_row, k.rows, 1);
    }
}

typedef void (*march_function)(const channel_march *);

/* One row; some; some, or one that shares no inputs, and one depth tap; one row, and one depth and one row tap. */
enum { ONE_ROW, SOME_ROWS, FLAT_ROWS, ONE_LINE };

#define MARCH_TOGETHER(K) ((K) <= 5 ? 3 : 2)
#define LONE_TAPS 7   /* most column taps of a row that marches alone: outputs more than MARCH_SHARING apart share few inputs */

#define MARCH(K, S, name, rows, resident) \
    static void march_##K##_##S##_##name(const channel_march *t) { march(t, (march_kind){K, S, rows, resident, 1}); }
#define MARCH_ONE(K, S) MARCH(K, S, one, 1, 0)
#define MARCH_LONE(K, S) MARCH_ONE(K, S) MARCH(K, S, line, 1, 1)
#define MARCH_SOME(K, S) MARCH_LONE(K, S) MARCH(K, S, some, MARCH_TOGETHER(K), 0)
#define MARCH_FLAT(K, S) MARCH_SOME(K, S) MARCH(K, S, flat, MARCH_TOGETHER(K), K)
#define MARCH_ENTRIES(K, S, some, flat, line) \
    {march_##K##_##S##_one, march_##K##_##S##_##some, march_##K##_##S##_##flat, march_##K##_##S##_##line}
#define LONE_ENTRIES(K, S) MARCH_ENTRIES(K, S, one, one, line)
#define ONE_ENTRIES(K, S) MARCH_ENTRIES(K, S, one, one, one)
MARCH_FLAT(1, 1) MARCH_FLAT(1, 2) MARCH_FLAT(2, 1) MARCH_SOME(3, 1)
MARCH_LONE(2, 2) MARCH_LONE(3, 2) MARCH_LONE(5, 1) MARCH_LONE(5, 2) MARCH_LONE(7, 1) MARCH_LONE(7, 2)
MARCH_ONE(3, 3) MARCH_ONE(3, 4) MARCH(3, 4, flat, 1, 3) MARCH_ONE(5, 3) MARCH_ONE(5, 4) MARCH_ONE(7, 3) MARCH_ONE(7, 4)

/* [1, 2, 3, 5, 7 column taps][stride - 1][rows: see above]. Rows of larger squares, and of most with strides, are computed together
 * by depthwise_blocks.h; here are what it leaves: large strides, and kernels that are no squares. */
static const march_function march_table[5][MARCH_STRIDES][ONE_LINE + 1] = {
    {MARCH_ENTRIES(1, 1, some, flat, line), MARCH_ENTRIES(1, 2, some, flat, line)},
    {MARCH_ENTRIES(2, 1, some, flat, line), LONE_ENTRIES(2, 2)},
    {MARCH_ENTRIES(3, 1, some, some, line), LONE_ENTRIES(3, 2), ONE_ENTRIES(3, 3), MARCH_ENTRIES(3, 4, one, flat, one)},
    {LONE_ENTRIES(5, 1), LONE_ENTRIES(5, 2), ONE_ENTRIES(5, 3), ONE_ENTRIES(5, 4)},
    {LONE_ENTRIES(7, 1), LONE_ENTRIES(7, 2), ONE_ENTRIES(7, 3), ONE_ENTRIES(7, 4)},
};

/* Row of the table for these column taps, -1 where there is none. */
static int march_of(const dsc_extent *e)
{
    static const int row[MARCH_COLUMNS + 1] = {-1, 0, 1, 2, -1, 3, -1, 4};
    const dsc_int most = e->kernel[2] >= LONE_LEAST && e->kernel[2] <= LONE_TAPS ? MARCH_STRIDES : MARCH_SHARING;
    bool strides = e->stride[2] == 1 || (e->stride[2] <= most && e->dilation[2] == 1);
    bool few = e->kernel[2] <= MARCH_COLUMNS && e->kernel[0] <= MARCH_TAPS && e->kernel[1] <= MARCH_TAPS &&
               e->kernel[0] * e->kernel[1] * e->kernel[2] <= MARCH_TAPS;
    return strides && few ? row[e->kernel[2]] : -1;
}

#define MARCH_COMPLEX(K, S, name, rows) \
    static void march_complex_##K##_##S##_##name(const channel_march *t) { march(t, (march_kind){K, S, rows, 0, 2}); }
#define COMPLEX_SOME(K) \
    MARCH_COMPLEX(K, 1, one, 1) MARCH_COMPLEX(K, 2, one, 1) \
    MARCH_COMPLEX(K, 1, some, MARCH_TOGETHER(K)) MARCH_COMPLEX(K, 2, some, MARCH_TOGETHER(K))
#define COMPLEX_PAIR(K, S, some) {march_complex_##K##_##S##_one, march_complex_##K##_##S##_##some}
MARCH_COMPLEX(1, 1, one, 1) MARCH_COMPLEX(1, 2, one, 1) COMPLEX_SOME(2) COMPLEX_SOME(3) COMPLEX_SOME(5)
MARCH_COMPLEX(7, 1, one, 1) MARCH_COMPLEX(7, 2, one, 1)

/* [1, 2, 3, 5, 7 column taps][stride - 1][together] */
static const march_function complex_marches[5][MARCH_SHARING][2] = {
    {COMPLEX_PAIR(1, 1, one), COMPLEX_PAIR(1, 2, one)}, {COMPLEX_PAIR(2, 1, some), COMPLEX_PAIR(2, 2, some)},
    {COMPLEX_PAIR(3, 1, some), COMPLEX_PAIR(3, 2, some)}, {COMPLEX_PAIR(5, 1, some), COMPLEX_PAIR(5, 2, some)},
    {COMPLEX_PAIR(7, 1, one), COMPLEX_PAIR(7, 2, one)},
};

/* Rows that may march together where all their taps exist. */
static int rows_together(const dsc_extent *e, int parts)
{
    if (parts == 2 && (e->kernel[2] == 1 || e->kernel[2] == MARCH_COLUMNS))
        return 1;
    bool square = e->kernel[1] == e->kernel[2] && e->stride[1] == e->stride[2];
    bool share = e->stride[1] == 1 || (e->stride[1] <= MARCH_SHARING && e->dilation[1] == 1);
    bool known = parts == 2 || e->kernel[2] == 1 || (e->kernel[2] <= MARCH_RESIDENT && e->stride[2] == 1);
    return square && share && known ? MARCH_TOGETHER(e->kernel[2]) : 1;
}

#endif
