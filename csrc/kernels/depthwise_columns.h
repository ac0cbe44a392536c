/* The planar tile for 3 x 3 taps and stride 1 where registers are few: it runs down one vector of results after the other, so that
 * nine taps, three sums, an input and its mask are all that a loop holds. The last vector of a row may begin within the one before,
 * so that all are whole; rows shorter than a vector are stored whole too where what follows is stored later.
 *
 * Input row r is loaded once and feeds three outputs: sums[i] belongs to output r - i. The taps of one output are added in the
 * order row, column, as by rolling tiles. Lanes outside are zero: all taps must be finite. */
#ifndef DSCONV_DEPTHWISE_COLUMNS_H
#define DSCONV_DEPTHWISE_COLUMNS_H

#include "depthwise_sweeping.h"

PLAIN_ADDRESSES

#define RUNS_DOWN SWEEPS

#if RUNS_DOWN
/* What all vectors of a plane share; distances in bytes. */
typedef struct {
    dsc_int row, y_row, dilation;
    dsc_int width;           /* elements of a row */
    dsc_int inner;           /* rows of results but for the first and the last */
    const char *next, *next_y;   /* what is asked for meanwhile: the next plane, a line with each row */
    bool above, below;       /* input rows before the first and after the last of the results: do they exist? */
} column_plane;

/* What stays in registers. */
typedef struct { vec tap[SWEPT_TAPS][SWEPT_TAPS], bias; } column_taps;

/* Vectors between others; such as meet borders, of which the middle tap sees nothing; rows shorter than a vector. */
enum { DOWN_INSIDE, DOWN_BORDER, DOWN_NARROW };

INLINE void add_down(const column_plane *p, const column_taps *taps, const int kind, const int first, const int last, const char *x,
                     const mask *lanes, vec *sums)
{
    UNROLL
    for (int c = 0; c < SWEPT_TAPS; ++c) {
        const int masked = kind == DOWN_NARROW || (kind == DOWN_BORDER && c != 1);
        const vec input = load_lanes(x + c * p->dilation, masked, &lanes[kind == DOWN_NARROW ? c : c / 2]);
        UNROLL
        for (int i = first; i <= last; ++i)
            sums[i] += input * taps->tap[i][c];
    }
}

/* The sums of the output before are complete: those of the next follow. */
INLINE void shift_down(const column_taps *taps, vec *sums)
{
    sums[2] = sums[1], sums[1] = sums[0], sums[0] = taps->bias;
}

/* Of the last row of a narrow plane only what is its own: what follows a row before it is stored later. */
INLINE void store_down(const epilogue *finish, const int clamp, const int part, dsc_int width, char *y, const vec *sums)
{
    const vec sum = clamp ? v_clamp(finish, sums[2]) : sums[2];
    if (part)
        v_store_first((real *)y, sum, width);
    else
        v_store((real *)y, sum);
}

/* Only by vectors between others: planes without such are small. */
INLINE void ask_for_next(column_plane *p)
{
    __builtin_prefetch(p->next), __builtin_prefetch(p->next_y, 1);
    p->next += LINE_BYTES, p->next_y += LINE_BYTES;
}

INLINE void run_down(column_plane *p, const column_taps *taps, epilogue *finish, const int clamp, const int kind,
                     const char *x, char *y, const mask *lanes)
{
    vec sums[SWEPT_TAPS] = {taps->bias, taps->bias, taps->bias};
    __asm__("" : "+m"(*finish));   /* no registers for its constants */
    if (p->above)
        add_down(p, taps, kind, 0, 0, x, lanes, sums);
    shift_down(taps, sums), x += p->row;
    add_down(p, taps, kind, 0, 1, x, lanes, sums);
    shift_down(taps, sums), x += p->row;
    for (dsc_int left = p->inner; left > 0; --left, x += p->row, y += p->y_row) {
        if (kind == DOWN_INSIDE)
            ask_for_next(p);
        add_down(p, taps, kind, 0, 2, x, lanes, sums);
        store_down(finish, clamp, 0, 0, y, sums);
        shift_down(taps, sums);
    }
    add_down(p, taps, kind, 1, 2, x, lanes, sums);
    store_down(finish, clamp, 0, 0, y, sums);
    shift_down(taps, sums), x += p->row, y += p->y_row;
    if (p->below)
        add_down(p, taps, kind, 2, 2, x, lanes, sums);
    store_down(finish, clamp, kind == DOWN_NARROW, p->width, y, sums);
}

