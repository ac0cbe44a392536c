/* Channels dense, several outputs of each: a part of x is copied, each channel as often as it has outputs, which then are channels
 * of a convolution of their own. */
#ifndef DSCONV_DEPTHWISE_MULTIPLIED_H
#define DSCONV_DEPTHWISE_MULTIPLIED_H

#include "depthwise_plan.h"

#define MULTIPLIED_LINES 4   /* lines of outputs of a part, at most */

/* What a thread keeps of taps, behind the copy. */
static packed_channels after_multiplied(const dsc_problem *p, real *stage)
{
    const dsc_problem own = multiplied_channels(p);
    return no_channels(&own, 0, stage + MULTIPLIED_REALS + LANES);
}

/* The inputs that a part reads, along each axis: those that exist. */
typedef struct { dsc_int first[3], count[3]; } multiplied_inputs;

static multiplied_inputs inputs_of(const dsc_extent *e, const output_tile *t)
{
    const dsc_int outputs[3] = {t->depth, t->row, t->column}, counts[3] = {1, t->rows, t->columns};
    multiplied_inputs in;
    for (int axis = 0; axis < 3; ++axis) {
        const dsc_int stride = e->stride[axis], reach = (e->kernel[axis] - 1) * e->dilation[axis];
        const dsc_int last = outputs[axis] + e->low[axis] + counts[axis] - 1, first = at_least(last - counts[axis] + 1 - reach, 0);
        in.first[axis] = e->transposed ? divide_up(first, stride) : outputs[axis] * stride - e->low[axis];
        in.count[axis] = e->transposed ? last / stride - in.first[axis] + 1 : positions_read(e, axis, counts[axis]);
        clip_span(e->in[axis], &in.first[axis], &in.count[axis]);
    }
    return in;
}

/* `count` outputs, the first of them `lead` behind the first of its channel. Up to a vector more is written. */
static void multiply_pixel(const real *x, dsc_int multiplier, dsc_int lead, dsc_int count, real *to)
{
    if (multiplier == 2 && count % (2 * LANES) == 0) {
        for (; count > 0; count -= 2 * LANES, x += LANES, to += 2 * LANES) {
            const vec v = v_load(x);
            v_store(to, v_zip_low(v, v)), v_store(to + LANES, v_zip_high(v, v));
        }
        return;
    }
    for (dsc_int here; count > 0; count -= here, to += here, lead = 0, ++x) {
        here = at_most(multiplier - lead, count);
        for (dsc_int i = 0; i < here; i += LANES)
            v_store(to + i, v_spread(*x));
    }
}

/* Outputs [first, first + count) of a part: the call on a copy of what it reads. */
static dsc_problem multiply_part(const dsc_problem *p, const output_tile *t, dsc_int first, dsc_int count, real *stage)
{
    const multiplied_inputs in = inputs_of(&p->e, t);
    const dsc_int lead = first % p->multiplier, step[3] = {in.count[1] * in.count[2] * count, in.count[2] * count, count};
    const real *x = (const real *)p->x.data + t->image * p->x.batch + first / p->multiplier;
    dsc_problem part = multiplied_channels(p);
    for (dsc_int k = 0; k < in.count[0]; ++k)
        for (dsc_int j = 0; j < in.count[1]; ++j) {
            const real *row = x + (in.first[0] + k) * p->x.step[0] + (in.first[1] + j) * p->x.step[1] + in.first[2] * p->x.step[2];
            for (dsc_int i = 0; i < in.count[2]; ++i)
                multiply_pixel(row + i * p->x.step[2], p->multiplier, lead, count, stage + k * step[0] + j * step[1] + i * count);
        }
    part.x = (dsc_map){.channel = 1, .step = {step[0], step[1], step[2]}};
    part.x.data = (char *)(stage - first - in.first[0] * step[0] - in.first[1] * step[1] - in.first[2] * step[2]);
    return part;
}

/* Rows and columns of a part of a tile, so many outputs wide: fewer columns only where not even one row of them fits. */
static void shrink_part(const dsc_extent *e, dsc_int count, output_tile *t)
{
    t->rows = at_most(t->rows, MULTIPLIED_REALS), t->columns = at_most(t->columns, MULTIPLIED_REALS);
    while (!multiplied_fits(e, t->rows, t->columns, count) && t->rows * t->columns > 1)
        *(t->rows > 1 ? &t->rows : &t->columns) = divide_up(t->rows > 1 ? t->rows : t->columns, 2);
}

/* So many outputs at once that more than a few rows fit. */
static dsc_int outputs_of_part(const dsc_extent *e, const output_tile *t)
{
    dsc_int lines = MULTIPLIED_LINES;
    while (lines > 1 && !multiplied_fits(e, at_most(t->rows, 2 * e->kernel[1]), t->columns, lines * LINE_REALS))
        lines /= 2;
    return lines * LINE_REALS;
}

/* Outputs [first, first + count) of a tile; `first` begins a vector. */
static void depthwise_multiplied(const dsc_problem *p, const output_tile *t, packed_channels *packed, dsc_int first, dsc_int count,
                                 const epilogue *finish, real *y, dsc_int y_row, dsc_int y_column, real *stage)
{
    const dsc_int most = outputs_of_part(&p->e, t);
    for (dsc_int c = 0, outputs; c < count && !dsc_stopped(p); c += outputs) {
        outputs = at_most(count - c, most);
        output_tile size = *t;
        shrink_part(&p->e, outputs, &size);
        for (dsc_int row = 0; row < t->rows; row += size.rows)
            for (dsc_int column = 0; column < t->columns; column += size.columns) {
                output_tile part = size;
                part.row += row, part.rows = at_most(size.rows, t->rows - row);
                part.column += column, part.columns = at_most(size.columns, t->columns - column);
                const dsc_problem own = multiply_part(p, &part, first + c, outputs, stage);
                depthwise_pixels(&own, &part, packed, first + c, outputs, finish, y + c + row * y_row + column * y_column, y_row,
                                 y_column);
            }
    }
}

#endif
