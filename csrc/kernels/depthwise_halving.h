/* The planar tile for stride 2 and three, five or seven row taps: rows roll as in depthwise_rolling.h, and the even and the odd
 * elements of a row are taken apart once for all column taps.
 *
 * sums[i] belongs to output step - i, which input rows 2 * step and 2 * step + 1 feed. The taps of one output are added in the
 * order row, depth, column. Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_HALVING_H
#define DSCONV_DEPTHWISE_HALVING_H

#include "depthwise_rolling.h"

#define HALVED_VECTORS 2
#define HALVES_UNROLLED (VECTOR_REGISTERS >= 32 ? 7 : 3)   /* row taps of kernels whose first and last steps are unrolled */
#define HALVED_LOADS (2 * HALVED_VECTORS + 1)   /* of a row: the vectors of a tile, and what its last lanes need beyond */

/* Square kernels: is every pair of column taps loaded by itself? That is less where shifting across lanes takes two instructions a
 * vector: lanes stay in an order that only results are brought out of. */
#ifdef V_LOOSE
#define PAIRS_APART 1
#else
#define PAIRS_APART 0
#endif
#define PAIRS_MOST (ROLLING_ROWS / 2 + 1)

/* A row of a tile, its even and its odd elements; in [vectors] the lanes that follow. */
typedef struct { vec even[HALVED_VECTORS + 1], odd[HALVED_VECTORS + 1]; } halved_row;

/* Masks of the loads of a row, for each pair of column taps; for square kernels the first serves all. */
typedef mask column_pairs[HALVED_LOADS];

/* `masks`: of the lanes of the vectors that exist. */
INLINE void load_halves(const roll_kind k, const real *p, const mask *masks, halved_row *row)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        vec low = v_load_masked(p + 2 * v * LANES, masks[2 * v]);
        vec high = v_load_masked(p + (2 * v + 1) * LANES, masks[2 * v + 1]);
        V_KEEP(low);
        V_KEEP(high);
        row->even[v] = v_even(low, high);
        row->odd[v] = v_odd(low, high);
    }
    if (k.columns > 2) {
        vec next = v_load_masked(p + 2 * k.vectors * LANES, masks[2 * k.vectors]);
        row->even[k.vectors] = v_even(next, next);
        row->odd[k.vectors] = v_odd(next, next);
    }
}

/* Elements 2 * lane + column. */
INLINE vec halved_column(const halved_row *row, const int v, const int column)
{
    const vec *half = column % 2 ? row->odd : row->even;
    switch (column / 2) {
    case 0: return half[v];
    case 1: return v_shift_1(half[v], half[v + 1]);
    case 2: return v_shift_2(half[v], half[v + 1]);
    default: return v_shift_3(half[v], half[v + 1]);
    }
}

/* A row of that phase into the sums [first, last]; `all`: of every output that it can feed. */
INLINE void add_halves(const roll_kind k, const int phase, const int all, const halved_row *row, const near_taps *taps,
                       int first, int last, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int c = 0; c < k.columns; ++c) {
        vec inputs[HALVED_VECTORS];
        UNROLL
        for (int v = 0; v < k.vectors; ++v)
            inputs[v] = halved_column(row, v, c);
        UNROLL
        for (int i = 0; 2 * i + phase < k.rows; ++i)
            if (all || (i >= first && i <= last))
                add_row(sums[i], k.vectors, 0, NULL, inputs, v_spread(taps->tap[2 * i + phase][c]));
    }
}

/* Kernels that are not square: column taps in pairs, of which one load of two vectors serves both. */
INLINE void add_column_pairs(const depthwise_tile *t, const roll_kind k, const int phase, const int all, const real *x,
                             const real *taps, int first, int last, const column_pairs *pairs, vec (*sums)[ROLLED_VECTORS])
{
    const roll_kind pair = {.rows = k.rows, .columns = 2, .vectors = k.vectors, .masked = 1};
    for (dsc_int c = 0; c < t->column_last; c += 2) {
        halved_row row;
        load_halves(pair, x + c, pairs[c / 2], &row);
        UNROLL
        for (int i = 0; 2 * i + phase < k.rows; ++i) {
            const real *tap = taps + (2 * i + phase) * t->tap_row + c * t->tap_column;
            if (!all && (i < first || i > last))
                continue;
            add_row(sums[i], k.vectors, 0, NULL, row.even, v_spread(tap[0]));
            if (c + 1 < t->column_last)
                add_row(sums[i], k.vectors, 0, NULL, row.odd, v_spread(tap[t->tap_column]));
        }
    }
}

