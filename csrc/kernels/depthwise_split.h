/* The planar tile for strides 2 to 4: whole rows of x times the taps that their elements meet, [t0 t1 t2 t0 t1 t2 ...] for
 * stride 3. Only the sums of all rows are taken apart: element i of each `stride` neighbours is the sum for column taps i,
 * i + stride, ...
 *
 * The products of such a sum are added in the order column, row, depth, then these sums in order. Lanes outside are zero: all
 * taps must be finite. */
#ifndef DSCONV_DEPTHWISE_SPLIT_H
#define DSCONV_DEPTHWISE_SPLIT_H

#include "depthwise_tile.h"

#define SPLIT_STRIDE 4     /* largest */
#define SPLIT_TOGETHER 2   /* vectors of results that share loaded taps */
#define SPLIT_EDGES 4      /* most vectors of results in a tile that have masks */
#define SPLIT_TURNS 16     /* most times that a row is loaded, each time for as many column taps as lie side by side */
#define SPLIT_TAPS 128     /* most times that rows are loaded for one result */

/* Vectors after which the taps repeat. */
#define SPLIT_PERIODS 3
#define SPLIT_PERIOD(stride) ((stride) == 3 ? 3 : 1)

/* Which elements of x exist, for one vector of results. */
typedef struct { mask masks[SPLIT_TURNS][SPLIT_STRIDE]; } split_edge;

/* Vectors of a tile before those that need no mask, those (as many as SPLIT_TOGETHER divides), and those after them. */
typedef struct { dsc_int before, inside, after; } split_vectors;

/* What the results of a plane share: `whole` turns of as many column taps as the stride, then others of `rest` taps, which meet
 * the elements `met`; `step` positions apart. Row tap j reads x[j * slices] and those that follow: its taps in the first turn begin
 * at taps[j * slices * period], in the next `count` * period further on. */
typedef struct {
    dsc_int whole, turns, rest, step, slices, count;
    dsc_int x[SPLIT_TAPS];
    vec met[SPLIT_PERIODS], taps[SPLIT_TAPS * SPLIT_PERIODS];
} split_kernel;

static dsc_int split_turns(dsc_int kernel, dsc_int dilation, dsc_int stride)
{
    return dilation == 1 ? divide_up(kernel, stride) : kernel;
}

static bool can_split(const dsc_extent *e, dsc_int summands)
{
    const dsc_int stride = e->stride[2];
    if (stride == 1 || stride > SPLIT_STRIDE || e->kernel[2] > SPLIT_TURNS * SPLIT_STRIDE)
        return false;
    const dsc_int turns = split_turns(e->kernel[2], e->dilation[2], stride);
    return turns <= SPLIT_TURNS && (double)e->kernel[0] * (double)e->kernel[1] * (double)summands * (double)turns <= SPLIT_TAPS;
}

static void lay_out_split(const depthwise_tile *t, dsc_int stride, split_kernel *k)
{
    const bool dense = t->dilation == 1;
    dsc_int *x = k->x;
    k->turns = split_turns(t->column_last, t->dilation, stride);
    k->whole = dense ? t->column_last / stride : 0;
    k->rest = dense ? t->column_last % stride : 1;
    k->step = dense ? stride : t->dilation;
    k->slices = t->summands * (t->depth_last - t->depth_first), k->count = t->kernel_rows * k->slices;
    for (dsc_int j = 0; j < t->kernel_rows; ++j)
        for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s))
            *x++ = s.x + j * t->row;
}

/* Of the first `count` values, then zeros: as the elements of x meet them. */
INLINE void join_some(const int stride, dsc_int count, const real *values, dsc_int step, vec *joined)
{
    vec parts[SPLIT_STRIDE], all[SPLIT_STRIDE];
    UNROLL
    for (int i = 0; i < stride; ++i)
        parts[i] = v_spread(i < count ? values[i * step] : 0);
    v_join(stride, parts, all);
    memcpy(joined, all, SPLIT_PERIOD(stride) * sizeof *all);
}

