/* The planar tile for 3 x 3 taps and long rows: it runs along rows, up to SWEPT_ROWS of results at a time, so that memory is read and
 * written in the order in which it lies, as its prefetchers expect. The last vector of a row may begin within the one before, so
 * that all are whole.
 *
 * The taps of one output are added in the order row, column, as by rolling tiles. Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_SWEEPING_H
#define DSCONV_DEPTHWISE_SWEEPING_H

#include "depthwise_tile.h"

#define SWEEPS (!FEW_TILES && VECTOR_REGISTERS < 32)
#define SWEPT_ROWS 4      /* of results: so many sums, nine taps and an input fill the registers */
#define SWEPT_TAPS 3
#define SWEPT_BORDERS 8   /* vectors of a row that meet a border, at most, on either side */
#define SWEPT_VECTORS 5   /* of a row: so many, tiles that run down columns take as fast, ... */
#define SWEPT_DILATED 4   /* ... but not where rows are read apart */

#if SWEEPS
/* A vector of a row, bytes from its first, and which lanes of the outer column taps exist. */
typedef struct { mask first, last; dsc_int at; } swept_place;

/* Vectors that meet the left border, `inside` ones from byte `begin` on, and those that meet the right border. */
typedef struct {
    swept_place left[SWEPT_BORDERS], right[SWEPT_BORDERS], open;
    int lefts, rights;
    dsc_int begin, inside;
} swept_columns;

/* Rows of a plane that share input. */
typedef struct {
    dsc_int row, y_row, dilation;   /* bytes from one to the next */
    dsc_int first, last;            /* input rows that exist, counted from the first row tap of the first of the results */
    vec taps[SWEPT_TAPS][SWEPT_TAPS];
    vec *bias;
    epilogue *finish;
} swept_rows;

enum { SWEPT_INSIDE, SWEPT_MASKED, SWEPT_CHECKED };   /* all exists; not all lanes; nor all rows */

/* So many rows after the first; from the fourth on, after that: multiples that addresses can have. */
INLINE char *swept_row(const char *first, const char *fourth, const int r, dsc_int row)
{
    return (char *)(r < 3 ? first + r * row : fourth + (r - 3) * row);
}

/* An input of a vector, of column tap c. */
INLINE vec load_swept(const char *p, const int kind, const int c, const swept_place *place)
{
    const bool masked = kind >= SWEPT_MASKED && c != 1;
    vec input = masked ? v_load_masked((const real *)p, c == 0 ? place->first : place->last) : v_load((const real *)p);
    V_KEEP(input);
    return input;
}

INLINE void add_swept_row(const swept_rows *s, const int R, const int kind, const int r, const char *row, const swept_place *place,
                          vec *sums)
{
    UNROLL
    for (int c = 0; c < SWEPT_TAPS; ++c) {
        const vec input = load_swept(row + c * s->dilation, kind, c, place);
        UNROLL
        for (int o = 0; o < R; ++o)
            if (r - o >= 0 && r - o < SWEPT_TAPS)
                sums[o] += input * s->taps[r - o][c];
    }
}

/* A vector of R rows of results. */
INLINE void sweep_vector(const swept_rows *s, const int R, const int kind, const char *x, char *y, const swept_place *place)
{
    const char *fourth = x + 3 * s->row;
    vec sums[SWEPT_ROWS];
    __asm__("" : "+r"(fourth), "+m"(*s->bias));   /* no registers for the bias ... */
    UNROLL
    for (int o = 0; o < R; ++o)
        sums[o] = *s->bias;
    UNROLL
    for (int r = 0; r < R + SWEPT_TAPS - 1; ++r)
        if (kind != SWEPT_CHECKED || (r >= s->first && r < s->last))
            add_swept_row(s, R, kind, r, swept_row(x, fourth, r, s->row), place, sums);
    __asm__("" : "+m"(*s->finish));   /* ... nor for the constants of activations */
    UNROLL
    for (int o = 0; o < R; ++o)
        v_store((real *)swept_row(y, y + 3 * s->y_row, o, s->y_row), v_finish(s->finish, sums[o]));
}

/* Vectors from x and y on, one after the other. */
INLINE void sweep_vectors(const swept_rows *s, const int R, const int kind, const swept_columns *c, const char *x, char *y)
{
    x += c->begin, y += c->begin;
    for (dsc_int left = c->inside; left > 0; --left, x += VECTOR_BYTES, y += VECTOR_BYTES) {
        __asm__("" : "+r"(x), "+r"(y));   /* two addresses, not one for each row */
        sweep_vector(s, R, kind, x, y, &c->open);
    }
}

/* R rows of results. */
INLINE void sweep_rows(const swept_rows *s, const int R, const int kind, const swept_columns *c, const char *x, char *y)
{
    const swept_place *place = c->left;
    for (int left = c->lefts, side = 0; side < 2; ++side, place = c->right, left = c->rights) {
        for (; left > 0; --left, ++place)
            sweep_vector(s, R, kind, x + place->at, y + place->at, place);
        if (side == 0)
            sweep_vectors(s, R, kind == SWEPT_CHECKED ? SWEPT_CHECKED : SWEPT_INSIDE, c, x, y);
    }
}