INLINE void halve_row(const depthwise_tile *t, const roll_kind k, const int phase, const int all, const real *x, int first,
                      int last, const column_pairs *pairs, vec (*sums)[ROLLED_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s))
        add_column_pairs(t, k, phase, all, x + s.x, t->taps + s.taps, first, last, pairs, sums);
}

INLINE int live_halved(const roll_kind k)
{
    return (k.rows + 1) / 2;
}

/* The sums of an output are complete: those of the next follow. */
INLINE void shift_halved(const roll_kind k, vec bias, vec (*sums)[ROLLED_VECTORS])
{
    const roll_kind live = {.rows = live_halved(k), .columns = k.columns, .vectors = k.vectors, .masked = k.masked};
    shift_sums(live, bias, sums);
}

/* Both rows of a step, of which the first or the last may have outputs that do not exist. */
INLINE void halve_border(const depthwise_tile *t, const roll_kind k, dsc_int step, const real *x, const column_pairs *pairs,
                         vec (*sums)[ROLLED_VECTORS])
{
    const int live = live_halved(k);
    int first = step >= t->rows ? (int)(step - t->rows + 1) : 0, last = step < live - 1 ? (int)step : live - 1;
    if (2 * step >= t->row_first && 2 * step < t->row_last)
        halve_row(t, k, 0, 0, x, first, last, pairs, sums);
    if (2 * step + 1 >= t->row_first && 2 * step + 1 < t->row_last)
        halve_row(t, k, 1, 0, x + t->row, first, last, pairs, sums);
}

INLINE void halve_plane(const depthwise_tile *t, const roll_kind k, bool far, const column_pairs *pairs)
{
    const int before = live_halved(k) - 1;
    const vec bias = v_spread(*t->bias);
    const real *x = t->x;
    real *y = t->y - before * t->y_row;
    vec sums[ROLLING_ROWS][ROLLED_VECTORS];
    start_rolling(k, bias, sums);
    for (dsc_int step = 0; step < t->rows + before; ++step, x += 2 * t->row, y += t->y_row) {
        if (far) {
            announce_row(x + t->x_ahead, 0, 2 * k.vectors);
            announce_row(x + t->x_ahead + t->row, 0, 2 * k.vectors);
            announce_row(y + t->y_ahead, 1, k.vectors);
        }
        if (step >= before && step < t->rows && 2 * step >= t->row_first && 2 * step + 1 < t->row_last) {
            halve_row(t, k, 0, 1, x, 0, 0, pairs, sums);
            halve_row(t, k, 1, 1, x + t->row, 0, 0, pairs, sums);
        } else {
            halve_border(t, k, step, x, pairs, sums);
        }
        if (step >= before)
            store_row(t, k.vectors, y, sums[before]);
        shift_halved(k, bias, sums);
    }
}

INLINE void find_pairs(const depthwise_tile *t, const roll_kind k, column_pairs *pairs)
{
    const bool once = k.columns && !PAIRS_APART;
    const dsc_int columns = k.columns ? k.columns : t->column_last, high = 2 * t->width + (once ? k.columns - 2 : 0);
    for (dsc_int c = 0; c < (once ? 1 : columns); c += 2)
        for (int i = 0; i < HALVED_LOADS; ++i)
            pairs[c / 2][i] = v_mask(t->inside_low - c - i * LANES, at_most(t->inside_high - c, high) - i * LANES);
}

static bool is_far(const depthwise_tile *t)
{
    return 2 * t->rows * t->row * (dsc_int)sizeof(real) > PLANE_NEAR;
}

INLINE void halve(const depthwise_tile *tile, const roll_kind k)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    column_pairs pairs[ROLLING_COLUMNS / 2];
    t.finish = &finish;
    find_pairs(&t, k, pairs);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        halve_plane(&t, k, is_far(&t), pairs);
}

