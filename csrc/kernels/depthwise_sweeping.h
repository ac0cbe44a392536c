/* The planar tile for 3 x 3 taps, stride 1 or 2, and long rows: it runs along rows, up to SWEPT_ROWS of results at a time, so that
 * memory is read and written in the order in which it lies. The last vector of a row may begin within the one before, so that all
 * are whole.
 *
 * The taps of one output are added in the order row, column, as by rolling tiles. Lanes outside are zero: all taps must be
 * finite. */
#ifndef DSCONV_DEPTHWISE_SWEEPING_H
#define DSCONV_DEPTHWISE_SWEEPING_H

#include "depthwise_tile.h"

PLAIN_ADDRESSES

#define SWEEPS (!FEW_TILES && VECTOR_REGISTERS < 32)
#define SWEPT_ROWS 4      /* of results: so many sums, nine taps and an input fill the registers */
#define SWEPT_TAPS 3
#define SWEPT_BORDERS 8   /* vectors of a row that meet a border, at most, on either side */
#define SWEPT_VECTORS 6   /* of a row: so many, tiles that run down columns take as fast, ... */
#define SWEPT_DILATED 4   /* ... but not where rows are read apart */

#if SWEEPS
/* A vector of a row: bytes from the first of x and of y to it, and which lanes of what is loaded for it exist, see load_swept. */
typedef struct { mask lanes[2]; dsc_int x, y; } swept_place;

/* Vectors that meet the left border, `inside` ones from bytes x and y on, and those that meet the right border. */
typedef struct {
    swept_place left[SWEPT_BORDERS], right[SWEPT_BORDERS], open;
    int lefts, rights;
    dsc_int x, y, inside;
} swept_columns;

/* Rows of a plane that share input. */
typedef struct {
    dsc_int row, y_row, dilation;   /* bytes from one to the next */
    dsc_int ahead;                  /* bytes from the first of SWEPT_ROWS to what comes next; 0, where rows are read apart */
    dsc_int first, last;            /* input rows that exist, counted from the first row tap of the first of the results */
    vec taps[SWEPT_TAPS][SWEPT_TAPS];
    vec *bias;
    epilogue *finish;
} swept_rows;

enum { SWEPT_INSIDE, SWEPT_MASKED, SWEPT_CHECKED };   /* all exists; not all lanes; nor all rows */

/* Rows by three addresses, and multiples that addresses can have. */
typedef struct { const char *first, *fourth, *seventh; } swept_addresses;

INLINE swept_addresses addresses_of_rows(const char *first, const int count, dsc_int row)
{
    swept_addresses a = {first, first + 3 * row, first};
    __asm__("" : "+r"(a.fourth));
    if (count > 6) {
        a.seventh = first + 6 * row;
        __asm__("" : "+r"(a.seventh));
    }
    return a;
}

INLINE const char *address_of_row(const swept_addresses *a, const int r, dsc_int row)
{
    return r < 3 ? a->first + r * row : r < 6 ? a->fourth + (r - 3) * row : a->seventh + (r - 6) * row;
}

INLINE vec load_lanes(const char *p, const int masked, const mask *lanes)
{
    vec v = masked ? v_load_masked((const real *)p, *lanes) : v_load((const real *)p);
    V_KEEP(v);
    return v;
}

/* What the column taps of a row meet. With stride 2 lanes are in a loose order, which results are brought out of, and borders meet
 * only the outermost of four loads. */