/* The taps of a plane. */
INLINE void lay_out_taps(const depthwise_tile *t, const int stride, split_kernel *k)
{
    vec *target = k->taps;
    for (dsc_int turn = 0, column = 0; turn < k->turns; ++turn) {
        const dsc_int count = turn < k->whole ? stride : k->rest;
        for (dsc_int j = 0; j < t->kernel_rows; ++j)
            for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
                const real *taps = t->taps + s.taps + j * t->tap_row + column * t->tap_column;
                join_some(stride, count, taps, t->tap_column, target);
                target += SPLIT_PERIOD(stride);
            }
        column += count;
    }
}

/* Of `vectors` of results that begin `low` positions before x, of which `high` are left from there on: as many as one tile
 * takes. */
static split_vectors choose_split_vectors(const split_kernel *k, dsc_int stride, dsc_int vectors, dsc_int low, dsc_int high)
{
    const dsc_int span = stride * LANES, reach = (k->turns - 1) * k->step;
    split_vectors n = {.before = at_most(at_most(vectors, low > 0 ? divide_up(low, span) : 0), SPLIT_EDGES / 2)};
    const dsc_int fit = at_least(high - reach, 0) / span - n.before;
    if (n.before * span >= low)
        n.inside = at_least(at_most(fit, vectors - n.before), 0) / SPLIT_TOGETHER * SPLIT_TOGETHER;
    n.after = at_most(vectors - n.before - n.inside, SPLIT_EDGES - n.before);
    return n;
}

/* The elements from position `start` of the tile on. */
static void find_split_edge(const depthwise_tile *t, const split_kernel *k, dsc_int stride, dsc_int start, split_edge *edge)
{
    dsc_int low = t->inside_low - start, high = t->inside_high - start;
    for (dsc_int turn = 0; turn < k->turns; ++turn, low -= k->step, high -= k->step)
        for (dsc_int i = 0; i < stride; ++i)
            edge->masks[turn][i] = v_mask(low - i * LANES, high - i * LANES);
}

/* One turn: rows of x from `row` to `end`. What meets no tap is made zero: it may be infinite. */
INLINE void add_turn(const int stride, const int vectors, const int masked, const real *origin, const dsc_int *row,
                     const dsc_int *end, const mask *edge, const vec *taps, const vec *met, vec (*sums)[SPLIT_STRIDE])
{
    mask masks[SPLIT_STRIDE];
    UNROLL
    for (int i = 0; masked && i < stride; ++i) {
        masks[i] = edge[i];
        MASK_KEEP(masks[i]);
    }
    for (; row < end; ++row, taps += SPLIT_PERIOD(stride)) {
        const real *x = origin + *row;
        UNROLL
        for (int i = 0; i < stride; ++i) {
            vec tap = taps[i % SPLIT_PERIOD(stride)];
            V_KEEP(tap);
            UNROLL
            for (int v = 0; v < vectors; ++v) {
                const real *p = x + (v * stride + i) * LANES;
                vec input = masked ? v_load_masked(p, masks[i]) : v_load(p);
                if (met)
                    input = (vec)((ivec)input & (ivec)met[i % SPLIT_PERIOD(stride)]);
                sums[v][i] += input * tap;
            }
        }
    }
}

/* `vectors` of results, from row taps [first, last), to sums[][0]. */
INLINE void split_sums(const split_kernel *k, const int stride, const int vectors, const int masked, dsc_int first,
                       dsc_int last, vec bias, const real *x, const split_edge *edge, vec (*sums)[SPLIT_STRIDE])
{
    const dsc_int *row = k->x + first * k->slices, *end = k->x + last * k->slices;
    const vec *taps = k->taps + first * k->slices * SPLIT_PERIOD(stride);
    dsc_int turn = 0;
    UNROLL
    for (int v = 0; v < vectors; ++v) {
        UNROLL
        for (int i = 0; i < stride; ++i)
            sums[v][i] = v_spread(0);
    }
    for (; turn < k->whole; ++turn, x += k->step, taps += k->count * SPLIT_PERIOD(stride))
        add_turn(stride, vectors, masked, x, row, end, masked ? edge->masks[turn] : NULL, taps, NULL, sums);
    for (; turn < k->turns; ++turn, x += k->step, taps += k->count * SPLIT_PERIOD(stride))
        add_turn(stride, vectors, masked, x, row, end, masked ? edge->masks[turn] : NULL, taps, k->met, sums);
    UNROLL
    for (int v = 0; v < vectors; ++v) {
        vec parts[SPLIT_STRIDE];
        v_split(stride, sums[v], parts);
        sums[v][0] = bias;
        UNROLL
        for (int i = 0; i < stride; ++i)
            sums[v][0] += parts[i];
    }
}