/* `count` times R rows of results. */
INLINE void sweep_groups(const swept_rows *shared, const int R, const swept_columns *c, const char *x, char *y, dsc_int count)
{
    swept_rows s = *shared;
    vec bias = *s.bias;
    epilogue finish = *s.finish;
    s.bias = &bias, s.finish = &finish;
    UNROLL
    for (int i = 0; i < SWEPT_TAPS * SWEPT_TAPS; ++i)
        V_KEEP(s.taps[i / SWEPT_TAPS][i % SWEPT_TAPS]);
    for (; count > 0; --count, x += R * s.row, y += R * s.y_row, s.first -= R, s.last -= R) {
        if (s.first <= 0 && s.last >= R + SWEPT_TAPS - 1)
            sweep_rows(&s, R, SWEPT_MASKED, c, x, y);
        else
            sweep_rows(&s, R, SWEPT_CHECKED, c, x, y);
    }
}

typedef void (*swept_function)(const swept_rows *, const swept_columns *, const char *, char *, dsc_int);

#define SWEEP(R) \
    static __attribute__((noinline)) void sweep_##R(const swept_rows *s, const swept_columns *c, const char *x, char *y, \
                                                    dsc_int count) \
    { sweep_groups(s, R, c, x, y, count); }
SWEEP(1) SWEEP(2) SWEEP(3) SWEEP(4)
static const swept_function swept_table[SWEPT_ROWS] = {sweep_1, sweep_2, sweep_3, sweep_4};

/* `count` rows of results, each the next that shares input with the one before. */
static void sweep_residue(swept_rows *s, const swept_columns *c, const char *x, char *y, dsc_int count)
{
    const dsc_int whole = count - count % SWEPT_ROWS;
    if (whole)
        swept_table[SWEPT_ROWS - 1](s, c, x, y, whole / SWEPT_ROWS);
    s->first -= whole, s->last -= whole;
    if (whole < count)
        swept_table[count - whole - 1](s, c, x + whole * s->row, y + whole * s->y_row, 1);
}

static swept_place place_vector(const depthwise_tile *t, dsc_int column)
{
    const dsc_int reach = (SWEPT_TAPS - 1) * t->dilation, low = t->inside_low - column, high = t->inside_high - column;
    return (swept_place){v_mask(low, high), v_mask(low - reach, high - reach), column * (dsc_int)sizeof(real)};
}

static void place_columns(const depthwise_tile *t, swept_columns *c)
{
    const dsc_int end = t->width - LANES, beyond = at_most(t->inside_high - (SWEPT_TAPS - 1) * t->dilation - LANES, end);
    dsc_int column = 0;
    *c = (swept_columns){.open = {.first = v_mask(0, LANES), .last = v_mask(0, LANES)}};
    for (; column < at_most(t->inside_low, t->width); column += LANES)
        c->left[c->lefts++] = place_vector(t, at_most(column, end));
    c->begin = column * (dsc_int)sizeof(real);
    c->inside = column <= beyond ? (beyond - column) / LANES + 1 : 0;
    for (column += c->inside * LANES; column < t->width; column += LANES)
        c->right[c->rights++] = place_vector(t, at_most(column, end));
}

/* All rows of a plane: those that are a row tap apart share input. */
static void sweep_plane(const depthwise_tile *t, const swept_columns *columns)
{
    const dsc_int apart = t->row_dilation, bytes = sizeof(real);
    vec bias = v_spread(*t->bias);
    epilogue finish = *t->finish;
    swept_rows s = {.row = t->row * bytes, .y_row = apart * t->y_row * bytes, .dilation = t->dilation * bytes, .bias = &bias,
                    .finish = &finish};
    for (int j = 0; j < SWEPT_TAPS; ++j)
        for (int c = 0; c < SWEPT_TAPS; ++c)
            s.taps[j][c] = v_spread(t->taps[j * t->tap_row + c * t->tap_column]);
    for (dsc_int row = 0; row < at_most(apart, t->rows); ++row) {
        clip_taps(t->top + row, apart, INT32_MAX, t->height, 0, &s.first, &s.last);
        sweep_residue(&s, columns, (const char *)(t->x + row * t->output_row), (char *)(t->y + row * t->y_row),
                      divide_up(t->rows - row, apart));
    }
}

static void sweep_tile(const depthwise_tile *tile)
{
    depthwise_tile t = *tile;
    swept_columns columns;
    place_columns(&t, &columns);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t))
        sweep_plane(&t, &columns);
}

/* Is it for these taps and columns, in place? */
static bool can_sweep(const depthwise_tile *t, const dsc_int *kernel)
{
    const dsc_int borders = SWEPT_BORDERS * LANES, reach = (SWEPT_TAPS - 1) * t->dilation;
    const bool middle = t->inside_low <= t->dilation && t->inside_high >= t->width + t->dilation;
    const bool square = kernel[1] == SWEPT_TAPS && kernel[2] == SWEPT_TAPS && t->row_stride == 1;
    const bool fits = t->inside_low <= borders - 2 * LANES && t->width - t->inside_high + reach <= borders - 2 * LANES;
    const bool longer = t->width > (t->row_dilation > 1 ? SWEPT_DILATED : SWEPT_VECTORS) * LANES;
    return square && middle && fits && longer && t->finite && t->y_column == 1 && !t->turn;
}
#endif
#endif