INLINE void load_swept(const swept_rows *s, const int stride, const int masked, const char *p, const swept_place *place,
                       vec *inputs)
{
    const mask *lanes = place->lanes;
    if (stride == 1) {
        inputs[0] = load_lanes(p, masked, &lanes[0]);
        inputs[1] = load_lanes(p + s->dilation, 0, NULL);
        inputs[2] = load_lanes(p + 2 * s->dilation, masked, &lanes[1]);
        return;
    }
    const vec low = load_lanes(p, masked, &lanes[0]), high = load_lanes(p + VECTOR_BYTES, 0, NULL);
    inputs[0] = v_even_loose(low, high), inputs[1] = v_odd_loose(low, high);
    p += 2 * sizeof(real);
    const real *last = (const real *)(p + VECTOR_BYTES);   /* an operand of the shuffle */
    inputs[2] = v_even_loose(load_lanes(p, 0, NULL), masked ? v_load_masked(last, lanes[1]) : v_load(last));
}

INLINE void add_swept_row(const swept_rows *s, const int stride, const int R, const int r, const vec *inputs, vec *sums)
{
    UNROLL
    for (int c = 0; c < SWEPT_TAPS; ++c) {
        UNROLL
        for (int o = 0; o < R; ++o)
            if (r - stride * o >= 0 && r - stride * o < SWEPT_TAPS)
                sums[o] += inputs[c] * s->taps[r - stride * o][c];
    }
}

/* A vector of R rows of results. */
INLINE void sweep_vector(const swept_rows *s, const int stride, const int R, const int kind, const char *x, char *y,
                         const swept_place *place)
{
    const int rows = stride * (R - 1) + SWEPT_TAPS;
    const swept_addresses from = addresses_of_rows(x, rows, s->row);
    vec sums[SWEPT_ROWS];
    __asm__("" : "+m"(*s->bias));   /* no registers for the bias ... */
    UNROLL
    for (int o = 0; o < R; ++o)
        sums[o] = *s->bias;
    UNROLL
    for (int r = 0; r < rows; ++r) {
        vec inputs[SWEPT_TAPS];
        if (kind == SWEPT_CHECKED && (r < s->first || r >= s->last))
            continue;
        load_swept(s, stride, kind != SWEPT_INSIDE, address_of_row(&from, r, s->row), place, inputs);
        add_swept_row(s, stride, R, r, inputs, sums);
    }
    __asm__("" : "+m"(*s->finish));   /* ... nor for the constants of activations */
    UNROLL
    for (int o = 0; o < R; ++o)
        v_store((real *)(y + o * s->y_row), v_finish(s->finish, stride == 1 ? sums[o] : v_tight(sums[o])));
}

/* `count` lines, which follow each other. */
INLINE void ask_for_lines(const char *p, const int written, const int count)
{
    UNROLL
    for (int i = 0; i < count; ++i)
        __builtin_prefetch(p + i * LINE_BYTES, written, 3);
}

/* Vectors from x and y on, one after the other. So many rows at once are no order that prefetchers see through: for each vector,
 * its share of the rows that come next is asked for. */
INLINE void sweep_vectors(const swept_rows *s, const int stride, const int R, const int kind, const swept_columns *c, const char *x,
                          char *y)
{
    const int lines = stride * stride * R * VECTOR_BYTES / LINE_BYTES, written = R * VECTOR_BYTES / LINE_BYTES;
    const char *next = x + s->ahead, *next_y = y + R * s->y_row;
    x += c->x, y += c->y;
    for (dsc_int left = c->inside; left > 0; --left, x += stride * VECTOR_BYTES, y += VECTOR_BYTES) {
        __asm__("" : "+r"(x), "+r"(y));   /* two addresses, not one for each row */
        if (R == SWEPT_ROWS && kind == SWEPT_INSIDE) {
            ask_for_lines(next, 0, lines);
            ask_for_lines(next_y, 1, written);
            next += lines * LINE_BYTES, next_y += written * LINE_BYTES;
        }
        sweep_vector(s, stride, R, kind, x, y, &c->open);
    }
}

/* R rows of results. */
INLINE void sweep_rows(const swept_rows *s, const int stride, const int R, const int kind, const swept_columns *c, const char *x,
                       char *y)
{
    const swept_place *place = c->left;
    for (int left = c->lefts, side = 0; side < 2; ++side, place = c->right, left = c->rights) {
        for (; left > 0; --left, ++place)
            sweep_vector(s, stride, R, kind, x + place->x, y + place->y, place);
        if (side == 0)
            sweep_vectors(s, stride, R, kind == SWEPT_CHECKED ? SWEPT_CHECKED : SWEPT_INSIDE, c, x, y);
    }
}

