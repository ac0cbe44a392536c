/* What a region of planes whose rows are dense is, and what all tiles of it share. */
#ifndef DSCONV_PLANE_REGION_H
#define DSCONV_PLANE_REGION_H

#include "depthwise_turning.h"
#include "finite_taps.h"

enum { IN_PLACE, STRIPS, ELEMENTS, INTERLEAVED, MULTIPLIED, BY_VECTORS };

/* The outputs [row, row + rows) x [column, column + columns) of one depth slice of some planes. */
typedef struct {
    const dsc_problem *p;
    const dsc_extent *e;
    const char *x;
    const dsc_int *x_step;
    const real *taps;
    const dsc_int *tap_step;
    const real *bias;
    dsc_int planes, x_plane, taps_plane, bias_plane, y_plane;  /* channels, and the steps between them */
    dsc_int summands, x_summand, taps_summand;                 /* inputs that one output sums over */
    dsc_int depth, row, rows, column, columns;
    real *y;                   /* of the first output */
    dsc_int y_row, y_column;
    const epilogue *finish;
} plane_region;

static const char *summand_of(const plane_region *r, dsc_int summand)
{
    return element(r->p, r->x, summand * r->x_summand);
}

static bool taps_finite(const plane_region *r)
{
    const dsc_int *kernel = r->e->kernel, count = kernel[0] * kernel[1] * kernel[2];
    if (r->summands == 1 && r->taps_plane == count && kernel_dense(kernel, r->tap_step))
        return row_finite(r->taps, 1, r->planes * count);
    for (dsc_int plane = 0; plane < r->planes; ++plane)
        for (dsc_int m = 0; m < r->summands; ++m)
            if (!kernel_finite(r->e->kernel, r->tap_step, r->taps + plane * r->taps_plane + m * r->taps_summand))
                return false;
    return true;
}

/* What all tiles of a region share. */
static depthwise_tile region_tile(const plane_region *r)
{
    const dsc_extent *e = r->e;
    depthwise_tile t = {
        .taps = r->taps, .tap_depth = r->tap_step[0], .tap_row = r->tap_step[1], .tap_column = r->tap_step[2],
        .kernel_rows = e->kernel[1], .row_stride = e->stride[1], .row_dilation = e->dilation[1],
        .dilation = e->dilation[2], .phases = 1, .height = e->in[1], .column_last = e->kernel[2],
        .bias = r->bias, .y_row = r->y_row, .y_column = r->y_column, .finish = r->finish, .planes = r->planes,
        .turn = complex_turn(r->p), .summands = r->summands, .x_summand = r->x_summand, .taps_summand = r->taps_summand,
        .x_plane = r->x_plane, .taps_plane = r->taps_plane, .bias_plane = r->bias_plane, .y_plane = r->y_plane,
    };
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, &t.depth_first,
              &t.depth_last);
    return t;
}

/* How the region's tiles read x, whichever way the rows are stored. */
typedef struct {
    const real *origin;      /* position of depth tap 0, padded row `top`, padded column 0 of the region */
    dsc_int row, top;        /* step of one input row; input row at origin */
    bool padded;             /* columns have been padded: nothing to mask, and every row exists in modes but zeros */
} plane_source;

#endif
