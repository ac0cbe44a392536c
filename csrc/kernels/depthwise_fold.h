/* The gradient of x under a padding mode: that of the padded x, added up over the positions that read one element. */
#ifndef DSCONV_DEPTHWISE_FOLD_H
#define DSCONV_DEPTHWISE_FOLD_H

/* One row of a piece of the padded plane, from its column `first`, onto the row of y that was read there. */
static void fold_row(const dsc_problem *p, const real *row, dsc_int first, dsc_int count, real *y, dsc_int step)
{
    dsc_int size = p->e.out[2], column = 0, position = first - p->e.low[2];
    while (column < count) {
        dsc_int inside = position + column >= 0 ? at_most(count - column, size - position - column) : 0;
        if (inside <= 0 || step != 1) {
            y[dsc_source_index(position + column, size, p->e.mode) * step] += row[column];
            ++column;
            continue;
        }
        real *target = y + position + column;
        for (dsc_int i = 0; i < inside; i += LANES) {
            mask m = v_mask(0, inside - i);
            v_store_masked(target + i, v_load_masked(target + i, m) + v_load_masked(row + column + i, m), m);
        }
        column += inside;
    }
}

static void clear_plane(const dsc_problem *p, real *y)
{
    for (dsc_int depth = 0; depth < p->e.out[0]; ++depth)
        for (dsc_int row = 0; row < p->e.out[1]; ++row)
            for (dsc_int column = 0; column < p->e.out[2]; ++column)
                y[depth * p->y.step[0] + row * p->y.step[1] + column * p->y.step[2]] = 0;
}

/* The call on the padded input, all of it that any tap reaches. */
static dsc_problem padded_problem(const dsc_problem *p)
{
    dsc_problem padded = *p;
    for (int axis = 0; axis < 3; ++axis) {
        padded.e.out[axis] = (p->e.in[axis] - 1) * p->e.stride[axis] + (p->e.kernel[axis] - 1) * p->e.dilation[axis] + 1;
        padded.e.low[axis] = 0;
    }
    return padded;
}

/* A piece of the padded plane: computed, and added to y. */
static void fold_piece(const dsc_problem *p, const dsc_problem *padded, const dsc_plan *plan, const output_tile *t,
                       dsc_int channel, real *piece, void *scratch, real *y)
{
    const epilogue linear = make_epilogue(DSC_LINEAR);
    depthwise_planes(padded, plan, t, channel, 1, (plane_target){piece, 0, FOLD_COLUMNS, 1, &linear}, scratch);
    dsc_int depth = dsc_source_index(t->depth - p->e.low[0], p->e.out[0], p->e.mode);
    for (dsc_int row = 0; row < t->rows; ++row) {
        dsc_int source = dsc_source_index(t->row + row - p->e.low[1], p->e.out[1], p->e.mode);
        fold_row(p, piece + row * FOLD_COLUMNS, t->column, t->columns,
                 y + depth * p->y.step[0] + source * p->y.step[1], p->y.step[2]);
    }
}

static void fold_plane(const dsc_problem *p, const dsc_plan *plan, dsc_int image, dsc_int channel, real *y, real *piece,
                       void *scratch)
{
    const dsc_problem padded = padded_problem(p);
    const dsc_int *out = padded.e.out, rows = at_most(plan->band_rows, FOLD_ROWS);
    const dsc_int columns = at_most(plan->column_width, FOLD_COLUMNS);
    output_tile t = {.image = image};
    clear_plane(p, y);
    for (t.depth = 0; t.depth < out[0] && !dsc_stopped(p); ++t.depth)
        for (t.row = 0; t.row < out[1] && !dsc_stopped(p); t.row += rows)
            for (t.column = 0; t.column < out[2] && !dsc_stopped(p); t.column += columns) {
                t.rows = at_most(rows, out[1] - t.row), t.columns = at_most(columns, out[2] - t.column);
                fold_piece(p, &padded, plan, &t, channel, piece, scratch, y);
            }
}

static void run_folded(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    real *piece = scratch;
    for (dsc_int i = begin; i < end && !dsc_stopped(p); ++i) {
        const dsc_int image = i / p->outputs, channel = i % p->outputs;
        fold_plane(p, plan, image, channel, (real *)p->y.data + image * p->y.batch + channel * p->y.channel, piece,
                   piece + FOLD_ROWS * FOLD_COLUMNS);
    }
}

#endif
