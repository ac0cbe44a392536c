/* Lanes of rolling tiles that lie beside a row of x. */
#ifndef DSCONV_DEPTHWISE_EDGES_H
#define DSCONV_DEPTHWISE_EDGES_H

#include "depthwise_tile.h"

#define ROLLED_VECTORS (TILE_VECTORS > 3 ? TILE_VECTORS : 3)   /* most of a rolling tile */

/* What is constant in a rolling tile: row taps, column taps that it knows (0: any, read again for every row), vectors, whether
 * lanes may not exist (see below), whether results are whole lines that are stored past the caches, whether pairs of lanes are
 * complex numbers, whether the last vector may begin within the one before (see depthwise_overlapping.h), and whether there may be
 * several depth taps, up to DEEP_TAPS, where columns are known. */
typedef struct { int rows, columns, vectors, masked, past, complex, overlaps, deep; } roll_kind;

/* Lanes that do not exist are zero. With finite taps their products are too; else they have to be left out of the products, which
 * takes an instruction each where masks are vectors. */
enum { ALL_EXIST, LEFT_OUT, ZEROS };
#ifdef VECTOR_FREE_MASKS
#define NOT_ALL LEFT_OUT
#else
#define NOT_ALL ZEROS
#endif

/* Which lanes of a tile exist for one column tap. Only its first and its last vector, which begins at lane `last`, meet borders;
 * where it has one, that is [0]. */
typedef mask column_edges[2];

INLINE void find_edges(const depthwise_tile *t, dsc_int last, dsc_int column, mask *edges)
{
    dsc_int low = t->inside_low - column * t->dilation, high = at_most(t->inside_high - column * t->dilation, t->width);
    edges[0] = v_mask(low, high);
    edges[1] = v_mask(low - last, high - last);
}

INLINE bool is_edge(const roll_kind k, int v)
{
    return k.masked && (v == 0 || v == k.vectors - 1);
}

INLINE void load_edges(const roll_kind k, const real *p, const mask *edges, vec *x)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        x[v] = is_edge(k, v) ? v_load_masked(p + v * LANES, edges[v > 0]) : v_load(p + v * LANES);
        V_KEEP(x[v]);
    }
}

INLINE void add_edges(const roll_kind k, vec *sums, const mask *edges, const vec *x, vec tap)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        const bool left_out = is_edge(k, v) && k.masked == LEFT_OUT;
        sums[v] = left_out ? v_add_product_masked(sums[v], x[v], tap, edges[v > 0]) : sums[v] + x[v] * tap;
    }
}

/* The inputs of vectors of which the last may begin within the one before: the first meets the left border alone, the last the
 * right one, and neither with the column taps beyond the middle. */
INLINE void load_overlapping(const roll_kind k, const real *p, dsc_int last, const int column, const mask *edges, vec *x)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        const real *from = p + (v > 0 && v == k.vectors - 1 ? last : v * LANES);
        if (k.vectors == 1 || (v == 0 && column < k.columns / 2))
            x[v] = v_load_masked(from, edges[0]);
        else if (v == k.vectors - 1 && column > (k.columns - 1) / 2)
            x[v] = v_load_masked(from, edges[1]);
        else
            x[v] = v_load(from);
        V_KEEP(x[v]);
    }
}

/* Their products with a tap; with LEFT_OUT taps need not be finite. A single vector meets both borders. */
INLINE void add_overlapping(const roll_kind k, vec *sums, const int column, const mask *edges, const vec *x, vec tap)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        const bool left = v == 0 && column < k.columns / 2, right = v == k.vectors - 1 && column > (k.columns - 1) / 2;
        const bool left_out = k.masked == LEFT_OUT && (k.vectors == 1 || left || right);
        sums[v] = left_out ? v_add_product_masked(sums[v], x[v], tap, edges[v > 0]) : sums[v] + x[v] * tap;
    }
}

INLINE void store_overlapping(const roll_kind k, const epilogue *finish, real *y, dsc_int last, const vec *sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v)
        v_store(y + (v == k.vectors - 1 ? last : v * LANES), v_finish(finish, sums[v]));
}

#endif
