/* The register tiles of the weight gradient of a plane: the sums of J x I taps stay in registers while the outputs pass, lanes of
 * which are neighbouring outputs, and each lane sums its own. */
#ifndef DSCONV_WEIGHTS_TILE_H
#define DSCONV_WEIGHTS_TILE_H

#include "../vec.h"
#include "walk.h"

/* Shorter so, and as fast or faster, see PLAIN_LOOPS. */
WITHOUT("GCC optimize (\"no-tree-pre\", \"no-ivopts\")")

#define TAPS_TILE 3   /* most tap rows and tap columns of a tile */
#define TAPS_LINE 8   /* most taps of a single row */

/* Output row r meets x row r * stride + j * step in tap row j. */
typedef struct {
    const real *x;                        /* what output 0 meets under the first tap */
    dsc_int x_row, x_column[TAPS_LINE];   /* steps to the next row, to the tap columns */
    const real *y;
    dsc_int y_row, rows, columns;
    dsc_int stride, step, apart;          /* rows whose outputs meet the same rows of x: step = stride * apart */
    dsc_int top, height;                  /* row of x, and how many there are: others do not exist */
    dsc_int position, dilation, width;    /* column of x, from tap to tap, and how many there are */
    dsc_int x_ahead, y_ahead;             /* steps to what comes after this plane and is asked for now; 0: nothing */
    real *sums;                           /* [tap row][tap column][lane] */
    dsc_int sums_row;
} weights_tile;

#ifdef VECTOR_FREE_MASKS
#define MASKED_ALL 1
#else
#define MASKED_ALL 0
#endif

/* Where masks cost nothing, lanes that do not exist are no zeros that infinities would meet. */
INLINE vec add_to_sum(vec sum, vec x, vec y, const int masked, mask m)
{
    return MASKED_ALL && masked ? v_add_product_masked(sum, x, y, m) : sum + x * y;
}

/* Lanes of a vector of columns that exist under tap i, and whose x does. */
INLINE mask existing_lanes(const weights_tile *t, dsc_int column, int i)
{
    dsc_int at = t->position + column + i * t->dilation;
    return v_mask(-at, at_most(t->width - at, t->columns - column));
}

/* Apart, for these are many instructions in each tile, and few in all. */
static __attribute__((noinline)) void existing_taps(const weights_tile *t, int taps, dsc_int column, mask *exist)
{
    for (int i = 0; i < taps; ++i)
        exist[i] = existing_lanes(t, column, i);
}

/* Not for the first-level cache, which holds what is being summed. */
INLINE void ask_for(const real *x, const real *y)
{
    __builtin_prefetch(x, 0, 2), __builtin_prefetch(y, 0, 2);
}

INLINE void ask_for_planes(const weights_tile *t, const real *x, const real *y)
{
    if (t->x_ahead)
        ask_for(x + t->x_ahead, y + t->y_ahead);
}

INLINE void load_sums(const real *from, dsc_int row, const int J, const int I, vec (*sums)[TAPS_TILE])
{
    UNROLL
    for (int j = 0; j < J; ++j) {
        UNROLL
        for (int i = 0; i < I; ++i)
            sums[j][i] = v_load(from + j * row + i * LANES);
    }
}

INLINE void save_sums(real *to, dsc_int row, const int J, const int I, vec (*sums)[TAPS_TILE])
{
    UNROLL
    for (int j = 0; j < J; ++j) {
        UNROLL
        for (int i = 0; i < I; ++i)
            v_store(to + j * row + i * LANES, sums[j][i]);
    }
}

/* Where the rows of one vector of columns are, and what it holds: output rows r, r - 1, ..., counted in steps. */
typedef struct {
    const real *x, *y;
    mask inside, exist[TAPS_TILE];
    vec rows[TAPS_TILE];
} weights_column;

/* A row of x with the output rows whose indices lie in [first, last]. */
INLINE void gather_row(const weights_tile *t, const weights_column *c, const int J, const int I, const int masked, const int all,
                       dsc_int first, dsc_int last, vec (*sums)[TAPS_TILE])
{
    vec x[TAPS_TILE];
    UNROLL
    for (int i = 0; i < I; ++i) {
        x[i] = v_load_lanes(c->x + t->x_column[i], masked, c->exist[i]);
        V_KEEP(x[i]);
    }
    UNROLL
    for (int j = 0; j < J; ++j)
        if (all || (j >= first && j <= last)) {
            UNROLL
            for (int i = 0; i < I; ++i)
                sums[j][i] = add_to_sum(sums[j][i], x[i], c->rows[j], masked, c->exist[i]);
        }
}

INLINE void next_row(const weights_tile *t, weights_column *c, const int J, const int masked, bool exists)
{
    ask_for_planes(t, c->x, c->y);
    UNROLL
    for (int j = J - 1; j > 0; --j)
        c->rows[j] = c->rows[j - 1];
    if (exists)
        c->rows[0] = v_load_lanes(c->y, masked, c->inside);
}

/* So many output rows, `apart`, and the rows of x that they meet, from row `top` on. */
INLINE void walk_down(const weights_tile *t, weights_column *c, const int J, const int I, const int masked, dsc_int rows,
                      dsc_int top, vec (*sums)[TAPS_TILE])
{
    const dsc_int x_step = t->step * t->x_row, y_step = t->apart * t->y_row;
    for (dsc_int r = 0; r < rows + J - 1; ++r, top += t->step, c->x += x_step, c->y += y_step) {
        if (r >= J - 1 && r < rows && top >= 0) {
            dsc_int count = rows - r;
            if (top + (count - 1) * t->step >= t->height)
                count = at_least(divide_up(t->height - top, t->step), 0);
            for (r += count, top += count * t->step; count > 0; --count, c->x += x_step, c->y += y_step) {
                next_row(t, c, J, masked, true);
                gather_row(t, c, J, I, masked, 1, 0, 0, sums);
            }
        }
        next_row(t, c, J, masked, r < rows);
        if (top >= 0 && top < t->height)
            gather_row(t, c, J, I, masked, 0, r - rows + 1, r, sums);
    }
}

