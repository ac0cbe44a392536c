/* The planar tile for one row of three and more column taps: a lane holds LONG_PARTS neighbouring results, so that each loaded
 * vector of x feeds them all.
 *
 * Rows of x are dealt into strips, element i to strip i % LONG_PARTS, which are loaded at every offset; the results are zipped
 * together again. The taps of one output are added in their order, as by every other tile for one row. Lanes outside are zero: all
 * taps must be finite. */
#ifndef DSCONV_DEPTHWISE_LONG_H
#define DSCONV_DEPTHWISE_LONG_H

#include "depthwise_tile.h"

#define LONG_PARTS 4
#define LONG_TAPS 3              /* least column taps, */
#define LONG_TAPS_MOST 1024      /* and most: what strips of one block hold */
#define LONG_BYTES (12 << 10)    /* strips of a row, of which a tile has two: most of the first-level cache */
#define LONG_APART (LONG_BYTES + 2048)   /* no multiple of a page: a store is taken for one to what is loaded a page away */
#define LONG_TOGETHER 2          /* blocks that share loaded taps, and hide the time that a multiply-add takes */
#define LONG_BLOCK (LONG_PARTS * LANES)

/* The strips of a row, `pitch` apart, for so many columns of results: `dealt` elements of each are of x, the rest is zero. */
typedef struct { dsc_int columns, dealt, pitch; } long_strips;

static long_strips lay_out_long(dsc_int columns, dsc_int taps)
{
    const dsc_int read = divide_up(columns, LONG_BLOCK) * LANES + (taps + LONG_PARTS - 2) / LONG_PARTS;
    long_strips s = {.columns = columns, .dealt = divide_up(columns + taps - 1, LONG_BLOCK) * LANES};
    s.pitch = at_least(s.dealt, round_up(read, LANES));
    return s;
}

/* For as many columns as fit. */
static long_strips choose_long(dsc_int columns, dsc_int taps)
{
    long_strips s = lay_out_long(columns, taps);
    while (LONG_PARTS * s.pitch * (dsc_int)sizeof(real) > LONG_BYTES && columns > LONG_BLOCK)
        s = lay_out_long(columns = round_up(columns / 2, LONG_BLOCK), taps);
    return s;
}

/* Blocks waste at most a quarter of their lanes more than vectors would. */
static bool can_be_long(const dsc_extent *e, dsc_int columns)
{
    const bool taps = e->kernel[1] == 1 && e->kernel[2] >= LONG_TAPS && e->kernel[2] <= LONG_TAPS_MOST;
    return taps && e->stride[2] == 1 && e->dilation[2] == 1 &&
           3 * LONG_PARTS * divide_up(columns, LONG_BLOCK) <= 4 * divide_up(columns, LANES);
}

/* A row of x, whose positions [low, high) from x on exist. */
INLINE void deal_row(const long_strips *s, const real *x, dsc_int low, dsc_int high, real *strip)
{
    dsc_int i = 0;
    for (; i < s->dealt; i += LANES, low -= LONG_BLOCK, high -= LONG_BLOCK, x += LONG_BLOCK) {
        vec row[LONG_PARTS], parts[LONG_PARTS];
        const bool inside = low <= 0 && high >= LONG_BLOCK;
        UNROLL
        for (int p = 0; p < LONG_PARTS; ++p)
            row[p] = inside ? v_load(x + p * LANES) : v_load_masked(x + p * LANES, v_mask(low - p * LANES, high - p * LANES));
        v_split_4(row, parts);
        UNROLL
        for (int p = 0; p < LONG_PARTS; ++p)
            v_store(strip + p * s->pitch + i, parts[p]);
    }
    for (; i < s->pitch; i += LANES) {
        UNROLL
        for (int p = 0; p < LONG_PARTS; ++p)
            v_store(strip + p * s->pitch + i, v_spread(0));
    }
}

/* Sums of a block: [q] is of outputs LONG_PARTS * lane + q. */
typedef struct { vec sums[LONG_PARTS]; } long_sums;

/* Element m of what a lane reads, with the last LONG_PARTS taps, of which `first` to `last` meet a sum that is still open.
 * x: where the strip of that element begins. */
INLINE void add_long(const int blocks, const int m, int first, int last, const real *x, const vec *taps, long_sums *s)
{
    vec inputs[LONG_TOGETHER];
    UNROLL
    for (int b = 0; b < blocks; ++b)
        inputs[b] = v_load(x + b * LANES);
    UNROLL
    for (int q = 0; q < LONG_PARTS; ++q) {
        if (q < first || q > last)
            continue;
        UNROLL
        for (int b = 0; b < blocks; ++b)
            s[b].sums[q] += inputs[b] * taps[(m + LONG_PARTS - q) % LONG_PARTS];
    }
}

