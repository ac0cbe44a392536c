/* The planar tile for one to five and seven row taps: all rows of a column of vectors in one sweep.
 *
 * Input row r is loaded once and feeds the KH outputs that use it, whose sums roll through registers: sums[i] belongs to
 * output r - i. The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_ROLLING_H
#define DSCONV_DEPTHWISE_ROLLING_H

#include "depthwise_taps.h"

#define AHEAD 6              /* rows that are asked for before they are needed ... */
#define AHEAD_FLAT (VECTOR_REGISTERS >= 32 ? 6 : 12)   /* ... where they lie one after the other: of short vectors, more */
#define PLANE_FAR (256 << 10)    /* ... beyond which the second-level cache does not hold two and their results */
#define SLICE_FAR (32 << 10) /* of several depth taps each slice is asked for then: the first-level cache does not hold them */
#define PLANE_NEAR (8 << 10) /* bytes of a plane that need not be asked for */

/* From inputs for the real parts of taps to those for the imaginary parts. */
INLINE void turn_inputs(const roll_kind k, real sign, vec *x)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v)
        x[v] = v_times_i(x[v], sign);
}

/* A vector of inputs of one column tap into the sums [first, last], or all of them; `taps`: of this column, a row apart. */
INLINE void add_column_taps(const depthwise_tile *t, const roll_kind k, const int all, const real *taps, int first, int last,
                     const mask *edges, const vec *inputs, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int i = 0; i < k.rows; ++i)
        if (all || (i >= first && i <= last))
            add_edges(k, sums[i], edges, inputs, v_spread(taps[i * t->tap_row]));
}

/* The input row at x into the sums [first, last]; `all`: of every output that it can feed. */
INLINE void roll_row(const depthwise_tile *t, const roll_kind k, const int all, const real *row, int first, int last,
                     column_edges *edges, vec (*sums)[ROLLED_VECTORS])
{
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = row + s.x, *taps = t->taps + s.taps;
        x += t->column_first * t->dilation, taps += t->column_first * t->tap_column;
        for (dsc_int c = t->column_first; c < t->column_last; ++c, x += t->dilation, taps += t->tap_column) {
            vec inputs[ROLLED_VECTORS];
            load_edges(k, x, edges[c], inputs);
            add_column_taps(t, k, all, taps, first, last, edges[c], inputs, sums);
            if (k.complex) {
                turn_inputs(k, t->turn, inputs);
                add_column_taps(t, k, all, taps + 1, first, last, edges[c], inputs, sums);
            }
        }
    }
}

INLINE void add_kernel_taps(const roll_kind k, const int all, const kernel_taps *taps, const dsc_int part, const int c, int first,
                            int last, const mask *edges, const vec *inputs, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int i = 0; i < k.rows; ++i)
        if (all || (i >= first && i <= last))
            add_edges(k, sums[i], edges, inputs, kernel_tap(k, taps, part, i, c));
}

/* The same for one depth tap and a known number of column taps. */
INLINE void roll_row_resident(const depthwise_tile *t, const roll_kind k, const int all, const real *row, int first, int last,
                              column_edges *edges, const kernel_taps *taps, const dsc_int depth, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int c = 0; c < k.columns; ++c) {
        vec inputs[ROLLED_VECTORS];
        if (k.overlaps)
            load_overlapping(k, row + c * t->dilation, t->second, c, edges[c], inputs);
        else
            load_edges(k, row + c * t->dilation, edges[c], inputs);
        add_kernel_taps(k, all, taps, depth, c, first, last, edges[c], inputs, sums);
        if (k.complex) {
            turn_inputs(k, t->turn, inputs);
            add_kernel_taps(k, all, taps, 1, c, first, last, edges[c], inputs, sums);
        }
    }
}

INLINE void roll_any_row(const depthwise_tile *t, const roll_kind k, const int all, const real *row, int first, int last,
                         column_edges *edges, const kernel_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    if (k.deep)
        for (dsc_int depth = t->depth_first; depth < t->depth_last; ++depth)
            roll_row_resident(t, k, all, row + depth * t->slice, first, last, edges, taps, depth, sums);
    else if (k.columns)
        roll_row_resident(t, k, all, row, first, last, edges, taps, 0, sums);
    else
        roll_row(t, k, all, row, first, last, edges, sums);
}

