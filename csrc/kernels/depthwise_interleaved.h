/* Depthwise convolution where the channel axis is dense: vectors of channels. Borders are clipped exactly, so nothing is
 * padded, and nothing masked but the first and the last channels. */
#ifndef DSCONV_DEPTHWISE_INTERLEAVED_H
#define DSCONV_DEPTHWISE_INTERLEAVED_H

#include "channel_region.h"
#include "depthwise_blocks.h"
#include "depthwise_marching.h"

#define PIXELS_LOG2 3      /* most outputs along the width in one tile */
#define PIXELS (1 << PIXELS_LOG2)
#define TAPS_TOGETHER 8    /* column taps that are kept in registers */
#define STAGED_TAPS 32     /* of several rows: copied first; fewer, and copying costs too much ... */
#define COLLIDING_TAPS 6
#define COLLIDING_BYTES 2048   /* ... but where pixels so far apart share sets of the first-level cache */

INLINE void store_sums(const channel_tile *t, const int P, mask m, vec *sums)
{
    const channel_region *r = t->r;
    real *y = r->y + (t->row - r->row) * r->y_row + (t->column - r->column) * r->y_column + t->channel;
    UNROLL
    for (int p = 0; p < P; ++p) {
        vec sum = v_finish(r->finish, sums[p]);
        v_store_masked(y + p * r->y_column, sum, m);
    }
}

/* I column taps of one row, `dilation` apart, pixel 0 at `start` for the first. Neighbours that read the same inputs load them
 * once. `clipped`: some of the inputs may not exist. */
INLINE void add_tap_block(const channel_tile *t, const int I, const int P, const int clipped, mask m,
                     const real *row, dsc_int start, const real *taps, vec *sums)
{
    const channel_region *r = t->r;
    const dsc_int apart = I == 1 ? r->e->stride[2] : 1, step = apart * r->x_step[2], size = r->e->in[2];
    const real *input = row + start * r->x_step[2];
    vec tap[TAPS_TOGETHER];
    UNROLL
    for (int i = 0; i < I; ++i)
        tap[i] = v_load(taps + i * r->tap_step[2]);
    UNROLL
    for (int c = 0; c < P + I - 1; ++c, input += step, start += apart) {
        if (clipped && (start < 0 || start >= size))
            continue;
        vec x = v_load_masked(input, m);
        V_KEEP(x);
        UNROLL
        for (int p = c >= I ? c - I + 1 : 0; p < P && p <= c; ++p)
            sums[p] += tap[c - p] * x;
    }
}

/* What remains of one row tap: its taps from `taps` on, of which the first reads `start` for pixel 0. */
typedef struct { const real *row, *taps; dsc_int start, left; } tap_row;

/* As many blocks of I taps as remain. Where it is not known which inputs exist, asking for each is left to the border. */
INLINE void add_tap_blocks(const channel_tile *t, const int I, const int P, const int clipped, mask m,
                           tap_row *at, vec *sums)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    for (; at->left >= I; at->left -= I, at->start += I * e->dilation[2], at->taps += I * r->tap_step[2]) {
        const dsc_int last = at->start + (I == 1 ? (P - 1) * e->stride[2] : P + I - 2);
        if (!clipped || (at->start >= 0 && last < e->in[2]))
            add_tap_block(t, I, P, 0, m, at->row, at->start, at->taps, sums);
        else if (last >= 0 && at->start < e->in[2])
            add_tap_block(t, I, P, 1, m, at->row, at->start, at->taps, sums);
    }
}

/* `dense`: stride and dilation are 1. */
INLINE void add_tap_row(const channel_tile *t, const int P, const int dense, const int clipped, mask m,
                        const real *row, const real *taps, vec *sums)
{
    const dsc_extent *e = t->r->e;
    tap_row at = {.row = row, .taps = taps, .start = t->column * e->stride[2] - e->low[2], .left = e->kernel[2]};
    if (dense) {
        add_tap_blocks(t, TAPS_TOGETHER, P, clipped, m, &at, sums);
        add_tap_blocks(t, TAPS_TOGETHER / 2, P, clipped, m, &at, sums);
    }
    add_tap_blocks(t, 1, P, clipped, m, &at, sums);
}

INLINE void run_channel_tile(const channel_tile *t, const int P, const int dense, const int clipped)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    mask m = v_mask(t->low, t->high);
    vec sums[PIXELS];
    UNROLL
    for (int p = 0; p < P; ++p)
        sums[p] = v_load(t->bias);
    for (dsc_int k = t->depth_first; k < t->depth_last; ++k) {
        const real *slice = r->x + t->channel + (r->depth * e->stride[0] - e->low[0] + k * e->dilation[0]) * r->x_step[0];
        for (dsc_int j = t->row_first; j < t->row_last; ++j) {
            const real *row = slice + (t->row * e->stride[1] - e->low[1] + j * e->dilation[1]) * r->x_step[1];
            const real *taps = t->taps + k * r->tap_step[0] + j * r->tap_step[1];
            add_tap_row(t, P, dense, clipped, m, row, taps, sums);
        }
    }
    store_sums(t, P, m, sums);
}

