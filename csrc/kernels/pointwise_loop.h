/* The loop of the pointwise stage over summands: R rows of factors, broadcast, times V vectors of columns, in registers. */
#ifndef DSCONV_POINTWISE_LOOP_H
#define DSCONV_POINTWISE_LOOP_H

#include "epilogue.h"
#include "walk.h"

#if VECTOR_REGISTERS >= 32
#define MIX_ROWS 8
#define MIX_VECTORS 4
#define MIX_VECTORS_USUAL 3   /* four only where that spares a second pass over the weights */
#define MIX_ROWS_FOUR 6
#define MIX_PACKED 1          /* see pointwise_packed.h: as rows, blocks of LANES outputs */
#define MIX_PACKS_FROM PTRDIFF_MAX
#define MIX_RUNS 0            /* but for the largest blocks: where a run is one block, the loop over them costs a tenth */
#define MIX_BLOCKS 0
#define MIX_WINDOWS 0
#define MIX_TURN 1
#define MIX_STAGES 0          /* but where rows are dilated: to copy columns costs more than reading rows for two tiles */
#define MIX_AHEAD 1           /* what comes next is asked for in the loop, which has instructions to spare */
#else
#define MIX_ROWS 6
#define MIX_VECTORS 2
#define MIX_VECTORS_USUAL 2
#define MIX_ROWS_FOUR 6
#define MIX_PACKED 0          /* as columns, blocks of MIX_VECTORS_USUAL vectors of outputs */
#define MIX_PACKS_FROM 96     /* outputs: reading columns from many pages costs more than to copy them first */
#define MIX_STAGES 1          /* see in_stages: columns are copied before they are read anyway */
#define MIX_TURN 2            /* summands that a turn of the loop adds, where they lie one after the other; four: 0.94 */
#define MIX_RUNS 1            /* blocks of the same rows are computed in one call */
#define MIX_BLOCKS 1          /* channels last: as many blocks of outputs as a group holds go through the same pixels together */
#define MIX_WINDOWS (VECTOR_BYTES >= 32)   /* of a standard convolution, one after the other */
#define MIX_AHEAD 0           /* with two short vectors a row, instructions are the bound on some processors */
#endif

/* Pixels beyond the whole vectors of a plane that are computed beside them, at most: outputs are their lanes. */
#define MIX_RESTS (VECTOR_REGISTERS >= 32 ? 4 : 0)
/* Where there are none of those, the products of a pixel beside whole vectors take as long as those of so many more would. 0: it
 * is part of a vector. */
#define PIXEL_BESIDE (MIX_RESTS == 0 && VECTOR_BYTES >= 32 ? 4 : 0)
#define REST_TURN 8   /* summands whose factors are stored one by one, before they are loaded together */

#define MIX_CLAMPS (VECTOR_BYTES >= 32)   /* results, in registers; else where they are stored, which is less code */

/* What the loop over k needs, and nothing else: one more thing alive in it, and gcc spills sums into memory. */
typedef struct {
    const real *a;
    dsc_int a_row, a_step;
    const real *b;
    dsc_int b_step;
    dsc_int depth;
    const real *from, *row_bias, *column_bias;   /* the first of them that is not NULL starts the sums */
    dsc_int from_row, row_bias_step;
    real *to;
    dsc_int to_row;
    dsc_int runs, next_b;         /* blocks of columns that are computed one after the other, and from one to the next in b */
    const real *next;             /* where the block after this one goes, */
    dsc_int next_row;             /* in as many rows so far apart */
    const epilogue *clamp;        /* of the results, or NULL */
    const real *rest;             /* see mixing_tile */
    real *rest_sums;              /* [column after the block][row] */
    const char *ahead;            /* asked for, and `ahead_step` bytes on with every k, ... */
    dsc_int ahead_step, ahead_run;   /* ... `ahead_run` with every block of a run */
} mixing_core;

#if MIX_AHEAD
/* Three addresses from which those of eight rows are one addition of a multiple: as many as there are rows, and the loop has
 * no registers left. */
typedef struct { const char *first, *fourth, *seventh; } row_addresses;

INLINE row_addresses addresses_of(const real *a, const int R, dsc_int row)
{
    const char *first = (const char *)a;
    return (row_addresses){first, R > 3 ? first + 3 * row : first, R > 6 ? first + 6 * row : first};
}

