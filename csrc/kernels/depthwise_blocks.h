/* Depthwise convolution where the channel axis is dense, on sets with many registers: blocks of pixels, all their vectors of
 * channels one after the other, for squares and columns of taps; depth taps are added one by one to what waits in y. Pixels are
 * read whole, in the order of memory, and what is loaded for one vector lies a line from what was stored for the one before: a
 * vector that marches along the rows (depthwise_marching.h) loads what has the same place in a page as its last results, where
 * pixels are a power of two apart, and waits for them.
 *
 * Sums run over depth, then rows, then columns. */
#ifndef DSCONV_DEPTHWISE_BLOCKS_H
#define DSCONV_DEPTHWISE_BLOCKS_H

#include "channel_region.h"

#define BLOCK_ROWS 4           /* of outputs, at most */
#define BLOCK_COLUMNS 4
#define BLOCK_TAPS 7           /* a side, at most */
#define BLOCK_STRIDES 4
/* Of J rows of I taps: so many that the rows of taps between the first one's and the last one's, and all sums, stay in registers;
 * fewer where rows share no inputs. */
#define BLOCK_ROWS_OF(J, I, S) ((J) == (S) ? ((J) == 3 ? 2 : 1) : (I) == 1 ? 4 : (I) == 3 || ((I) < 7 && (S) == 1) ? 3 : 2)
/* Kernels of several depth taps too; those of 3 x 3 march faster, others share too little. */
#define BLOCK_VOLUMES(J, I, S) ((I) > (S) && ((I) > 3 || (S) == 2))
#define PAGE_HALF_BYTES 2048   /* loads wait for stores to the same place in a page, even of another */

/* A row of blocks, of one residue modulo the dilation; inputs are counted from the first output's first tap. */
typedef struct {
    const real *x, *taps, *bias;   /* of the first vector of channels */
    dsc_int x_row, x_column, tap_row, tap_column, tap_vector;
    real *y;
    dsc_int y_row, y_column, vectors, skip, channels;
    dsc_int low, high, count;      /* columns of inputs that exist: [low, high); of outputs */
    int rows;                      /* of outputs */
    unsigned row_bits;             /* rows of inputs that exist and are needed */
    dsc_int slices, x_slice, tap_slice;   /* depth taps that exist, the first at x and taps */
    bool past;                     /* results that are whole lines are stored past the caches */
    bool asks;                     /* for the next block; x_next, y_next: from this row to the next one */
    dsc_int x_next, y_next;
    const epilogue *finish;
} block_row;

/* One of them: columns of outputs; columns of inputs that exist and are needed; from its inputs and results to the next one's. */
typedef struct {
    int columns;
    unsigned column_bits;
    bool again, last;              /* sums of other depth taps wait in y; these are the last taps */
    dsc_int x_next, y_next;
} pixel_block;

/* What is constant in one of the functions below. */
typedef struct { int tap_rows, taps, stride, rows, volumes; } block_kind;
typedef vec block_sums[BLOCK_COLUMNS][BLOCK_ROWS];

/* Inputs that so many outputs read. */
INLINE int block_side(const block_kind k, const int taps, const int outputs) { return (outputs - 1) * k.stride + taps; }

/* All taps. */
INLINE void add_pixel_block(const block_row *t, const pixel_block *b, const block_kind k, const real *x, const real *taps, mask m,
                            block_sums sums)
{
    vec tap[BLOCK_TAPS][BLOCK_TAPS];
    unsigned rows = t->row_bits, columns = b->column_bits;
    __asm__("" : "+r"(rows), "+r"(columns));   /* else each bit is a variable of its own */
    UNROLL
    for (int j = 0; j < block_side(k, k.tap_rows, k.rows); ++j, x += t->x_row, taps += t->tap_row) {
        const real *input = x;
        UNROLL
        for (int i = 0; i < k.taps; ++i) {
            if (j >= k.tap_rows)
                continue;
            tap[j][i] = v_load(taps + i * t->tap_column);
            V_KEEP(tap[j][i]);
        }
        if (__builtin_expect(!(rows & 1u << j), 0))
            continue;
        UNROLL
        for (int c = 0; c < block_side(k, k.taps, BLOCK_COLUMNS); ++c, input += t->x_column) {
            if (__builtin_expect(!(columns & 1u << c), 0))
                continue;
            vec in = v_load_masked(input, m);
            V_KEEP(in);
            UNROLL
            for (int column = 0; column < BLOCK_COLUMNS; ++column) {
                UNROLL
                for (int row = 0; row < k.rows; ++row) {
                    const int across = c - column * k.stride, down = j - row * k.stride;
                    if (across >= 0 && across < k.taps && down >= 0 && down < k.tap_rows)
                        sums[column][row] += tap[down][across] * in;
                }
            }
        }
    }
}

