/* Channels dense, and fewer than a vector holds, as those of an image: a row of pixels and channels is one run, in which column
 * taps are some channels apart. Taps come as vectors in which the channels take turns; after so many vectors as there are channels,
 * at most, the turns are the same again.
 *
 * The taps of one output are added in the order in which the tiles for many channels add them. Lanes outside are zero: all taps
 * must be finite. */
#ifndef DSCONV_DEPTHWISE_FEW_CHANNELS_H
#define DSCONV_DEPTHWISE_FEW_CHANNELS_H

#include "channel_region.h"
#include "finite_taps.h"

#define ROWS_OF_FEW 8     /* of results that share the loads of taps */
#define FEW_SHARE (PIXELS_ABREAST ? 8 : 3)   /* eighths of a vector, at most: to march takes fewer loads */
#define FEW_FROM 24       /* pixels, times channels squared: the more of these, the more turns to lay out and the less to win */

/* Taps and bias of a vector that begins with a certain channel. */
typedef struct { vec taps[FEW_TAPS], bias; } few_turns;

/* A tap that exists: which, and how many elements of x, and of the row in it, from the first that is read for the first result. */
typedef struct { dsc_int tap, from, column; } few_tap;

/* Rows of results that meet the same taps. */
typedef struct {
    const channel_region *r;
    few_tap taps[FEW_TAPS];
    int count;
    dsc_int x_next;             /* elements of x from a row of results to the next */
    dsc_int width, low, high;   /* results of a row; elements of a row of x that exist, counted as those of taps */
} few_run;

static few_turns turns_from(const channel_region *r, dsc_int column)
{
    few_turns turns;
    const dsc_int taps = r->e->kernel[0] * r->e->kernel[1] * r->e->kernel[2];
    for (int lane = 0; lane < LANES; ++lane) {
        const dsc_int channel = (column + lane) % r->channels;
        turns.bias[lane] = r->bias[channel];
        for (dsc_int tap = 0; tap < taps; ++tap)
            turns.taps[tap][lane] = r->taps[tap * LANES + channel];
    }
    return turns;
}

/* The vector of results from `column` on in each of R rows. */
INLINE void few_vectors(const few_run *s, const few_turns *turns, const epilogue *finish, const int R, const bool masked,
                        const real *x, real *y, dsc_int column)
{
    vec sums[ROWS_OF_FEW];
    UNROLL
    for (int o = 0; o < R; ++o)
        sums[o] = turns->bias;
    x += column;
    for (int i = 0; i < s->count; ++i) {
        const few_tap *at = &s->taps[i];
        const real *from = x + at->from;
        const vec tap = turns->taps[at->tap];
        const mask m = v_mask(masked ? s->low - column - at->column : 0, masked ? s->high - column - at->column : LANES);
        UNROLL
        for (int o = 0; o < R; ++o, from += s->x_next)
            sums[o] += tap * (masked ? v_load_masked(from, m) : v_load(from));
    }
    UNROLL
    for (int o = 0; o < R; ++o)
        v_store(y + o * s->r->y_row + column, v_finish(finish, sums[o]));
}

/* All vectors of R rows; the last begins within the one before, if it would end beyond them. */
INLINE void few_rows(const few_run *s, const few_turns *turns, int period, const int R, const real *x, real *y)
{
    const dsc_int reach = (s->r->e->kernel[2] - 1) * s->r->e->dilation[2] * s->r->channels + LANES;
    const epilogue finish = *s->r->finish;
    int turn = 0;
    for (dsc_int next = 0; next < s->width; next += LANES, turn = turn + 1 < period ? turn + 1 : 0) {
        const dsc_int column = at_most(next, s->width - LANES);
        const few_turns *own = column < next ? turns + period : turns + turn;
        if (column >= s->low && column + reach <= s->high)
            few_vectors(s, own, &finish, R, false, x, y, column);
        else
            few_vectors(s, own, &finish, R, true, x, y, column);
    }
}

static __attribute__((noinline)) void few_rows_together(const few_run *s, const few_turns *turns, int period, const real *x,
                                                        real *y)
{
    few_rows(s, turns, period, ROWS_OF_FEW, x, y);
}

static __attribute__((noinline)) void few_row(const few_run *s, const few_turns *turns, int period, const real *x, real *y)
{
    few_rows(s, turns, period, 1, x, y);
}

