/* The register tile of the planar depthwise convolution: R output rows x V vectors along the width.
 *
 * Each loaded input vector feeds every output row that uses it. The taps of one output are always added in the order
 * depth, column, row, whatever the tile, so that no result depends on its position. */
#ifndef DSCONV_DEPTHWISE_TILE_H
#define DSCONV_DEPTHWISE_TILE_H

#include "channel_taps.h"
#include "epilogue.h"
#include "walk.h"

#if VECTOR_REGISTERS >= 32
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif
#define TILE_ROWS 4
#define SINGLE_VECTORS 8   /* a single row needs this many independent sums */

/* Where a tile's inputs and outputs lie. Tap (k, j, i) of output row o, lane l reads
 * x[k * slice + (o * row_outputs + j) * row + column offset of i + l]. */
typedef struct {
    const real *x;
    dsc_int slice, row;               /* steps from one depth tap, one row tap to the next */
    dsc_int summands, x_summand, taps_summand;  /* inputs that one output sums over, and the steps between them */
    dsc_int output_row;               /* step of x from one output row to the next (only where rows share nothing) */
    dsc_int depth_first, depth_last;  /* taps that exist */
    dsc_int rows;                     /* output rows (rolling tiles only; others know theirs) */
    dsc_int row_first, row_last;      /* shared rows: input rows of the tile that exist */
    dsc_int top, height;              /* unshared rows: input row of output row 0, tap 0; rows that exist */
    dsc_int row_stride, row_dilation;
    dsc_int kernel_rows, column_first, column_last;
    dsc_int dilation, phases, phase_pitch;  /* column tap i starts in phase (i * dilation) % phases */
    const real *taps;
    dsc_int tap_depth, tap_row, tap_column;
    dsc_int inside_low, inside_high;  /* masked: lane l of column tap i exists where low <= i * dilation + l < high */
    dsc_int width;                    /* lanes stored */
    dsc_int second;                   /* overlapping tiles: lane at which the second vector begins */
    real turn;                        /* complex: 1 or, where taps are conjugated, -1; else 0 */
    const real *bias;
    real *y;
    dsc_int y_row, y_column;
    dsc_int x_ahead, y_ahead;    /* from what is computed to what will be, where that is asked for */
    dsc_int slices_ahead;        /* ... of so many slices that depth taps read, but for the first: of it always */
    dsc_int planes, x_plane, taps_plane, bias_plane, y_plane;  /* channels done one after the other, and their steps */
    bool finite;                 /* all taps are, as far as that was looked at */
    const epilogue *finish;
} depthwise_tile;

/* Depth taps of one summand after the other. */
typedef struct { dsc_int summand, depth, x, taps; } tap_slice;

INLINE tap_slice slice_of(const depthwise_tile *t, dsc_int summand)
{
    return (tap_slice){.summand = summand, .depth = t->depth_first, .x = summand * t->x_summand + t->depth_first * t->slice,
                       .taps = summand * t->taps_summand + t->depth_first * t->tap_depth};
}

INLINE tap_slice first_slice(const depthwise_tile *t)
{
    return slice_of(t, t->depth_first < t->depth_last ? 0 : t->summands);
}

INLINE void next_slice(const depthwise_tile *t, tap_slice *s)
{
    s->x += t->slice, s->taps += t->tap_depth;
    if (++s->depth >= t->depth_last)
        *s = slice_of(t, s->summand + 1);
}

typedef struct { dsc_int offset, phase, index; } tap_column;

INLINE tap_column first_column(const depthwise_tile *t)
{
    dsc_int position = t->column_first * t->dilation;
    tap_column c = {.index = t->column_first};
    if (t->phases == 1) {
        c.offset = position;
    } else {
        c.phase = position % t->phases;
        c.offset = c.phase * t->phase_pitch + position / t->phases;
    }
    return c;
}

INLINE void next_column(const depthwise_tile *t, tap_column *c)
{
    ++c->index;
    if (t->phases == 1) {
        c->offset += t->dilation;
        return;
    }
    dsc_int phase = c->phase + t->dilation % t->phases;
    c->offset += t->dilation / t->phases + (phase - c->phase) * t->phase_pitch;
    if (phase >= t->phases) {
        phase -= t->phases;
        c->offset += 1 - t->phases * t->phase_pitch;
    }
    c->phase = phase;
}

INLINE void column_masks(const depthwise_tile *t, const int V, dsc_int column, mask *masks)
{
    dsc_int low = t->inside_low - column * t->dilation, high = t->inside_high - column * t->dilation;
    if (high > t->width)
        high = t->width;
    UNROLL
    for (int v = 0; v < V; ++v)
        masks[v] = v_mask(low - v * LANES, high - v * LANES);
}