/* One vector of columns, all rows. */
INLINE void gather_column(const weights_tile *t, const int J, const int I, const int masked, dsc_int column,
                          vec (*sums)[TAPS_TILE])
{
    weights_column c = {.inside = v_mask(0, t->columns - column)};
    UNROLL
    for (int i = 0; i < I; ++i) {
        c.exist[i] = existing_lanes(t, column, i);
        MASK_KEEP(c.exist[i]);
    }
    for (dsc_int residue = 0; residue < t->apart && residue < t->rows; ++residue) {
        c.x = t->x + residue * t->stride * t->x_row + column, c.y = t->y + residue * t->y_row + column;
        walk_down(t, &c, J, I, masked, t->apart == 1 ? t->rows : divide_up(t->rows - residue, t->apart),
                  t->top + residue * t->stride, sums);
    }
}

/* Several rows of taps: down the columns. */
INLINE void gather_taps(const weights_tile *tile, const int J, const int I)
{
    const weights_tile t = *tile;
    vec sums[TAPS_TILE][TAPS_TILE];
    load_sums(t.sums, t.sums_row, J, I, sums);
    for (dsc_int column = 0; column < t.columns; column += LANES) {
        dsc_int first = t.position + column, last = first + LANES + (I - 1) * t.dilation;
        if (!MASKED_ALL && first >= 0 && last <= t.width && column + LANES <= t.columns)
            gather_column(&t, J, I, 0, column, sums);
        else
            gather_column(&t, J, I, 1, column, sums);
    }
    save_sums(t.sums, t.sums_row, J, I, sums);
}

/* One vector of a row; `tile` is what t is a copy of, so that no call knows of t. */
INLINE void gather_vector(const weights_tile *tile, const weights_tile *t, const int I, const int masked, const real *x,
                          const real *y, dsc_int column, vec *sums)
{
    mask m = v_mask(0, t->columns - column), exist[TAPS_LINE];
    if (masked)
        existing_taps(tile, I, column, exist);
    vec factor = v_load_lanes(y + column, masked, m);
    ask_for_planes(t, x + column, y + column);
    UNROLL
    for (int i = 0; i < I; ++i)
        sums[i] = add_to_sum(sums[i], v_load_lanes(x + column + t->x_column[i], masked, exist[i]), factor, masked, exist[i]);
}

/* One row of taps: along the rows. */
INLINE void gather_line(const weights_tile *tile, const int I)
{
    const weights_tile t = *tile;
    dsc_int begin = at_most(round_up(at_least(-t.position, 0), LANES), t.columns);
    dsc_int end = at_most(t.columns, t.width - t.position - (I - 1) * t.dilation) - LANES + 1;
    vec sums[TAPS_LINE];
    UNROLL
    for (int i = 0; i < I; ++i)
        sums[i] = v_load(t.sums + i * LANES);
    for (dsc_int r = 0; r < t.rows; ++r) {
        const real *x = t.x + r * t.stride * t.x_row, *y = t.y + r * t.y_row;
        dsc_int top = t.top + r * t.stride;
        if (top < 0 || top >= t.height)
            continue;
        for (dsc_int column = 0; column < t.columns; column += LANES) {
            for (; column >= begin && column < end; column += LANES)
                gather_vector(tile, &t, I, 0, x, y, column, sums);
            if (column < t.columns)
                gather_vector(tile, &t, I, 1, x, y, column, sums);
        }
    }
    UNROLL
    for (int i = 0; i < I; ++i)
        v_store(t.sums + i * LANES, sums[i]);
}

typedef void (*weights_function)(const weights_tile *);

#define WEIGHTS(J, I) static void weights_##J##_##I(const weights_tile *t) { gather_taps(t, J, I); }
#define WEIGHTS_LINE(I) static void weights_line_##I(const weights_tile *t) { gather_line(t, I); }
WEIGHTS(3, 3)
WEIGHTS_LINE(1) WEIGHTS_LINE(2) WEIGHTS_LINE(3)
#if !FEW_TILES
WEIGHTS(3, 1) WEIGHTS(3, 2)
WEIGHTS(2, 1) WEIGHTS(2, 2) WEIGHTS(2, 3)
WEIGHTS_LINE(4) WEIGHTS_LINE(8)
#endif
AS_USUAL

/* [J - 1][I - 1] */
static const weights_function weights_table[TAPS_TILE][TAPS_LINE] = {
    {weights_line_1, weights_line_2, weights_line_3},
#if FEW_TILES
    [2] = {[2] = weights_3_3},
#else
    [0][3] = weights_line_4, [0][7] = weights_line_8,
    [1] = {weights_2_1, weights_2_2, weights_2_3}, {weights_3_1, weights_3_2, weights_3_3},
#endif
};

/* Of so many tap rows, those of one tile. */
static inline int rows_of_tile(dsc_int left)
{
    return left >= TAPS_TILE ? TAPS_TILE : FEW_TILES ? 1 : (int)left;
}

/* Can several tap rows of so many columns go through a tile? */
static inline bool rows_share_tiles(dsc_int columns) { return !FEW_TILES || columns % TAPS_TILE == 0; }

#endif
