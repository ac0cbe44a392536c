/* Pointwise convolution, alone or fed by a depthwise stage tile by tile, so that the depthwise result is never stored
 * whole (but see ../stages.c). Alone, the first stage is a copy (planar) or nothing (interleaved). */
#ifndef DSCONV_SEPARABLE_H
#define DSCONV_SEPARABLE_H

#include "pointwise_rest.h"
#include "transpose.h"

/* What both layouts fill in the same way. */
static mixing_tile start_tile(const dsc_problem *p, const dsc_plan *plan, dsc_int first, const epilogue *finish)
{
    return (mixing_tile){
        .problem = p,
        .depth = at_most(plan->mixing_block, mixed_channels(p) - first), .finish = finish, .resume = first > 0,
        .last = first + plan->mixing_block >= mixed_channels(p),
    };
}

/* Where the results of a pixel of the tile go. */
static char *place_of(const dsc_problem *p, const output_tile *t, dsc_int row, dsc_int column)
{
    return element_of(p, p->y.data, t->image * p->y.batch + t->depth * p->y.step[0] + (t->row + row) * p->y.step[1] +
                                        (t->column + column) * p->y.step[2]);
}

/* V vectors of each channel, which lie `channel` elements apart. */
INLINE void pack_vectors(const int V, const real *source, dsc_int channel, dsc_int depth, real *block)
{
    for (dsc_int k = 0; k < depth; ++k, source += channel, block += V * LANES) {
        UNROLL
        for (int v = 0; v < V; ++v)
            v_store(block + v * LANES, v_load(source + v * LANES));
    }
}

/* A block of columns. Missing ones repeat the last: lanes that compute on them raise no floating-point flag of their own. */
static void pack_block(const real *source, dsc_int channel, dsc_int depth, dsc_int count, dsc_int whole, real *block)
{
    if (count == MIX_VECTORS_USUAL * LANES)
        pack_vectors(MIX_VECTORS_USUAL, source, channel, depth, block);
    else if (count == LANES)
        pack_vectors(1, source, channel, depth, block);
    else
        for (dsc_int k = 0; k < depth; ++k, source += channel, block += whole)
            copy_padded(source, count, block, whole);
}

/* All blocks of a group. One after the other, each along its channels: side by side, lines of all of them would share few sets
 * of the first-level cache. */
static void group_dense(const mixing_tile *m, const real *source, dsc_int channel, real *group)
{
    for (dsc_int i = 0, whole; i < m->width; i += whole) {
        whole = block_vectors(m->width + m->rests, m->width - i) * LANES;
        pack_block(source + i, channel, m->depth, at_most(m->width - i, whole), whole, group + i * m->depth);
    }
}

static void group_fetched(const dsc_problem *p, const mixing_tile *m, const char *source, real *group)
{
    for (dsc_int k = 0; k < m->depth; ++k) {
        const char *row = element(p, source, k * p->x.channel);
        for (dsc_int i = 0, whole; i < m->width; i += whole) {
            whole = block_vectors(m->width + m->rests, m->width - i) * LANES;
            dsc_int count = at_most(m->width - i, whole);
            real *target = group + i * m->depth + k * whole;
            fetch(p, target, element(p, row, i * p->x.step[2]), p->x.step[2], count);
            for (dsc_int rest = count; rest < whole; ++rest)
                target[rest] = target[count - 1];
        }
    }
}

/* May rows so far apart be read again and again? Too many in a set of the second-level cache drive one another out. */
static bool rows_stay(dsc_int row, dsc_int rows)
{
    const dsc_int bytes = row * (dsc_int)sizeof(real);
    return bytes == 0 || rows <= WAYS * at_most(SETS_BYTES / (bytes & -bytes), SETS_BYTES / 64);
}

/* Pixels of a planar tile for the pointwise stage, a channel every `line` elements: in the panel, or in x where there is no
 * first stage. */