/* One depth tap, results dense, rows enough for the first and the last steps to have outputs of their own, and both rows of
 * all other steps present. */
static bool halves_densely(const depthwise_tile *t, dsc_int kernel_rows)
{
    const dsc_int before = (kernel_rows + 1) / 2 - 1;
    return t->y_column == 1 && t->rows >= before && t->row_first <= 2 * before && t->row_last >= 2 * t->rows &&
           t->summands == 1 && t->depth_last - t->depth_first == 1;
}

/* The even or the odd lanes of a pair of column taps into the sums. */
INLINE void add_loose(const roll_kind k, const int phase, const int all, const int c, const vec *inputs, const near_taps *taps,
                      int first, int last, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int i = 0; 2 * i + phase < k.rows; ++i)
        if (all || (i >= first && i <= last))
            add_row(sums[i], k.vectors, 0, NULL, inputs, v_spread(taps->tap[2 * i + phase][c]));
}

INLINE void add_pairs_apart(const roll_kind k, const int phase, const int all, const real *x, int first, int last,
                            const column_pairs *pairs, const near_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int c = 0; c < k.columns; c += 2) {
        vec even[HALVED_VECTORS], odd[HALVED_VECTORS];
        UNROLL
        for (int v = 0; v < k.vectors; ++v) {
            const real *p = x + c + 2 * v * LANES;
            const vec low = k.masked ? v_load_masked(p, pairs[c / 2][2 * v]) : v_load(p);
            const vec high = k.masked ? v_load_masked(p + LANES, pairs[c / 2][2 * v + 1]) : v_load(p + LANES);
            even[v] = v_even_loose(low, high), odd[v] = v_odd_loose(low, high);
        }
        add_loose(k, phase, all, c, even, taps, first, last, sums);
        if (c + 1 < k.columns)
            add_loose(k, phase, all, c + 1, odd, taps, first, last, sums);
    }
}

INLINE void halve_dense_row(const depthwise_tile *t, const roll_kind k, const int phase, const int all, const real *x, int first,
                            int last, const column_pairs *masks, const near_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    halved_row row;
    if (PAIRS_APART) {
        add_pairs_apart(k, phase, all, x + phase * t->row, first, last, masks, taps, sums);
        return;
    }
    load_halves(k, x + phase * t->row, *masks, &row);
    add_halves(k, phase, all, &row, taps, first, last, sums);
}

INLINE void store_halved(const roll_kind k, const epilogue *finish, real *y, mask stored, vec *sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v)
        sums[v] = PAIRS_APART ? v_tight(sums[v]) : sums[v];
    store_dense(k, finish, y, stored, sums);
}

/* A step before the first output is complete. */
INLINE void halve_first(const depthwise_tile *t, const roll_kind k, const int step, vec bias, const real *x,
                        const column_pairs *masks, const near_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    if (2 * step >= t->row_first)
        halve_dense_row(t, k, 0, 0, x, 0, step, masks, taps, sums);
    if (2 * step + 1 >= t->row_first)
        halve_dense_row(t, k, 1, 0, x, 0, step, masks, taps, sums);
    shift_halved(k, bias, sums);
}

/* A step after the last that all outputs need. */
INLINE void halve_last(const depthwise_tile *t, const roll_kind k, const int step, const epilogue *finish, mask stored, vec bias,
                       const real *x, real *y, const column_pairs *masks, const near_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    const int before = live_halved(k) - 1;
    if (2 * (t->rows + step) < t->row_last)
        halve_dense_row(t, k, 0, 0, x, step + 1, before, masks, taps, sums);
    if (2 * (t->rows + step) + 1 < t->row_last)
        halve_dense_row(t, k, 1, 0, x, step + 1, before, masks, taps, sums);
    store_halved(k, finish, y, stored, sums[before]);
    shift_halved(k, bias, sums);
}

/* A step that the compiler does not know, so that there is code for one and not for each. */
INLINE int counted(int step)
{
    __asm__("" : "+r"(step));
    return step;
}