/* Are these channels so few, do their rows have no gaps, and is it worth it? */
static bool has_few_channels(const channel_region *r)
{
    const dsc_extent *e = r->e;
    const bool few = r->parts == 1 && r->skip == 0 && r->channels > 0 && r->channels < LANES &&
                     8 * r->channels <= FEW_SHARE * LANES;
    const bool dense = r->x_step[2] == r->channels && r->y_column == r->channels && r->columns * r->channels >= LANES;
    const dsc_int *kernel = e->kernel;
    const bool fits = kernel[0] <= FEW_TAPS && kernel[1] <= FEW_TAPS && kernel[2] <= FEW_TAPS &&
                      kernel[0] * kernel[1] * kernel[2] <= FEW_TAPS;
    const bool small = stays_small(e->dilation[2]) && stays_small(e->low[2]) && stays_small(e->stride[1]);
    const bool worth = (double)r->rows * (double)r->columns >= FEW_FROM * (double)r->channels * (double)r->channels;
    return few && dense && fits && small && worth && r->in_order && e->stride[2] == 1 && e->mode == DSC_ZEROS &&
           row_finite(r->taps, 1, kernel[0] * kernel[1] * kernel[2] * LANES);
}

/* Of the column taps [begin, end) those that exist in depth and in rows. */
static void list_few_columns(few_run *s, const dsc_int *first, const dsc_int *last, dsc_int begin, dsc_int end)
{
    const channel_region *r = s->r;
    const dsc_extent *e = r->e;
    for (dsc_int k = first[0]; k < last[0]; ++k)
        for (dsc_int j = first[1]; j < last[1]; ++j)
            for (dsc_int i = begin; i < end; ++i) {
                const dsc_int column = i * e->dilation[2] * r->channels;
                const dsc_int from = k * e->dilation[0] * r->x_step[0] + j * e->dilation[1] * r->x_step[1] + column;
                s->taps[s->count++] = (few_tap){(k * e->kernel[1] + j) * e->kernel[2] + i, from, column};
            }
}

/* The taps that exist where the first row tap reads row `line` of x. */
static void list_few_taps(few_run *s, dsc_int line)
{
    const channel_region *r = s->r;
    const dsc_extent *e = r->e;
    const dsc_int slice = r->depth * e->stride[0] - e->low[0];
    dsc_int first[2], last[2];
    clip_taps(slice, e->dilation[0], e->kernel[0], e->in[0], 0, &first[0], &last[0]);
    clip_taps(line, e->dilation[1], e->kernel[1], e->in[1], 0, &first[1], &last[1]);
    s->count = 0;
    if (columns_first(e))
        for (dsc_int i = 0; i < e->kernel[2]; ++i)
            list_few_columns(s, first, last, i, i + 1);
    else
        list_few_columns(s, first, last, 0, e->kernel[2]);
}

static __attribute__((noinline)) void depthwise_few_channels(const channel_region *r)
{
    const dsc_extent *e = r->e;
    few_turns turns[LANE_COUNT + 1];
    int period = 0;
    do
        turns[period] = turns_from(r, period * LANES), ++period;
    while (period * LANES % r->channels);
    turns[period] = turns_from(r, r->columns * r->channels - LANES);
    const dsc_int start = (r->column - e->low[2]) * r->channels;
    few_run s = {.r = r, .x_next = e->stride[1] * r->x_step[1], .width = r->columns * r->channels, .low = -start,
                 .high = e->in[2] * r->channels - start};
    const real *x = r->x + (r->depth * e->stride[0] - e->low[0]) * r->x_step[0] + start;
    for (dsc_int row = r->row, rows; row < r->row + r->rows; row += rows) {
        const dsc_int line = row * e->stride[1] - e->low[1];
        const dsc_int end = line + (ROWS_OF_FEW - 1) * e->stride[1] + (e->kernel[1] - 1) * e->dilation[1];
        const bool together = line >= 0 && end < e->in[1] && row + ROWS_OF_FEW <= r->row + r->rows;
        rows = together ? ROWS_OF_FEW : 1;
        list_few_taps(&s, line);
        (together ? few_rows_together : few_row)(&s, turns, period, x + line * r->x_step[1], r->y + (row - r->row) * r->y_row);
        for (dsc_int i = 0; i < rows; ++i)
            finish_pixels(r, row + i);
    }
}

#endif