/* A tile runs down its columns, which the memory does not foresee: ask for what it will need, see look_ahead. Where vectors are parts
 * of lines, for the ends of lines: the tile before has read what precedes them. */
INLINE void announce_row(const real *p, const int written, const int V)
{
    const int line = LINE_BYTES / VECTOR_BYTES;
    UNROLL
    for (int v = 0; v < V; v += line)
        __builtin_prefetch(line == 1 ? p + v * LANES : p + (v + line < V ? v + line : V) * LANES - 1, written);
}

/* The sums of an output are complete: those of the next follow. */
INLINE void shift_sums(const roll_kind k, vec bias, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        UNROLL
        for (int i = k.rows - 1; i > 0; --i)
            sums[i][v] = sums[i - 1][v];
        sums[0][v] = bias;
    }
}

INLINE void start_rolling(const roll_kind k, vec bias, vec (*sums)[ROLLED_VECTORS])
{
    UNROLL
    for (int i = 0; i < k.rows; ++i) {
        UNROLL
        for (int v = 0; v < k.vectors; ++v)
            sums[i][v] = bias;
    }
}

INLINE void store_dense(const roll_kind k, const epilogue *finish, real *y, mask last, const vec *sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        if (v == k.vectors - 1)
            v_store_start(y + v * LANES, v_finish(finish, sums[v]), last);
        else
            v_store(y + v * LANES, v_finish(finish, sums[v]));
    }
}

/* Whole lines: they are not read before they are written, and drive out nothing. */
INLINE void store_past(const roll_kind k, const epilogue *finish, real *y, const vec *sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v)
        v_store_past(y + v * LANES, v_finish(finish, sums[v]));
}

INLINE void find_all_edges(const depthwise_tile *t, const roll_kind k, column_edges *edges)
{
    const dsc_int first = k.columns ? 0 : t->column_first, last = k.columns ? k.columns : t->column_last;
    for (dsc_int c = first; k.masked && c < last; ++c)
        find_edges(t, k.overlaps ? t->second : (k.vectors - 1) * LANES, c, edges[c]);
}

INLINE vec bias_of(const depthwise_tile *t, const roll_kind k)
{
    return k.complex ? v_zip_low(v_spread(t->bias[0]), v_spread(t->bias[1])) : v_spread(*t->bias);
}

/* One plane: all input rows that feed the tile. */
INLINE void roll_plane(const depthwise_tile *t, const roll_kind k, column_edges *edges)
{
    const vec bias = bias_of(t, k);
    const dsc_int before = k.rows - 1;
    vec sums[ROLLING_ROWS][ROLLED_VECTORS];
    kernel_taps taps;
    read_taps(t, k, &taps);
    start_rolling(k, bias, sums);
    for (dsc_int r = 0; r < t->rows + before; ++r) {
        int first = r >= t->rows ? (int)(r - t->rows + 1) : 0, last = r < before ? (int)r : k.rows - 1;
        announce_row(t->x + (r + AHEAD) * t->row, 0, k.vectors);
        announce_row(t->y + (r - before + AHEAD) * t->y_row, 1, k.vectors);
        if (t->y_column == 2)
            announce_row(t->y + (r - before + AHEAD) * t->y_row + k.vectors * LANES, 1, k.vectors);
        if (r >= t->row_first && r < t->row_last)
            roll_any_row(t, k, 0, t->x + r * t->row, first, last, edges, &taps, sums);
        if (r >= before)
            store_row(t, k.vectors, t->y + (r - before) * t->y_row, sums[before]);
        shift_sums(k, bias, sums);
    }
}

/* Enough rows for the first and the last to have outputs of their own, all others present, and results dense. */
static bool rolls_densely(const depthwise_tile *t, dsc_int kernel_rows)
{
    const dsc_int before = kernel_rows - 1;
    return t->y_column == 1 && t->rows >= before && t->row_first <= before && t->row_last >= t->rows;
}