static const char *line_of(const dsc_problem *p, const output_tile *t, const panel_shape *s, dsc_int first, dsc_int segment,
                           dsc_int column, const separable_scratch *scratch)
{
    if (!is_pointwise(p))
        return (const char *)(scratch->panel + segment * s->pitch + column);
    return element(p, p->x.data, t->image * p->x.batch + first * p->x.channel + t->depth * p->x.step[0] +
                                     (t->row + segment) * p->x.step[1] + (t->column + column) * p->x.step[2]);
}

/* Are they dense, and few enough outputs to be read from there? */
static bool reads_lines(const dsc_problem *p, const mixing_tile *m)
{
    if (p->outputs >= MIX_PACKS_FROM || in_place(p))
        return false;
    return !is_pointwise(p) || (p->x.step[2] == 1 && rows_stay(m->line, m->depth));
}

/* What a group multiplies. Packing it costs as much as some eight outputs would: only the last block is packed, if it ends
 * within a vector. */
static void read_group(const dsc_problem *p, mixing_tile *m, const char *line, real *group)
{
    m->lines = reads_lines(p, m) ? (const real *)line : NULL;
    if (m->lines) {
        const dsc_int last = last_block(m->width);
        const mixing_tile end = {.depth = m->depth, .width = m->width - last};
        if (m->width % LANES)
            group_dense(&end, m->lines + last, m->line, group);
    } else if (!is_pointwise(p) || p->x.step[2] == 1) {
        group_dense(m, (const real *)line, m->line, group);
    } else {
        group_fetched(p, m, line, group);
    }
}

static void pack_bias(const dsc_problem *p, dsc_int image, dsc_int first, dsc_int count, real *packed)
{
    const real *bias = (const real *)p->mixing_bias.data;
    for (dsc_int i = 0; i < round_up(count, LANES); ++i)
        packed[i] = bias && i < count ? bias[image * p->mixing_bias.batch + (first + i) * p->mixing_bias.step] : 0;
}

/* Their weights, transposed. */
static const real *columns_of(const dsc_problem *p, const mixing_tile *m, const real *weights, dsc_int o, real *group)
{
    for (dsc_int i = 0, whole; i < m->width; i += whole) {
        whole = block_vectors(p->outputs, p->outputs - o - i) * LANES;
        weights_as_columns(p, weights + (o + i) * p->mixing.row, at_most(m->width - i, whole), m->depth, group + i * m->depth,
                           whole);
    }
    return group;
}

/* The next outputs as columns of the product: their weights, and their biases. A block of them, or as many as `most`. */
static void start_outputs(const dsc_problem *p, dsc_int image, dsc_int first, dsc_int o, dsc_int most, mixing_tile *m,
                          const separable_scratch *scratch)
{
    const real *weights = (const real *)p->mixing.data + image * p->mixing.batch + first * p->mixing.column;
    const dsc_int whole = block_vectors(p->outputs, p->outputs - o) * LANES;
    const bool packed = !MIX_PACKED && p->packed, parts = packed && m->depth < mixed_channels(p);
    m->width = at_most(p->outputs - o, parts ? whole : at_least(whole, most));
    m->b = packed ? (const real *)p->packed + o * mixed_channels(p) + first * whole : columns_of(p, m, weights, o, scratch->group);
    m->column_bias = scratch->bias;
    const bool dense = MIX_AHEAD && p->mixing.column == 1 && p->mixing.row == m->depth;
    m->ahead = packed ? m->b + m->width * mixed_channels(p) : dense ? weights + (o + m->width) * p->mixing.row : NULL;
    m->ahead_count = at_most(p->outputs - o - m->width, m->width) * m->depth;
    pack_bias(p, image, o, m->width, scratch->bias);
}

/* Planar, where the pixels of a tile would leave many lanes of the last vector empty: outputs are the columns of the product,
 * and its result is transposed. */
