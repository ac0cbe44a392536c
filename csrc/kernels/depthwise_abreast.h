/* Rows of pixels abreast: which tiles they are taken by, and where x is read too far apart for the first-level cache. */
#ifndef DSCONV_DEPTHWISE_ABREAST_H
#define DSCONV_DEPTHWISE_ABREAST_H

#include "depthwise_abreast_tiles.h"

PLAIN_ADDRESSES

#define ABREAST_LEAST 2         /* pixels, however few lines have room in the first-level cache */
#define ABREAST_PAST 6          /* most that are stored past the caches, which collect few lines at a time */
#define ABREAST_SINGLE 4        /* most where taps are added one by one, to a whole line of channels */
#define CACHE_WAYS 8            /* of the first-level cache */
#define CACHE_WAY_BYTES 4096
#define STAGED_TAPS 100         /* of several rows: copied first; fewer, and copying costs too much ... */
#define CROWDED_TAPS 20         /* ... but where inputs of so few pixels stay in that cache */
#define CROWDED_PIXELS 8
#define AHEAD_BYTES (256 << 10) /* an image, beyond which what comes is asked for */

static int abreast_tiles(const channel_region *r, bool whole)
{
    const dsc_extent *e = r->e;
    const dsc_int columns = e->kernel[2], known = columns <= ABREAST_TAPS ? columns : 0;
    const bool close = e->dilation[2] == 1 && e->stride[2] == 1;
    if (!whole)
        return r->parts == 2 ? TILES_COMPLEX_TAIL : TILES_TAIL;
    if (r->parts == 2)
        return close && abreast_complex[known] ? abreast_complex[known] : TILES_COMPLEX;
    const bool neighbours = columns > 1 || e->kernel[0] * e->kernel[1] == 1;   /* a column of taps is read by whole lines */
    if (close && neighbours)
        return abreast_dense[known] ? abreast_dense[known] : TILES_LONG;
    return e->dilation[2] == 1 && e->stride[2] == 2 && abreast_strided[known] ? abreast_strided[known] : ABREAST_SINGLY;
}

/* Pixels of a tile whose inputs stay in the first-level cache from one vector of a line to the next. Pixels that are a power of two
 * apart share sets: so many lines have room. One and a quarter of it turned out to be no loss. */
static dsc_int pixels_that_fit(const channel_region *r)
{
    const dsc_extent *e = r->e;
    const dsc_int apart = (r->x_step[2] | r->x_step[1]) * (dsc_int)sizeof(real), together = apart & -apart;
    const dsc_int room = CACHE_WAYS * CACHE_WAY_BYTES / at_most(at_least(together, LINE_BYTES), CACHE_WAY_BYTES) * 5 / 4;
    const dsc_int columns = room / at_least(e->kernel[1], 1);
    if (e->dilation[2] > 1)
        return columns / at_least(e->kernel[2], 1);
    return columns < e->kernel[2] ? 0 : (columns - e->kernel[2]) / e->stride[2] + 1;
}

static dsc_int widest_abreast(const channel_region *r, int tiles)
{
    const bool few = r->parts == 2 || tiles == ABREAST_SINGLY || tiles == TILES_APART || tiles == TILES_TAIL;
    return few ? ABREAST_SINGLE : r->past ? ABREAST_PAST : ABREAST;
}

/* No prefetcher sees results that have others between them. */
static void ask_ahead(const channel_region *r, abreast_row *row)
{
    const dsc_int new_column = (row->columns - 1) * row->apart + PIXELS_AHEAD * row->pixels_apart;
    if (r->spread || r->e->in[1] * r->x_step[1] * (dsc_int)sizeof(real) > AHEAD_BYTES)
        row->x_ahead = (row->slices - 1) * row->x_slice + (row->rows - 1) * row->x_row + new_column * r->x_step[2];
}

/* Place of the width of the next tile: a single pixel, of which nothing is shared, is not left over. */
static int next_width(dsc_int left, dsc_int widest)
{
    int place = ABREAST_WIDTHS - 1;
    while (abreast_widths[place] > at_most(left, widest))
        --place;
    return abreast_widths[place] > 2 && left - abreast_widths[place] == 1 ? place - 1 : place;
}

/* The tile's vectors of channels: a line at a time, where there are functions for that. */
static void run_vectors(const abreast_row *row, abreast_tile t, int tiles, int width, bool clipped)
{
    const bool pairs = tiles == ABREAST_SINGLY && ABREAST_SINGLY != TILES_APART;
    const dsc_int lines = pairs ? t.vectors / LINE_VECTORS * LINE_VECTORS : 0;
    if (lines) {
        abreast_tile some = t;
        some.vectors = lines, t.vectors -= lines;
        abreast_table[tiles][width][clipped](row, &some);
        t.x += lines * LANES, t.y += lines * LANES, t.bias += lines * LANES, t.taps += lines * row->tap_vector;
    }
    if (t.vectors)
        abreast_table[pairs ? TILES_APART : tiles][width][clipped](row, &t);
}

