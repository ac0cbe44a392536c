/* How the weight gradient of a depthwise convolution is cut up: items by channels and taps, pieces by outputs. */
#ifndef DSCONV_WEIGHTS_PLAN_H
#define DSCONV_WEIGHTS_PLAN_H

#include "depthwise_plan.h"
#include "reduction.h"

/* A lane adds up at most BLOCK_VECTORS + PIECE_VECTORS products in a row, below the 4096 that its error bound allows. */
#define BLOCK_VECTORS 1024
#define PIECE_VECTORS 1024
#define ITEM_TAPS 64                    /* about as many taps as one item sums */
#define WEIGHTS_STRIP_BYTES (96 << 10)
#define WEIGHTS_CACHED (1 << 20)        /* bytes of x and y that a core keeps at hand */
#define WEIGHTS_SUMS (8 << 10)          /* bytes of sums of an item with vectors of channels: lines that lie together ... */
#define WEIGHTS_PIECE (64 << 10)       /* ... come from memory together; of its x and y, which all of them go through */
#define WEIGHTS_PHASES 16               /* greater strides are left to the exact way */

/* Elements of a strip row for so many outputs and taps. */
static double weights_pitch(const dsc_extent *e, dsc_int columns, dsc_int taps)
{
    double width = (double)columns + (double)(taps - 1) * (double)e->dilation[2] / (double)e->stride[2] + 2 * LANES + 2;
    return (width + LANES) * (double)e->stride[2];
}

/* Rows of outputs whose strips fit, 0: none. */
static dsc_int rows_that_fit(const dsc_extent *e, const dsc_plan *plan)
{
    double pitch = weights_pitch(e, plan->column_width, plan->tap_columns) * sizeof(real);
    double rows = WEIGHTS_STRIP_BYTES / pitch - (double)(plan->tap_rows - 1) * (double)e->dilation[1] - 1;
    return rows < 0 ? 0 : (dsc_int)(rows / (double)e->stride[1]) + 1;
}

/* Fewer taps, then fewer columns, until the strips of one row of outputs fit; false if they never do. */
static bool fit_weights_strips(const dsc_extent *e, dsc_plan *plan)
{
    if (e->stride[2] > WEIGHTS_PHASES)
        return false;
    if (!rows_that_fit(e, plan))
        plan->tap_rows = 1;
    while (!rows_that_fit(e, plan) && plan->column_width > 16 * LANES)
        plan->column_width = round_up(plan->column_width / 2, LANES);
    if (!rows_that_fit(e, plan))
        plan->tap_columns = 1;
    dsc_int rows = rows_that_fit(e, plan);
    if (!rows)
        return false;
    plan->band_rows = at_most(plan->band_rows, rows);
    plan->strip_rows = (plan->band_rows - 1) * e->stride[1] + (plan->tap_rows - 1) * e->dilation[1] + 1;
    plan->strip_pitch = round_up((dsc_int)(weights_pitch(e, plan->column_width, plan->tap_columns) / (double)e->stride[2]),
                                 LANES) * e->stride[2];
    return true;
}

static bool weights_interleaved(const dsc_problem *p)
{
    return is_native(p) && p->y.channel == 1 && p->y.step[2] != 1 && (!p->x.data || p->x.channel == 1) && p->multiplier == 1 &&
           p->e.mode == DSC_ZEROS && p->channels >= LANES / 4;
}

/* With vectors of channels: most of them in an item, and rows of outputs that all of those go through before others do. The rows
 * decide the order of summation, and must not depend on the number of threads. */
static void plan_channels(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int *stride = p->e.stride, taps = plan->tap_rows * plan->tap_columns;
    dsc_int most = at_most(p->channels, at_least(WEIGHTS_SUMS / (taps * (dsc_int)sizeof(real)), LANES) / LANES * LANES);
    double row = (double)most * (double)plan->column_width * (1 + (double)stride[1] * (double)stride[2]) * sizeof(real);
    plan->band_rows = at_most(plan->band_rows, at_least((dsc_int)(WEIGHTS_PIECE / row), 1));
    plan->group = round_up(at_most(divide_up(p->channels, p->threads), most), LANES);
}

/* Reals in the sums of one item. */
static dsc_int sums_of_item(const dsc_plan *plan)
{
    return plan->tap_rows * plan->tap_columns * round_up(plan->group, LANES);
}

static double operand_bytes(const dsc_problem *p)
{
    const dsc_int *in = p->e.in;
    const double planes = (double)p->images->count * (double)p->batch * (double)p->channels;
    return planes * ((double)in[0] * (double)in[1] * (double)in[2] + output_volume(&p->e)) * sizeof(real);
}

static ONCE_A_CALL void plan_weights(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_extent *e = &p->e;
    *plan = (dsc_plan){.path = weights_interleaved(p) ? INTERLEAVED : STRIPS, .tap_rows = 1};
    dsc_int vectors = plan->path == INTERLEAVED ? 1 : LANES;
    plan->tap_columns = at_most(e->kernel[2], ITEM_TAPS);
    plan->tap_rows = at_most(e->kernel[1], at_least(ITEM_TAPS / plan->tap_columns, 1));
    plan->column_width = at_least(at_most(e->out[2], PIECE_VECTORS / 2 * vectors), 1);
    plan->band_rows = at_least(at_most(e->out[1], PIECE_VECTORS / divide_up(plan->column_width, vectors)), 1);
    plan->group = 1;
    if (plan->path == INTERLEAVED)
        plan_channels(p, plan);
    if (plan->path == STRIPS && p->x.data && !fit_weights_strips(e, plan))
        plan->path = ELEMENTS;
    plan->groups = divide_up(p->channels * p->multiplier, plan->group);
    plan->bands = divide_up(e->out[1], plan->band_rows), plan->columns = divide_up(e->out[2], plan->column_width);
    plan->levels = cascade_levels((double)p->images->count * (double)e->out[0] * (double)plan->bands * (double)plan->columns * p->parts);
    plan->scratch = (size_t)((plan->levels + 1) * sums_of_item(plan)) * sizeof(real) +
                    (size_t)(plan->strip_rows * plan->strip_pitch + plan->band_rows * plan->column_width) * sizeof(real);
    plan->asks = operand_bytes(p) > WEIGHTS_CACHED;
    plan->items = p->batch * p->parts * plan->groups * e->kernel[0] * divide_up(e->kernel[1], plan->tap_rows) *
                  divide_up(e->kernel[2], plan->tap_columns);
    plan->work = kernel_volume(e) * output_volume(e) * (double)p->images->count * (double)p->batch *
                 (double)p->channels * (double)p->multiplier;
}

#endif