/* `count` times R rows of results. */
INLINE void sweep_groups(const swept_rows *shared, const int stride, const int R, const swept_columns *c, const char *x, char *y,
                         dsc_int count)
{
    const int rows = stride * (R - 1) + SWEPT_TAPS;
    swept_rows s = *shared;
    vec bias = *s.bias;
    epilogue finish = *s.finish;
    s.bias = &bias, s.finish = &finish;
    UNROLL
    for (int i = 0; i < SWEPT_TAPS * SWEPT_TAPS; ++i)
        V_KEEP(s.taps[i / SWEPT_TAPS][i % SWEPT_TAPS]);
    for (; count > 0; --count, x += stride * R * s.row, y += R * s.y_row, s.first -= stride * R, s.last -= stride * R) {
        if (s.first <= 0 && s.last >= rows)
            sweep_rows(&s, stride, R, SWEPT_MASKED, c, x, y);
        else
            sweep_rows(&s, stride, R, SWEPT_CHECKED, c, x, y);
    }
}

typedef void (*swept_function)(const swept_rows *, const swept_columns *, const char *, char *, dsc_int);

#define SWEEP(S, R) \
    static __attribute__((noinline)) void sweep_##S##_##R(const swept_rows *s, const swept_columns *c, const char *x, char *y, \
                                                          dsc_int count) \
    { sweep_groups(s, S, R, c, x, y, count); }
SWEEP(1, 1) SWEEP(1, 2) SWEEP(1, 3) SWEEP(1, 4) SWEEP(2, 4)

/* [stride - 1][rows of results - 1] */
static const swept_function swept_table[2][SWEPT_ROWS] = {
    {sweep_1_1, sweep_1_2, sweep_1_3, sweep_1_4}, {NULL, NULL, NULL, sweep_2_4},
};

/* `count` rows of results, each the next that shares input with the one before. With stride 2 a last group of fewer begins within
 * the one before: rows are never so few as where they are read apart. */
static void sweep_residue(swept_rows *s, int stride, const swept_columns *c, const char *x, char *y, dsc_int count)
{
    const dsc_int whole = count - count % SWEPT_ROWS, last = stride == 2 ? count - SWEPT_ROWS : whole;
    if (whole)
        swept_table[stride - 1][SWEPT_ROWS - 1](s, c, x, y, whole / SWEPT_ROWS);
    s->first -= stride * last, s->last -= stride * last;
    if (whole < count)
        swept_table[stride - 1][count - last - 1](s, c, x + stride * last * s->row, y + last * s->y_row, 1);
}

/* `reach`: elements from the first load of a row to the last. */
static void place_vector(const depthwise_tile *t, dsc_int column, swept_place *place)
{
    const dsc_int stride = t->row_stride, at = stride * column;
    const dsc_int reach = stride == 1 ? (SWEPT_TAPS - 1) * t->dilation : LANES + 2;
    place->x = at * (dsc_int)sizeof(real), place->y = column * (dsc_int)sizeof(real);
    for (int i = 0; i < 2; ++i)
        place->lanes[i] = v_mask(t->inside_low - at - i * reach, t->inside_high - at - i * reach);
}

/* Elements of x from the first to beyond the last that a vector loads. */
static dsc_int swept_reach(const depthwise_tile *t)
{
    return t->row_stride == 1 ? (SWEPT_TAPS - 1) * t->dilation + LANES : 2 * LANES + 2;
}

