/* The weight gradient of a depthwise convolution, and sums over channels: for every tap, the sum over images and outputs of
 * x where the tap meets it, times y. Without x: of y alone. */
#ifndef DSCONV_DEPTHWISE_WEIGHTS_H
#define DSCONV_DEPTHWISE_WEIGHTS_H

#include "reduction.h"
#include "strip.h"
#include "weights_plan.h"
#include "weights_tile.h"

#define LOOK_PLANES 8   /* between two looks for an interrupt, which take as long as a small plane's rows */

/* What one item sums: some taps of one output channel, or of some vectors of channels. */
typedef struct {
    const dsc_problem *p;
    const dsc_plan *plan;
    dsc_int batch, channel, tap[3], taps[3];   /* first tap and number of taps on each axis */
    dsc_int vectors, vector;       /* of channels, and which one is being summed */
    int part;                      /* of the gradient */
    cascade sums;
    real *strips, *lines;
} weights_item;

/* Some outputs of one image, and the x and y that belong to them. */
typedef struct {
    const char *x, *y;             /* of the depth slice that tap tap[0] meets, of the depth slice */
    bool negative;                 /* subtract the products */
    dsc_int row, rows, column, columns;
    dsc_int x_ahead, y_ahead;      /* steps to the depth slices that come next; 0: they need not be asked for */
} weights_piece;

static dsc_int sums_row(const weights_item *w) { return w->taps[2] * LANES; }

static real *open_sums(const weights_item *w)
{
    return open_block(&w->sums) + w->vector * w->taps[1] * sums_row(w);
}

/* First of a vector of channels: the last one is filled up with channels of the one before. */
static dsc_int channel_of(const weights_item *w, dsc_int vector)
{
    return at_most(w->channel + vector * LANES, at_least(w->p->channels - LANES, 0));
}

/* Position of the piece's first output under the first tap of the item. */
static dsc_int position_of(const weights_item *w, int axis, dsc_int output)
{
    const dsc_extent *e = &w->p->e;
    return output * e->stride[axis] - e->low[axis] + w->tap[axis] * e->dilation[axis];
}

/* Dense rows of x, from the one under the piece's first output, and of y. x in place: from column `position` of `width`,
 * dilation 1 or more; padded: all columns exist. */
typedef struct {
    const real *x;
    dsc_int x_row, phase_pitch, position, dilation, width;
    const real *y;
    dsc_int y_row;
    dsc_int x_ahead, y_ahead;      /* 0, or steps to the rows that come next, where x lies in place */
} weights_rows;

/* All tap columns of the item, for J tap rows from tap row j. */
static void gather_tap_rows(const weights_item *w, const weights_rows *rows, weights_tile *t, dsc_int j, int J)
{
    const dsc_extent *e = &w->p->e;
    for (dsc_int i = 0; i < w->taps[2];) {
        int I = (int)at_most(w->taps[2] - i, TAPS_LINE);
        while (!weights_table[J - 1][I - 1])
            --I;
        for (int k = 0; k < I; ++k) {
            dsc_int position = (i + k) * e->dilation[2], stride = e->stride[2];
            t->x_column[k] = stride == 1 ? position : position % stride * rows->phase_pitch + position / stride;
        }
        t->position = rows->position + i * rows->dilation;
        t->sums = open_sums(w) + j * sums_row(w) + i * LANES;
        t->sums_row = sums_row(w);
        t->x_ahead = i + j > 0 ? 0 : rows->x_ahead, t->y_ahead = rows->y_ahead;
        weights_table[J - 1][I - 1](t);
        i += I;
    }
}

/* Outputs that lie one tap row apart meet the same rows of x: those go through a tile together. */
static void gather_dense(const weights_item *w, const weights_piece *piece, const weights_rows *rows)
{
    const dsc_extent *e = &w->p->e;
    const bool share = e->dilation[1] % e->stride[1] == 0, zeros = e->mode == DSC_ZEROS;
    weights_tile t = {
        .x_row = rows->x_row, .y = rows->y, .y_row = rows->y_row, .rows = piece->rows, .columns = piece->columns,
        .stride = e->stride[1], .step = e->dilation[1], .apart = share ? e->dilation[1] / e->stride[1] : 1,
        .height = zeros ? e->in[1] : INT64_MAX, .dilation = rows->dilation, .width = rows->width,
    };
    for (dsc_int j = 0; j < w->taps[1];) {
        int J = share && rows_share_tiles(w->taps[2]) ? rows_of_tile(w->taps[1] - j) : 1;
        t.x = rows->x + j * e->dilation[1] * rows->x_row;
        t.top = zeros ? position_of(w, 1, piece->row) + j * e->dilation[1] : 0;
        gather_tap_rows(w, rows, &t, j, J);
        j += J;
    }
}