static void mix_few_pixels(const dsc_problem *p, const output_tile *t, const panel_shape *s, mixing_tile m, dsc_int first,
                           const separable_scratch *scratch)
{
    real *y = (real *)place_of(p, t, 0, 0);
    m.a = (const real *)line_of(p, t, s, first, 0, 0, scratch), m.row_bias = NULL;
    m.a_row = is_pointwise(p) ? p->x.step[2] : 1, m.a_step = m.line;
    m.y = scratch->square, m.y_column = 1;
    for (dsc_int o = 0; o < p->outputs && !dsc_stopped(p); o += m.width) {
        start_outputs(p, t->image, first, o, 0, &m, scratch);
        m.y_row = m.width;
        if (m.resume)
            transpose(y + o * p->y.channel, p->y.channel, 1, m.width, s->width, scratch->square, m.width);
        mix(&m, s->width);
        transpose_into(scratch->square, m.width, s->width, m.width, y + o * p->y.channel, p->y.channel);
    }
}

/* Does that cost less? Transposing weights costs about as much as some more pixels would, transposing results as much as
 * some more channels. */
static bool few_pixels(const dsc_problem *p, const panel_shape *s, dsc_int depth)
{
    if (in_place(p) || !s->flat || s->width > FEW_PIXELS || p->outputs < LANES || p->y.step[2] != 1)
        return false;
    const int rest = rest_of(p, s, depth);
    const double outputs = (double)p->outputs, width = (double)s->width;
    const int transposing = !MIX_PACKED && p->packed ? 0 : TRANSPOSING;
    const double as_columns = s->width == 1 ? 1 + TRANSPOSING : rest ? width + PIXEL_BESIDE : (double)round_up(s->width, LANES);
    const double transposed = (width + transposing) * (double)round_up(p->outputs, LANES) * (double)depth;
    return as_columns * outputs * (double)depth > transposed + TRANSPOSING_RESULTS * width * outputs;
}

/* Rows of weights are factors as they lie; what comes after those of a block is asked for meanwhile. */
static void set_factors(const dsc_problem *p, const output_tile *t, dsc_int first, mixing_tile *m)
{
    m->a = (const real *)p->mixing.data + t->image * p->mixing.batch + first * p->mixing.column;
    m->a_row = p->mixing.row, m->a_step = p->mixing.column;
    m->y_row = p->y.channel, m->y_column = p->y.step[2];
    m->packed = MIX_PACKED && p->packed ? (const real *)p->packed + first * LANES : NULL;
    m->packed_block = mixed_channels(p) * LANES;
    if (m->packed && mixed_channels(p) == m->depth)
        m->ahead = m->packed + m->packed_block;
    else if (!m->packed && m->a_step == 1 && m->a_row == m->depth)
        m->ahead = m->a + MIX_ROWS * m->depth;
}

/* The input that the tile after this one reads and this one does not, if x comes from far. */
static void look_at_next(const dsc_problem *p, const output_tile *t, dsc_int first, mixing_tile *m)
{
    const dsc_extent *e = &p->e;
    const bool plain = !p->windows && !e->transposed && p->multiplier == 1 && e->in[0] == 1 && e->dilation[1] == 1;
    const bool pixels = p->x.channel == 1 && p->x.step[2] == p->channels && m->depth == p->channels;
    const bool dense = (p->x.step[2] == 1 || pixels) && p->x.step[1] == e->in[2] * p->x.step[2];
    if (!plain || !dense || !comes_from_far(p))
        return;
    const bool beside = t->column + t->columns < e->out[2];
    const dsc_int column = beside ? (t->column + t->columns) * e->stride[2] : 0;
    const dsc_int row = beside ? t->row * e->stride[1] : (t->row + t->rows - 1) * e->stride[1] - e->low[1] + e->kernel[1];
    const dsc_int rows = at_most(t->rows * e->stride[1], e->in[1] - row);
    if (row < 0 || rows <= 0 || column >= e->in[2])
        return;
    m->coming = (const real *)element(p, p->x.data, t->image * p->x.batch + first * p->x.channel + row * p->x.step[1] +
                                                        column * p->x.step[2]);
    m->coming_count = beside ? at_most(t->columns * e->stride[2], e->in[2] - column) : rows * e->in[2];
    m->coming_row = pixels ? m->coming_count : p->x.channel;
}

