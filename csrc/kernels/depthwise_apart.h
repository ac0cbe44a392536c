/* The planar tile for few rows that share input with each other, as in the bands of a dilated convolution: every output row reads its
 * input rows by itself.
 *
 * The taps of one output are added in the order row, depth, column, as by rolling tiles. */
#ifndef DSCONV_DEPTHWISE_APART_H
#define DSCONV_DEPTHWISE_APART_H

#include "depthwise_rolling.h"

/* Rows of that plane are asked for: a run of lines too short for the memory to foresee, and so are the few of a rolling tile. */
#define PLANES_AHEAD 3
#define FEW_ROWS 4

/* The output row whose first row tap reads the input row at x, `first` of the tile. */
INLINE void add_row_apart(const depthwise_tile *t, const roll_kind k, const real *x, dsc_int first, column_edges *edges,
                          vec *sums)
{
    const dsc_int begin = at_least(t->row_first - first, 0), end = at_most(t->row_last - first, t->kernel_rows);
    for (dsc_int r = begin; r < end; ++r)
        for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
            const real *row = x + r * t->row + s.x, *taps = t->taps + s.taps + r * t->tap_row;
            announce_row(row + PLANES_AHEAD * t->x_plane, 0, k.vectors);
            for (dsc_int c = t->column_first; c < t->column_last; ++c) {
                vec inputs[ROLLED_VECTORS];
                load_edges(k, row + c * t->dilation, edges[c], inputs);
                add_edges(k, sums, edges[c], inputs, v_spread(taps[c * t->tap_column]));
            }
        }
}

INLINE void rows_apart_tile(const depthwise_tile *tile, const roll_kind k)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    column_edges edges[ROLLING_COLUMNS];
    t.finish = &finish;
    find_all_edges(&t, k, edges);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        for (dsc_int row = 0; row < t.rows; ++row) {
            vec sums[TILE_VECTORS];
            UNROLL
            for (int v = 0; v < k.vectors; ++v)
                sums[v] = v_spread(*t.bias);
            add_row_apart(&t, k, t.x + row * t.row, row, edges, sums);
            store_row(&t, k.vectors, t.y + row * t.y_row, sums);
        }
}

#define APART(V) \
    static __attribute__((noinline)) void apart_##V(const depthwise_tile *t) \
    { rows_apart_tile(t, (roll_kind){.vectors = V, .masked = !FEW_TILES}); }
APART(1) APART(2)
#if TILE_VECTORS == 4
APART(3) APART(4)
#define APART_MORE apart_3, apart_4
#else
#define APART_MORE
#endif

/* [vectors - 1] */
static const tile_function apart_table[TILE_VECTORS] = {apart_1, apart_2, APART_MORE};

#endif