/* One tap, output by output: for what the dense way leaves. */
static ONCE_A_CALL vec gather_exactly(const weights_item *w, const weights_piece *piece, dsc_int j, dsc_int i, vec sum)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    for (dsc_int row = 0; row < piece->rows && !dsc_stopped(p); ++row) {
        dsc_int at = dsc_source_index(position_of(w, 1, piece->row + row) + j * e->dilation[1], e->in[1], e->mode);
        const char *x = element(p, piece->x, at * p->x.step[1]), *y = element(p, piece->y, row * p->y.step[1]);
        for (dsc_int column = 0; at >= 0 && column < piece->columns; column += LANES) {
            int count = (int)at_most(piece->columns - column, LANES), first = LANES, last = 0;
            real lanes[LANES] = {0};
            vec value;
            for (int l = 0; l < count; ++l) {
                dsc_int position = position_of(w, 2, piece->column + column + l) + i * e->dilation[2];
                dsc_int source = dsc_source_index(position, e->in[2], e->mode);
                if (source < 0)
                    continue;
                lanes[l] = fetch_one(p, element(p, x, source * p->x.step[2]));
                first = l < first ? l : first, last = l + 1;
            }
            memcpy(&value, lanes, sizeof value);
            memset(lanes, 0, sizeof lanes);
            fetch(p, lanes, element(p, y, column * p->y.step[2]), p->y.step[2], count);
            sum = v_add_product_masked(sum, piece->negative ? -value : value, v_load(lanes), v_mask(first, last));
        }
    }
    return sum;
}

static ONCE_A_CALL void gather_all_exactly(const weights_item *w, const weights_piece *piece)
{
    for (dsc_int j = 0; j < w->taps[1]; ++j)
        for (dsc_int i = 0; i < w->taps[2]; ++i) {
            real *sum = open_sums(w) + j * sums_row(w) + i * LANES;
            v_store(sum, gather_exactly(w, piece, j, i, v_load(sum)));
        }
}

/* Is y finite where taps meet padded zeros? Those count as skipped. */
static bool borders_finite(const weights_piece *piece, const weights_rows *rows, const strip_shape *s, dsc_int reach)
{
    dsc_int inside = at_most(s->base < 0 ? divide_up(-s->base, s->phases) : 0, piece->columns);
    dsc_int beyond = s->width - s->base - reach;
    beyond = at_least(at_most(beyond > 0 ? divide_up(beyond, s->phases) : 0, piece->columns), inside);
    for (dsc_int row = 0; row < piece->rows; ++row) {
        const real *y = rows->y + row * rows->y_row;
        for (dsc_int i = 0; i < inside; ++i)
            if (!isfinite(y[i]))
                return false;
        for (dsc_int i = beyond; i < piece->columns; ++i)
            if (!isfinite(y[i]))
                return false;
    }
    return true;
}

/* y as dense rows: in place, or copied. */
static void set_y_rows(const weights_item *w, const weights_piece *piece, weights_rows *rows)
{
    const dsc_problem *p = w->p;
    rows->y = (const real *)piece->y, rows->y_row = p->y.step[1], rows->y_ahead = piece->y_ahead;
    if (p->y.step[2] == 1 && is_native(p))
        return;
    rows->y = w->lines, rows->y_row = w->plan->column_width, rows->y_ahead = 0;
    for (dsc_int row = 0; row < piece->rows; ++row) {
        real *line = w->lines + row * rows->y_row;
        fetch(p, line, element(p, piece->y, row * p->y.step[1]), p->y.step[2], piece->columns);
        for (dsc_int i = 0; piece->negative && i < piece->columns; ++i)
            line[i] = -line[i];
    }
}

/* x as dense rows, padded: in place where no padding is met, or in strips. False: y is not finite where x is padded. */
static bool set_x_rows(const weights_item *w, const weights_piece *piece, weights_rows *rows)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    strip_shape s = {
        .p = p, .base = position_of(w, 2, piece->column), .width = e->in[2], .step = p->x.step[2], .phases = e->stride[2],
        .span = (piece->columns - 1) * e->stride[2] + (w->taps[2] - 1) * e->dilation[2] + 1,
        .phase_pitch = w->plan->strip_pitch / e->stride[2], .mode = e->mode,
    };
    dsc_int top = position_of(w, 1, piece->row);
    dsc_int count = (piece->rows - 1) * e->stride[1] + (w->taps[1] - 1) * e->dilation[1] + 1;
    bool in_place = is_native(p) && s.step == 1 && s.phases == 1 && e->mode == DSC_ZEROS;
    if (e->mode == DSC_ZEROS && !(in_place && MASKED_ALL) && !borders_finite(piece, rows, &s, (w->taps[2] - 1) * e->dilation[2]))
        return false;
    if (in_place) {
        rows->x = (const real *)piece->x + top * p->x.step[1] + s.base, rows->x_row = p->x.step[1];
        rows->position = s.base, rows->dilation = e->dilation[2], rows->width = s.width, rows->x_ahead = piece->x_ahead;
        return true;
    }
    rows->width = INT64_MAX / 2;
    rows->x = w->strips, rows->x_row = w->plan->strip_pitch, rows->phase_pitch = s.phase_pitch;
    for (dsc_int row = 0; row < count; ++row) {
        dsc_int source = dsc_source_index(top + row, e->in[1], e->mode);
        if (source >= 0)
            fill_strip(&s, w->strips + row * w->plan->strip_pitch, element(p, piece->x, source * p->x.step[1]));
    }
    return true;
}