typedef void (*channel_function)(const channel_tile *);

#define CHANNEL_TILE(P, dense) \
    static void channels_##P##_##dense(const channel_tile *t) { run_channel_tile(t, P, dense, 0); } \
    static void channels_##P##_##dense##_clipped(const channel_tile *t) { run_channel_tile(t, P, dense, 1); }
#define CHANNEL_TILES(dense) CHANNEL_TILE(1, dense) CHANNEL_TILE(2, dense) CHANNEL_TILE(4, dense) CHANNEL_TILE(8, dense)
CHANNEL_TILES(0) CHANNEL_TILES(1)

#define CLIPPED(name) {name, name##_clipped}
#define CHANNEL_ENTRIES(dense) \
    {CLIPPED(channels_1_##dense), CLIPPED(channels_2_##dense), CLIPPED(channels_4_##dense), CLIPPED(channels_8_##dense)}

/* [dense][log2 pixels][clipped] */
static const channel_function channel_table[2][PIXELS_LOG2 + 1][2] = {CHANNEL_ENTRIES(0), CHANNEL_ENTRIES(1)};

static void run_channel_row(channel_tile *t)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    const dsc_int reach = (e->kernel[2] - 1) * e->dilation[2];
    const bool dense = e->stride[2] == 1 && e->dilation[2] == 1;
    for (t->column = r->column; t->column < r->column + r->columns;) {
        dsc_int left = r->column + r->columns - t->column, start = t->column * e->stride[2] - e->low[2];
        int log2 = left >= PIXELS ? PIXELS_LOG2 : left >= 4 ? 2 : left >= 2 ? 1 : 0;
        bool clipped = start < 0 || start + ((1 << log2) - 1) * e->stride[2] + reach >= e->in[2];
        channel_table[dense][log2][clipped](t);
        t->column += (dsc_int)1 << log2;
    }
}

static void run_channel_tiles(channel_tile *t)
{
    const dsc_int vectors = channel_vectors(t->r);
    for (dsc_int vector = 0; vector < vectors; ++vector) {
        choose_vector(t, vector);
        run_channel_row(t);
    }
}

/* Columns of one residue modulo the dilation, but for what belongs to a vector of channels. */
static channel_march march_along(const channel_tile *t, dsc_int residue)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    const dsc_int step = e->dilation[2], start = (r->column + residue) * e->stride[2] - e->low[2];
    const dsc_int slice = r->depth * e->stride[0] - e->low[0] + t->depth_first * e->dilation[0];
    const dsc_int row = t->row * e->stride[1] - e->low[1];
    return (channel_march){
        .x = r->x + slice * r->x_step[0] + row * r->x_step[1] + start * r->x_step[2],
        .x_row = e->dilation[1] * r->x_step[1], .x_column = step * r->x_step[2],
        .x_slice = e->dilation[0] * r->x_step[0], .slices = t->depth_last - t->depth_first,
        .low = start < 0 ? divide_up(-start, step) : 0, .high = start < e->in[2] ? divide_up(e->in[2] - start, step) : 0,
        .count = divide_up(r->columns - residue, step), .rows = e->kernel[1], .row_first = t->row_first,
        .row_last = t->row_last, .y = r->y + (t->row - r->row) * r->y_row + residue * r->y_column,
        .y_row = e->dilation[1] * r->y_row, .y_column = step * r->y_column, .spread = r->spread, .asks = r->asks, .finish = r->finish,
    };
}

/* The taps of a vector of channels from the first depth tap that exists, in order. */
static const vec *taps_in_order(const channel_tile *t, vec *copy)
{
    const channel_region *r = t->r;
    const dsc_int *step = r->tap_step;
    if (r->in_order)
        return (const vec *)(t->taps + t->depth_first * step[0]);
    vec *tap = copy;
    for (dsc_int k = t->depth_first; k < t->depth_last; ++k)
        for (dsc_int j = 0; j < r->e->kernel[1]; ++j)
            for (dsc_int i = 0; i < r->e->kernel[2]; ++i)
                for (int part = 0; part < r->parts; ++part)
                    *tap++ = v_load(t->taps + k * step[0] + j * step[1] + i * step[2] + part * LANES);
    return copy;
}

