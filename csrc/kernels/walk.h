/* Walking over a plan's items, and clipping taps to what exists. */
#ifndef DSCONV_WALK_H
#define DSCONV_WALK_H

#include "../dsconv.h"

static inline dsc_int at_most(dsc_int a, dsc_int limit) { return a < limit ? a : limit; }
static inline dsc_int at_least(dsc_int a, dsc_int limit) { return a > limit ? a : limit; }
static inline dsc_int divide_up(dsc_int a, dsc_int b) { return (a + b - 1) / b; }
static inline dsc_int round_up(dsc_int a, dsc_int b) { return divide_up(a, b) * b; }

/* Are products with numbers of channels and of taps far from the largest integer? */
static inline bool stays_small(dsc_int n) { return n >= -INT32_MAX && n <= INT32_MAX; }

/* Of `count` taps at start, start + step, ...: [*first, *last) lie in [0, size). `reach` more positions after each
 * tap count as its own, so that a tap of which any position exists is kept. */
static inline void clip_taps(dsc_int start, dsc_int step, dsc_int count, dsc_int size, dsc_int reach, dsc_int *first,
                             dsc_int *last)
{
    *first = start + reach >= 0 ? 0 : (-(start + reach) + step - 1) / step;
    *last = start + (count - 1) * step < size ? count : start >= size ? 0 : (size - start + step - 1) / step;
    if (*first > count)
        *first = count;
    if (*last < *first)
        *last = *first;
}

static inline double output_volume(const dsc_extent *e)
{
    return (double)e->out[0] * (double)e->out[1] * (double)e->out[2];
}

static inline double kernel_volume(const dsc_extent *e)
{
    return (double)e->kernel[0] * (double)e->kernel[1] * (double)e->kernel[2];
}

/* The item that is being worked on: image, channel (planar depthwise only), depth slice, tile of the plane. */
typedef struct { dsc_int image, channel, depth, band, column, channels, depths, bands, columns; } item_cursor;

static inline item_cursor item_at(const dsc_problem *p, const dsc_plan *plan, dsc_int channels, dsc_int item)
{
    item_cursor c = {.channels = channels, .bands = plan->bands, .columns = plan->columns};
    c.depths = divide_up(p->e.out[0], at_least(plan->slices, 1));
    c.column = item % c.columns, item /= c.columns;
    c.band = item % c.bands, item /= c.bands;
    c.depth = item % c.depths, item /= c.depths;
    c.channel = item % c.channels;
    c.image = item / c.channels;
    return c;
}

static inline void next_item(item_cursor *c)
{
    if (++c->column < c->columns)
        return;
    c->column = 0;
    if (++c->band < c->bands)
        return;
    c->band = 0;
    if (++c->depth < c->depths)
        return;
    c->depth = 0;
    if (++c->channel < c->channels)
        return;
    c->channel = 0;
    ++c->image;
}

#endif