/* What the sums begin with. */
INLINE void load_pixel_block(const block_row *t, const pixel_block *b, const block_kind k, const real *y, mask m, const real *bias,
                             block_sums sums)
{
    UNROLL
    for (int i = 0; i < BLOCK_COLUMNS * k.rows; ++i)
        sums[i / k.rows][i % k.rows] = v_load(bias);
    if (!k.volumes || !b->again)
        return;
    UNROLL
    for (int i = 0; i < BLOCK_COLUMNS * k.rows; ++i) {
        const int column = i / k.rows, row = i % k.rows;
        if (__builtin_expect(column < b->columns && row < t->rows, 1))
            sums[column][row] = v_load_masked(y + column * t->y_column + row * t->y_row, m);
    }
}

INLINE void clamp_block(const epilogue *finish, const block_kind k, block_sums sums)
{
    UNROLL
    for (int i = 0; i < BLOCK_COLUMNS * k.rows; ++i)
        sums[i / k.rows][i % k.rows] = v_clamp(finish, sums[i / k.rows][i % k.rows]);
}

INLINE void store_pixel_block(const block_row *t, const block_kind k, const int columns, const bool past, real *y, mask m,
                              block_sums sums)
{
    UNROLL
    for (int i = 0; i < BLOCK_COLUMNS * k.rows; ++i) {
        const int column = i / k.rows, row = i % k.rows;
        real *pixel = y + column * t->y_column + row * t->y_row;
        if (__builtin_expect(column >= columns || row >= t->rows, 0))
            continue;
        if (past)
            v_store_past(pixel, sums[column][row]);
        else
            v_store_masked(pixel, sums[column][row], m);
    }
}

/* A vector of each pixel that the next block reads and this one does not, and of its results, for the second-level cache. In a
 * function of its own, for its addresses would take the registers of the others. */
static __attribute__((noinline)) void ask_for_block(const block_row *t, int rows_before, int before, int stride, const real *x,
                                                    real *y)
{
    __asm__ volatile("");   /* else the function has no effects, and is not called */
    x += rows_before * t->x_row + before * t->x_column;
    for (int row = 0; row < t->rows * stride; ++row, x += t->x_row)
        for (int column = 0; column < BLOCK_COLUMNS * stride; ++column)
            __builtin_prefetch(x + column * t->x_column, 0, 2);
    for (int column = 0; column < BLOCK_COLUMNS && !t->past; ++column, y += t->y_column)
        for (int row = 0; row < t->rows; ++row)
            __builtin_prefetch(y + row * t->y_row, 1, 2);
}

/* All vectors of channels: upwards, or downwards where the one that would come next lies where results have just been stored.
 * `given` is what t is a copy of: a structure whose address a function gets cannot be in registers. */
INLINE void run_pixel_block(const block_row *t, const block_row *given, const pixel_block *b, const block_kind k,
                            const real *x, const real *taps, real *y)
{
    const bool down = ((uintptr_t)y - (uintptr_t)x - 1) % PAGE_HALF_BYTES < PAGE_HALF_BYTES / 2 - 1;
    const dsc_int step = down ? -LANES : LANES, first = down ? t->vectors - 1 : 0;
    const dsc_int tap_vector = down ? -t->tap_vector : t->tap_vector;
    const real *bias = t->bias + first * LANES;
    dsc_int channel = first * LANES - t->skip;
    x += first * LANES, y += first * LANES, taps += first * t->tap_vector;
    for (dsc_int left = t->vectors; left > 0; --left) {
        const bool whole = channel >= 0 && channel + LANES <= t->channels;
        const mask m = whole ? v_mask(0, LANES) : v_mask(at_least(-channel, 0), at_most(t->channels - channel, LANES));
        block_sums sums;
        load_pixel_block(t, b, k, y, m, bias, sums);
        if (b->x_next)
            ask_for_block(given, k.tap_rows - k.stride, k.taps - k.stride, k.stride, x + b->x_next, y + b->y_next);
        add_pixel_block(t, b, k, x, taps, m, sums);
        if (t->finish->clamp && b->last)
            clamp_block(t->finish, k, sums);
        if (t->past && b->last && whole)
            store_pixel_block(t, k, b->columns, true, y, m, sums);
        else
            store_pixel_block(t, k, b->columns, false, y, m, sums);
        x += step, y += step, bias += step, channel += step, taps += tap_vector;
    }
}

