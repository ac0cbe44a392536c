/* Depthwise convolution where the channel axis is dense: vectors of channels, tiles of pixels.
 *
 * Taps are packed [tap][channel]. Borders are clipped exactly, so nothing is padded or masked but the last channels. */
#ifndef DSCONV_DEPTHWISE_INTERLEAVED_H
#define DSCONV_DEPTHWISE_INTERLEAVED_H

#include "epilogue.h"
#include "walk.h"

#define COLUMNS_DENSE 7    /* most column taps that are kept in registers */
#define PIXELS 8           /* most outputs along the width in one tile */

typedef struct {
    const dsc_extent *e;
    const real *x;             /* of the image */
    const dsc_int *x_step;
    const real *taps;          /* packed, [tap][padded channels]: tap 0 of the region */
    dsc_int tap_step[3];       /* elements from one depth, row, column tap to the next */
    const real *bias;          /* padded channels */
    dsc_int channels;
    dsc_int depth, row, rows, column, columns;
    real *y;                   /* of the first output */
    dsc_int y_row, y_column;
    const epilogue *finish;
} channel_region;

/* One tile: some outputs of one row, one or two vectors of channels. */
typedef struct {
    const channel_region *r;
    dsc_int channel, width, row, column;
    dsc_int depth_first, depth_last, row_first, row_last;
} channel_tile;

INLINE void store_sums(const channel_tile *t, const int P, const int V, const int tail, mask m, vec (*sums)[2])
{
    const channel_region *r = t->r;
    real *y = r->y + (t->row - r->row) * r->y_row + (t->column - r->column) * r->y_column + t->channel;
    UNROLL
    for (int p = 0; p < P; ++p) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            vec sum = v_finish(r->finish, sums[p][v]);
            if (tail)
                v_store_masked(y + p * r->y_column, sum, m);
            else
                v_store(y + p * r->y_column + v * LANES, sum);
        }
    }
}

/* One row tap, any columns. `clipped`: some column tap of some pixel may not exist. */
INLINE void add_row_any(const channel_tile *t, const int P, const int V, const int tail, const int clipped, mask m,
                        const real *row, const real *taps, vec (*sums)[2])
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    dsc_int start = t->column * e->stride[2] - e->low[2];
    for (dsc_int i = 0; i < e->kernel[2]; ++i, start += e->dilation[2], taps += r->tap_step[2]) {
        vec tap[2];
        UNROLL
        for (int v = 0; v < V; ++v)
            tap[v] = v_load(taps + v * LANES);
        UNROLL
        for (int p = 0; p < P; ++p) {
            dsc_int column = start + p * e->stride[2];
            if (clipped && (column < 0 || column >= e->in[2]))
                continue;
            UNROLL
            for (int v = 0; v < V; ++v)
                sums[p][v] += tap[v] * v_load_lanes(row + column * r->x_step[2] + v * LANES, tail, m);
        }
    }
}

/* KW column taps, stride and dilation 1: each input column is loaded once. */
INLINE void add_row_dense(const channel_tile *t, const int KW, const int P, const int v, const int tail,
                          const int clipped, mask m, const real *row, const real *taps, vec (*sums)[2])
{
    const channel_region *r = t->r;
    dsc_int start = t->column - r->e->low[2];
    vec tap[COLUMNS_DENSE];
    UNROLL
    for (int i = 0; i < KW; ++i)
        tap[i] = v_load(taps + i * r->tap_step[2] + v * LANES);
    UNROLL
    for (int c = 0; c < P + KW - 1; ++c) {
        if (clipped && (start + c < 0 || start + c >= r->e->in[2]))
            continue;
        vec x = v_load_lanes(row + (start + c) * r->x_step[2] + v * LANES, tail, m);
        V_KEEP(x);
        UNROLL
        for (int p = c >= KW ? c - KW + 1 : 0; p < P && p <= c; ++p)
            sums[p][v] += tap[c - p] * x;
    }
}

INLINE void run_channel_tile(const channel_tile *t, const int KW, const int P, const int V, const int tail,
                             const int clipped)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    mask m = v_mask(0, t->width);
    vec sums[PIXELS][2];
    UNROLL
    for (int p = 0; p < P; ++p) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[p][v] = v_load(r->bias + t->channel + v * LANES);
    }
    for (dsc_int k = t->depth_first; k < t->depth_last; ++k) {
        const real *slice = r->x + t->channel + (r->depth * e->stride[0] - e->low[0] + k * e->dilation[0]) * r->x_step[0];
        for (dsc_int j = t->row_first; j < t->row_last; ++j) {
            const real *row = slice + (t->row * e->stride[1] - e->low[1] + j * e->dilation[1]) * r->x_step[1];
            const real *taps = r->taps + k * r->tap_step[0] + j * r->tap_step[1] + t->channel;
            if (!KW)
                add_row_any(t, P, V, tail, clipped, m, row, taps, sums);
            UNROLL
            for (int v = 0; KW && v < V; ++v)
                add_row_dense(t, KW, P, v, tail, clipped, m, row, taps, sums);
        }
    }
    store_sums(t, P, V, tail, m, sums);
}

typedef void (*channel_function)(const channel_tile *);