/* Vectors that meet borders, and those between. */
INLINE void run_plane_down(column_plane *p, const column_taps *taps, epilogue *finish, const int clamp, const swept_columns *c,
                           const char *x, char *y)
{
    for (int i = 0; i < c->lefts + c->rights; ++i) {
        const swept_place *place = i < c->lefts ? &c->left[i] : &c->right[i - c->lefts];
        run_down(p, taps, finish, clamp, DOWN_BORDER, x + place->x, y + place->y, place->lanes);
    }
    for (dsc_int i = 0; i < c->inside; ++i)
        run_down(p, taps, finish, clamp, DOWN_INSIDE, x + c->x + i * VECTOR_BYTES, y + c->y + i * VECTOR_BYTES, NULL);
}

/* Rows shorter than a vector, of which what is stored beyond one is no more than the next of the plane. */
static bool narrow_enough(const depthwise_tile *t)
{
    return t->width < LANES && 2 * t->width >= LANES && t->y_row == t->width && stays_small(t->dilation);
}

/* Two vectors roll together as fast. */
static bool wide_enough(const depthwise_tile *t)
{
    return (t->width == LANES || t->width > 2 * LANES) && sees_middle(t) && borders_fit(t);
}

/* Is it for these taps, columns and rows, in place? Of the rows above and below one at most is missing. */
static bool can_run_down(const depthwise_tile *t, const dsc_extent *e)
{
    const bool rows = t->rows >= 2 && t->row_first <= 1 && t->row_last > t->rows;
    return e->stride[1] == 1 && e->stride[2] == 1 && rows && t->finite && t->y_column == 1 && !t->turn &&
           (narrow_enough(t) || wide_enough(t));
}

INLINE void read_column_taps(const depthwise_tile *t, column_taps *taps)
{
    taps->bias = v_spread(*t->bias);
    UNROLL
    for (int i = 0; i < SWEPT_TAPS * SWEPT_TAPS; ++i) {
        vec *tap = &taps->tap[i / SWEPT_TAPS][i % SWEPT_TAPS];
        *tap = v_spread(t->taps[i / SWEPT_TAPS * t->tap_row + i % SWEPT_TAPS * t->tap_column]);
        V_KEEP(*tap);
    }
}

/* All planes of a tile that is as wide as the region. */
INLINE void run_planes_down(const depthwise_tile *tile, const int clamp, const int narrow)
{
    depthwise_tile t = *tile;
    const dsc_int bytes = sizeof(real);
    column_plane p = {.row = t.row * bytes, .y_row = t.y_row * bytes, .dilation = t.dilation * bytes, .width = t.width,
                      .inner = t.rows - 2, .above = t.row_first == 0, .below = t.row_last == t.rows + SWEPT_TAPS - 1};
    epilogue finish = *t.finish;
    swept_columns columns;
    mask lanes[SWEPT_TAPS];
    for (int c = 0; narrow && c < SWEPT_TAPS; ++c)
        lanes[c] = v_mask(t.inside_low - c * t.dilation, at_most(t.inside_high - c * t.dilation, t.width));
    if (!narrow)
        place_columns(&t, &columns);
    for (dsc_int plane = 0; plane < t.planes; ++plane, next_plane(&t)) {
        column_taps taps;
        read_column_taps(&t, &taps);
        p.next = (const char *)(t.x + t.x_plane), p.next_y = (const char *)(t.y + t.y_plane);
        if (narrow)
            run_down(&p, &taps, &finish, clamp, DOWN_NARROW, (const char *)t.x, (char *)t.y, lanes);
        else
            run_plane_down(&p, &taps, &finish, clamp, &columns, (const char *)t.x, (char *)t.y);
    }
}

#define RUN_DOWN(name, clamp, narrow) \
    static __attribute__((noinline)) void name(const depthwise_tile *t) { run_planes_down(t, clamp, narrow); }
RUN_DOWN(columns_plain, 0, 0) RUN_DOWN(columns_clamped, 1, 0) RUN_DOWN(narrow_plain, 0, 1) RUN_DOWN(narrow_clamped, 1, 1)

static void columns_tile(const depthwise_tile *t)
{
    if (t->width < LANES)
        t->finish->clamp ? narrow_clamped(t) : narrow_plain(t);
    else
        t->finish->clamp ? columns_clamped(t) : columns_plain(t);
}

#endif
USUAL_ADDRESSES

#endif