INLINE void run_pixel_blocks(const block_row *given, const block_kind k)
{
    const block_row own = *given, *t = &own;   /* results might overwrite the other */
    const dsc_int x_step = BLOCK_COLUMNS * k.stride * t->x_column, y_step = BLOCK_COLUMNS * t->y_column;
    for (dsc_int done = 0; done < t->count; done += BLOCK_COLUMNS) {
        const dsc_int start = done * k.stride;
        const int columns = (int)at_most(t->count - done, BLOCK_COLUMNS), side = block_side(k, k.taps, columns);
        const int low = (int)at_most(at_least(t->low - start, 0), side), high = (int)at_most(at_least(t->high - start, low), side);
        const real *x = t->x + start * t->x_column;
        real *y = t->y + done * t->y_column;
        const bool last = done + BLOCK_COLUMNS >= t->count;
        pixel_block b = {
            .columns = columns, .column_bits = (1u << high) - (1u << low),
            .x_next = !t->asks ? 0 : last ? t->x + t->x_next - x : x_step, .y_next = last ? t->y + t->y_next - y : y_step,
        };
        const real *taps = t->taps;
        for (dsc_int left = k.volumes ? t->slices : 1; left > 0; --left, x += t->x_slice, taps += t->tap_slice, b.again = true) {
            b.last = !k.volumes || left == 1;
            run_pixel_block(t, given, &b, k, x, taps, y);
        }
    }
}

typedef void (*block_function)(const block_row *);

PLAIN_WIDE
#define PIXEL_BLOCKS(J, I, S) \
    static void blocks_##J##_##I##_##S(const block_row *t) \
    { run_pixel_blocks(t, (block_kind){J, I, S, BLOCK_ROWS_OF(J, I, S), BLOCK_VOLUMES(J, I, S)}); }
PIXEL_BLOCKS(3, 3, 1) PIXEL_BLOCKS(3, 3, 2) PIXEL_BLOCKS(3, 3, 3) PIXEL_BLOCKS(2, 2, 2) PIXEL_BLOCKS(4, 4, 1) PIXEL_BLOCKS(4, 4, 4)
PIXEL_BLOCKS(5, 5, 1) PIXEL_BLOCKS(5, 5, 2) PIXEL_BLOCKS(7, 7, 1) PIXEL_BLOCKS(7, 7, 2)
PIXEL_BLOCKS(3, 1, 1) PIXEL_BLOCKS(5, 1, 1) PIXEL_BLOCKS(7, 1, 1)
USUAL_WIDE

/* [row taps][square, column][stride - 1] */
static const block_function block_table[BLOCK_TAPS + 1][2][BLOCK_STRIDES] = {
    [2] = {{[1] = blocks_2_2_2}},
    [3] = {{blocks_3_3_1, blocks_3_3_2, blocks_3_3_3}, {blocks_3_1_1}},
    [4] = {{blocks_4_4_1, [3] = blocks_4_4_4}},
    [5] = {{blocks_5_5_1, blocks_5_5_2}, {blocks_5_1_1}},
    [7] = {{blocks_7_7_1, blocks_7_7_2}, {blocks_7_1_1}},
};

