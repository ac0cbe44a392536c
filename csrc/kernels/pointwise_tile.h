/* The register tile of the pointwise stage: y[r][c] = bias + sum over k of a[r][k] * b[k][c].
 *
 * R rows are broadcast from `a`, V vectors of columns loaded from `b`. Planar: rows are output channels, columns pixels.
 * Interleaved: rows are pixels, columns output channels. Sums run over k in order, whatever the tile. */
#ifndef DSCONV_POINTWISE_TILE_H
#define DSCONV_POINTWISE_TILE_H

#include "epilogue.h"
#include "walk.h"

#if VECTOR_REGISTERS >= 32
#define MIX_ROWS 8
#define MIX_VECTORS 4
#define MIX_VECTORS_USUAL 3   /* four only where that spares a second pass over the weights */
#define MIX_ROWS_FOUR 6
#define MIX_PACKED 1          /* see pointwise_packed.h: blocks of LANES outputs are whole blocks of rows */
#define MIX_AHEAD 1           /* what comes next is asked for in the loop, which has instructions to spare */
#else
#define MIX_ROWS 6
#define MIX_VECTORS 2
#define MIX_VECTORS_USUAL 2
#define MIX_ROWS_FOUR 6
#define MIX_PACKED 0
#define MIX_AHEAD 0           /* with two short vectors a row, instructions are the bound on some processors */
#endif

#define MIX_CLAMPS (VECTOR_BYTES >= 32)   /* results, in registers; else where they are stored, which is less code */

typedef struct {
    const real *a;
    dsc_int a_row, a_step;
    const real *packed;           /* the same as blocks of LANES rows, `packed_block` apart, or NULL */
    dsc_int packed_block;
    const real *b;                /* blocks of columns one after the other, each [depth][its columns, whole vectors] */
    const real *lines;            /* or NULL: blocks of whole vectors are read from here, rows `line` apart, */
    dsc_int line;                 /* and `b` is the last block alone, if that ends within a vector */
    dsc_int depth;                /* products in one sum */
    const real *row_bias;         /* of row 0, or NULL */
    dsc_int row_bias_step;
    const real *column_bias;      /* dense and readable for whole vectors, or NULL */
    real *y;
    dsc_int y_row, y_column;
    dsc_int width;                /* columns */
    bool resume, last;            /* continue the sums in y; these are the last products */
    const real *ahead;            /* what comes after these products from memory: asked for meanwhile, or NULL */
    dsc_int ahead_count;
    const epilogue *finish;
    const dsc_problem *problem;
} mixing_tile;

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
    const real *next;             /* where the block after this one goes, */
    dsc_int next_row;             /* in as many rows so far apart */
    const epilogue *clamp;        /* of the results, or NULL */
    const char *ahead;            /* asked for, and `ahead_step` bytes on with every k */
    dsc_int ahead_step;
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
    row_addresses all;
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