static abreast_row row_of_tiles(const channel_tile *at, bool none, bool whole)
{
    const channel_region *r = at->r;
    const dsc_extent *e = r->e;
    return (abreast_row){
        .slices = none ? 1 : at->depth_last - at->depth_first, .rows = none ? 1 : at->row_last - at->row_first,
        .columns = none ? 0 : e->kernel[2],
        .x_slice = e->dilation[0] * r->x_step[0], .x_row = e->dilation[1] * r->x_step[1],
        .x_column = e->dilation[2] * r->x_step[2], .x_pixel = e->stride[2] * r->x_step[2],
        .tap_slice = r->tap_step[0], .tap_row = r->tap_step[1], .tap_column = r->tap_step[2], .tap_vector = r->tap_vector,
        .y_pixel = r->y_column, .apart = e->dilation[2], .pixels_apart = e->stride[2], .size = e->in[2], .finish = r->finish,
        .lanes = v_mask(at->low, at->high),
        .past = r->past && whole && (uintptr_t)(r->y + at->channel) % VECTOR_BYTES == 0,
    };
}

/* A row of `vectors` of channels, from the one that was chosen on. */
static void run_row_abreast(const channel_tile *at, dsc_int vectors, bool whole)
{
    const channel_region *r = at->r;
    const dsc_extent *e = r->e;
    const bool none = at->depth_first == at->depth_last || at->row_first == at->row_last;
    const int tiles = !none ? abreast_tiles(r, whole) : whole ? TILES_LONG : TILES_TAIL;
    const dsc_int reach = (e->kernel[2] - 1) * e->dilation[2], most = widest_abreast(r, tiles);
    const dsc_int fit = vectors == 1 ? most : pixels_that_fit(r), widest = at_most(at_least(fit, ABREAST_LEAST), most);
    const dsc_int slice = r->depth * e->stride[0] - e->low[0] + at->depth_first * e->dilation[0];
    const dsc_int line = at->row * e->stride[1] - e->low[1] + at->row_first * e->dilation[1];
    abreast_row row = row_of_tiles(at, none, whole);
    abreast_tile t = {
        .taps = at->taps + at->depth_first * r->tap_step[0] + at->row_first * r->tap_step[1], .bias = at->bias,
        .y = r->y + (at->row - r->row) * r->y_row + at->channel, .vectors = vectors,
        .start = r->column * e->stride[2] - e->low[2],
    };
    if (fit >= most && vectors > 1)   /* else the cache has no room for it */
        ask_ahead(r, &row);
    t.x = r->x + at->channel + slice * r->x_step[0] + line * r->x_step[1] + t.start * r->x_step[2];
    for (dsc_int left = r->columns; left > 0;) {
        const int width = next_width(left, widest), pixels = abreast_widths[width];
        run_vectors(&row, t, tiles, width, t.start < 0 || t.start + (pixels - 1) * e->stride[2] + reach >= e->in[2]);
        left -= pixels, t.start += pixels * e->stride[2];
        t.x += pixels * row.x_pixel, t.y += pixels * row.y_pixel;
    }
}

/* ... of the one vector that was chosen. */
static void run_channel_row(const channel_tile *t)
{
    run_row_abreast(t, 1, t->low == 0 && t->high == LANES);
}

/* Kernels of which a part of x is copied first: large ones, and those whose inputs do not stay in the first-level cache. */
static bool copies_first(const channel_region *r)
{
    const dsc_int taps = r->e->kernel[1] * r->e->kernel[2];
    return pixels_that_fit(r) < CROWDED_PIXELS ? taps >= CROWDED_TAPS : r->e->kernel[1] > 1 && taps >= STAGED_TAPS;
}

static bool complex_in_pairs(const dsc_extent *e)
{
    (void)e;
    return true;
}

/* Rows that are computed together. */
static dsc_int rows_of_channels(const dsc_extent *e, int parts)
{
    (void)e, (void)parts;
    return 1;
}

/* Are column taps added one after the other, of each those of all depths and rows? */
static bool columns_first(const dsc_extent *e)
{
    (void)e;
    return false;
}

/* Rows of one residue modulo the dilation read the same inputs. */
static void depthwise_channels(const channel_region *r)
{
    const dsc_extent *e = r->e;
    const dsc_int apart = e->dilation[1], whole = r->channels / LANES;
    channel_tile t = {.r = r};
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, &t.depth_first, &t.depth_last);
    for (dsc_int residue = 0; residue < at_most(apart, r->rows); ++residue)
        for (t.row = r->row + residue; t.row < r->row + r->rows; t.row += apart) {
            clip_taps(t.row * e->stride[1] - e->low[1], e->dilation[1], e->kernel[1], e->in[1], 0, &t.row_first, &t.row_last);
            choose_vector(&t, 0);
            if (whole)
                run_row_abreast(&t, whole, true);
            if (r->channels > whole * LANES)
                run_row_abreast(&t, 1, choose_vector(&t, whole));
            finish_pixels(r, t.row);
        }
}

USUAL_ADDRESSES

#endif