static void place_columns(const depthwise_tile *t, swept_columns *c)
{
    const dsc_int stride = t->row_stride, end = t->width - LANES, room = t->inside_high - swept_reach(t);
    const dsc_int beyond = room < 0 ? -1 : at_most(room / stride, end);
    dsc_int column = 0;
    c->lefts = c->rights = 0;   /* zeros for all the rest would take longer than a small plane */
    for (; column < t->width && stride * column < t->inside_low; column += LANES)
        place_vector(t, at_most(column, end), &c->left[c->lefts++]);
    c->inside = column <= beyond ? (beyond - column) / LANES + 1 : 0;
    c->x = stride * column * (dsc_int)sizeof(real), c->y = column * (dsc_int)sizeof(real);
    for (int i = 0; i < 2; ++i)
        c->open.lanes[i] = v_mask(0, LANES);
    for (column += c->inside * LANES; column < t->width; column += LANES)
        place_vector(t, at_most(column, end), &c->right[c->rights++]);
}

/* All rows of a plane: those that are a row tap apart share input. */
static void sweep_plane(const depthwise_tile *t, const swept_columns *columns)
{
    const dsc_int apart = t->row_dilation, bytes = sizeof(real);
    vec bias = v_spread(*t->bias);
    epilogue finish = *t->finish;
    swept_rows s;
    s.row = t->row * bytes, s.y_row = apart * t->y_row * bytes, s.dilation = t->dilation * bytes;
    s.bias = &bias, s.finish = &finish;
    s.ahead = apart == 1 ? (t->row_stride * (SWEPT_ROWS - 1) + SWEPT_TAPS) * s.row : 0;
    for (int j = 0; j < SWEPT_TAPS; ++j)
        for (int c = 0; c < SWEPT_TAPS; ++c)
            s.taps[j][c] = v_spread(t->taps[j * t->tap_row + c * t->tap_column]);
    for (dsc_int row = 0; row < at_most(apart, t->rows); ++row) {
        clip_taps(t->top + row, apart, INT32_MAX, t->height, 0, &s.first, &s.last);
        sweep_residue(&s, (int)t->row_stride, columns, (const char *)(t->x + row * t->output_row),
                      (char *)(t->y + row * t->y_row), divide_up(t->rows - row, apart));
    }
}

static void sweep_tile(depthwise_tile *t)
{
    swept_columns columns;
    place_columns(t, &columns);
    for (dsc_int plane = 0; plane < t->planes; ++plane, next_plane(t))
        sweep_plane(t, &columns);
}

/* Do the borders meet no more vectors than there are places for? Few elements before a row, of which the middle tap sees none, keep
 * the reach small. */
static bool borders_fit(const depthwise_tile *t)
{
    const dsc_int most = (SWEPT_BORDERS - 2) * LANES;
    return t->inside_low <= most && t->row_stride * t->width + swept_reach(t) - t->inside_high <= most;
}

/* Stride 1: does all exist that the middle column tap meets? */
static bool sees_middle(const depthwise_tile *t)
{
    return t->inside_low <= t->dilation && t->inside_high >= t->width + t->dilation;
}

/* Is it for these taps and columns, in place? */
static bool can_sweep(const depthwise_tile *t, const dsc_extent *e)
{
    const bool once = e->stride[1] == 1 && e->stride[2] == 1 && sees_middle(t);
    const bool near = e->dilation[1] == 1 && e->dilation[2] == 1, group = t->rows >= SWEPT_ROWS;
    const bool outermost = t->inside_low <= 2 && t->inside_high >= 2 * t->width;
    const bool twice = e->stride[1] == 2 && e->stride[2] == 2 && near && group && outermost;
    const bool square = e->kernel[1] == SWEPT_TAPS && e->kernel[2] == SWEPT_TAPS && (once || twice);
    const bool longer = t->width > (t->row_dilation > 1 ? SWEPT_DILATED : SWEPT_VECTORS) * LANES;
    return square && borders_fit(t) && longer && (t->finite || twice) && t->y_column == 1 && !t->turn;
}
#endif
USUAL_ADDRESSES

#endif
