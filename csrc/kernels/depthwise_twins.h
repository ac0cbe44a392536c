/* The planar tile of a transposed convolution with stride 2 along the width: both phases of the columns read the same inputs, so
 * they roll down together, and their sums are zipped: each line of the result is written once.
 *
 * The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_TWINS_H
#define DSCONV_DEPTHWISE_TWINS_H

#include "depthwise_planar.h"
#include "window.h"

#define TWIN_ROWS 4      /* most row taps of a phase */
#define TWIN_VECTORS 2
#define TWIN_COLUMNS 8   /* most columns that both phases read together */

/* A tile whose columns are those that either phase reads. `tile`: as for rolling tiles, with the taps of the first phase. */
typedef struct {
    depthwise_tile tile;
    dsc_int other;                 /* from the taps of the first phase to those of the second */
    dsc_int first[2], last[2];     /* columns that a phase has taps for */
    dsc_int outputs;               /* of a row */
} twin_tile;

typedef vec twin_sums[2][TWIN_ROWS][TILE_VECTORS];

/* The input row at x into the sums [first, last] of both phases; `all`: of every output that it can feed. */
INLINE void twin_row(const twin_tile *w, const roll_kind k, const int all, const real *row, int first, int last,
                     column_edges *edges, twin_sums sums)
{
    const depthwise_tile *t = &w->tile;
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = row + s.x;
        for (dsc_int c = 0; c < t->column_last; ++c) {
            vec inputs[TILE_VECTORS];
            load_edges(k, x + c, edges[c], inputs);
            UNROLL
            for (int phase = 0; phase < 2; ++phase) {
                const real *taps = t->taps + s.taps + phase * w->other + (c - w->first[phase]) * t->tap_column;
                if (c < w->first[phase] || c >= w->last[phase])
                    continue;
                UNROLL
                for (int i = 0; i < k.rows; ++i)
                    if (all || (i >= first && i <= last))
                        add_edges(k, sums[phase][i], edges[c], inputs, v_spread(taps[i * t->tap_row]));
            }
        }
    }
}

INLINE void store_twins(const roll_kind k, const epilogue *finish, real *y, const mask *stored, twin_sums sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        vec even = v_finish(finish, sums[0][k.rows - 1][v]), odd = v_finish(finish, sums[1][k.rows - 1][v]);
        vec low = v_zip_low(even, odd), high = v_zip_high(even, odd);
        if (v == k.vectors - 1) {
            v_store_masked(y + 2 * v * LANES, low, stored[0]);
            v_store_masked(y + (2 * v + 1) * LANES, high, stored[1]);
        } else {
            v_store(y + 2 * v * LANES, low);
            v_store(y + (2 * v + 1) * LANES, high);
        }
    }
}

INLINE void twin_plane(const twin_tile *w, const roll_kind k, const epilogue *finish, const mask *stored, column_edges *edges)
{
    const depthwise_tile *t = &w->tile;
    const vec bias = v_spread(*t->bias);
    const int before = k.rows - 1;
    const real *x = t->x;
    real *y = t->y - before * t->y_row;
    twin_sums sums;
    start_rolling(k, bias, sums[0]);
    start_rolling(k, bias, sums[1]);
    for (dsc_int r = 0; r < t->rows + before; ++r, x += t->row, y += t->y_row) {
        if (r >= before && r < t->rows && r >= t->row_first && r < t->row_last) {
            twin_row(w, k, 1, x, 0, 0, edges, sums);
        } else if (r >= t->row_first && r < t->row_last) {
            int first = r >= t->rows ? (int)(r - t->rows + 1) : 0, last = r < before ? (int)r : before;
            twin_row(w, k, 0, x, first, last, edges, sums);
        }
        if (r >= before)
            store_twins(k, finish, y, stored, sums);
        shift_sums(k, bias, sums[0]);
        shift_sums(k, bias, sums[1]);
    }
}

