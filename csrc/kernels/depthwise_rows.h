/* The planar tile for a kernel of one row whose taps lie a vector or more apart, or that is one tap: every row of results by itself,
 * from its first column to its last.
 *
 * The taps of one output are added in order. Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_ROWS_H
#define DSCONV_DEPTHWISE_ROWS_H

#include "depthwise_tile.h"

#define ROW_TILES (!FEW_TILES && VECTOR_REGISTERS < 32)
#define ROW_VECTORS 4

/* Columns of a row, of which lane l of tap c reads x[c * dilation + l], and the taps [first, last) that any of them meets. */
typedef struct { const real *x; real *y; dsc_int column, left, first, last; } row_piece;

INLINE vec load_row_tap(const depthwise_tile *t, const row_piece *p, const int masked, const real *x, dsc_int tap)
{
    const dsc_int before = p->column + tap * t->dilation;
    return masked ? v_load_masked(x, v_mask(t->inside_low - before, at_most(t->inside_high - before, p->left))) : v_load(x);
}

INLINE void add_row_taps(const depthwise_tile *t, const row_piece *p, const int V, const int masked)
{
    const real *x = p->x + p->first * t->dilation, *tap = t->taps + p->first * t->tap_column;
    vec sums[ROW_VECTORS];
    UNROLL
    for (int v = 0; v < V; ++v)
        sums[v] = v_spread(*t->bias);
    for (dsc_int c = p->first; c < p->last; ++c, x += t->dilation, tap += t->tap_column) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[v] += load_row_tap(t, p, masked, x + v * LANES, c) * v_spread(*tap);
    }
    UNROLL
    for (int v = 0; v < V; ++v) {
        const vec result = v_finish(t->finish, sums[v]);
        if (masked)
            v_store_first(p->y, result, p->left);
        else
            v_store(p->y + v * LANES, result);
    }
}

/* Do all taps that the next `count` columns meet exist for all of them? */
INLINE bool meets_whole(const depthwise_tile *t, row_piece *p, dsc_int count)
{
    const dsc_int start = p->column - t->inside_low, size = t->inside_high - t->inside_low;
    const dsc_int reach = (t->column_last - 1) * t->dilation;
    p->first = 0, p->last = t->column_last;
    if (start >= 0 && start + reach + count <= size)
        return count <= p->left;
    clip_taps(start, t->dilation, t->column_last, size, count - 1, &p->first, &p->last);
    const bool inside = start + p->first * t->dilation >= 0 && start + (p->last - 1) * t->dilation + count <= size;
    return count <= p->left && (inside || p->first == p->last);
}

INLINE void convolve_row(const depthwise_tile *t, const real *x, real *y, bool exists)
{
    for (dsc_int column = 0, count; column < t->width; column += count) {
        row_piece p = {.x = x + column, .y = y + column, .column = column, .left = t->width - column};
        count = ROW_VECTORS * LANES;
        bool whole = meets_whole(t, &p, count);
        if (!whole)
            count = LANES, whole = meets_whole(t, &p, count);
        if (!exists)
            p.last = p.first;
        if (count > LANES)
            add_row_taps(t, &p, ROW_VECTORS, 0);
        else
            whole ? add_row_taps(t, &p, 1, 0) : add_row_taps(t, &p, 1, 1);
    }
}

static void rows_tile(const depthwise_tile *tile)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    t.finish = &finish;
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        for (dsc_int row = 0; row < t.rows; ++row) {
            const dsc_int source = t.top + row * t.row_stride;
            convolve_row(&t, t.x + row * t.output_row, t.y + row * t.y_row, source >= 0 && source < t.height);
        }
}

/* Is it for these taps, in place, all of them finite? */
static bool takes_rows(const depthwise_tile *t, const dsc_int *kernel)
{
    const bool apart = kernel[2] == 1 || t->dilation >= LANES;
    return ROW_TILES && kernel[1] == 1 && apart && t->finite && t->y_column == 1 && !t->turn;
}

#endif
