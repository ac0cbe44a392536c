/* The register tile of the pointwise stage: y[r][c] = bias + sum over k of a[r][k] * b[k][c].
 *
 * Rows are broadcast from `a`, vectors of columns loaded from `b`. Planar: rows are output channels, columns pixels.
 * Interleaved: rows are pixels, columns output channels. Sums run over k in order, whatever the tile. */
#ifndef DSCONV_POINTWISE_TILE_H
#define DSCONV_POINTWISE_TILE_H

#include "pointwise_loop.h"

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
    const real *rest;             /* of columns after them, the factors: [summand][rest_columns(rests)] */
    int rests;                    /* up to MIX_RESTS; then `width` is two whole vectors or more */
    bool resume, last;            /* continue the sums in y; these are the last products */
    const real *ahead;            /* what comes after these products from memory: asked for meanwhile, or NULL */
    dsc_int ahead_count;
    const real *coming;           /* or NULL: what will come from far, instead: rows of `coming_count` elements, ... */
    dsc_int coming_row, coming_count;   /* ... so far apart, one for each summand */
    const epilogue *finish;
    const dsc_problem *problem;
} mixing_tile;

/* A block of y: rows [row, row + rows), columns [column, column + width) in `vectors` vectors, and `rests` columns more; or `runs`
 * of them one beside the other. */
typedef struct { dsc_int row, rows, column, width, runs; int vectors, rests; real *y; } mixing_block;

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
            else
                v_store_first(y + v * LANES, sum, left);
        }
    }
}

/* Where the sums of outputs [row, row + count) of one column start, if not at 0. */
static void gather_outputs(const mixing_tile *t, const real *y, dsc_int row, dsc_int count, real *sums)
{
    if (t->resume)
        copy_strided(sums, y, t->y_row, count);
    else if (t->row_bias)
        copy_strided(sums, t->row_bias + row * t->row_bias_step, t->row_bias_step, count);
}

#if MIX_RESTS
/* Those of the columns beside a block, column by column. */
static void gather_rest(const mixing_tile *t, const mixing_block *b, real *sums)
{
    for (int q = 0; q < rest_columns(b->rests); ++q, sums += MIX_ROWS)
        gather_outputs(t, b->y + (b->width + at_most(q, b->rests - 1)) * t->y_column, b->row, MIX_ROWS, sums);
}

static void store_rest(const mixing_tile *t, const mixing_block *b, real *sums)
{
    const dsc_int count = b->rests * MIX_ROWS;
    for (dsc_int i = 0; t->last && t->finish->clamp && i < count; i += LANES)
        v_store(sums + i, v_clamp(t->finish, v_load(sums + i)));
    if (t->last)
        finish_later(t->finish, sums, 1, count);
    for (int q = 0; q < b->rests; ++q, sums += MIX_ROWS) {
        real *y = b->y + (b->width + q) * t->y_column;
        for (dsc_int r = 0; r < MIX_ROWS; ++r)
            y[r * t->y_row] = sums[r];
    }
}

static void mix_core_and_rest(const mixing_tile *t, mixing_core *core, const mixing_block *b)
{
    _Alignas(64) real sums[MIX_RESTS * MIX_ROWS + LANES] = {0};
    gather_rest(t, b, sums);
    core->rest = t->rest, core->rest_sums = sums;
    mixing_rest_table[b->vectors - 2][rest_columns(b->rests) / 2](core);
    store_rest(t, b, sums);
}
#endif

static bool is_whole(const mixing_tile *t, const mixing_block *b)
{
    return t->y_column == 1 && b->width == b->vectors * LANES;
}

/* Do results go from registers to where they belong? */
static bool is_direct(const mixing_tile *t, const mixing_block *b)
{
    return is_whole(t, b) && !(t->last && (t->finish->later != DSC_LINEAR || (t->finish->clamp && !MIX_CLAMPS)));
}

/* `core` holds what all blocks have in common. It is filled in by scalars alone: a copy by vectors would wait for them. */
static void mix_block(const mixing_tile *t, mixing_core *core, const mixing_block *b)
{
    _Alignas(64) real spare[MIX_ROWS * MIX_VECTORS * LANES];
    const dsc_int columns = b->vectors * LANES;
    const bool whole = is_whole(t, b), direct = is_direct(t, b);
    core->a = t->packed ? t->packed + b->row / LANES * t->packed_block + b->row % LANES : t->a + b->row * t->a_row;
    const bool read = t->lines && b->width == columns;
    core->b = read ? t->lines + b->column : t->lines ? t->b : t->b + b->column * t->depth;
    core->b_step = read ? t->line : columns;
    core->runs = b->runs, core->next_b = read ? columns : columns * t->depth;
    core->row_bias = t->row_bias ? t->row_bias + b->row * t->row_bias_step : NULL;
    core->column_bias = t->column_bias ? t->column_bias + b->column : NULL;
    core->to = direct ? b->y : spare, core->to_row = direct ? t->y_row : columns;
    if (t->resume) {
        core->from = whole ? b->y : spare, core->from_row = whole ? t->y_row : columns;
        if (!whole)
            gather_sums(t, b, spare);
    }
#if MIX_RESTS
    if (b->rests)
        mix_core_and_rest(t, core, b);
    else
#endif
        (b->runs > 1 && !MIX_RUNS ? mix_largest : mixing_table[b->rows - 1][b->vectors - 1])(core);
    if (!direct)
        store_mixed(t, b, spare);
}