/* Which of the functions for these column taps. */
static int marching_rows(const channel_tile *t, bool together)
{
    const bool one_slice = t->depth_last - t->depth_first == 1;
    if (together)
        return one_slice ? FLAT_ROWS : SOME_ROWS;
    return one_slice && t->r->e->kernel[1] == 1 && t->row_last > t->row_first ? ONE_LINE : ONE_ROW;
}

static march_function choose_march(const channel_tile *t, int row, bool together)
{
    const dsc_int stride = t->r->e->stride[2];
    if (t->r->parts == 2)
        return complex_marches[row][stride - 1][together];
    return march_table[row][stride - 1][marching_rows(t, together)];
}

static void march_rows(channel_tile *t, int row, bool together)
{
    const channel_region *r = t->r;
    vec copy[2 * MARCH_TAPS];
    const dsc_int vectors = channel_vectors(r), residues = at_most(r->e->dilation[2], r->columns);
    for (dsc_int residue = 0; residue < residues; ++residue) {
        const channel_march along = march_along(t, residue);
        channel_march m = along;
        for (dsc_int vector = 0; vector < vectors; ++vector) {
            const bool whole = choose_vector(t, vector);
            m.taps = taps_in_order(t, copy), m.bias = t->bias;
            m.x = along.x + t->channel, m.y = along.y + t->channel;
            m.lane_low = t->low, m.lane_high = t->high;
            m.past = r->past && whole && (uintptr_t)m.y % LINE_BYTES == 0;
            choose_march(t, row, together)(&m);
        }
    }
}

/* How many of the rows from t->row on, `apart`, march together: all of them need all row taps. */
static dsc_int rows_from(channel_tile *t, dsc_int apart)
{
    const channel_region *r = t->r;
    const dsc_extent *e = r->e;
    dsc_int start = t->row * e->stride[1] - e->low[1], together = rows_together(e, r->parts);
    dsc_int last = start + ((together - 1) * e->stride[1] * apart) + (e->kernel[1] - 1) * e->dilation[1];
    clip_taps(start, e->dilation[1], e->kernel[1], e->in[1], 0, &t->row_first, &t->row_last);
    return start >= 0 && last < e->in[1] && t->row + (together - 1) * apart < r->row + r->rows ? together : 1;
}

/* A row that shares no inputs with others, of which all taps exist. */
static bool marches_alone(const channel_tile *t)
{
    const dsc_extent *e = t->r->e;
    return e->stride[2] > MARCH_SHARING && e->kernel[1] == e->kernel[2] && t->row_last - t->row_first == e->kernel[1];
}

/* Kernels of which a part of x is copied first. */
static bool copies_first(const channel_region *r)
{
    const dsc_extent *e = r->e;
    const dsc_int taps = e->kernel[1] * e->kernel[2];
    const bool collide = r->x_step[2] * (dsc_int)sizeof(real) % COLLIDING_BYTES == 0;
    if (march_of(e) >= 0 || block_of(e) || r->x_step[2] <= LANES)
        return false;
    return collide ? taps >= COLLIDING_TAPS : e->kernel[1] > 1 && taps >= STAGED_TAPS;
}

/* Columns whose numbers may be complex; of phases one without taps need not march. */
static bool complex_in_pairs(const dsc_extent *e)
{
    return e->stride[2] <= MARCH_SHARING && (e->kernel[2] == 0 || march_of(e) >= 0);
}

/* Rows that are computed together. */
static dsc_int rows_of_channels(const dsc_extent *e, int parts)
{
    return parts == 1 && block_of(e) ? rows_of_block(e) : march_of(e) < 0 ? 1 : rows_together(e, parts);
}

/* Are column taps added one after the other, of each those of all depths and rows? */
static bool columns_first(const dsc_extent *e)
{
    return march_of(e) >= 0 && !block_of(e);
}

/* Rows of one residue modulo the dilation read the same inputs. */
static void depthwise_channels(const channel_region *r)
{
    const dsc_extent *e = r->e;
    channel_tile t = {.r = r};
    const int row = march_of(e);
    const dsc_int apart = e->dilation[1];
    if (runs_blocks(r)) {
        depthwise_blocks(r);
        return;
    }
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, &t.depth_first,
              &t.depth_last);
    for (dsc_int residue = 0; residue < at_most(apart, r->rows); ++residue) {
        dsc_int rows;
        for (t.row = r->row + residue; t.row < r->row + r->rows; t.row += rows * apart) {
            rows = rows_from(&t, apart);
            if (row < 0)
                rows = 1, run_channel_tiles(&t);
            else
                march_rows(&t, row, rows > 1 || marches_alone(&t));
            for (dsc_int i = 0; i < rows; ++i)
                finish_pixels(r, t.row + i * apart);
        }
    }
}

#endif