static void sum_piece(const weights_item *w, const weights_piece *piece)
{
    vec sum = v_load(open_sums(w));
    weights_rows rows = {0};
    set_y_rows(w, piece, &rows);
    for (dsc_int row = 0; row < piece->rows; ++row)
        for (dsc_int column = 0; column < piece->columns; column += LANES)
            sum += v_load_masked(rows.y + row * rows.y_row + column, v_mask(0, piece->columns - column));
    v_store(open_sums(w), sum);
}

static void gather_planar(const weights_item *w, const weights_piece *piece)
{
    weights_rows rows = {0};
    if (!w->p->x.data) {
        sum_piece(w, piece);
        return;
    }
    if (w->plan->path == STRIPS) {
        set_y_rows(w, piece, &rows);
        if (set_x_rows(w, piece, &rows)) {
            gather_dense(w, piece, &rows);
            return;
        }
    }
    gather_all_exactly(w, piece);
}

#include "weights_interleaved.h"

/* Pieces are changed in place: copies of what has just been written wait for it. */
static void gather_piece(weights_item *w, weights_piece *piece)
{
    if (w->plan->path != INTERLEAVED) {
        gather_planar(w, piece);
        return;
    }
    const char *x = piece->x, *y = piece->y;
    for (w->vector = 0; w->vector < w->vectors; ++w->vector) {
        dsc_int beside = channel_of(w, w->vector) - w->channel;
        piece->x = x ? element(w->p, x, beside) : NULL, piece->y = element(w->p, y, beside);
        gather_interleaved(w, piece);
    }
    piece->x = x;
}

/* All outputs of one depth slice of an image, from y on, piece by piece. */
static void gather_slice(weights_item *w, weights_piece *piece, const char *y, dsc_int *waiting)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    const dsc_plan *plan = w->plan;
    for (piece->row = 0; piece->row < e->out[1]; piece->row += plan->band_rows)
        for (piece->column = 0; piece->column < e->out[2]; piece->column += plan->column_width) {
            if (piece->row + piece->column > 0 && dsc_stopped(p))   /* the first time the caller has looked */
                return;
            piece->rows = at_most(plan->band_rows, e->out[1] - piece->row);
            piece->columns = at_most(plan->column_width, e->out[2] - piece->column);
            piece->y = element(p, y, piece->row * p->y.step[1] + piece->column * p->y.step[2]);
            gather_piece(w, piece);
            *waiting += piece->rows * (plan->path == INTERLEAVED ? piece->columns : divide_up(piece->columns, LANES));
            if (*waiting >= BLOCK_VECTORS) {
                close_block(&w->sums);
                clear_block(&w->sums);
                *waiting = 0;
            }
        }
}

/* The products of one depth slice. Complex: of the two pairs of parts that give the part of the gradient; one factor is
 * conjugated. */
static void gather_parts(weights_item *w, weights_piece *piece, dsc_int *waiting)
{
    const dsc_problem *p = w->p;
    const char *x = piece->x, *y = piece->y;
    if (p->parts == 1 || !x) {
        gather_slice(w, piece, element(p, y, w->part), waiting);
        return;
    }
    for (int part = 0; part < 2; ++part) {
        int y_part = part ^ w->part;
        piece->x = element(p, x, part);
        piece->negative = part != y_part && (p->conjugate ? y_part == 1 : part == 1);
        gather_slice(w, piece, element(p, y, y_part), waiting);
    }
}

/* Steps from depth slice `depth` of image n to the next one, or to the first one of the next image or channel. */
static void set_ahead(const weights_item *w, dsc_int n, dsc_int depth, weights_piece *piece)
{
    const dsc_problem *p = w->p;
    const dsc_images *images = p->images;
    if (!w->plan->asks)
        return;
    if (depth + 1 < p->e.out[0])
        piece->x_ahead = p->e.stride[0] * p->x.step[0], piece->y_ahead = p->y.step[0];
    else if (n + 1 < images->count) {
        piece->x_ahead = image_offset(images, images->x, n + 1) - image_offset(images, images->x, n);
        piece->y_ahead = image_offset(images, images->y, n + 1) - image_offset(images, images->y, n);
    } else
        piece->x_ahead = p->x.channel, piece->y_ahead = p->y.channel;
}