INLINE void store_rolled(const depthwise_tile *t, const roll_kind k, const epilogue *finish, real *y, mask stored, const vec *sums)
{
    if (k.overlaps)
        store_overlapping(k, finish, y, t->second, sums);
    else if (k.past)
        store_past(k, finish, y, sums);
    else
        store_dense(k, finish, y, stored, sums);
}

/* A row that feeds all sums, of which one is complete then. */
INLINE void roll_dense_row(const depthwise_tile *t, const roll_kind k, epilogue *finish, bool far, mask stored, vec bias,
                           const real *x, real *y, column_edges *edges, const kernel_taps *taps, vec (*sums)[ROLLED_VECTORS])
{
    if (far) {
        announce_row(x + t->x_ahead, 0, k.vectors);
        for (dsc_int depth = 1; k.deep && depth < t->slices_ahead; ++depth)
            announce_row(x + depth * t->slice + t->x_ahead, 0, k.vectors);
        if (!k.past)
            announce_row(y + t->y_ahead, 1, k.vectors);
    }
    if (k.overlaps)
        __asm__("" : "+m"(*finish));   /* no registers for its constants */
    roll_any_row(t, k, 1, x, 0, 0, edges, taps, sums);
    store_rolled(t, k, finish, y, stored, sums[k.rows - 1]);
    shift_sums(k, bias, sums);
}

/* The same plane then. */
INLINE void roll_dense_plane(const depthwise_tile *t, const roll_kind k, epilogue *finish, bool far, mask stored,
                             column_edges *edges)
{
    const vec bias = bias_of(t, k);
    const int before = k.rows - 1;
    const real *x = t->x;
    real *y = t->y;
    vec sums[ROLLING_ROWS][ROLLED_VECTORS];
    kernel_taps taps;
    read_taps(t, k, &taps);
    start_rolling(k, bias, sums);
    UNROLL
    for (int r = 0; r < before; ++r, x += t->row) {
        if (r >= t->row_first)
            roll_any_row(t, k, 0, x, 0, r, edges, &taps, sums);
        shift_sums(k, bias, sums);
    }
    dsc_int left = t->rows - before;
    for (; k.overlaps && !k.deep && k.rows == 3 && left >= 3; left -= 3) {
        UNROLL
        for (int r = 0; r < 3; ++r, x += t->row, y += t->y_row)
            roll_dense_row(t, k, finish, far, stored, bias, x, y, edges, &taps, sums);
    }
    for (; left > 0; --left, x += t->row, y += t->y_row)
        roll_dense_row(t, k, finish, far, stored, bias, x, y, edges, &taps, sums);
    UNROLL
    for (int r = 0; r < before; ++r, x += t->row, y += t->y_row) {
        if (t->rows + r < t->row_last)
            roll_any_row(t, k, 0, x, r + 1, before, edges, &taps, sums);
        store_rolled(t, k, finish, y, stored, sums[before]);
        shift_sums(k, bias, sums);
    }
}

/* Functions apart: the fewer variables are alive around a loop, the fewer of its vectors and masks gcc spills, which makes it
 * half as fast. Copies of the tile: results might overwrite the other, and every field be read again in every row. */
INLINE void roll_densely(const depthwise_tile *tile, const roll_kind k)
{
    depthwise_tile t = *tile;
    epilogue finish = *t.finish;
    const mask stored = v_mask(0, t.width - (k.vectors - 1) * LANES);
    const bool far = t.rows * t.row * (dsc_int)sizeof(real) > PLANE_NEAR;
    column_edges all[ROLLING_COLUMNS], own[ROLLING_ROWS];
    find_all_edges(&t, k, all);
    UNROLL
    for (int c = 0; c < k.columns; ++c) {
        if (k.masked)
            own[c][0] = all[c][0], own[c][1] = all[c][1];
        if (taps_resident(k)) {
            MASK_KEEP(own[c][0]);
            MASK_KEEP(own[c][1]);
        }
    }
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_dense_plane(&t, k, &finish, far, stored, k.columns ? own : all);
}