/* A row of at least LONG_PARTS - 1 taps, `step` apart. */
INLINE void add_long_row(const int blocks, const real *x, dsc_int pitch, const real *tap, dsc_int step, dsc_int count,
                         long_sums *s)
{
    const int before = LONG_PARTS - 1;
    vec taps[LONG_PARTS] = {[LONG_PARTS - 1] = v_spread(0)};
    UNROLL
    for (int m = 0; m < before; ++m, tap += step) {
        taps[m] = v_spread(*tap);
        add_long(blocks, m, 0, m, x + m * pitch, taps, s);
    }
    dsc_int left = count - before;
    for (; left >= LONG_PARTS; left -= LONG_PARTS, ++x) {
        UNROLL
        for (int i = 0; i < LONG_PARTS; ++i, tap += step) {
            const int m = before + i;
            taps[m % LONG_PARTS] = v_spread(*tap);
            add_long(blocks, m, 0, LONG_PARTS - 1, x + m % LONG_PARTS * pitch + m / LONG_PARTS, taps, s);
        }
    }
    UNROLL
    for (int i = 0; i < 2 * before; ++i, tap += step) {
        const int m = before + i;
        if (i >= left + before)
            break;
        if (i < left)
            taps[m % LONG_PARTS] = v_spread(*tap);
        add_long(blocks, m, (int)at_least(i - left + 1, 0), LONG_PARTS - 1, x + m % LONG_PARTS * pitch + m / LONG_PARTS, taps, s);
    }
}

/* Blocks of results that read the strips from x on. */
INLINE void long_blocks(depthwise_tile *t, const int blocks, const long_strips *strips, const real *x, const real *taps,
                        dsc_int count, real *y)
{
    long_sums s[LONG_TOGETHER];
    UNROLL
    for (int b = 0; b < blocks; ++b) {
        UNROLL
        for (int q = 0; q < LONG_PARTS; ++q)
            s[b].sums[q] = v_spread(*t->bias);
    }
    if (count)
        add_long_row(blocks, x, strips->pitch, taps, t->tap_column, count, s);
    UNROLL
    for (int b = 0; b < blocks; ++b, t->width -= LONG_BLOCK, y += LONG_BLOCK * t->y_column) {
        vec results[LONG_PARTS];
        v_join_4(s[b].sums, results);
        store_row(t, LONG_PARTS, y, results);
    }
}

/* A row of a tile: its plane moves on after the last. */
typedef struct { depthwise_tile t; dsc_int row; } long_row;

static void next_long_row(long_row *r)
{
    if (++r->row == r->t.rows)
        r->row = 0, next_plane(&r->t);
}

static bool row_exists(const long_row *r)
{
    const dsc_int source = r->t.top + r->row * r->t.row_stride;
    return source >= 0 && source < r->t.height && r->t.depth_first < r->t.depth_last;
}

INLINE void deal_next(long_row *r, const long_strips *s, dsc_int done, real *strip)
{
    const depthwise_tile *t = &r->t;
    if (row_exists(r))
        deal_row(s, t->x + first_slice(t).x + r->row * t->output_row + done, t->inside_low - done, t->inside_high - done, strip);
    next_long_row(r);
}

INLINE void finish_long_row(long_row *r, const long_strips *s, dsc_int done, dsc_int width, const real *strip)
{
    depthwise_tile *t = &r->t;
    const real *taps = t->taps + first_slice(t).taps;
    const dsc_int count = row_exists(r) ? t->column_last : 0;
    real *y = t->y + r->row * t->y_row + done * t->y_column;
    for (t->width = width; t->width > LONG_BLOCK; strip += LONG_TOGETHER * LANES, y += LONG_TOGETHER * LONG_BLOCK * t->y_column)
        long_blocks(t, LONG_TOGETHER, s, strip, taps, count, y);
    if (t->width > 0)
        long_blocks(t, 1, s, strip, taps, count, y);
    next_long_row(r);
}

/* All columns of a region, `width` of them. A row is dealt while the one before it is computed: what has just been stored cannot be
 * loaded at another offset. */
static __attribute__((noinline)) void long_tile(const depthwise_tile *tile)
{
    real strips[2][LONG_APART / sizeof(real)] __attribute__((aligned(VECTOR_BYTES)));
    const long_strips s = choose_long(tile->width, tile->column_last);
    const dsc_int rows = tile->planes * tile->rows;
    for (dsc_int done = 0; done < tile->width; done += s.columns) {
        const dsc_int width = at_most(s.columns, tile->width - done);
        long_row dealt = {.t = *tile}, computed = {.t = *tile};
        deal_next(&dealt, &s, done, strips[0]);
        for (dsc_int i = 0; i < rows; ++i) {
            if (i + 1 < rows)
                deal_next(&dealt, &s, done, strips[(i + 1) % 2]);
            finish_long_row(&computed, &s, done, width, strips[i % 2]);
        }
    }
}

#endif
