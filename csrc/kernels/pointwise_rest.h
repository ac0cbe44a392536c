/* Pixels of a planar tile that are beyond whole vectors: where they are not lanes of one more vector, of which most would be empty,
 * and how the outputs of a group of columns are computed with them. */
#ifndef DSCONV_POINTWISE_REST_H
#define DSCONV_POINTWISE_REST_H

#include "pointwise_pixel.h"
#include "separable_plan.h"

/* Of the pixels of a tile, so many are no columns of whole vectors: one alone, see mix_pixel, or what would fill but few lanes
 * of a last vector, see mixing_tile. */
static int rest_of(const dsc_problem *p, const panel_shape *s, dsc_int depth)
{
    const dsc_int rest = s->width % LANES;
    const bool beside = s->width >= 2 * LANES, alone = s->width == rest && p->packed;
    const bool pairs = PIXEL_BESIDE && !p->packed && s->width / LANES % MIX_VECTORS == 0;   /* a vector alone takes longer */
    const int most = pairs ? 1 : MIX_RESTS;
    const bool few = s->width == 1 ? s->segments == 1 : rest > 0 && rest <= most && (beside || alone);
    return few && p->mixing.column == 1 && p->outputs >= LANES && depth >= LANES ? (int)rest : 0;
}

/* The factors of pixels beyond whole vectors, see mixing_tile. */
static void pack_rest(const dsc_problem *p, mixing_tile *m, const char *line, real *x)
{
    const dsc_int step = is_pointwise(p) ? p->x.step[2] : 1;
    const int columns = rest_columns(m->rests);
    for (int q = 0; q < columns; ++q) {
        const char *pixel = element(p, line, at_most(q, m->rests - 1) * step);
        for (dsc_int k = 0; k < m->depth; ++k)
            x[k * columns + q] = *(const real *)element(p, pixel, k * m->line);
    }
    m->rest = x;
}

/* Of those pixels the outputs that a tile leaves, one by one. */
static void mix_rest(const dsc_problem *p, mixing_tile m)
{
    const int columns = rest_columns(m.rests);
    real *pixel = (real *)m.rest + m.depth * columns;
    dsc_int first = m.width > 0 ? p->outputs - p->outputs % MIX_ROWS : 0;
    m.y += m.width * m.y_column;
#if MIX_PACKED
    if (m.packed && m.width == 0)
        first = mix_packed_pixels(&m, m.rest, p->outputs);
#endif
    for (int q = 0; q < m.rests && first < p->outputs; ++q, m.y += m.y_column) {
        if (columns > 1)
            copy_strided(pixel, m.rest + q, columns, m.depth);
        mix_pixel(&m, columns > 1 ? pixel : m.rest, first, p->outputs);
    }
}

/* All outputs of a group of columns and of a pixel beside it, some at a time: their weights are in the cache when they are read
 * once more. */
static void mix_beside_pixel(const dsc_problem *p, const mixing_tile *m)
{
    const dsc_int some = MIX_ROWS * LANES / 2;   /* both blocks of rows and vectors of outputs */
    for (dsc_int o = 0, count; o < p->outputs && !dsc_stopped(p); o += count) {
        count = p->outputs - o < some + LANES ? p->outputs - o : some;
        mixing_tile part = *m;
        part.rests = 0, part.a += o * m->a_row, part.y += o * m->y_row;
        part.row_bias = m->row_bias ? m->row_bias + o * m->row_bias_step : NULL;
        part.ahead = part.ahead ? part.a + count * m->a_row : NULL;
        part.ahead_count = at_most(count, p->outputs - o - count) * m->depth;
        mix(&part, count);
        part.y += m->width * m->y_column;
        mix_pixel(&part, m->rest, 0, count);
    }
}

/* All outputs of a group of columns, and of the pixels beside it. */
static void mix_outputs(const dsc_problem *p, mixing_tile *m)
{
    if (PIXEL_BESIDE && m->rests && m->width > 0) {
        mix_beside_pixel(p, m);
        return;
    }
    m->ahead_count = p->outputs * m->depth;
    if (m->width > 0)
        mix(m, p->outputs);
    if (m->rests)
        mix_rest(p, *m);
}

#endif