INLINE const real *row_address(const row_addresses *a, const int r, dsc_int row)
{
    const char *base = r == 6 ? a->seventh : r == 3 || r == 5 || r == 7 ? a->fourth : a->first;
    const int rows = r == 6 ? 0 : r == 3 || r == 5 || r == 7 ? r - 3 : r;
    return (const real *)(base + rows * row);
}

INLINE void next_summand(row_addresses *a, const int R, dsc_int step)
{
    a->first += step;
    __asm__("" : "+r"(a->first));
    if (R > 3) {
        a->fourth += step;
        __asm__("" : "+r"(a->fourth));
    }
    if (R > 6) {
        a->seventh += step;
        __asm__("" : "+r"(a->seventh));
    }
}
#else
typedef struct { const char *row[MIX_ROWS]; } row_addresses;

INLINE row_addresses addresses_of(const real *a, const int R, dsc_int row)
{
    row_addresses all = {{NULL}};
    UNROLL
    for (int r = 0; r < R; ++r)
        all.row[r] = (const char *)a + r * row;
    return all;
}

INLINE const real *row_address(const row_addresses *a, const int r, dsc_int row)
{
    (void)row;
    return (const real *)a->row[r];
}

INLINE void next_summand(row_addresses *a, const int R, dsc_int step)
{
    UNROLL
    for (int r = 0; r < R; ++r)
        a->row[r] += step;
}
#endif

INLINE void start_sums(const mixing_core *t, const int R, const int V, dsc_int column, vec sums[][MIX_VECTORS])
{
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            if (t->from)
                sums[r][v] = v_load(t->from + r * t->from_row + column + v * LANES);
            else if (t->row_bias)
                sums[r][v] = v_spread(t->row_bias[r * t->row_bias_step]);
            else
                sums[r][v] = t->column_bias ? v_load(t->column_bias + column + v * LANES) : v_spread(0);
        }
    }
}

/* In registers, where results are final: done later, it costs as much as some ten products. */
INLINE void clamp_sums(const epilogue *clamp, const int R, const int V, vec sums[][MIX_VECTORS])
{
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[r][v] = v_clamp(clamp, sums[r][v]);
    }
}

/* Where the loop over summands is, and its steps, in bytes and elements of b. */
typedef struct { row_addresses a; const real *b; const char *ahead; dsc_int row, step, b_step, ahead_step; } mixing_place;

INLINE mixing_place start_summands(const mixing_core *t, const int R, const real *b, const char *ahead)
{
    const dsc_int row = t->a_row * (dsc_int)sizeof(real);
    return (mixing_place){addresses_of(t->a, R, row), b, ahead, row, t->a_step * (dsc_int)sizeof(real), t->b_step,
                          t->ahead_step};
}

/* Factors of MIX_ROWS rows, on their way from registers through memory to lanes. */
typedef real row_vec __attribute__((vector_size(8 * sizeof(real)), may_alias));

/* Vector registers that nothing but a summand uses: gcc would keep addresses in them, and columns in memory. */
#ifdef VECTORS_TO_SPARE
#define SPARE_VECTORS() __asm__ volatile("" ::: VECTORS_TO_SPARE)
#else
#define SPARE_VECTORS() (void)0
#endif

/* A store of its own, of a register that there is: gcc would make a vector of eight by as many shuffles. */
INLINE void keep_factor(row_vec *factors, const int r, vec *factor)
{
    V_KEEP(*factor);
    ((real *)factors)[r] = (*factor)[0];
    __asm__("" : "+m"(((real *)factors)[r]));
}

/* So many summands of all rows; if `keep`, the factors of each are left as lanes. */
INLINE void add_summands(mixing_place *at, const int R, const int V, dsc_int count, const int keep, row_vec *kept,
                         vec sums[][MIX_VECTORS])
{
    for (; count > 0; --count, at->b += at->b_step, at->ahead += at->ahead_step) {
        vec column[MIX_VECTORS];
        if (MIX_AHEAD)
            __builtin_prefetch(at->ahead, 0, 2);
        UNROLL
        for (int v = 0; v < V; ++v) {
            column[v] = v_load(at->b + v * LANES);
            V_KEEP(column[v]);
        }
        UNROLL
        for (int r = 0; r < R; ++r) {
            vec factor = v_spread(*row_address(&at->a, r, at->row));
            if (keep)
                keep_factor(kept, r, &factor);
            UNROLL
            for (int v = 0; v < V; ++v)
                sums[r][v] += factor * column[v];
        }
        next_summand(&at->a, R, at->step);
        if (keep) {
            ++kept;
            SPARE_VECTORS();
        }
    }
}