/* Vectors of the next block of columns, when `left` columns remain of `width`, which counts those beside blocks. */
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

/* The same for what comes from far: each block's share of all rows, and where in a row the next begins. */
typedef struct { const real *row; dsc_int share, step, at; } coming_share;

/* `row` NULL: there is nothing, or blocks are so few that lines would be left out. */
static coming_share share_of_coming(const mixing_tile *t, dsc_int blocks)
{
    coming_share s = {.row = NULL};
    if (!MIX_AHEAD || !t->coming || blocks == 0)
        return s;
    s.share = divide_up(t->depth * t->coming_count, blocks);
    const dsc_int run = t->coming_row == t->coming_count ? s.share : at_most(s.share, t->coming_count);
    s.step = divide_up(run * (dsc_int)sizeof(real), t->depth);
    s.row = s.step <= LINE_BYTES ? t->coming : NULL;
    return s;
}

static void announce_coming(const mixing_tile *t, mixing_core *core, dsc_int runs, coming_share *s)
{
    core->ahead = (const char *)(s->row + s->at), core->ahead_step = s->step;
    core->ahead_run = s->share * (dsc_int)sizeof(real);
    for (s->at += runs * s->share; s->at >= t->coming_count; s->at -= t->coming_count)
        s->row += t->coming_row;
}

/* Blocks that are as wide as this one, whole and with no pixel beside them, one after the other: this one and those that follow. */
static dsc_int blocks_alike(const mixing_tile *t, const mixing_block *b)
{
    const dsc_int left = t->width - b->column, whole = left / b->width, vectors = divide_up(left, LANES);
    if (!is_direct(t, b) || whole <= 1 || MIX_RUNS)
        return is_direct(t, b) ? whole : 1;
    if (b->rows < MIX_ROWS || b->vectors != MIX_VECTORS_USUAL)
        return 1;
    /* One vector more than whole blocks: the last two share them, see block_vectors. */
    const dsc_int alike = vectors / MIX_VECTORS_USUAL - (vectors % MIX_VECTORS_USUAL == 1);
    return at_least(at_most(alike, whole - (t->rests > 0 && whole * b->width == left)), 1);
}

/* Rows of a block, at most. Packed ones are whole shares of LANES. */
static dsc_int block_rows(const mixing_tile *t)
{
    if (block_vectors(t->width + t->rests, t->width) > MIX_VECTORS_USUAL)
        return t->packed ? MIX_ROWS / 2 : MIX_ROWS_FOUR;
    return MIX_ROWS;
}

/* All rows, a few at a time and nearly equally many, each time all columns: the factors stay in the first-level cache from
 * block to block, and a row of y is written in one run. Columns after whole vectors are computed for whole blocks of MIX_ROWS
 * only. */
static void mix(const mixing_tile *t, dsc_int rows)
{
    mixing_core core = {.a_row = t->packed ? 1 : t->a_row, .a_step = t->packed ? LANES : t->a_step, .depth = t->depth,
                        .row_bias_step = t->row_bias_step, .clamp = t->last && t->finish->clamp ? t->finish : NULL,
                        .next_row = t->y_row};
    const dsc_int most = block_rows(t), blocks = divide_up(rows, most);
    coming_share coming = share_of_coming(t, blocks * divide_up(t->width, MIX_VECTORS_USUAL * LANES));
    if (blocks == 0)
        return;
    const dsc_int fewest = rows / blocks, larger = blocks - rows % blocks;
    mixing_block b = {.row = 0};
    for (dsc_int i = 0; i < blocks; ++i, b.row += b.rows) {
        if (i % 16 == 15 && dsc_stopped(t->problem))
            return;
        b.rows = t->packed || t->rests ? at_most(most, rows - b.row) : fewest + (i >= larger);
        announce(t, &core, i, blocks);
        for (b.column = 0; b.column < t->width; b.column += b.runs * b.width) {
            b.vectors = block_vectors(t->width + t->rests, t->width - b.column);
            b.width = at_most(t->width - b.column, b.vectors * LANES);
            b.rests = b.column + b.width == t->width && b.rows == MIX_ROWS ? t->rests : 0;
            b.y = t->y + b.row * t->y_row + b.column * t->y_column;
            b.runs = b.rests ? 1 : blocks_alike(t, &b);
            core.next = b.column + b.width < t->width ? b.y + b.width * t->y_column
                        : i + 1 < blocks ? t->y + (b.row + b.rows) * t->y_row : t->y + t->width * t->y_column;
            if (coming.row)
                announce_coming(t, &core, b.runs, &coming);
            mix_block(t, &core, &b);
        }
    }
}

#endif