INLINE void start_sums(const mixing_core *t, const int R, const int V, vec sums[][MIX_VECTORS])
{
    UNROLL
    for (int r = 0; r < R; ++r) {
        UNROLL
        for (int v = 0; v < V; ++v) {
            if (t->from)
                sums[r][v] = v_load(t->from + r * t->from_row + v * LANES);
            else if (t->row_bias)
                sums[r][v] = v_spread(t->row_bias[r * t->row_bias_step]);
            else
                sums[r][v] = t->column_bias ? v_load(t->column_bias + v * LANES) : v_spread(0);
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

INLINE void run_mixing(const mixing_core *t, const int R, const int V)
{
    vec sums[MIX_ROWS][MIX_VECTORS];
    const real *b = t->b;
    start_sums(t, R, V, sums);
    const dsc_int row = t->a_row * (dsc_int)sizeof(real), step = t->a_step * (dsc_int)sizeof(real);
    const dsc_int b_step = t->b_step, ahead_step = t->ahead_step;
    row_addresses a = addresses_of(t->a, R, row);
    const char *ahead = t->ahead;
    for (dsc_int left = t->depth; left > 0; --left, b += b_step, ahead += ahead_step) {
        vec column[MIX_VECTORS];
        if (MIX_AHEAD)
            __builtin_prefetch(ahead, 0, 2);
        UNROLL
        for (int v = 0; v < V; ++v) {
            column[v] = v_load(b + v * LANES);
            V_KEEP(column[v]);
        }
        UNROLL
        for (int r = 0; r < R; ++r) {
            vec factor = v_spread(*row_address(&a, r, row));
            UNROLL
            for (int v = 0; v < V; ++v)
                sums[r][v] += factor * column[v];
        }
        next_summand(&a, R, step);
    }
    if (MIX_CLAMPS && t->clamp)
        clamp_sums(t->clamp, R, V, sums);
    real *to = t->to;
    const dsc_int to_row = t->to_row, next_row = t->next_row;
    const real *next = t->next;
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

typedef void (*mixing_function)(const mixing_core *);

#define MIX(R, V) static void mix_##R##_##V(const mixing_core *t) { run_mixing(t, R, V); }
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

/* A block of y: rows [row, row + rows), columns [column, column + width) in `vectors` vectors. */
typedef struct { dsc_int row, rows, column, width; int vectors; real *y; } mixing_block;

/* Sums that are taken up again where they do not lie as whole vectors. Lanes beyond them repeat the last: what is added to
 * those is what is added to it, so that they raise no floating-point flag of their own. */
static void gather_sums(const mixing_tile *t, const mixing_block *b, real *sums)
{
    const dsc_int columns = b->vectors * LANES;
    for (dsc_int r = 0; r < b->rows; ++r, sums += columns) {
        copy_strided(sums, b->y + r * t->y_row, t->y_column, b->width);
        for (dsc_int lane = b->width; lane < columns; ++lane)
            sums[lane] = sums[b->width - 1];
    }
}

/* Results from `sums` to where they belong, with the activations that registers have no room for. */
static void store_mixed(const mixing_tile *t, const mixing_block *b, real *sums)
{
    if (t->last)
        finish_later(t->finish, sums, 1, b->rows * b->vectors * LANES);
    for (dsc_int r = 0; r < b->rows; ++r) {
        real *y = b->y + r * t->y_row;
        for (dsc_int v = 0; v < b->vectors; ++v) {
            vec sum = v_load(sums + (r * b->vectors + v) * LANES);
            dsc_int left = b->width - v * LANES;
            if (t->last && !MIX_CLAMPS)
                sum = v_finish(t->finish, sum);
            if (t->y_column != 1)
                v_scatter(y + v * LANES * t->y_column, t->y_column, sum, (int)at_most(left, LANES));
            else if (left >= LANES)
                v_store(y + v * LANES, sum);
            else
                v_store_masked(y + v * LANES, sum, v_mask(0, left));
        }
    }
}

/* `core` holds what all blocks have in common. It is filled in by scalars alone: a copy by vectors would wait for them. */
static void mix_block(const mixing_tile *t, mixing_core *core, const mixing_block *b)
{
    _Alignas(64) real spare[MIX_ROWS * MIX_VECTORS * LANES];
    const dsc_int columns = b->vectors * LANES;
    bool whole = t->y_column == 1 && b->width == columns;
    const bool direct = whole && !(t->last && (t->finish->later != DSC_LINEAR || (t->finish->clamp && !MIX_CLAMPS)));
    core->a = t->packed ? t->packed + b->row / LANES * t->packed_block + b->row % LANES : t->a + b->row * t->a_row;
    const bool read = t->lines && b->width == columns;
    core->b = read ? t->lines + b->column : t->lines ? t->b : t->b + b->column * t->depth;
    core->b_step = read ? t->line : columns;
    core->row_bias = t->row_bias ? t->row_bias + b->row * t->row_bias_step : NULL;
    core->column_bias = t->column_bias ? t->column_bias + b->column : NULL;
    core->to = direct ? b->y : spare, core->to_row = direct ? t->y_row : columns;
    if (t->resume) {
        core->from = whole ? b->y : spare, core->from_row = whole ? t->y_row : columns;
        if (!whole)
            gather_sums(t, b, spare);
    }
    mixing_table[b->rows - 1][b->vectors - 1](core);
    if (!direct)
        store_mixed(t, b, spare);
}

/* Vectors of the next block of columns, when `left` columns remain of `width`. */
INLINE int block_vectors(dsc_int width, dsc_int left)
{
    dsc_int vectors = divide_up(left, LANES);
    if (vectors == MIX_VECTORS && divide_up(width, LANES) == MIX_VECTORS)
        return MIX_VECTORS;
    if (vectors == MIX_VECTORS_USUAL + 1)
        return (MIX_VECTORS_USUAL + 2) / 2;
    return (int)at_most(vectors, MIX_VECTORS_USUAL);
}

/* Where the last block of columns begins. */
static dsc_int last_block(dsc_int width)
{
    dsc_int column = 0;
    for (dsc_int next = 0; next < width; next += block_vectors(width, width - next) * LANES)
        column = next;
    return column;
}

/* Of what lies ahead, the share of block `number` of `blocks` is asked for while it is computed: a line now and then, and all
 * in order, so that the memory keeps up. */
static void announce(const mixing_tile *t, mixing_core *core, dsc_int number, dsc_int blocks)
{
    const dsc_int share = divide_up(t->ahead_count * (dsc_int)sizeof(real), blocks);
    core->ahead = t->ahead ? (const char *)t->ahead + number * share : (const char *)t->a;
    core->ahead_step = t->ahead ? divide_up(share, at_least(t->depth, 1)) : 0;
}

/* Rows of a block, at most. Packed ones are whole shares of LANES. */
static dsc_int block_rows(const mixing_tile *t)
{
    if (divide_up(t->width, LANES) == 4)
        return t->packed ? MIX_ROWS / 2 : MIX_ROWS_FOUR;
    return MIX_ROWS;
}

/* All rows, a few at a time and nearly equally many, each time all columns: the factors stay in the first-level cache from
 * block to block, and a row of y is written in one run. */
static void mix(const mixing_tile *t, dsc_int rows)
{
    mixing_core core = {.a_row = t->packed ? 1 : t->a_row, .a_step = t->packed ? LANES : t->a_step, .depth = t->depth,
                        .row_bias_step = t->row_bias_step, .clamp = t->last && t->finish->clamp ? t->finish : NULL,
                        .next_row = t->y_row};
    const dsc_int most = block_rows(t), blocks = divide_up(rows, most);
    if (blocks == 0)
        return;
    const dsc_int fewest = rows / blocks, larger = blocks - rows % blocks;
    mixing_block b = {.row = 0};
    for (dsc_int i = 0; i < blocks; ++i, b.row += b.rows) {
        if (i % 16 == 15 && dsc_stopped(t->problem))
            return;
        b.rows = t->packed ? at_most(most, rows - b.row) : fewest + (i >= larger);
        announce(t, &core, i, blocks);
        for (b.column = 0; b.column < t->width; b.column += b.width) {
            b.vectors = block_vectors(t->width, t->width - b.column);
            b.width = at_most(t->width - b.column, b.vectors * LANES);
            b.y = t->y + b.row * t->y_row + b.column * t->y_column;
            core.next = b.column + b.width < t->width ? b.y + b.width * t->y_column
                        : i + 1 < blocks ? t->y + (b.row + b.rows) * t->y_row : t->y + t->width * t->y_column;
            mix_block(t, &core, &b);
        }
    }
}

#endif