/* See roll_dense_plane. The first and the last steps of larger kernels would be most of the code. */
INLINE void halve_dense_plane(const depthwise_tile *t, const roll_kind k, const epilogue *finish, bool far, mask stored,
                              const column_pairs *masks)
{
    const int before = live_halved(k) - 1;
    const tap_slice slice = first_slice(t);
    const vec bias = v_spread(*t->bias);
    const real *x = t->x + slice.x;
    real *y = t->y;
    vec sums[ROLLING_ROWS][ROLLED_VECTORS];
    near_taps taps;
    gather_taps_near(t, k, t->taps + slice.taps, &taps);
    start_rolling(k, bias, sums);
    if (k.rows <= HALVES_UNROLLED)
        UNROLL
        for (int step = 0; step < before; ++step)
            halve_first(t, k, step, bias, x + 2 * step * t->row, masks, &taps, sums);
    else
        for (int step = 0; step < before; ++step)
            halve_first(t, k, counted(step), bias, x + 2 * step * t->row, masks, &taps, sums);
    x += 2 * before * t->row;
    for (dsc_int left = t->rows - before; left > 0; --left, x += 2 * t->row, y += t->y_row) {
        if (far) {
            announce_row(x + t->x_ahead, 0, 2 * k.vectors);
            announce_row(x + t->x_ahead + t->row, 0, 2 * k.vectors);
            announce_row(y + t->y_ahead, 1, k.vectors);
        }
        halve_dense_row(t, k, 0, 1, x, 0, 0, masks, &taps, sums);
        halve_dense_row(t, k, 1, 1, x, 0, 0, masks, &taps, sums);
        store_halved(k, finish, y, stored, sums[before]);
        shift_halved(k, bias, sums);
    }
    if (k.rows <= HALVES_UNROLLED)
        UNROLL
        for (int step = 0; step < before; ++step)
            halve_last(t, k, step, finish, stored, bias, x + 2 * step * t->row, y + step * t->y_row, masks, &taps, sums);
    else
        for (int step = 0; step < before; ++step)
            halve_last(t, k, counted(step), finish, stored, bias, x + 2 * step * t->row, y + step * t->y_row, masks, &taps, sums);
}

INLINE void halve_densely(const depthwise_tile *tile, const roll_kind k)
{
    depthwise_tile t = *tile;
    const epilogue finish = *t.finish;
    const mask stored = v_mask(0, t.width - (k.vectors - 1) * LANES);
    const bool far = is_far(&t);
    column_pairs masks[PAIRS_MOST];
    if (k.masked)
        find_pairs(&t, k, masks);
    UNROLL
    for (int i = 0; !PAIRS_APART && i < 2 * k.vectors + 1; ++i)
        MASK_KEEP(masks[0][i]);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        halve_dense_plane(&t, k, &finish, far, stored, masks);
}

#if FEW_TILES
#define HALVE_ANY_ENTRIES(K) {{NULL}}
#define HALVE_ENTRIES(K) {{NULL}}
#else
#define HALVE_ANY(KH) \
    static __attribute__((noinline)) void halve_##KH##_any(const depthwise_tile *t) \
    { halve(t, (roll_kind){.rows = KH, .vectors = 1, .masked = 1}); }
#define HALVE_SQUARE(K, V) \
    static __attribute__((noinline)) void halve_##K##_##V(const depthwise_tile *t) \
    { halve_densely(t, (roll_kind){.rows = K, .columns = K, .vectors = V, .masked = 1}); }
#define HALVE(K) HALVE_ANY(K) HALVE_SQUARE(K, 1) HALVE_SQUARE(K, 2)
HALVE(3) HALVE(5) HALVE(7)
#if PAIRS_APART
static __attribute__((noinline)) void halve_3_2_inside(const depthwise_tile *t)
{
    halve_densely(t, (roll_kind){.rows = 3, .columns = 3, .vectors = 2});
}
#else
#define halve_3_2_inside halve_3_2
#endif

/* A kernel that is not square, or a tile that is not dense, takes a vector at a time. */
#define HALVE_ANY_ENTRIES(K) {{halve_##K##_any, halve_##K##_any}}
#define HALVE_ENTRIES(K) {{halve_##K##_1, halve_##K##_1}, {HALVE_INSIDE_##K, halve_##K##_2}}
#define HALVE_INSIDE_3 halve_3_2_inside
#define HALVE_INSIDE_5 halve_5_2
#define HALVE_INSIDE_7 halve_7_2
#endif

#endif