INLINE void roll(const depthwise_tile *tile, const roll_kind k)
{
    const epilogue finish = *tile->finish;
    depthwise_tile t = *tile;
    column_edges edges[ROLLING_COLUMNS];
    t.finish = &finish;
    find_all_edges(&t, k, edges);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        roll_plane(&t, k, edges);
}

/* Whatever is not dense, or has no edges to speak of, is rare enough to share functions of one and two vectors, for any columns. */
#define ANY_VECTORS 2
#define ROLL_ANY(KH, KW, V) \
    static __attribute__((noinline)) void roll_##KH##_##KW##_##V##_any(const depthwise_tile *t) \
    { roll(t, (roll_kind){.rows = KH, .columns = KW, .vectors = V, .masked = !FEW_TILES}); }
#define ROLL_DENSE(KH, KW, V, lanes, name) \
    static __attribute__((noinline)) void name##_dense(const depthwise_tile *t) \
    { roll_densely(t, (roll_kind){.rows = KH, .columns = KW, .vectors = V, .masked = lanes}); }
#define ROLL_EITHER(KH, KW, V, lanes, name, any) \
    ROLL_DENSE(KH, KW, V, lanes, name) \
    static void name(const depthwise_tile *t) \
    { rolls_densely(t, KH) && (lanes != ZEROS || t->finite) ? name##_dense(t) : any(t); }

#if FEW_TILES
#define ROLLS_ANY(KH)
#define ROLL(KH, KW, V) ROLL_ANY(KH, KW, V)
#else
#define ROLLS_ANY(KH) ROLL_ANY(KH, 0, 1) ROLL_ANY(KH, 0, 2)
#define ROLL(KH, KW, V) ROLL_BOTH(KH, KW, V, roll_##KH##_0_##V##_any)
#endif

#if FEW_TILES
#define ROLL_ENTRY(KH, KW, V) {roll_##KH##_##KW##_##V##_any, roll_##KH##_##KW##_##V##_any}
#elif defined VECTOR_FREE_MASKS
#define ROLL_BOTH(KH, KW, V, any) ROLL_EITHER(KH, KW, V, NOT_ALL, roll_##KH##_##KW##_##V, any)
#define ROLL_ENTRY(KH, KW, V) {roll_##KH##_##KW##_##V, roll_##KH##_##KW##_##V}
#else
/* Single vectors without borders are rare. */
#define ROLL_BOTH(KH, KW, V, any) \
    ROLL_BOTH_##V(KH, KW, any) ROLL_EITHER(KH, KW, V, NOT_ALL, roll_##KH##_##KW##_##V##_edges, any)
#define ROLL_BOTH_1(KH, KW, any)
#define ROLL_BOTH_2(KH, KW, any) ROLL_EITHER(KH, KW, 2, ALL_EXIST, roll_##KH##_##KW##_2, any)
#define ROLL_ENTRY(KH, KW, V) ROLL_ENTRY_##V(KH, KW)
#define ROLL_ENTRY_1(KH, KW) {roll_##KH##_##KW##_1_edges, roll_##KH##_##KW##_1_edges}
#define ROLL_ENTRY_2(KH, KW) {roll_##KH##_##KW##_2, roll_##KH##_##KW##_2_edges}
#endif

#if TILE_VECTORS == 4
#define ROLL_WIDE(KH, KW, V) ROLL_DENSE(KH, KW, V, 1, roll_##KH##_##KW##_##V)
#define WIDE_ENTRY(KH, KW, V) {roll_##KH##_##KW##_##V##_dense, roll_##KH##_##KW##_##V##_dense}
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2) ROLL_WIDE(KH, KW, 3) ROLL_WIDE(KH, KW, 4)
#define ROLL_ENTRIES(KH, KW) \
    {ROLL_ENTRY(KH, KW, 1), ROLL_ENTRY(KH, KW, 2), WIDE_ENTRY(KH, KW, 3), WIDE_ENTRY(KH, KW, 4)}
#else
#define ROLLS(KH, KW) ROLL(KH, KW, 1) ROLL(KH, KW, 2)
#define ROLL_ENTRIES(KH, KW) {ROLL_ENTRY(KH, KW, 1), ROLL_ENTRY(KH, KW, 2)}
#endif

