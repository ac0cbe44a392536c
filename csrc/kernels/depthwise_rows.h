/* The planar tile for a kernel of one row whose taps lie a vector or more apart, or that is one tap: every row of results by
 * itself, in segments all of whose columns meet the same taps.
 *
 * The taps of one output are added in order. Lanes beyond a row are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_ROWS_H
#define DSCONV_DEPTHWISE_ROWS_H

#include "depthwise_tile.h"

#define ROW_TILES (!FEW_TILES)
#define ROW_VECTORS 4
#define ROW_TAPS 32   /* column taps, at most */
#define RUN_BYTES (8 << 10)   /* a plane of one tap that is worth being one run, where registers are many */

/* Columns [begin, end) of a row, and the column taps [first, last) that they meet. */
typedef struct { dsc_int begin, end, first, last; } row_segment;
typedef struct { row_segment segment[2 * ROW_TAPS + 1]; int count; } row_segments;   /* each tap begins and ends one, at most */

/* Lane l of tap c reads x[c * dilation + l]. V vectors of a segment; `lanes`: or so many lanes of one. */
INLINE void add_row_taps(const depthwise_tile *t, const row_segment *s, const real *x, real *y, const int V, dsc_int lanes)
{
    const real *tap = t->taps + s->first * t->tap_column;
    const mask m = v_mask(0, lanes);
    vec sums[ROW_VECTORS];
    UNROLL
    for (int v = 0; v < V; ++v)
        sums[v] = v_spread(*t->bias);
    x += s->first * t->dilation;
    for (dsc_int c = s->first; c < s->last; ++c, x += t->dilation, tap += t->tap_column) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[v] += (lanes ? v_load_masked(x, m) : v_load(x + v * LANES)) * v_spread(*tap);
    }
    UNROLL
    for (int v = 0; v < V; ++v) {
        const vec result = v_finish(t->finish, sums[v]);
        if (lanes)
            v_store_end(y, result, lanes);
        else
            v_store(y + v * LANES, result);
    }
}

/* The last vector may begin within another. */
INLINE void convolve_segment(const depthwise_tile *t, const row_segment *s, const real *x, real *y)
{
    dsc_int column = s->begin;
    for (; column + ROW_VECTORS * LANES <= s->end; column += ROW_VECTORS * LANES)
        add_row_taps(t, s, x + column, y + column, ROW_VECTORS, 0);
    for (; column + LANES <= s->end; column += LANES)
        add_row_taps(t, s, x + column, y + column, 1, 0);
    if (column < s->end && s->end - s->begin >= LANES)
        add_row_taps(t, s, x + s->end - LANES, y + s->end - LANES, 1, 0);
    else if (column < s->end)
        add_row_taps(t, s, x + column, y + column, 1, s->end - column);
}

static void find_segments(const depthwise_tile *t, row_segments *all)
{
    const dsc_int size = t->inside_high - t->inside_low, taps = t->column_last;
    for (dsc_int column = 0; column < t->width; ++all->count) {
        row_segment *s = &all->segment[all->count];
        s->begin = column, s->end = t->width;
        clip_taps(column - t->inside_low, t->dilation, taps, size, 0, &s->first, &s->last);
        if (s->first > 0)
            s->end = at_most(s->end, t->inside_low - (s->first - 1) * t->dilation);
        if (s->last > s->first)
            s->end = at_most(s->end, t->inside_high - (s->last - 1) * t->dilation);
        column = s->end;
    }
}

static void rows_tile(const depthwise_tile *tile)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    row_segments all = {.count = 0};
    t.finish = &finish;
    find_segments(&t, &all);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        for (dsc_int row = 0; row < t.rows; ++row) {
            const dsc_int source = t.top + row * t.row_stride;
            const real *x = t.x + row * t.output_row;
            for (int i = 0; i < all.count; ++i) {
                row_segment s = all.segment[i];
                if (source < 0 || source >= t.height)
                    s.last = s.first;
                convolve_segment(&t, &s, x, t.y + row * t.y_row);
            }
        }
}

/* Are axes worth being one? With many registers the rows of kernels of several row taps roll as fast. */
static bool merges_axes(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    const double plane = (double)e->in[1] * (double)e->in[2];
    if (!ROW_TILES || VECTOR_REGISTERS < 32)
        return ROW_TILES;
    return e->kernel[1] == 1 && e->kernel[2] == 1 && (e->kernel[0] > 1 ? plane >= LANES : plane * sizeof(real) >= RUN_BYTES);
}

/* Is it for these taps, in place? */
static bool takes_rows(const depthwise_tile *t, const dsc_int *kernel)
{
    const bool apart = kernel[2] == 1 || (kernel[2] <= ROW_TAPS && t->dilation >= LANES);
    return ROW_TILES && kernel[1] == 1 && apart && t->finite && t->y_column == 1 && !t->turn;
}

#endif
