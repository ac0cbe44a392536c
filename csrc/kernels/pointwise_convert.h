/* The pointwise stage where arrays hold narrow floats or complex numbers: its factors become reals a few rows at a time,
 * and so do its results before they are stored. The two parts of a complex output are two rows. */
#ifndef DSCONV_POINTWISE_CONVERT_H
#define DSCONV_POINTWISE_CONVERT_H

#include "formats.h"
#include "pointwise_tile.h"

#define CONVERTED_ROWS 24    /* a multiple of the rows of every tile and of two parts */

static size_t conversion_bytes(dsc_int depth, dsc_int columns)
{
    return (size_t)(CONVERTED_ROWS * (depth + round_up(columns, LANES) + 1)) * sizeof(real);
}

/* One row: the factors of `depth` input parts in one output part. */
static void convert_factors(const dsc_problem *p, const char *weights, int out, dsc_int depth, real *row)
{
    const real *complex = (const real *)weights;
    if (p->parts == 1) {
        fetch(p, row, weights, p->mixing.column, depth);
        return;
    }
    real low = factor_negative(p, 0, out) ? -1 : 1, high = factor_negative(p, 1, out) ? -1 : 1;
    for (dsc_int k = 0; 2 * k < depth; ++k) {
        row[2 * k] = low * complex[k * p->mixing.column + factor_part(0, out)];
        row[2 * k + 1] = high * complex[k * p->mixing.column + factor_part(1, out)];
    }
}

/* All outputs, for a tile that holds the columns and what is common to all rows. */
static void mix_converted(mixing_tile t, dsc_int image, char *y, real *memory)
{
    const dsc_problem *p = t.problem;
    const char *bias = p->mixing_bias.data;
    real *factors = memory, *results = factors + CONVERTED_ROWS * t.depth;
    t.y_row = round_up(t.width, LANES);
    real *biases = results + CONVERTED_ROWS * t.y_row;
    t.a = factors, t.a_row = t.depth, t.a_step = 1;
    t.row_bias = biases, t.row_bias_step = 1;
    t.y = results, t.y_column = 1;
    for (dsc_int o = 0, here; o < p->outputs && !dsc_stopped(p); o += here) {
        here = at_most(CONVERTED_ROWS / p->parts, p->outputs - o);
        for (dsc_int row = 0; row < here * p->parts; ++row) {
            dsc_int output = o + row / p->parts;
            int part = (int)(row % p->parts);
            convert_factors(p, element(p, p->mixing.data, image * p->mixing.batch + output * p->mixing.row), part, t.depth,
                            factors + row * t.depth);
            biases[row] = bias ? fetch_one(p, element(p, bias, image * p->mixing_bias.batch +
                                                                   output * p->mixing_bias.step + part)) : 0;
        }
        mix(&t, here * p->parts);
        for (dsc_int row = 0; row < here; ++row)
            put(p, element_of(p, y, (o + row) * p->y.channel), p->y.step[2], results + row * p->parts * t.y_row, t.y_row,
                t.width);
    }
}

#endif
