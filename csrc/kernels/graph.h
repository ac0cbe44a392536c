/* A sparse matrix times a dense one, by rows: y[r] = sum over the entries of row r of value * x[column].
 *
 * Rows have any number of entries, so the work is cut by entries and not by rows: rows and entries stand in one line, row r
 * at start[r] + r, and an item is a stretch of GRAPH_STRETCH places of it. A row with more entries than that is summed in
 * chunks of that many, each of which begins in a stretch of its own and leaves a partial sum; these are added afterwards, in
 * their order. So a sum depends on its row alone. Indices are checked as they are used: whoever changes them meanwhile gets
 * an error. */
#ifndef DSCONV_GRAPH_H
#define DSCONV_GRAPH_H

#include "epilogue.h"
#include "reduction.h"
#include "walk.h"

#define GRAPH_LONG (1 << 16)    /* multiply-adds of a row worth a look at the clock */
#define GRAPH_PAIRS 24          /* entries of a row that is summed in pairs */
#define GRAPH_VECTORS 4    /* of channels in registers, in two sums each */

INLINE dsc_int graph_index(const void *indices, const bool wide, dsc_int i)
{
    return wide ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
}

static dsc_int row_start(const dsc_graph *g, dsc_int row) { return graph_index(g->start, g->wide, row); }

/* Where a row stands in line. */
static dsc_int row_place(const dsc_graph *g, dsc_int row)
{
    return row_start(g, row) - row_start(g, g->first) + row - g->first;
}

