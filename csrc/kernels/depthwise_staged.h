/* Channels dense, kernels of many taps: a vector of channels of a part of x is copied together first, [row][column][lane].
 *
 * Each of its pixels is read for many taps. In x they lie a pixel apart, which for 512 channels is every time the same few sets
 * of a cache, and a vector touches two lines. */
#ifndef DSCONV_DEPTHWISE_STAGED_H
#define DSCONV_DEPTHWISE_STAGED_H

#include "depthwise_plan.h"

#define STAGED_BYTES (128 << 10)
#define STAGED_PIXELS (STAGED_BYTES / VECTOR_BYTES)
#define STAGED_COLUMNS 32    /* of results: narrower parts only if these do not fit */

/* Results of one part. */
typedef struct { dsc_int rows, columns; } staged_part;

static dsc_int positions_read(const dsc_extent *e, int axis, dsc_int outputs)
{
    return (outputs - 1) * e->stride[axis] + (e->kernel[axis] - 1) * e->dilation[axis] + 1;
}

static dsc_int staged_rows(const dsc_extent *e, dsc_int rows)
{
    return at_most(positions_read(e, 1, rows), e->in[1]);
}

/* An odd number of lines, so that rows do not share sets. */
static dsc_int staged_pitch(const dsc_extent *e, dsc_int columns)
{
    return at_most(positions_read(e, 2, columns), e->in[2]) | 1;
}

/* As a double, for it may exceed any integer. */
static bool part_fits(const dsc_extent *e, staged_part part)
{
    return (double)staged_rows(e, part.rows) * (double)staged_pitch(e, part.columns) <= STAGED_PIXELS;
}

/* As many rows as it takes to read few of x twice, then columns. */
static staged_part choose_part(const dsc_extent *e, dsc_int rows, dsc_int columns)
{
    staged_part part = {rows, columns};
    while (!part_fits(e, part) && (part.rows > 1 || part.columns > STAGED_COLUMNS)) {
        if (part.rows > e->kernel[1] || part.columns <= STAGED_COLUMNS)
            part.rows = (part.rows + 1) / 2;
        else
            part.columns = (part.columns + 1) / 2;
    }
    return part;
}

static bool can_stage(const channel_region *r)
{
    const dsc_extent *e = r->e;
    const dsc_int most = STAGED_PIXELS;   /* keeps products small */
    return (r->parts == 1 || PIXELS_ABREAST) && e->kernel[0] == 1 && e->kernel[1] <= most && e->kernel[2] <= most && e->dilation[1] <= most &&
           e->dilation[2] <= most && e->stride[1] <= most && e->stride[2] <= most && copies_first(r) &&
           part_fits(e, choose_part(e, r->rows, r->columns));
}

/* What exists of `count` positions from `first` on. */
static void clip_span(dsc_int size, dsc_int *first, dsc_int *count)
{
    const dsc_int last = at_most(*first + *count, size);
    *first = at_least(*first, 0), *count = at_least(last - *first, 0);
}

static void stage_row(real *to, const real *from, dsc_int step, dsc_int columns, bool whole, mask m)
{
    for (dsc_int i = 0; i < columns; ++i, from += step, to += LANES)
        v_store(to, whole ? v_load(from) : v_load_masked(from, m));
}

/* A part of x to `stage`, the vector of channels of t. `part` then reads it there. */
static void stage_part(channel_tile *t, const channel_region *r, channel_region *part, dsc_int *step, real *stage)
{
    const dsc_extent *e = r->e;
    const mask m = v_mask(t->low, t->high);
    const dsc_int pitch = staged_pitch(e, part->columns);
    dsc_int row = part->row * e->stride[1] - e->low[1], rows = positions_read(e, 1, part->rows);
    dsc_int column = part->column * e->stride[2] - e->low[2], columns = positions_read(e, 2, part->columns);
    clip_span(e->in[1], &row, &rows), clip_span(e->in[2], &column, &columns);
    const real *x = r->x + t->channel + (r->depth * e->stride[0] - e->low[0]) * r->x_step[0] + row * r->x_step[1] +
                    column * r->x_step[2];
    for (dsc_int j = 0; t->depth_first < t->depth_last && j < rows; ++j)
        stage_row(stage + j * pitch * LANES, x + j * r->x_step[1], r->x_step[2], columns, t->low == 0 && t->high == LANES, m);
    step[0] = 0, step[1] = pitch * LANES, step[2] = LANES;
    part->x = stage - t->channel - row * step[1] - column * step[2];
    part->x_step = step;
}

static void run_staged(channel_tile *t, const channel_region *r, real *stage)
{
    const dsc_extent *e = r->e;
    const staged_part size = choose_part(e, r->rows, r->columns);
    for (dsc_int row = 0; row < r->rows; row += size.rows)
        for (dsc_int column = 0; column < r->columns; column += size.columns) {
            dsc_int step[3];
            channel_region part = *r;
            part.row += row, part.rows = at_most(size.rows, r->rows - row);
            part.column += column, part.columns = at_most(size.columns, r->columns - column);
            part.y += row * r->y_row + column * r->y_column;
            stage_part(t, r, &part, step, stage);
            t->r = &part;
            for (t->row = part.row; t->row < part.row + part.rows; ++t->row) {
                clip_taps(t->row * e->stride[1] - e->low[1], e->dilation[1], e->kernel[1], e->in[1], 0, &t->row_first,
                          &t->row_last);
                run_channel_row(t);
            }
            t->r = r;
        }
}

static __attribute__((noinline)) void depthwise_staged(const channel_region *r)
{
    real stage[STAGED_BYTES / sizeof(real)] __attribute__((aligned(VECTOR_BYTES)));
    const dsc_extent *e = r->e;
    const dsc_int vectors = channel_vectors(r);
    channel_tile t = {.r = r};
    clip_taps(r->depth * e->stride[0] - e->low[0], e->dilation[0], e->kernel[0], e->in[0], 0, &t.depth_first,
              &t.depth_last);
    for (dsc_int vector = 0; vector < vectors; ++vector) {
        choose_vector(&t, vector);
        run_staged(&t, r, stage);
    }
    for (dsc_int row = r->row; row < r->row + r->rows; ++row)
        finish_pixels(r, row);
}

#endif