/* The function for these taps, NULL if there is none. */
static block_function block_of(const dsc_extent *e)
{
    const dsc_int rows = e->kernel[1], taps = e->kernel[2], stride = e->stride[2];
    const bool dense = e->dilation[1] == 1 && e->dilation[2] == 1, column = taps == 1;
    if (rows > BLOCK_TAPS || (!column && taps != rows) || e->stride[1] != stride || stride > (dense ? BLOCK_STRIDES : 1) ||
        (e->kernel[0] > 1 && !BLOCK_VOLUMES(rows, taps, stride)))
        return NULL;
    return block_table[rows][column][stride - 1];
}

static dsc_int rows_of_block(const dsc_extent *e) { return BLOCK_ROWS_OF(e->kernel[1], e->kernel[2], e->stride[2]); }

/* The first depth tap and the one after the last that exist. */
static void clip_depth(const channel_region *r, dsc_int *first, dsc_int *last)
{
    const dsc_extent *e = r->e;
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, first, last);
}

/* A depth tap exists. */
static bool runs_blocks(const channel_region *r)
{
    dsc_int first, last;
    clip_depth(r, &first, &last);
    return r->parts == 1 && first < last && block_of(r->e);
}

/* Rows of outputs from `row` on, of one residue modulo the dilation; but for their columns. */
static block_row rows_of_blocks(const channel_region *r, dsc_int row)
{
    const dsc_extent *e = r->e;
    const dsc_int *apart = e->dilation, *step = r->x_step;
    const dsc_int slice = r->depth * e->stride[0] - e->low[0], line = row * e->stride[1] - e->low[1];
    const dsc_int next = rows_of_block(e) * apart[1];
    dsc_int first, last, first_slice, last_slice;
    clip_depth(r, &first_slice, &last_slice);
    block_row b = {
        .x = r->x + (slice + first_slice * apart[0]) * step[0] + line * step[1] - r->skip,
        .taps = r->taps + first_slice * r->tap_step[0], .bias = r->bias, .slices = last_slice - first_slice,
        .x_slice = apart[0] * step[0], .tap_slice = r->tap_step[0],
        .x_row = apart[1] * step[1], .x_column = apart[2] * step[2], .tap_row = r->tap_step[1], .tap_column = r->tap_step[2],
        .tap_vector = r->tap_vector, .y = r->y + (row - r->row) * r->y_row - r->skip,
        .y_row = apart[1] * r->y_row, .y_column = apart[2] * r->y_column, .vectors = channel_vectors(r), .skip = r->skip,
        .channels = r->channels, .rows = (int)at_most(divide_up(r->row + r->rows - row, apart[1]), rows_of_block(e)),
        .past = r->past && (uintptr_t)(r->y - r->skip) % LINE_BYTES == 0, .asks = r->asks,
        .x_next = next * e->stride[1] * step[1], .y_next = next * r->y_row, .finish = r->finish,
    };
    clip_taps(line, apart[1], (b.rows - 1) * e->stride[1] + e->kernel[1], e->in[1], 0, &first, &last);
    b.row_bits = (1u << last) - (1u << first);
    return b;
}

static void run_row_of_blocks(const channel_region *r, block_row *b)
{
    const dsc_extent *e = r->e;
    const dsc_int apart = e->dilation[2];
    const real *x = b->x;
    real *y = b->y;
    const block_function run = block_of(e);
    for (dsc_int residue = 0; residue < at_most(apart, r->columns); ++residue) {
        const dsc_int start = (r->column + residue) * e->stride[2] - e->low[2];
        b->x = x + start * r->x_step[2], b->y = y + residue * r->y_column;
        b->count = divide_up(r->columns - residue, apart);
        b->low = start < 0 ? divide_up(-start, apart) : 0, b->high = start < e->in[2] ? divide_up(e->in[2] - start, apart) : 0;
        run(b);
    }
}

static void depthwise_blocks(const channel_region *r)
{
    const dsc_int apart = r->e->dilation[1], next = rows_of_block(r->e) * apart;
    for (dsc_int residue = 0; residue < at_most(apart, r->rows); ++residue)
        for (dsc_int row = residue; row < r->rows; row += next) {
            block_row b = rows_of_blocks(r, r->row + row);
            run_row_of_blocks(r, &b);
            for (int i = 0; i < b.rows; ++i)
                finish_pixels(r, r->row + row + i * apart);
        }
}

#endif