INLINE void add_dense_summand(const mixing_place *at, const int R, const int V, const int k, vec sums[][MIX_VECTORS])
{
    vec column[MIX_VECTORS];
    UNROLL
    for (int v = 0; v < V; ++v) {
        column[v] = v_load(at->b + (k * V + v) * LANES);
        V_KEEP(column[v]);
    }
    UNROLL
    for (int r = 0; r < R; ++r) {
        const vec factor = v_spread(row_address(&at->a, r, at->row)[k]);
        UNROLL
        for (int v = 0; v < V; ++v)
            sums[r][v] += factor * column[v];
    }
}

/* Of the largest blocks, where factors and columns lie one after the other, all but the summands returned. */
INLINE dsc_int add_turns(const mixing_core *t, mixing_place *at, const int R, const int V, vec sums[][MIX_VECTORS])
{
    dsc_int left = t->depth;
    if (MIX_TURN == 1 || R < MIX_ROWS || V < MIX_VECTORS_USUAL || t->a_step != 1 || t->b_step != V * LANES)
        return left;
    for (; left >= MIX_TURN; left -= MIX_TURN, at->b += MIX_TURN * V * LANES, at->ahead += MIX_TURN * at->ahead_step) {
        __builtin_prefetch(at->ahead, 0, 2);   /* one of sixty instructions; in each summand, see MIX_AHEAD, it would be dear */
        UNROLL
        for (int k = 0; k < MIX_TURN; ++k)
            add_dense_summand(at, R, V, k, sums);
        next_summand(&at->a, R, MIX_TURN * (dsc_int)sizeof(real));
    }
    return left;
}

INLINE void add_rest(const row_vec *factors, const real *x, const int Q, row_vec *sums)
{
    UNROLL
    for (int q = 0; q < Q; ++q)
        sums[q] += *factors * x[q];
}

/* All summands, and those of Q columns more: factors are read in turns of REST_TURN, a turn after they were stored. A half
 * vector alone among whole ones costs as much as one. What lives between turns stays in memory: gcc would rather leave a column
 * there. */
INLINE void add_with_rest(const mixing_core *t, mixing_place *at, const int R, const int V, const int Q, vec sums[][MIX_VECTORS])
{
    row_vec rest[4], factors[2 * REST_TURN];
    const real *volatile next = t->rest;
    volatile dsc_int left = t->depth, turn = 0;
    UNROLL
    for (int q = 0; q < Q; ++q)
        rest[q] = ((const row_vec *)t->rest_sums)[q];
    for (; left > 0; left -= REST_TURN, turn ^= REST_TURN) {
        add_summands(at, R, V, at_most(left, REST_TURN), 1, factors + turn, sums);
        if (left == t->depth)
            continue;
        const row_vec *waiting = factors + (turn ^ REST_TURN);
        const real *x = next;
        UNROLL
        for (int i = 0; i < REST_TURN; ++i, x += Q)
            add_rest(waiting + i, x, Q, rest);
        next = x;
    }
    const real *x = next;
    for (dsc_int i = 0; i < left + REST_TURN; ++i, x += Q)
        add_rest(factors + (turn ^ REST_TURN) + i, x, Q, rest);
    UNROLL
    for (int q = 0; q < Q; ++q)
        ((row_vec *)t->rest_sums)[q] = rest[q];
}

INLINE void store_block(const mixing_core *t, const int R, const int V, dsc_int column, vec sums[][MIX_VECTORS])
{
    real *to = t->to + column;
    const dsc_int to_row = t->to_row, next_row = t->next_row;
    const real *next = t->next + column;
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            v_store(to + r * to_row + v * LANES, sums[r][v]);
            if (MIX_AHEAD)
                __builtin_prefetch(next + r * next_row + v * LANES, 1, 3);
        }
    }
}