/* The last row that begins at a place or before it. */
static dsc_int row_at(const dsc_graph *g, dsc_int place)
{
    dsc_int low = g->first, high = g->last;
    while (high - low > 1) {
        dsc_int middle = low + (high - low) / 2;
        if (row_place(g, middle) <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static ONCE_A_CALL void plan_graph(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_graph *g = p->graph;
    dsc_int images = g->gradient ? 1 : p->batch;
    *plan = (dsc_plan){.bands = g->stretches, .items = images * g->stretches};
    plan->work = (double)p->batch * (double)p->channels * (double)g->stretches * GRAPH_STRETCH;
}

/* ---- sums of rows ------------------------------------------------------------------------------------------------ */
/* What the sums of one image need: a copy of its own, as nothing that is stored can then change it. */
typedef struct {
    const void *start, *column;
    const real *value, *x, *base, *scale, *bias;
    real *y;
    dsc_int nodes, entries, first, channels, x_pitch, y_pitch, base_pitch;
    epilogue finish;
} graph_view;

static graph_view view_of(const dsc_problem *p, dsc_int image)
{
    const dsc_graph *g = p->graph;
    graph_view v = {.start = g->start, .column = g->column, .value = (const real *)g->value, .nodes = g->columns,
                    .entries = g->entries, .first = g->first, .channels = p->channels, .x_pitch = p->x.step[2],
                    .y_pitch = p->y.step[2], .base_pitch = g->base.step[2], .finish = make_epilogue(p->mixing_activation)};
    v.x = (const real *)p->x.data + image * p->x.batch;
    v.y = (real *)p->y.data + image * p->y.batch;
    v.base = g->base.data ? (const real *)g->base.data + image * g->base.batch : NULL;
    v.scale = (const real *)p->taps.data, v.bias = (const real *)p->mixing_bias.data;
    return v;
}

INLINE bool add_entry(const graph_view *g, const real *x, dsc_int entry, const bool wide, const int count, const int tail,
                      mask m, vec *sums)
{
    dsc_int node = graph_index(g->column, wide, entry);
    if ((uint64_t)node >= (uint64_t)g->nodes)
        return false;
    vec value = v_spread(g->value[entry]);
    UNROLL
    for (int v = 0; v < count; ++v)
        sums[v] += value * v_load_lanes(x + node * g->x_pitch + v * LANES, tail && v == count - 1, m);
    return true;
}

/* Entries [from, to) times some channels of x. In all but short rows, even and odd ones are summed apart, so that an
 * addition need not wait for the one before. False: an index is out of range. */
INLINE bool sum_entries(const graph_view *g, dsc_int channel, dsc_int from, dsc_int to, const bool wide, const int count,
                        const int tail, mask m, vec *sums)
{
    const real *x = g->x + channel;
    const bool in_pairs = to - from >= GRAPH_PAIRS;
    vec odd[GRAPH_VECTORS];
    UNROLL
    for (int v = 0; v < count; ++v)
        sums[v] = odd[v] = v_spread(0);
    for (; in_pairs && from + 1 < to; from += 2)
        if (!add_entry(g, x, from, wide, count, tail, m, sums) || !add_entry(g, x, from + 1, wide, count, tail, m, odd))
            return false;
    for (; from < to; ++from)
        if (!add_entry(g, x, from, wide, count, tail, m, sums))
            return false;
    UNROLL
    for (int v = 0; in_pairs && v < count; ++v)
        sums[v] += odd[v];
    return true;
}

INLINE bool add_single(const graph_view *g, dsc_int entry, const bool wide, real *sum)
{
    dsc_int node = graph_index(g->column, wide, entry);
    if ((uint64_t)node >= (uint64_t)g->nodes)
        return false;
    *sum += g->value[entry] * g->x[node * g->x_pitch];
    return true;
}

/* `sum_entries` of a single channel, and the same bits: a load of one element never crosses a cache line. */
INLINE bool sum_single(const graph_view *g, dsc_int from, dsc_int to, const bool wide, vec *sum)
{
    const bool in_pairs = to - from >= GRAPH_PAIRS;
    real even = 0, odd = 0;
    for (; in_pairs && from + 1 < to; from += 2)
        if (!add_single(g, from, wide, &even) || !add_single(g, from + 1, wide, &odd))
            return false;
    for (; from < to; ++from)
        if (!add_single(g, from, wide, &even))
            return false;
    *sum = v_spread(in_pairs ? even + odd : even);
    return true;
}

INLINE void store_lanes(real *to, vec value, const int tail, mask m)
{
    if (tail)
        v_store_masked(to, value, m);
    else
        v_store(to, value);
}

/* What follows the sum of a row: a scaled base and a bias, the activation. */
INLINE void finish_row(const graph_view *g, dsc_int row, dsc_int channel, const int count, const int tail, mask m,
                       vec *sums)
{
    real *y = g->y + (row - g->first) * g->y_pitch + channel;
    const real *base = g->base ? g->base + row * g->base_pitch + channel : NULL;
    const real *scale = g->base ? g->scale + channel : NULL;
    UNROLL
    for (int v = 0; v < count; ++v) {
        const int last = tail && v == count - 1;
        if (g->base)
            sums[v] += v_load_lanes(scale + v * LANES, last, m) * v_load_lanes(base + v * LANES, last, m);
        if (g->bias)
            sums[v] += v_load_lanes(g->bias + channel + v * LANES, last, m);
        store_lanes(y + v * LANES, v_finish(&g->finish, sums[v]), last, m);
    }
    finish_later(&g->finish, y, 1, at_most(g->channels - channel, count * LANES));
}

/* One chunk of a row, or the whole; `partial` NULL: the result, else a sum that others will be added to. */
typedef struct { dsc_int row, from, to; real *partial; } row_chunk;

INLINE bool sum_channels(const graph_view *g, const row_chunk *c, dsc_int channel, const bool wide, const int count,
                         const int tail)
{
    vec sums[GRAPH_VECTORS];
    mask m = v_mask(0, tail ? g->channels - channel - (count - 1) * LANES : LANES);
    if (!sum_entries(g, channel, c->from, c->to, wide, count, tail, m, sums))
        return false;
    if (!c->partial) {
        finish_row(g, c->row, channel, count, tail, m, sums);
        return true;
    }
    UNROLL
    for (int v = 0; v < count; ++v)
        store_lanes(c->partial + channel + v * LANES, sums[v], tail && v == count - 1, m);
    return true;
}

/* Any number of channels: so many that it costs nothing to look at the size of indices for each entry. */
static __attribute__((noinline)) bool sum_chunk(const graph_view *g, const row_chunk *c, bool wide)
{
    dsc_int channel = 0;
    for (; channel + GRAPH_VECTORS * LANES <= g->channels; channel += GRAPH_VECTORS * LANES)
        if (!sum_channels(g, c, channel, wide, GRAPH_VECTORS, 0))
            return false;
    if (channel + 2 * LANES <= g->channels) {
        if (!sum_channels(g, c, channel, wide, 2, 0))
            return false;
        channel += 2 * LANES;
    }
    if (channel + LANES <= g->channels) {
        if (!sum_channels(g, c, channel, wide, 1, 0))
            return false;
        channel += LANES;
    }
    return channel == g->channels || sum_channels(g, c, channel, wide, 1, 1);
}

/* ---- gradients of values ----------------------------------------------------------------------------------------- */
/* Of entry e in row r: the product of y[r] and x[column], summed over channels and images. */
static bool differentiate_chunk(const dsc_problem *p, const row_chunk *c)
{
    const dsc_graph *g = p->graph;
    dsc_int whole = p->channels / LANES * LANES;
    mask m = v_mask(0, p->channels - whole);
    for (dsc_int e = c->from; e < c->to; ++e) {
        dsc_int column = graph_index(g->column, g->wide, e);
        if ((uint64_t)column >= (uint64_t)g->columns)
            return false;
        vec sum = v_spread(0);
        for (dsc_int image = 0; image < p->batch; ++image) {
            const real *x = (const real *)p->x.data + image * p->x.batch + column * p->x.step[2];
            const real *y = (const real *)p->y.data + image * p->y.batch + (c->row - g->first) * p->y.step[2];
            for (dsc_int channel = 0; channel < whole; channel += LANES)
                sum += v_load(x + channel) * v_load(y + channel);
            if (whole < p->channels)
                sum += v_load_masked(x + whole, m) * v_load_masked(y + whole, m);
        }
        ((real *)g->gradient)[e] = sum_of_lanes(sum);
    }
    return true;
}

/* ---- items ------------------------------------------------------------------------------------------------------- */
static real *partial_sum(const dsc_problem *p, dsc_int item, bool begins)
{
    return (real *)p->graph->partial + (2 * item + !begins) * p->channels;
}

/* The chunk of a long row that begins in a stretch, if one does. */
static __attribute__((noinline)) bool do_long_row(const dsc_problem *p, graph_view v, dsc_int item, dsc_int place,
                                                  row_chunk c)
{
    dsc_graph *g = p->graph;
    dsc_int before = item % g->stretches * GRAPH_STRETCH - place;
    dsc_int chunk = before > 0 ? divide_up(before, GRAPH_STRETCH) : 0;
    if (chunk * GRAPH_STRETCH >= c.to - c.from)
        return true;
    c.from += chunk * GRAPH_STRETCH, c.to = at_most(c.from + GRAPH_STRETCH, c.to);
    if (g->gradient)
        return differentiate_chunk(p, &c);
    if (!g->partial)
        return false;
    c.partial = partial_sum(p, item, chunk == 0);
    if (chunk == 0)
        g->long_row[item] = c.row;
    return sum_chunk(&v, &c, g->wide);
}

/* The rows and the chunks of rows that begin in a stretch, with so many vectors of channels; `count` 0: any number. */
INLINE bool do_stretch(const dsc_problem *p, dsc_int item, const bool wide, const int count, const int tail)
{
    const dsc_int stretches = p->graph->stretches, last = p->graph->last, begin = item % stretches * GRAPH_STRETCH;
    const graph_view g = view_of(p, p->graph->gradient ? 0 : item / stretches);
    const dsc_int origin = row_start(p->graph, g.first) + g.first;
    const mask m = v_mask(0, tail ? g.channels - (count - 1) * LANES : LANES);
    dsc_int row = row_at(p->graph, begin), from = graph_index(g.start, wide, row), to;
    for (; row < last && from + row - origin < begin + GRAPH_STRETCH; ++row, from = to) {
        to = graph_index(g.start, wide, row + 1);
        const row_chunk c = {.row = row, .from = from, .to = to};
        vec sums[GRAPH_VECTORS];
        bool done = true;
        if (from < 0 || from > to || to > g.entries)
            return false;
        if (to - from > GRAPH_STRETCH) {
            done = do_long_row(p, g, item, from + row - origin, c);
        } else if (from + row - origin < begin) {
            continue;
        } else if (count) {
            if (count == 1 && tail && g.channels == 1)
                done = sum_single(&g, from, to, wide, sums);
            else
                done = sum_entries(&g, 0, from, to, wide, count, tail, m, sums);
            if (done)
                finish_row(&g, row, 0, count, tail, m, sums);
        } else {
            if ((to - from) * g.channels > GRAPH_LONG && dsc_stopped(p))
                return true;
            done = p->graph->gradient ? differentiate_chunk(p, &c) : sum_chunk(&g, &c, wide);
        }
        if (!done)
            return false;
    }
    return true;
}

/* Whole vectors have tiles of their own where masks cost something. */
#ifdef VECTOR_FREE_MASKS
#define ALWAYS_MASKED 1
#define STRETCHES(wide, count) \
    case count: return do_stretch(p, item, wide, count, 1);
#else
#define ALWAYS_MASKED 0
#define STRETCHES(wide, count) \
    case count: return tail ? do_stretch(p, item, wide, count, 1) : do_stretch(p, item, wide, count, 0);
#endif

/* Not every number of vectors: many indices are rare, and so are processors for few tiles. */
INLINE bool do_some(const dsc_problem *p, dsc_int item, const bool wide, dsc_int vectors, bool tail)
{
    if (vectors == 1 && (tail || ALWAYS_MASKED))
        return do_stretch(p, item, wide, 1, 1);
    switch (tail ? 0 : vectors) {
    case 1: return do_stretch(p, item, wide, 1, 0);
    case 2: return do_stretch(p, item, wide, 2, 0);
    case 4: return do_stretch(p, item, wide, 4, 0);
    default: return do_stretch(p, item, wide, 0, 0);
    }
}

static bool do_narrow(const dsc_problem *p, dsc_int item, dsc_int vectors, bool tail)
{
    if (FEW_TILES)
        return do_some(p, item, false, vectors, tail);
    switch (vectors) {
    STRETCHES(false, 1)
    STRETCHES(false, 2)
    STRETCHES(false, 3)
    STRETCHES(false, 4)
    default: return do_stretch(p, item, false, 0, 0);
    }
}

static bool do_wide(const dsc_problem *p, dsc_int item, dsc_int vectors, bool tail)
{
    return do_some(p, item, true, vectors, tail);
}

static void run_graph(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_int vectors = p->graph->gradient ? 0 : divide_up(p->channels, LANES);
    const bool tail = vectors && p->channels % LANES;
    (void)plan, (void)scratch;
    for (dsc_int item = begin; item < end && !dsc_stopped(p); ++item) {
        bool done = p->graph->wide ? do_wide(p, item, vectors, tail) : do_narrow(p, item, vectors, tail);
        if (!done) {
            atomic_store(&p->graph->invalid, 1);
            atomic_store(p->stop, 1);
        }
    }
}

/* ---- long rows --------------------------------------------------------------------------------------------------- */
static ONCE_A_CALL void add_partial_sums(const dsc_problem *p, dsc_int item, dsc_int row, dsc_int chunks)
{
    const graph_view g = view_of(p, item / p->graph->stretches);
    for (dsc_int channel = 0; channel < p->channels; channel += LANES) {
        mask m = v_mask(0, p->channels - channel);
        vec sum = v_load_masked(partial_sum(p, item, true) + channel, m);
        for (dsc_int chunk = 1; chunk < chunks; ++chunk)
            sum += v_load_masked(partial_sum(p, item + chunk, false) + channel, m);
        finish_row(&g, row, channel, 1, 1, m, &sum);
    }
}

static void run_long_rows(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_graph *g = p->graph;
    (void)plan, (void)scratch;
    for (dsc_int item = begin; item < end && !dsc_stopped(p); ++item) {
        dsc_int row = g->long_row[item];
        if (row < 0)
            continue;
        dsc_int chunks = divide_up(row_start(g, row + 1) - row_start(g, row), GRAPH_STRETCH);
        add_partial_sums(p, item, row, at_most(chunks, g->stretches - item % g->stretches));
    }
}

static void plan_long_rows(const dsc_problem *p, dsc_plan *plan)
{
    dsc_int items = p->batch * p->graph->stretches;
    *plan = (dsc_plan){.items = items, .work = (double)items * (double)p->channels};
}

#endif
