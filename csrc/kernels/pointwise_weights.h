/* The weight gradient of a pointwise convolution: the product of y (outputs x pixels) and x (pixels x channels), summed over
 * images. Runs of pixels of x are packed [pixel][channel] and go through the tile of the pointwise stage. */
#ifndef DSCONV_POINTWISE_WEIGHTS_H
#define DSCONV_POINTWISE_WEIGHTS_H

#include "formats.h"
#include "pointwise_tile.h"
#include "reduction.h"
#include "transpose.h"

#define RUN_PIXELS 192       /* pixels packed at a time: a block of them stays in the first-level cache */
#define BLOCK_PIXELS 1024    /* products in one block of the sum, at least; less than twice as many */
#define OUTPUTS_MOST 96      /* outputs of an item, the parts of complex ones counted */

/* What one item sums: some outputs x some channels of the weights. */
typedef struct {
    const dsc_problem *p;
    dsc_int batch, output, outputs, channel, channels;
    real *factors, *rows;        /* y and x as reals, where they are not */
    int vectors;                 /* that the channels fill */
    cascade sums;                /* blocks [output][channels, whole vectors] */
    real *packed;
    dsc_int waiting;             /* pixels in the open block */
} product_item;

static dsc_int product_columns(const dsc_problem *p)
{
    return at_most(round_up(p->channels, LANES), MIX_VECTORS_USUAL * LANES);
}

/* Pixels of x that are packed at a time; a complex one is two factors. */
static dsc_int run_pixels(const dsc_problem *p)
{
    return RUN_PIXELS / p->parts;
}

static ONCE_A_CALL void plan_products(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int *out = p->e.out;
    double runs = (double)p->images->count * (double)out[0] * (double)out[1] * (double)divide_up(out[2], run_pixels(p));
    dsc_int columns = at_least(product_columns(p), LANES), rows = at_most(p->outputs * p->parts, OUTPUTS_MOST);
    *plan = (dsc_plan){.levels = cascade_levels(runs), .group = at_least(rows / p->parts, 1)};
    plan->groups = divide_up(p->outputs, plan->group);
    plan->columns = divide_up(p->channels, columns);
    plan->items = p->batch * plan->groups * plan->columns;
    plan->scratch = (size_t)((plan->levels + 1) * rows * columns + RUN_PIXELS * columns) * sizeof(real) + 64;
    if (!is_native(p))
        plan->scratch += (size_t)((rows + columns) * RUN_PIXELS) * sizeof(real);
    plan->work = output_volume(&p->e) * (double)p->images->count * (double)p->batch * (double)p->channels *
                 (double)p->outputs * p->parts * p->parts;
}

/* x packed and y as rows of reals. The factors of a complex pixel are the two parts of x, which is conjugated; its outputs,
 * one for each part of y, are rows of their own. */
static void convert_run(const product_item *w, const char *x, const char *y, dsc_int pixels)
{
    const dsc_problem *p = w->p;
    const dsc_int columns = w->vectors * LANES, depth = pixels * p->parts;
    for (int in = 0; in < p->parts; ++in) {
        for (dsc_int c = 0; c < w->channels; ++c)
            fetch(p, w->rows + c * pixels, element(p, x, (w->channel + c) * p->x.channel + in), p->x.step[2], pixels);
        transpose(w->rows, pixels, 1, w->channels, pixels, w->packed + in * pixels * columns, columns);
        for (dsc_int row = 0; row < w->outputs * p->parts; ++row) {
            real *factors = w->factors + row * depth + in * pixels;
            int out = (int)(row % p->parts);
            fetch(p, factors, element(p, y, (w->output + row / p->parts) * p->y.channel + factor_part(in, out)),
                  p->y.step[2], pixels);
            for (dsc_int i = 0; in == 1 && out == 1 && i < pixels; ++i)
                factors[i] = -factors[i];
        }
    }
}

/* `pixels` pixels, x and y at the first of them. */
static void add_run(product_item *w, const char *x, const char *y, dsc_int pixels)
{
    const dsc_problem *p = w->p;
    const epilogue linear = make_epilogue(DSC_LINEAR);
    dsc_int columns = w->vectors * LANES;
    mixing_tile t = {
        .problem = p, .a = (const real *)y + w->output * p->y.channel, .a_row = p->y.channel, .a_step = p->y.step[2],
        .b = w->packed, .depth = pixels * p->parts, .y = open_block(&w->sums), .y_row = columns, .y_column = 1,
        .width = columns,
        .resume = w->waiting > 0, .last = true, .finish = &linear,
    };
    if (is_native(p)) {
        transpose((const real *)x + w->channel * p->x.channel, p->x.channel, p->x.step[2], w->channels, pixels, w->packed,
                  columns);
    } else {
        convert_run(w, x, y, pixels);
        t.a = w->factors, t.a_row = t.depth, t.a_step = 1;
    }
    mix(&t, w->outputs * p->parts);
    w->waiting += pixels;
    if (w->waiting >= BLOCK_PIXELS)
        close_block(&w->sums), w->waiting = 0;
}

static void add_rows_of_pixels(product_item *w, dsc_int image)
{
    const dsc_problem *p = w->p;
    const dsc_int *out = p->e.out;
    dsc_int x = w->batch * p->x.batch + image_offset(p->images, p->images->x, image);
    dsc_int y = w->batch * p->y.batch + image_offset(p->images, p->images->y, image);
    for (dsc_int depth = 0; depth < out[0] && !dsc_stopped(p); ++depth)
        for (dsc_int row = 0; row < out[1] && !dsc_stopped(p); ++row)
            for (dsc_int first = 0; first < out[2] && !dsc_stopped(p); first += run_pixels(p))
                add_run(w, element(p, p->x.data, x + depth * p->x.step[0] + row * p->x.step[1] + first * p->x.step[2]),
                        element(p, p->y.data, y + depth * p->y.step[0] + row * p->y.step[1] + first * p->y.step[2]),
                        at_most(run_pixels(p), out[2] - first));
}

static void store_products(const product_item *w)
{
    const dsc_problem *p = w->p;
    const real *total = total_of(&w->sums);
    dsc_int columns = w->vectors * LANES, weights = w->batch * p->mixing.batch + w->channel * p->mixing.column;
    for (dsc_int o = 0; o < w->outputs; ++o) {
        const result_rows rows = {total + o * p->parts * columns, NULL, columns};
        put(p, element_of(p, p->mixing.data, weights + (w->output + o) * p->mixing.row), p->mixing.column, &rows, NULL, w->channels);
    }
}

static void run_products(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_int columns = product_columns(p);
    for (dsc_int item = begin; item < end && !dsc_stopped(p); ++item) {
        product_item w = {.p = p, .batch = item / plan->columns / plan->groups};
        w.output = item / plan->columns % plan->groups * plan->group, w.channel = item % plan->columns * columns;
        w.outputs = at_most(plan->group, p->outputs - w.output);
        w.channels = at_most(columns, p->channels - w.channel);
        w.vectors = (int)divide_up(w.channels, LANES);
        w.sums = start_cascade(scratch, w.outputs * p->parts * w.vectors * LANES, plan->levels);
        w.packed = (real *)scratch + (plan->levels + 1) * plan->group * p->parts * columns;
        w.rows = w.packed + RUN_PIXELS * columns;
        w.factors = w.rows + RUN_PIXELS * columns;
        for (dsc_int image = 0; image < p->images->count && !dsc_stopped(p); ++image)
            add_rows_of_pixels(&w, image);
        if (w.waiting > 0)
            close_block(&w.sums);
        if (!dsc_stopped(p))
            store_products(&w);
    }
}

#endif