/* All images, in order. */
static void gather_item(weights_item *w)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    dsc_int waiting = 0, c = w->channel / p->multiplier, m = w->channel % p->multiplier;
    dsc_int x = w->batch * p->x.batch + c * p->x.channel + m * p->x.multiplier;
    dsc_int y = w->batch * p->y.batch + c * p->y.channel + m * p->y.multiplier;
    clear_block(&w->sums);
    for (dsc_int n = 0; n < p->images->count; ++n) {
        if (n % LOOK_PLANES == 0 && dsc_stopped(p))
            return;
        for (dsc_int depth = 0; depth < e->out[0]; ++depth) {
            if (depth > 0 && dsc_stopped(p))
                return;
            dsc_int source = p->x.data ? dsc_source_index(position_of(w, 0, depth), e->in[0], e->mode) : 0;
            weights_piece piece = {.x = p->x.data};
            if (source < 0)
                continue;
            piece.y = element(p, p->y.data, y + image_offset(p->images, p->images->y, n) + depth * p->y.step[0]);
            if (p->x.data)
                piece.x = element(p, piece.x, x + image_offset(p->images, p->images->x, n) + source * p->x.step[0]);
            set_ahead(w, n, depth, &piece);
            gather_parts(w, &piece, &waiting);
        }
    }
    if (waiting > 0)
        close_block(&w->sums);
}

/* `count` sums to taps that lie `step` apart. */
static void store_sums_of(const weights_item *w, dsc_int tap, dsc_int step, const real *sums, dsc_int count)
{
    const dsc_problem *p = w->p;
    char *taps = element_of(p, p->taps.data, tap + w->part);
    if (p->format == DSC_NATIVE)
        for (dsc_int l = 0; l < count; ++l)
            ((real *)taps)[l * step] = sums[l];
    else
        put_reals(p, taps, step, sums, count);
}

/* Of one channel, or of those of a vector that no vector before it has. */
static void store_taps(const weights_item *w, dsc_int vector, const real *total)
{
    const dsc_problem *p = w->p;
    const bool lanes = w->plan->path == INTERLEAVED;
    dsc_int channel = w->channel + vector * LANES, first = lanes ? channel - channel_of(w, vector) : 0;
    dsc_int count = lanes ? at_most(p->channels, LANES) - first : 1;
    dsc_int taps = w->batch * p->taps.batch + channel / p->multiplier * p->taps.channel +
                   channel % p->multiplier * p->taps.multiplier + w->tap[0] * p->taps.step[0];
    for (dsc_int j = 0; j < w->taps[1]; ++j)
        for (dsc_int i = 0; i < w->taps[2]; ++i, total += LANES) {
            dsc_int tap = taps + (w->tap[1] + j) * p->taps.step[1] + (w->tap[2] + i) * p->taps.step[2];
            real sum = lanes ? 0 : sum_of_lanes(v_load(total));
            store_sums_of(w, tap, p->taps.channel, lanes ? total + first : &sum, count);
        }
}

static void run_weights(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_int *kernel = p->e.kernel, columns = divide_up(kernel[2], plan->tap_columns);
    const dsc_int rows = divide_up(kernel[1], plan->tap_rows);
    for (dsc_int item = begin; item < end && !dsc_stopped(p); ++item) {
        dsc_int rest = item;
        weights_item w = {.p = p, .plan = plan, .taps = {1}};
        w.part = (int)(rest % p->parts), rest /= p->parts;
        w.tap[2] = rest % columns * plan->tap_columns, rest /= columns;
        w.tap[1] = rest % rows * plan->tap_rows, rest /= rows;
        w.tap[0] = rest % kernel[0], rest /= kernel[0];
        w.taps[1] = at_most(plan->tap_rows, kernel[1] - w.tap[1]);
        w.taps[2] = at_most(plan->tap_columns, kernel[2] - w.tap[2]);
        w.channel = rest % plan->groups * plan->group, w.batch = rest / plan->groups;
        w.vectors = plan->group == 1 ? 1 : divide_up(at_most(plan->group, p->channels - w.channel), LANES);
        w.sums = start_cascade(scratch, w.vectors * w.taps[1] * w.taps[2] * LANES, plan->levels);
        w.strips = (real *)scratch + (plan->levels + 1) * sums_of_item(plan);
        w.lines = w.strips + plan->strip_rows * plan->strip_pitch;
        gather_item(&w);
        const real *total = dsc_stopped(p) ? NULL : total_of(&w.sums);
        for (dsc_int vector = 0; total && vector < w.vectors; ++vector)
            store_taps(&w, vector, total + vector * w.taps[1] * sums_row(&w));
    }
}

#endif