static void mix_lines(const dsc_problem *p, const output_tile *t, const panel_shape *s, mixing_tile m, dsc_int first,
                      const separable_scratch *scratch)
{
    const int rest = rest_of(p, s, m.depth);
    const dsc_int width = s->width - rest, columns = reads_lines(p, &m) ? at_least(width, 1) : group_columns(m.depth);
    m.b = scratch->group;
    for (dsc_int i = 0; i < s->segments; ++i) {
        m.rests = rest;
        pack_rest(p, &m, line_of(p, t, s, first, i, width, scratch), scratch->square);
        for (dsc_int column = 0; column < at_least(width, 1) && !dsc_stopped(p); column += at_least(m.width, 1)) {
            const dsc_int left = width - column;
            m.width = at_most(left, columns);
            if (MIX_RESTS && rest && left > m.width && left - m.width < 2 * LANES)
                m.width -= MIX_VECTORS_USUAL * LANES;   /* the last pixels are beside two vectors, at least */
            m.rests = column + m.width == width ? rest : 0;
            read_group(p, &m, line_of(p, t, s, first, i, column, scratch), scratch->group);
            m.y = (real *)place_of(p, t, i, column);
            mix_outputs(p, &m);
        }
    }
}

static void mix_planar(const dsc_problem *p, const output_tile *t, const panel_shape *s, mixing_tile m, dsc_int first,
                       const separable_scratch *scratch)
{
    const real *bias = (const real *)p->mixing_bias.data;
    m.row_bias = bias ? bias + t->image * p->mixing_bias.batch : NULL;
    m.row_bias_step = p->mixing_bias.step;
    m.line = is_pointwise(p) ? p->x.channel : scratch->step;
    if (few_pixels(p, s, m.depth)) {
        mix_few_pixels(p, t, s, m, first, scratch);
        return;
    }
    set_factors(p, t, first, &m);
    look_at_next(p, t, first, &m);
    mix_lines(p, t, s, m, first, scratch);
}

/* Pixels of a tile are rows of the product: all at once where they are evenly spaced, else image row by image row. */
static void mix_interleaved(const dsc_problem *p, const output_tile *t, mixing_tile m, dsc_int first, const real *a,
                            dsc_int a_line, const separable_scratch *scratch)
{
    bool flat = t->rows == 1 || (a_line == t->columns * m.a_row && p->y.step[1] == t->columns * p->y.step[2]);
    dsc_int lines = flat ? 1 : t->rows, pixels = flat ? t->rows * t->columns : t->columns;
    m.y_row = p->y.step[2], m.y_column = p->y.channel;
    for (dsc_int o = 0; o < p->outputs && !dsc_stopped(p); o += m.width) {
        start_outputs(p, t->image, first, o, MIX_BLOCKS ? group_columns(m.depth) : 0, &m, scratch);
        for (dsc_int i = 0; i < lines; ++i) {
            m.a = a + i * a_line;
            m.y = (real *)place_of(p, t, i, 0) + o * p->y.channel;
            mix(&m, pixels);
            m.coming = NULL;
        }
    }
}