INLINE void roll_twins(const twin_tile *given, const roll_kind k)
{
    twin_tile w = *given;
    depthwise_tile *t = &w.tile;
    const epilogue finish = *t->finish;
    const dsc_int left = w.outputs - 2 * (k.vectors - 1) * LANES;
    const mask stored[2] = {v_mask(0, left), v_mask(0, left - LANES)};
    column_edges edges[TWIN_COLUMNS];
    for (dsc_int c = 0; c < t->column_last; ++c)
        find_edges(t, k.vectors, c, edges[c]);
    for (dsc_int plane = 0; plane < t->planes; ++plane, next_plane(t))
        twin_plane(&w, k, &finish, stored, edges);
}

typedef void (*twin_function)(const twin_tile *);

#define TWIN(KH, V) static void twins_##KH##_##V(const twin_tile *t) { roll_twins(t, (roll_kind){KH, 0, V, 1}); }
TWIN(1, 1) TWIN(1, 2) TWIN(2, 1) TWIN(2, 2) TWIN(3, 1) TWIN(3, 2) TWIN(4, 1) TWIN(4, 2)

/* [row taps - 1][vectors - 1] */
static const twin_function twin_table[TWIN_ROWS][TWIN_VECTORS] = {
    {twins_1_1, twins_1_2}, {twins_2_1, twins_2_2}, {twins_3_1, twins_3_2}, {twins_4_1, twins_4_2},
};

/* Do two windows differ in nothing but the phase of their columns, and does a tile hold what they need? */
static bool are_twins(const window *even, const window *odd)
{
    const dsc_extent *a = &even->e, *b = &odd->e;
    dsc_int start = at_least(a->low[2], b->low[2]), end = at_least(a->kernel[2] - a->low[2], b->kernel[2] - b->low[2]);
    return even->spacing[2] == 2 && even->place[2] == 0 && odd->place[2] == 1 && a->kernel[0] > 0 && a->kernel[1] > 0 &&
           a->kernel[1] <= TWIN_ROWS && a->kernel[2] > 0 && b->kernel[2] > 0 && a->dilation[2] == 1 && b->dilation[2] == 1 &&
           start + end <= TWIN_COLUMNS;
}

/* All columns of the two regions, as wide a tile at a time as there is. */
static void run_twin_columns(const plane_region *r, const plane_region *odd, twin_tile *w, const real *x, real *y)
{
    depthwise_tile *t = &w->tile;
    const dsc_int start = r->column - at_least(r->e->low[2], odd->e->low[2]);
    for (dsc_int done = 0; done < r->columns; done += t->width) {
        dsc_int left = r->columns - done, vectors = at_most(divide_up(left, LANES), TWIN_VECTORS);
        t->width = at_most(left, vectors * LANES);
        t->inside_low = -(start + done), t->inside_high = r->e->in[2] - (start + done);
        w->outputs = at_most(2 * t->width, r->columns + odd->columns - 2 * done);
        t->x = x + done;
        t->y = y + 2 * done;
        twin_table[t->kernel_rows - 1][vectors - 1](w);
    }
}

/* The regions of two windows that are twins. */
static void depthwise_twins(const plane_region *r, const plane_region *odd)
{
    const dsc_extent *e = r->e, *phase[2] = {e, odd->e};
    const dsc_int low = at_least(e->low[2], odd->e->low[2]), apart = e->dilation[1];
    twin_tile w = {.tile = region_tile(r), .other = odd->taps - r->taps};
    depthwise_tile *t = &w.tile;
    const real *origin = (const real *)r->x + (r->depth - e->low[0]) * r->x_step[0] + r->column - low;
    t->slice = e->dilation[0] * r->x_step[0];
    t->column_last = 0;
    for (int i = 0; i < 2; ++i) {
        w.first[i] = low - phase[i]->low[2], w.last[i] = w.first[i] + phase[i]->kernel[2];
        t->column_last = at_least(t->column_last, w.last[i]);
    }
    t->row = apart * r->x_step[1];
    t->y_row = r->y_row * apart;
    for (dsc_int first = 0; first < at_most(apart, r->rows); ++first) {
        dsc_int position = r->row + first - e->low[1];
        t->rows = divide_up(r->rows - first, apart);
        clip_taps(position, apart, t->rows - 1 + e->kernel[1], e->in[1], 0, &t->row_first, &t->row_last);
        run_twin_columns(r, odd, &w, origin + position * r->x_step[1], r->y + first * r->y_row);
    }
}

#endif