/* Where the next vector of results is read and written, and the columns from it on. */
typedef struct { const real *x; real *y; dsc_int left; } split_place;

INLINE void split_next(depthwise_tile *t, const split_kernel *k, const int stride, const int vectors, const split_edge *edge,
                       dsc_int first, dsc_int last, split_place *at)
{
    vec sums[SPLIT_TOGETHER][SPLIT_STRIDE];
    split_sums(k, stride, vectors, edge != NULL, first, last, v_spread(*t->bias), at->x, edge, sums);
    UNROLL
    for (int v = 0; v < vectors; ++v, at->y += LANES * t->y_column, at->left -= LANES) {
        t->width = at->left;
        store_row(t, 1, at->y, sums[v]);
    }
    at->x += vectors * LANES * stride;
}

/* Output row `row` of a tile. */
INLINE void split_output_row(depthwise_tile *t, const split_kernel *k, const int stride, dsc_int row, const split_vectors *n,
                             dsc_int width, const split_edge *edges)
{
    split_place at = {t->x + row * t->output_row, t->y + row * t->y_row, width};
    dsc_int first, last, i = 0;
    clip_taps(t->top + row * t->row_stride, t->row_dilation, t->kernel_rows, t->height, 0, &first, &last);
    for (; i < n->before; ++i)
        split_next(t, k, stride, 1, &edges[i], first, last, &at);
    for (dsc_int v = 0; v < n->inside; v += SPLIT_TOGETHER)
        split_next(t, k, stride, SPLIT_TOGETHER, NULL, first, last, &at);
    for (; i < n->before + n->after; ++i)
        split_next(t, k, stride, 1, &edges[i], first, last, &at);
}

/* The outputs of as many vectors as one tile takes; returns the columns. */
INLINE dsc_int split_some(depthwise_tile t, const int stride, dsc_int columns, split_kernel *k)
{
    const split_vectors n = choose_split_vectors(k, stride, divide_up(columns, LANES), t.inside_low, t.inside_high);
    const dsc_int width = at_most(columns, (n.before + n.inside + n.after) * LANES);
    split_edge edges[SPLIT_EDGES];
    for (dsc_int i = 0; i < n.before + n.after; ++i)
        find_split_edge(&t, k, stride, (i < n.before ? i : i + n.inside) * LANES * stride, &edges[i]);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t)) {
        lay_out_taps(&t, stride, k);
        for (dsc_int row = 0; row < t.rows; ++row)
            split_output_row(&t, k, stride, row, &n, width, edges);
    }
    return width;
}

/* All columns of a region, `width` of them. */
INLINE void split_tile(const depthwise_tile *tile, const int stride)
{
    const vec all_bits = (vec)v_ispread(-1);
    depthwise_tile t = *tile;
    split_kernel kernel;
    lay_out_split(tile, stride, &kernel);
    join_some(stride, kernel.rest, (const real *)&all_bits, 0, kernel.met);
    for (dsc_int left = tile->width, done; left > 0; left -= done) {
        done = split_some(t, stride, left, &kernel);
        t.x += done * stride, t.y += done * t.y_column;
        t.inside_low -= done * stride, t.inside_high -= done * stride;
    }
}

#if FEW_TILES
static const tile_function split_table[SPLIT_STRIDE - 1] = {NULL};
#else
#define SPLIT(S) static __attribute__((noinline)) void split_##S(const depthwise_tile *t) { split_tile(t, S); }
SPLIT(2) SPLIT(3) SPLIT(4)

/* [stride - 2] */
static const tile_function split_table[SPLIT_STRIDE - 1] = {split_2, split_3, split_4};
#endif

#endif
