/* Depthwise convolution element by element: any size, stride, padding and memory layout, no scratch.
 *
 * The way for what the fast paths leave: kernels or strides too large for strips, and taps that are not finite where
 * zero padding must be skipped for real. */
#ifndef DSCONV_DEPTHWISE_ELEMENTS_H
#define DSCONV_DEPTHWISE_ELEMENTS_H

#include "depthwise_planar.h"

/* Taps between two looks at whether the call has been abandoned. */
#define ELEMENTS_PATIENCE (1 << 20)

typedef struct { const plane_region *r; const dsc_problem *p; dsc_int row, column; int count; dsc_int taps; } element_row;

/* Add column tap i of one input row to the lanes where it exists. */
static void add_element_tap(const element_row *w, const char *row, dsc_int position, vec tap, vec *sum)
{
    const dsc_extent *e = w->r->e;
    real lanes[LANES] = {0};
    int first = LANES, last = 0;
    vec x;
    for (int l = 0; l < w->count; ++l) {
        dsc_int column = dsc_source_index(position + l * e->stride[2], e->in[2], e->mode);
        if (column < 0)
            continue;
        lanes[l] = fetch_one(w->p, element(w->p, row, column * w->r->x_step[2]));
        first = l < first ? l : first;
        last = l + 1;
    }
    memcpy(&x, lanes, sizeof x);
    *sum = v_add_product_masked(*sum, x, tap, v_mask(first, last));
}

/* All taps of depth tap k and column tap i. */
static bool add_element_column(element_row *w, const real *taps, dsc_int k, dsc_int i, const char *slice, dsc_int first,
                               dsc_int last, vec *sum)
{
    const plane_region *r = w->r;
    const dsc_extent *e = r->e;
    taps += k * r->tap_step[0] + i * r->tap_step[2];
    dsc_int position = w->column * e->stride[2] - e->low[2] + i * e->dilation[2];
    for (dsc_int j = first; j < last; ++j) {
        dsc_int row = dsc_source_index(w->row * e->stride[1] - e->low[1] + j * e->dilation[1], e->in[1], e->mode);
        add_element_tap(w, element(w->p, slice, row * r->x_step[1]), position, v_spread(taps[j * r->tap_step[1]]), sum);
        if (++w->taps % ELEMENTS_PATIENCE == 0 && dsc_stopped(w->p))
            return false;
    }
    return true;
}

static void clip_axis(const dsc_extent *e, int axis, dsc_int output, dsc_int reach, dsc_int *first, dsc_int *last)
{
    *first = 0, *last = e->kernel[axis];
    if (e->mode == DSC_ZEROS)
        clip_taps(output * e->stride[axis] - e->low[axis], e->dilation[axis], e->kernel[axis], e->in[axis], reach,
                  first, last);
}

/* All taps of one summand. */
static bool add_element_summand(element_row *w, dsc_int m, vec *sum)
{
    const plane_region *r = w->r;
    const dsc_extent *e = r->e;
    dsc_int first[3], last[3];
    clip_axis(e, 0, r->depth, 0, &first[0], &last[0]);
    clip_axis(e, 1, w->row, 0, &first[1], &last[1]);
    clip_axis(e, 2, w->column, (w->count - 1) * e->stride[2], &first[2], &last[2]);
    for (dsc_int k = first[0]; k < last[0]; ++k) {
        dsc_int depth = dsc_source_index(r->depth * e->stride[0] - e->low[0] + k * e->dilation[0], e->in[0], e->mode);
        const char *slice = element(w->p, summand_of(r, m), depth * r->x_step[0]);
        for (dsc_int i = first[2]; i < last[2]; ++i)
            if (!add_element_column(w, r->taps + m * r->taps_summand, k, i, slice, first[1], last[1], sum))
                return false;
    }
    return true;
}

static bool element_vector(element_row *w)
{
    const plane_region *r = w->r;
    vec sum = v_spread(*r->bias);
    for (dsc_int m = 0; m < r->summands; ++m)
        if (!add_element_summand(w, m, &sum))
            return false;
    v_scatter(r->y + (w->row - r->row) * r->y_row + (w->column - r->column) * r->y_column, r->y_column,
              v_finish(r->finish, sum), w->count);
    return true;
}

static void depthwise_elements(const dsc_problem *p, const plane_region *r)
{
    element_row w = {.r = r, .p = p};
    for (w.row = r->row; w.row < r->row + r->rows; ++w.row)
        for (w.column = r->column; w.column < r->column + r->columns; w.column += LANES) {
            w.count = (int)at_most(r->column + r->columns - w.column, LANES);
            if (!element_vector(&w))
                return;
        }
}

#endif