INLINE void load_row(const real *p, const int V, const int masked, const mask *masks, vec *x)
{
    UNROLL
    for (int v = 0; v < V; ++v) {
        x[v] = masked ? v_load_masked(p + v * LANES, masks[v]) : v_load(p + v * LANES);
        V_KEEP(x[v]);
    }
}

INLINE void add_row(vec *sums, const int V, const int masked, const mask *masks, const vec *x, vec tap)
{
    UNROLL
    for (int v = 0; v < V; ++v)
        sums[v] = masked ? v_add_product_masked(sums[v], x[v], tap, masks[v]) : sums[v] + x[v] * tap;
}

/* Output rows that lie one row tap apart, at least R row taps: input row r feeds rows r, r - 1, ... */
INLINE void add_column_shared(const depthwise_tile *t, const int R, const int V, const int masked, const mask *masks,
                              const real *x, const real *taps, vec sums[][SINGLE_VECTORS])
{
    vec row[SINGLE_VECTORS];
    UNROLL
    for (int r = 0; r < R - 1; ++r) {
        if (r < t->row_first || r >= t->row_last)
            continue;
        load_row(x + r * t->row, V, masked, masks, row);
        UNROLL
        for (int o = 0; o <= r; ++o)
            add_row(sums[o], V, masked, masks, row, v_spread(taps[(r - o) * t->tap_row]));
    }
    dsc_int first = t->row_first > R - 1 ? t->row_first : R - 1;
    dsc_int last = t->row_last < t->kernel_rows ? t->row_last : t->kernel_rows;
    for (dsc_int r = first; r < last; ++r) {
        load_row(x + r * t->row, V, masked, masks, row);
        UNROLL
        for (int o = 0; o < R; ++o)
            add_row(sums[o], V, masked, masks, row, v_spread(taps[(r - o) * t->tap_row]));
    }
    UNROLL
    for (int s = 0; s < R - 1; ++s) {
        dsc_int r = t->kernel_rows + s;
        if (r < t->row_first || r >= t->row_last)
            continue;
        load_row(x + r * t->row, V, masked, masks, row);
        UNROLL
        for (int o = s + 1; o < R; ++o)
            add_row(sums[o], V, masked, masks, row, v_spread(taps[(r - o) * t->tap_row]));
    }
}

/* Output rows that share no input row. */
INLINE void add_column_unshared(const depthwise_tile *t, const int R, const int V, const int masked, const mask *masks,
                                const real *x, const real *taps, vec sums[][SINGLE_VECTORS])
{
    for (dsc_int j = 0; j < t->kernel_rows; ++j) {
        vec tap = v_spread(taps[j * t->tap_row]);
        UNROLL
        for (int o = 0; o < R; ++o) {
            vec row[SINGLE_VECTORS];
            dsc_int source = t->top + o * t->row_stride + j * t->row_dilation;
            if (source < 0 || source >= t->height)
                continue;
            load_row(x + o * t->output_row + j * t->row, V, masked, masks, row);
            add_row(sums[o], V, masked, masks, row, tap);
        }
    }
}

enum { SHARED, UNSHARED };

INLINE void add_taps(const depthwise_tile *t, const int kind, const int R, const int V, const int masked,
                     vec sums[][SINGLE_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *slice = t->x + s.x, *taps = t->taps + s.taps;
        for (tap_column c = first_column(t); c.index < t->column_last; next_column(t, &c)) {
            const real *x = slice + c.offset, *column = taps + c.index * t->tap_column;
            mask masks[SINGLE_VECTORS];
            if (masked)
                column_masks(t, V, c.index, masks);
            if (kind == SHARED)
                add_column_shared(t, R, V, masked, masks, x, column, sums);
            else
                add_column_unshared(t, R, V, masked, masks, x, column, sums);
        }
    }
}

/* A vector of results with others between them, as phases of transposed convolutions store them; apart from the tiles, which would
 * be half as large again. */
static __attribute__((noinline)) void store_spread(const depthwise_tile *t, real *y, vec sum, dsc_int left)
{
    if (t->y_column == 2)
        v_store_even(y, sum, (int)at_least(at_most(left, LANES), 0));
    else
        v_scatter(y, t->y_column, sum, (int)at_most(left, LANES));
}