/* Where square kernels have tiles of their own, see depthwise_overlapping.h, what remains is rare: three vectors are two and
 * one. */
#define ROLL_SHARED(KH, KW, V, any) ROLL_EITHER(KH, KW, V, NOT_ALL, roll_##KH##_##KW##_##V##_edges, any)
#define SHARED_ENTRY(KH, KW, V) {roll_##KH##_##KW##_##V##_edges, roll_##KH##_##KW##_##V##_edges}
#if TILE_VECTORS == 4
#define ROLLS_LARGE(KH) ROLL(KH, 0, 1) ROLL(KH, 0, 2) ROLL_WIDE(KH, 0, 4)
#define LARGE_ENTRIES(KH) {ROLL_ENTRY(KH, 0, 1), ROLL_ENTRY(KH, 0, 2), {NULL}, WIDE_ENTRY(KH, 0, 4)}
#elif FEW_TILES
#define ROLLS_LARGE(KH) ROLLS(KH, 0)
#define LARGE_ENTRIES(KH) ROLL_ENTRIES(KH, 0)
#else
#define ROLLS_LARGE(KH)
#define LARGE_ENTRIES(KH) \
    {{roll_##KH##_0_1_any, roll_##KH##_0_1_any}, {roll_##KH##_0_2_any, roll_##KH##_0_2_any}}
#endif
#if TILE_VECTORS == 4   /* square ones do without four vectors, see depthwise_overlapping.h */
#define ROLLS_FOUR ROLL(4, 0, 1) ROLL(4, 0, 2)
#define FOUR_ENTRIES {ROLL_ENTRY(4, 0, 1), ROLL_ENTRY(4, 0, 2)}
#elif FEW_TILES
#define ROLLS_FOUR ROLLS_LARGE(4)
#define FOUR_ENTRIES LARGE_ENTRIES(4)
#else
#define ROLLS_FOUR ROLL(4, 0, 1) ROLL_SHARED(4, 0, 2, roll_4_0_2_any)
#define FOUR_ENTRIES {ROLL_ENTRY(4, 0, 1), SHARED_ENTRY(4, 0, 2)}
#endif

PLAIN_WIDE
PLAIN_LOOPS
#if FEW_TILES || TILE_VECTORS < 4
static const tile_function roll_past = NULL;
#else
static __attribute__((noinline)) void roll_past(const depthwise_tile *t)
{
    roll_densely(t, (roll_kind){.rows = 3, .columns = 3, .vectors = TILE_VECTORS, .masked = LEFT_OUT, .past = 1});
}
#endif
ROLLS_ANY(1) ROLLS_ANY(2) ROLLS_ANY(3) ROLLS_ANY(4) ROLLS_ANY(5) ROLLS_ANY(7)
ROLLS(1, 1) ROLLS(1, 0) ROLLS(2, 2) ROLLS(2, 0) ROLLS(3, 3) ROLLS(3, 0)
USUAL_LOOPS
ROLLS_FOUR ROLLS_LARGE(5) ROLLS_LARGE(7)
USUAL_WIDE
/* Large square kernels, whole rows of taps unrolled: one vector, where tiles of two do not overlap. Others of so many rows are rare. */
#if FEW_TILES
#define ROLL_SQUARE(K)
#define SQUARE_ENTRIES(K) LARGE_ENTRIES(K)
#elif TILE_VECTORS == 4
#define ROLL_SQUARE(K) ROLL_SHARED(K, K, 1, roll_##K##_0_1_any)
#define SQUARE_ENTRIES(K) {SHARED_ENTRY(K, K, 1), ROLL_ENTRY(K, 0, 2), {NULL}, WIDE_ENTRY(K, 0, 4)}
#else
#define ROLL_SQUARE(K) ROLL_SHARED(K, K, 1, roll_##K##_0_1_any)
#define SQUARE_ENTRIES(K) {SHARED_ENTRY(K, K, 1), {roll_##K##_0_2_any, roll_##K##_0_2_any}}
#endif
ROLL_SQUARE(5) ROLL_SQUARE(7)

#endif
