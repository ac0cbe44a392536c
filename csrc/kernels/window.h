/* Tiles of the output, and the convolutions that their outputs amount to: one, or one per phase of a transposed one. */
#ifndef DSCONV_WINDOW_H
#define DSCONV_WINDOW_H

#include "walk.h"

/* A tile of the output plane. */
typedef struct { dsc_int image, depth, row, rows, column, columns; } output_tile;

static output_tile tile_of(const dsc_problem *p, const dsc_plan *plan, const item_cursor *c)
{
    output_tile t = {.image = c->image, .depth = c->depth, .row = c->band * plan->band_rows,
                     .column = c->column * plan->column_width};
    t.rows = at_most(plan->band_rows, p->e.out[1] - t.row);
    t.columns = at_most(plan->column_width, p->e.out[2] - t.column);
    return t;
}

/* Some outputs of a tile, all those of one phase, as a convolution that is not transposed. */
typedef struct {
    dsc_extent e;
    dsc_int image, first[3], count[3];   /* its outputs, counted on their own */
    dsc_int place[3], spacing[3];        /* of them in the tile: the first, and from one to the next */
    dsc_int tap_first[3], tap_sign[3];   /* index of its first tap among those of the call, and from one to the next */
    dsc_int tap_step[3];                 /* the same in elements of the array of taps */
} window;

static inline dsc_int first_tap_of(const window *w, const dsc_int step[3])
{
    return w->tap_first[0] * step[0] + w->tap_first[1] * step[1] + w->tap_first[2] * step[2];
}

/* The phases of the rows and columns of a tile. */
typedef struct { dsc_int row, column, rows, columns; } window_cursor;

static window_cursor first_window(const dsc_problem *p, const output_tile *t)
{
    window_cursor at = {.rows = 1, .columns = 1};
    if (p->e.transposed)
        at.rows = at_most(p->e.stride[1], t->row + t->rows), at.columns = at_most(p->e.stride[2], t->column + t->columns);
    return at;
}

static void whole_window(const dsc_problem *p, const output_tile *t, window *w)
{
    *w = (window){.e = p->e, .image = t->image, .first = {t->depth, t->row, t->column}, .count = {1, t->rows, t->columns},
                  .spacing = {1, 1, 1}, .tap_sign = {1, 1, 1}, .tap_step = {p->taps.step[0], p->taps.step[1], p->taps.step[2]}};
}

/* One axis of a phase's window, for outputs [first, first + count) of the tile. */
static void set_phase(const dsc_problem *p, int axis, dsc_int phase, dsc_int first, dsc_int count, window *w)
{
    dsc_int stride = p->e.stride[axis];
    dsc_phase f = dsc_phase_of(&p->e, axis, phase, &w->e);
    w->first[axis] = first > phase ? divide_up(first - phase, stride) : 0;
    w->count[axis] = at_least(first + count > phase ? divide_up(first + count - phase, stride) - w->first[axis] : 0, 0);
    w->place[axis] = w->first[axis] * stride + phase - first;
    w->spacing[axis] = stride;
    w->tap_first[axis] = f.last_tap, w->tap_sign[axis] = -f.tap_step;
    w->tap_step[axis] = -f.tap_step * p->taps.step[axis];
}

/* The window at the cursor, which moves on; false after the last. */
static bool next_window(const dsc_problem *p, const output_tile *t, window_cursor *at, window *w)
{
    if (at->row >= at->rows)
        return false;
    if (!p->e.transposed) {
        whole_window(p, t, w);
    } else {
        w->e = p->e, w->e.transposed = false, w->e.mode = DSC_ZEROS, w->image = t->image;
        set_phase(p, 0, t->depth % p->e.stride[0], t->depth, 1, w);
        set_phase(p, 1, at->row, t->row, t->rows, w);
        set_phase(p, 2, at->column, t->column, t->columns, w);
    }
    if (++at->column >= at->columns)
        at->column = 0, ++at->row;
    return true;
}

#endif
