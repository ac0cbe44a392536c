/* A region of a depthwise convolution where the channel axis is dense, and the vectors of channels that it is taken by. */
#ifndef DSCONV_CHANNEL_REGION_H
#define DSCONV_CHANNEL_REGION_H

#include "channel_taps.h"
#include "epilogue.h"

typedef struct {
    const dsc_extent *e;
    const real *x;             /* of the image */
    const dsc_int *x_step;
    int parts;                 /* 2: pairs of channels are complex numbers */
    const real *taps;          /* of the first vector of channels: tap 0 of the region */
    dsc_int tap_vector;        /* elements from the taps of one vector to those of the next */
    dsc_int tap_step[3];       /* ... from one depth, row, column tap to the next */
    bool in_order;             /* these steps are those of [depth][row][column] */
    const real *bias;          /* a vector for each vector of channels */
    dsc_int skip, channels;    /* lanes of the first vector that are no channels */
    dsc_int depth, row, rows, column, columns;
    real *y;                   /* of the first output */
    dsc_int y_row, y_column;
    bool past;                 /* vectors that are whole lines are stored past the caches */
    bool spread;               /* pixels of the result have others between them */
    bool asks;                 /* for what the next rows need: x and y are more than a core's own caches hold */
    const epilogue *finish;
} channel_region;

/* One tile: some outputs of one row, a vector of channels: lanes [low, high). */
typedef struct {
    const channel_region *r;
    const real *taps, *bias;
    dsc_int channel, low, high, row, column;
    dsc_int depth_first, depth_last, row_first, row_last;
} channel_tile;

/* The vector of channels with this number. True if all its lanes are channels: of sets to which masks are dear, a last one of fewer
 * begins within the one before. */
static bool choose_vector(channel_tile *t, dsc_int vector)
{
    const channel_region *r = t->r;
    t->channel = vector * LANES - r->skip;
    if (overlaps_last(r->channels) && t->channel + LANES > r->channels)
        t->channel = r->channels - LANES, ++vector;
    t->taps = r->taps + vector * r->tap_vector, t->bias = r->bias + vector * LANES;
    t->low = at_least(-t->channel, 0), t->high = at_most(r->channels - t->channel, LANES);
    return t->low == 0 && t->high == LANES;
}

static dsc_int channel_vectors(const channel_region *r)
{
    return divide_up(r->channels + r->skip, LANES);
}

static void finish_pixels(const channel_region *r, dsc_int row)
{
    for (dsc_int q = 0; r->finish->later != DSC_LINEAR && q < r->columns; ++q)
        finish_later(r->finish, r->y + (row - r->row) * r->y_row + q * r->y_column, 1, r->channels);
}

#endif