INLINE void store_row(const depthwise_tile *t, const int V, real *y, const vec *sums)
{
    UNROLL
    for (int v = 0; v < V; ++v) {
        real *target = y + v * LANES * t->y_column;
        dsc_int left = t->width - v * LANES;
        vec sum = v_finish(t->finish, sums[v]);
        if (t->y_column != 1)
            store_spread(t, target, sum, left);
        else
            v_store_first(target, sum, left);
    }
}

INLINE void next_plane(depthwise_tile *t)
{
    t->x += t->x_plane;
    t->taps += t->taps_plane;
    t->bias += t->bias_plane;
    t->y += t->y_plane;
}

INLINE void run_tile(const depthwise_tile *tile, const int kind, const int R, const int V, const int masked)
{
    depthwise_tile t = *tile;
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t)) {
        vec sums[TILE_ROWS][SINGLE_VECTORS];
        UNROLL
        for (int o = 0; o < R; ++o) {
            UNROLL
            for (int v = 0; v < V; ++v)
                sums[o][v] = v_spread(*t.bias);
        }
        add_taps(&t, kind, R, V, masked, sums);
        UNROLL
        for (int o = 0; o < R; ++o)
            store_row(&t, V, t.y + o * t.y_row, sums[o]);
    }
}

typedef void (*tile_function)(const depthwise_tile *);

#define MASKED_LOG2 1   /* masked tiles have one or two vectors: their masks stay in registers ... */
#define MASKED_ROWS 8   /* ... unless so many row taps use the masks of a column tap */

#define TILE(kind, R, V) static void tile_##kind##_##R##_##V(const depthwise_tile *t) { run_tile(t, kind, R, V, 0); }
#define TILE_MASKED(kind, R, V) \
    static void tile_##kind##_##R##_##V##_masked(const depthwise_tile *t) { run_tile(t, kind, R, V, 1); }
#if FEW_TILES
#define TILES(kind, R) TILE(kind, R, 1) TILE(kind, R, 2)
#define ENTRIES(kind, R) {tile_##kind##_##R##_1, NULL}, {tile_##kind##_##R##_2, NULL}
#elif defined VECTOR_FREE_MASKS   /* but for the largest tiles, below */
#define TILES(kind, R) TILE_MASKED(kind, R, 1) TILE_MASKED(kind, R, 2)
#define ENTRIES(kind, R) \
    {tile_##kind##_##R##_1_masked, tile_##kind##_##R##_1_masked}, {tile_##kind##_##R##_2_masked, tile_##kind##_##R##_2_masked}
#else
#define TILES(kind, R) TILE(kind, R, 1) TILE(kind, R, 2) TILE_MASKED(kind, R, 1) TILE_MASKED(kind, R, 2)
#define ENTRIES(kind, R) \
    {tile_##kind##_##R##_1, tile_##kind##_##R##_1_masked}, {tile_##kind##_##R##_2, tile_##kind##_##R##_2_masked}
#endif

PLAIN_LOOPS
TILES(SHARED, 4)
PLAIN_ADDRESSES   /* smaller and as fast; for four shared rows a little slower */
TILES(SHARED, 2) TILES(UNSHARED, 4) TILES(UNSHARED, 1) TILE(UNSHARED, 1, 4) TILE(UNSHARED, 1, 8)
USUAL_ADDRESSES
#if TILE_VECTORS == 4
TILE(SHARED, 4, 4) TILE(UNSHARED, 4, 4)
#define tile_SHARED_2_4 tile_SHARED_2_4_masked
TILE_MASKED(SHARED, 4, 4) TILE_MASKED(SHARED, 2, 4)
#define tile_UNSHARED_4_4_masked NULL
#define ENTRIES_MORE(kind, R) {ENTRIES(kind, R), {tile_##kind##_##R##_4, tile_##kind##_##R##_4_masked}}
#else
#define ENTRIES_MORE(kind, R) {ENTRIES(kind, R)}
#endif
USUAL_LOOPS

/* [kind][log2 rows][log2 vectors][masked]; single rows are never shared, and two rows always. */
static const tile_function tile_table[2][3][4][2] = {
    [SHARED] = {{{NULL}}, ENTRIES_MORE(SHARED, 2), ENTRIES_MORE(SHARED, 4)},
    [UNSHARED] = {{ENTRIES(UNSHARED, 1), {tile_UNSHARED_1_4, NULL}, {tile_UNSHARED_1_8, NULL}},
                  {{NULL}}, ENTRIES_MORE(UNSHARED, 4)},
};

/* Most vectors of a tile, as log2. */
static inline int tile_vectors_log2(int rows)
{
    return rows == 1 ? 3 : TILE_VECTORS == 4 ? 2 : 1;
}

#endif