/* A block of R rows of V vectors of columns, and Q columns more (then R is MIX_ROWS). */
INLINE void mix_run(const mixing_core *t, const int R, const int V, const int Q, const real *b, const char *ahead, dsc_int column)
{
    vec sums[MIX_ROWS][MIX_VECTORS];
    start_sums(t, R, V, column, sums);
    mixing_place at = start_summands(t, R, b, ahead);   /* no earlier: gcc would keep all of it in memory meanwhile */
    if (Q)
        add_with_rest(t, &at, R, V, Q, sums);
    else
        add_summands(&at, R, V, add_turns(t, &at, R, V, sums), 0, NULL, sums);
    if (MIX_CLAMPS && t->clamp)
        clamp_sums(t->clamp, R, V, sums);
    store_block(t, R, V, column, sums);
}

/* All blocks of a run, if there may be several: with few summands, to set out for each by itself takes a tenth of the time. */
INLINE void run_mixing(const mixing_core *t, const int R, const int V, const int Q, const int several)
{
    const real *b = t->b;
    const char *ahead = t->ahead;
    if (!several) {
        mix_run(t, R, V, Q, b, ahead, 0);
        return;
    }
    for (dsc_int run = 0; run < t->runs; ++run, b += t->next_b, ahead += MIX_AHEAD ? t->ahead_run : 0)
        mix_run(t, R, V, Q, b, MIX_AHEAD ? ahead : t->ahead, run * V * LANES);
}

typedef void (*mixing_function)(const mixing_core *);

#define MIX(R, V) static void mix_##R##_##V(const mixing_core *t) { run_mixing(t, R, V, 0, MIX_RUNS); }
#if MIX_VECTORS == 4
#define MIXES(R) MIX(R, 1) MIX(R, 2) MIX(R, 3)
#define MIX_ENTRIES(R) {mix_##R##_1, mix_##R##_2, mix_##R##_3, mix_##R##_4}
#define mix_7_4 NULL
#define mix_8_4 NULL
MIX(1, 4) MIX(2, 4) MIX(3, 4) MIX(4, 4) MIX(5, 4) MIX(6, 4)
#else
#define MIXES(R) MIX(R, 1) MIX(R, 2)
#define MIX_ENTRIES(R) {mix_##R##_1, mix_##R##_2}
#endif
MIXES(1) MIXES(2) MIXES(3) MIXES(4) MIXES(5) MIXES(6)
#if MIX_ROWS == 8
MIXES(7) MIXES(8)
#endif

/* [R - 1][V - 1] */
static const mixing_function mixing_table[MIX_ROWS][MIX_VECTORS] = {
    MIX_ENTRIES(1), MIX_ENTRIES(2), MIX_ENTRIES(3), MIX_ENTRIES(4), MIX_ENTRIES(5), MIX_ENTRIES(6),
#if MIX_ROWS == 8
    MIX_ENTRIES(7), MIX_ENTRIES(8),
#endif
};

#if MIX_RUNS
#define mix_largest mixing_table[MIX_ROWS - 1][MIX_VECTORS_USUAL - 1]
#else
static void mix_largest(const mixing_core *t) { run_mixing(t, MIX_ROWS, MIX_VECTORS_USUAL, 0, 1); }
#endif

#if MIX_RESTS
#define MIX_REST(V, Q) static void mix_rest_##V##_##Q(const mixing_core *t) { run_mixing(t, MIX_ROWS, V, Q, 0); }
MIX_REST(2, 1) MIX_REST(2, 2) MIX_REST(2, 4)
MIX_REST(3, 1) MIX_REST(3, 2) MIX_REST(3, 4)

/* [V - 2][Q / 2], of MIX_ROWS rows */
static const mixing_function mixing_rest_table[MIX_VECTORS_USUAL - 1][3] = {
    {mix_rest_2_1, mix_rest_2_2, mix_rest_2_4}, {mix_rest_3_1, mix_rest_3_2, mix_rest_3_4},
};
#endif

/* Columns that are computed for so many beside a block: three are four, of which the last is computed twice. */
INLINE int rest_columns(int rests) { return rests == 3 ? 4 : rests; }

#endif