#define CHANNEL_TILE(KW, P, V, tail) \
    static void channels_##KW##_##P##_##V##_##tail(const channel_tile *t) { run_channel_tile(t, KW, P, V, tail, 0); } \
    static void channels_##KW##_##P##_##V##_##tail##_clipped(const channel_tile *t) \
    { run_channel_tile(t, KW, P, V, tail, 1); }
#define CHANNEL_TILES(KW, V, tail) CHANNEL_TILE(KW, 1, V, tail) CHANNEL_TILE(KW, 2, V, tail) CHANNEL_TILE(KW, 4, V, tail)
#define CHANNEL_TILES_MORE(KW, tail) CHANNEL_TILES(KW, 1, tail) CHANNEL_TILE(KW, 8, 1, tail)
CHANNEL_TILES(0, 2, 0) CHANNEL_TILES_MORE(0, 0) CHANNEL_TILES_MORE(0, 1)
CHANNEL_TILES(3, 2, 0) CHANNEL_TILES_MORE(3, 0) CHANNEL_TILES_MORE(3, 1)
CHANNEL_TILES_MORE(5, 0) CHANNEL_TILES_MORE(5, 1) CHANNEL_TILES_MORE(7, 0) CHANNEL_TILES_MORE(7, 1)

#define CLIPPED(name) {name, name##_clipped}
#define CHANNEL_ENTRIES(KW, V, tail) \
    CLIPPED(channels_##KW##_1_##V##_##tail), CLIPPED(channels_##KW##_2_##V##_##tail), \
    CLIPPED(channels_##KW##_4_##V##_##tail)
#define CHANNEL_ENTRIES_MORE(KW, tail) {CHANNEL_ENTRIES(KW, 1, tail), CLIPPED(channels_##KW##_8_1_##tail)}

/* [any, 3, 5, 7 column taps][one vector, last channels, two vectors][log2 pixels][clipped] */
static const channel_function channel_table[4][3][4][2] = {
    {CHANNEL_ENTRIES_MORE(0, 0), CHANNEL_ENTRIES_MORE(0, 1), {CHANNEL_ENTRIES(0, 2, 0)}},
    {CHANNEL_ENTRIES_MORE(3, 0), CHANNEL_ENTRIES_MORE(3, 1), {CHANNEL_ENTRIES(3, 2, 0)}},
    {CHANNEL_ENTRIES_MORE(5, 0), CHANNEL_ENTRIES_MORE(5, 1)},
    {CHANNEL_ENTRIES_MORE(7, 0), CHANNEL_ENTRIES_MORE(7, 1)},
};

enum { ONE_VECTOR, LAST_CHANNELS, TWO_VECTORS };

static int dense_columns(const dsc_extent *e)
{
    if (e->stride[2] != 1 || e->dilation[2] != 1 || e->kernel[2] % 2 == 0 || e->kernel[2] > COLUMNS_DENSE)
        return 0;
    return (int)(e->kernel[2] / 2);
}

static void run_channel_row(channel_tile *t, int dense, int kind)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    dsc_int reach = (e->kernel[2] - 1) * e->dilation[2];
    for (t->column = r->column; t->column < r->column + r->columns;) {
        dsc_int left = r->column + r->columns - t->column, start = t->column * e->stride[2] - e->low[2];
        int log2 = left >= 8 && kind != TWO_VECTORS ? 3 : left >= 4 ? 2 : left >= 2 ? 1 : 0;
        bool clipped = start < 0 || start + ((1 << log2) - 1) * e->stride[2] + reach >= e->in[2];
        channel_table[dense][kind][log2][clipped](t);
        t->column += (dsc_int)1 << log2;
    }
}

static void depthwise_channels(const channel_region *r)
{
    const dsc_extent *e = r->e;
    channel_tile t = {.r = r};
    int dense = dense_columns(e);
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, &t.depth_first,
              &t.depth_last);
    for (t.row = r->row; t.row < r->row + r->rows; ++t.row) {
        clip_taps(t.row * e->stride[1] - e->low[1], e->dilation[1], e->kernel[1], e->in[1], 0, &t.row_first,
                  &t.row_last);
        for (t.channel = 0; t.channel < r->channels; t.channel += t.width) {
            dsc_int left = r->channels - t.channel;
            int kind = left < LANES ? LAST_CHANNELS : left >= 2 * LANES && dense <= 1 ? TWO_VECTORS : ONE_VECTOR;
            t.width = kind == TWO_VECTORS ? 2 * LANES : at_most(left, LANES);
            run_channel_row(&t, dense, kind);
        }
        if (r->finish->later != DSC_LINEAR)
            for (dsc_int q = 0; q < r->columns; ++q)
                finish_later(r->finish, r->y + (t.row - r->row) * r->y_row + q * r->y_column, 1, r->channels);
    }
}

/* Taps of every channel as [tap][padded channels], unused channels zero. */
static void pack_taps(const dsc_problem *p, const real *taps, real *packed, dsc_int padded)
{
    const dsc_int *kernel = p->e.kernel, *step = p->taps.step;
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j)
            for (dsc_int i = 0; i < kernel[2]; ++i, packed += padded) {
                const real *tap = taps + k * step[0] + j * step[1] + i * step[2];
                for (dsc_int c = 0; c < p->channels; ++c)
                    packed[c] = tap[c * p->taps.channel];
                for (dsc_int c = p->channels; c < padded; ++c)
                    packed[c] = 0;
            }
}

#endif