static void run_planar_tile(const dsc_problem *p, const dsc_plan *plan, const output_tile *t,
                            const separable_scratch *scratch, const epilogue *inner, const epilogue *outer)
{
    panel_shape s = shape_panel(p, t->rows, t->columns);
    for (dsc_int first = 0; first == 0 || first < mixed_channels(p); first += plan->mixing_block) {
        if (dsc_stopped(p))
            return;
        mixing_tile m = start_tile(p, plan, first, outer);
        if (p->windows)
            unfold(p, t, first, m.depth, scratch->strips, scratch->panel, scratch->step, s.pitch);
        else if (!is_pointwise(p))
            depthwise_planes(p, plan, t, first, m.depth, (plane_target){scratch->panel, scratch->step, s.pitch, 1, inner},
                             scratch->strips);
        mix_planar(p, t, &s, m, first, scratch);
        if (mixed_channels(p) == 0)
            break;
    }
}

/* What channels [first, first + count) of the pointwise stage read, into scratch, one pixel after the other. */
static void fill_pixels(const dsc_problem *p, const dsc_plan *plan, const output_tile *t, separable_scratch *scratch,
                        dsc_int first, dsc_int count, const epilogue *inner)
{
    dsc_int line = t->columns * scratch->step;
    if (p->windows)
        unfold_pixels(p, t, scratch->panel, scratch->step);
    else if (plan->path == INTERLEAVED)
        depthwise_pixels(p, t, &scratch->packed, first, count, inner, scratch->panel, line, scratch->step);
    else if (plan->path == MULTIPLIED)
        depthwise_multiplied(p, t, &scratch->packed, first, count, inner, scratch->panel, line, scratch->step, scratch->strips);
    else
        depthwise_planes(p, plan, t, first, count, (plane_target){scratch->panel, 1, line, scratch->step, inner},
                         scratch->strips);
}

static void run_interleaved_tile(const dsc_problem *p, const dsc_plan *plan, const output_tile *t,
                                 separable_scratch *scratch, const epilogue *inner, const epilogue *outer)
{
    for (dsc_int first = 0; first == 0 || first < mixed_channels(p); first += plan->mixing_block) {
        if (dsc_stopped(p))
            return;
        mixing_tile m = start_tile(p, plan, first, outer);
        if (is_pointwise(p)) {
            m.a_row = p->x.step[2], m.a_step = p->x.channel;
            mix_interleaved(p, t, m, first,
                            (const real *)p->x.data + t->image * p->x.batch + t->depth * p->x.step[0] +
                                t->row * p->x.step[1] + t->column * p->x.step[2] + first * p->x.channel,
                            p->x.step[1], scratch);
        } else if (!pixels_in_panel(p)) {
            const panel_shape s = shape_panel(p, t->rows, t->columns);
            unfold(p, t, first, m.depth, scratch->strips, scratch->panel, scratch->step, s.pitch);
            m.a_row = 1, m.a_step = scratch->step;
            mix_interleaved(p, t, m, first, scratch->panel, s.pitch, scratch);
        } else {
            look_at_next(p, t, first, &m);
            fill_pixels(p, plan, t, scratch, first, m.depth, inner);
            m.a_row = scratch->step, m.a_step = 1;
            mix_interleaved(p, t, m, first, scratch->panel, t->columns * scratch->step, scratch);
        }
        if (mixed_channels(p) == 0)
            break;
    }
}

static void run_separable(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *memory)
{
    epilogue inner = make_epilogue(p->taps_activation), outer = make_epilogue(p->mixing_activation);
    const dsc_problem first = residue_of(p, plan->residues, 0);
    separable_scratch scratch = lay_out(&first, plan, memory);
    item_cursor c = item_at(p, plan, plan->groups * plan->residues, begin);
    for (dsc_int i = begin; i < end; ++i, next_item(&c)) {
        const dsc_problem own = residue_of(p, plan->residues, c.channel % plan->residues);
        const dsc_problem part = part_of(&own, plan, c.channel / plan->residues);
        const output_tile t = tile_of(&part, plan, &c);
        if (t.rows <= 0)
            continue;
        if (channels_dense(p))
            run_interleaved_tile(&part, plan, &t, &scratch, &inner, &outer);
        else
            run_planar_tile(&part, plan, &t, &scratch, &inner, &outer);
    }
}

#endif
