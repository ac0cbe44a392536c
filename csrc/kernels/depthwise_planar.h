/* Depthwise convolution of one plane whose rows are dense, or are made so in strips of scratch.
 *
 * Three ways to read the input, chosen by the plan: in place with masked edges; through strips (strides above 4, padding modes,
 * rows that are not dense); element by element, for the rare cases that fit neither. */
#ifndef DSCONV_DEPTHWISE_PLANAR_H
#define DSCONV_DEPTHWISE_PLANAR_H

#include "depthwise_columns.h"
#include "depthwise_kinds.h"
#include "depthwise_paired.h"
#include "depthwise_long.h"
#include "depthwise_rows.h"
#include "depthwise_split.h"
#include "depthwise_sweeping.h"
#include "depthwise_turning.h"
#include "plane_region.h"
#include "strip.h"

static int log2_at_most(dsc_int n, int most)
{
    int log2 = 0;
    while (log2 < most && (dsc_int)2 << log2 <= n)
        ++log2;
    return log2;
}

/* May lanes of these vectors, for any column tap, lie outside x? Lane l of the tile reads position start + l * step. */
static bool needs_mask(const plane_region *r, const plane_source *s, dsc_int start, dsc_int vectors)
{
    const dsc_extent *e = r->e;
    dsc_int reach = (e->kernel[2] - 1) * e->dilation[2] + vectors * LANES * e->stride[2];
    return !s->padded && (start < 0 || start + reach > e->in[2]);
}

static void set_columns(const plane_region *r, depthwise_tile *t, dsc_int start, bool masked)
{
    const dsc_extent *e = r->e;
    t->column_first = 0, t->column_last = e->kernel[2];
    t->inside_low = INT64_MIN / 2, t->inside_high = INT64_MAX / 2;
    if (!masked)
        return;
    clip_taps(start, e->dilation[2], e->kernel[2], e->in[2], (t->width - 1) * e->stride[2], &t->column_first,
              &t->column_last);
    t->inside_low = -start, t->inside_high = e->in[2] - start;
}

/* All columns of the region, tile by tile: as many vectors as need no mask, or as many as do.
 * `table`: functions by [log2 vectors][masked]; `most`: the last of the unmasked. */
static void run_columns(const plane_region *r, const plane_source *s, depthwise_tile *t, const tile_function (*table)[2],
                        int most, const real *x, real *y)
{
    const dsc_extent *e = r->e;
    dsc_int x_step = s->padded ? 1 : e->stride[2], reach = (e->kernel[2] - 1) * e->dilation[2];
    bool wide = e->kernel[1] >= MASKED_ROWS && table[most][1];
    for (dsc_int done = 0; done < r->columns;) {
        dsc_int left = r->columns - done, start = (r->column + done) * e->stride[2] - e->low[2];
        dsc_int vectors = divide_up(left, LANES);
        bool masked = needs_mask(r, s, start, wide ? at_most(vectors, (dsc_int)1 << most) : 1);
        if (!masked && !s->padded)
            vectors = at_most(vectors, (e->in[2] - start - reach) / (LANES * e->stride[2]));
        int log2 = log2_at_most(masked && wide ? vectors + vectors / 2 : vectors, masked && !wide ? MASKED_LOG2 : most);
        if (masked && log2 == 1 && !wide && !needs_mask(r, s, start + LANES * e->stride[2], 1))
            log2 = 0;
        if (!table[log2][masked])
            log2 = 0;
        t->width = at_most(left, (dsc_int)LANES << log2);
        set_columns(r, t, start, masked);
        t->x = x + done * x_step;
        t->y = y + done * r->y_column;
        table[log2][masked](t);
        done += t->width;
    }
}

/* All planes of a region two at a time, if they are narrow enough and there is a function for the kernel. */
static bool run_paired(const plane_region *r, depthwise_tile *t, int rolling, const real *x, real *y)
{
    const dsc_extent *e = r->e;
    const bool square = !t->turn && (rolling == ROLLING_3_3 || rolling == ROLLING_5_5 || rolling == ROLLING_7_7);
    tile_function function = paired_function(e->kernel[1]);
    if (!function || !square || 2 * r->columns > LANES || r->planes < 2 || !rolls_densely(t, e->kernel[1]))
        return false;
    t->width = r->columns, t->x = x, t->y = y;
    set_columns(r, t, r->column * e->stride[2] - e->low[2], true);
    function(t);
    return true;
}

/* What a tile asks for while it runs: rows that it will come to; where it has too few, those of a later plane; where planes are
 * large, the same of the tile beside it, or of the first of the next plane. */
static void look_ahead(const plane_region *r, depthwise_tile *t, dsc_int done, dsc_int x_step)
{
    const dsc_int *in = r->e->in, ahead = in[0] > 1 || r->e->dilation[1] > 1 ? AHEAD : AHEAD_FLAT;
    if (r->e->dilation[1] > 1 && t->rows <= FEW_ROWS)
        t->x_ahead = PLANES_AHEAD * r->x_plane, t->y_ahead = PLANES_AHEAD * r->y_plane;
    else if (in[0] > 1 || in[1] * in[2] * (dsc_int)sizeof(real) <= PLANE_FAR)
        t->x_ahead = ahead * t->row, t->y_ahead = ahead / r->e->stride[1] * t->y_row;
    else if (done + t->width < r->columns)
        t->x_ahead = t->width * x_step, t->y_ahead = t->width;
    else
        t->x_ahead = r->planes * r->x_plane - done * x_step, t->y_ahead = r->planes * r->y_plane - done;
    t->slices_ahead = in[1] * in[2] * (dsc_int)sizeof(real) > SLICE_FAR ? t->depth_last : 0;
}

/* The columns before the first whole line of results, where these are stored past the caches; else -1. Lines must begin at the same
 * column in every row and plane. With half lines that is no gain. */
static dsc_int columns_before_line(const plane_region *r, const real *y)
{
    const dsc_int line = LINE_BYTES / sizeof(real);
    const bool same = r->y_column == 1 && r->y_row % line == 0 && r->y_plane % line == 0;
    if (FEW_TILES || SWEEPS || !same || r->p->mixing.data || result_bytes(r->p) <= PAST_BYTES)
        return -1;
    return (line - (dsc_int)((uintptr_t)y % LINE_BYTES / sizeof(real))) % line;
}

/* The tile of a region's columns from `next` on, of overlapping vectors if there are as many: its function. NULL: others do better
 * with the whole row. */
static tile_function set_overlapping(const plane_region *r, const plane_source *s, depthwise_tile *t, int rolling, int kind,
                                     dsc_int next)
{
    const dsc_int left = r->columns - next, begin = r->column - r->e->low[2];
    const bool three = rolling == ROLLING_3_3, known = rolling != ROLLING_1 && rolling != ROLLING_3 && rolling != ROLLING_4;
    const bool single = next > 0 && left <= LANES && known;   /* where a tile of one vector knows its columns */
    const dsc_int vectors = vectors_overlapping(kind, left);
    dsc_int done = single ? next : at_most(next, at_least(r->columns - vectors * LANES, 0));
    t->width = at_most(r->columns - done, vectors * LANES), t->second = t->width - LANES;
    set_columns(r, t, begin + done, true);
    const bool masked = needs_mask(r, s, begin + done, vectors), apart = !single && borders_apart(t, r->e->kernel[2], vectors);
    const bool own = masked || t->second < (vectors - 1) * LANES || !three;   /* others know no better tile without masks */
    if (!apart && next == 0 && TILE_VECTORS == 4)   /* tiles of as many vectors have masks for all */
        return NULL;
    if (!(apart && own) && (single || !three)) {
        done = next, t->width = at_most(left, LANES);
        set_columns(r, t, begin + done, true);
    }
    t->x = t->x + done, t->y = t->y + done;
    look_ahead(r, t, done, 1);
    return apart && own ? overlapping_function(kind, vectors) : rolling_table[rolling][!single && three][masked];
}

/* All columns of a region one vector after the other, if there is a tile for its taps. */
static bool run_columns_down(const plane_region *r, depthwise_tile *t, const real *x, real *y)
{
#if RUNS_DOWN
    t->width = r->columns, t->x = x, t->y = y;
    set_columns(r, t, r->column - r->e->low[2], true);
    if (!can_run_down(t, r->e))
        return false;
    columns_tile(t);
    return true;
#else
    return (void)r, (void)t, (void)x, (void)y, false;
#endif
}

/* All columns of a region by such tiles, if rows are long enough and there is a function for the kernel. */
static bool run_overlapping(const plane_region *r, const plane_source *s, depthwise_tile *t, int rolling, const real *x, real *y)
{
    const dsc_int *kernel = r->e->kernel;
    const bool flat = t->depth_first == 0 && t->depth_last == 1, deep = !flat && kernel[0] <= DEEP_TAPS;
    const bool plain = t->summands == 1 && !halves(rolling) && (flat || deep);
    const int kind = plain ? overlapping_kind(t->kernel_rows, kernel[2], deep) : NOT_OVERLAPPING;
    const bool better = overlaps_vectors(kind, divide_up(r->columns, LANES));
    if (!better || t->turn || !t->finite || !rolls_densely(t, t->kernel_rows))
        return false;
    for (dsc_int next = 0; next < r->columns; next = (t->y - y) + t->width) {
        t->x = x, t->y = y;
        const tile_function tile = set_overlapping(r, s, t, rolling, kind, next);
        if (!tile)
            return false;
        tile(t);
    }
    return true;
}

/* The same for rolling tiles, as wide as they can be: their first and last vectors may meet a border. */
static void run_rolling(const plane_region *r, const plane_source *s, depthwise_tile *t, int rolling, const real *x, real *y)
{
    const dsc_extent *e = r->e;
    dsc_int step = e->stride[2], x_step = s->padded ? 1 : step, reach = (e->kernel[2] - 1) * e->dilation[2];
    const bool complex = t->turn != 0, three = rolling == ROLLING_3_3;
    const dsc_int most = complex ? complex_vectors(t, three) : most_vectors(&rolling, t);
    const dsc_int before = three && !complex ? columns_before_line(r, y) : -1;
    if (three && !s->padded && run_columns_down(r, t, x, y))
        return;
    if (before < 0 && !s->padded && run_overlapping(r, s, t, rolling, x, y))
        return;
    for (dsc_int done = 0; done < r->columns;) {
        dsc_int left = done < before ? before - done : r->columns - done, start = (r->column + done) * step - e->low[2];
        dsc_int vectors = at_most(divide_up(left, LANES), most);
        bool masked = needs_mask(r, s, start, vectors);
        if (masked && vectors > 2 && start + LANES < 0)
            vectors = 1;
        else if (masked && vectors > 2)
            vectors = at_least(at_most(vectors, (e->in[2] - start - reach) / LANES + 1), 2);
        if (complex && vectors == 3)   /* two and one */
            vectors = 2;
        else if (!complex && !are_apart(t))
            vectors = vectors_rolling(rolling, vectors);
        masked = needs_mask(r, s, start, vectors);
        t->width = at_most(left, vectors * LANES);
        set_columns(r, t, start, masked);
        t->x = x + done * x_step;
        t->y = y + done * r->y_column;
        look_ahead(r, t, done, x_step);
        if (complex)
            complex_tile(t, three, vectors)(t);
        else if (before >= 0 && done >= before && t->width == TILE_VECTORS * LANES && rolls_densely(t, 3))
            roll_past(t);
        else if (!halves(rolling) && are_apart(t))
            apart_table[vectors - 1](t);
        else
            rolling_table[rolling][vectors - 1][masked](t);
        done += t->width;
    }
}

/* Input rows from one row tap to the next; where there is but one tap, to the next output row, so that rows roll. */
static dsc_int row_tap_step(const dsc_extent *e)
{
    return e->kernel[1] == 1 ? e->stride[1] : e->dilation[1];
}

/* Output rows row, row + apart, ... `rows` of them. */
static void run_rows(const plane_region *r, const plane_source *s, depthwise_tile *t, int rolling, int kind, dsc_int row,
                     dsc_int rows)
{
    const dsc_extent *e = r->e;
    dsc_int position = row * e->stride[1] - e->low[1];
    const real *x = s->origin + (position - s->top) * s->row;
    real *y = r->y + (row - r->row) * r->y_row;
    t->top = position;
    if (e->mode != DSC_ZEROS)
        t->top = 0, t->height = INT64_MAX;
    t->rows = rows;
    t->row_first = 0, t->row_last = (rows - 1) * (halves(rolling) ? 2 : 1) + e->kernel[1];
    if (e->mode == DSC_ZEROS)
        clip_taps(position, row_tap_step(e), t->row_last, e->in[1], 0, &t->row_first, &t->row_last);
    if (rolling != NOT_ROLLING && !s->padded && run_paired(r, t, rolling, x, y))
        return;
    if (rolling != NOT_ROLLING)
        run_rolling(r, s, t, rolling, x, y);
    else
        run_columns(r, s, t, tile_table[kind][rows == TILE_ROWS ? 2 : rows - 1], tile_vectors_log2((int)rows), x, y);
}

static bool rows_share(const dsc_extent *e)
{
    return row_tap_step(e) % e->stride[1] == 0;
}

/* Output rows from one that shares input with another to that other. */
static dsc_int rows_apart(const dsc_extent *e)
{
    return rows_share(e) ? row_tap_step(e) / e->stride[1] : 1;
}

/* For rows in place. */
static int choose_halving(const dsc_extent *e)
{
    const bool halved = e->stride[1] == 2 && e->stride[2] == 2 && e->dilation[1] == 1 && e->dilation[2] == 1;
    return halved && e->kernel[2] <= ROLLING_COLUMNS ? halving_kind(e) : NOT_ROLLING;
}

static int choose_rolling(const plane_region *r, const plane_source *s, bool one_slice)
{
    const dsc_extent *e = r->e;
    if (e->stride[2] > 1)
        return s->padded ? NOT_ROLLING : choose_halving(e);
    return rows_share(e) && e->kernel[2] <= ROLLING_COLUMNS ? rolling_kind(e, r->rows, one_slice) : NOT_ROLLING;
}

/* A tile of the whole region. */
static void set_whole(const plane_region *r, const plane_source *s, depthwise_tile *t)
{
    const dsc_extent *e = r->e;
    t->top = r->row * e->stride[1] - e->low[1];
    t->rows = r->rows, t->row = e->dilation[1] * s->row, t->y_row = r->y_row;
    t->x = s->origin + (t->top - s->top) * s->row, t->y = r->y;
    t->inside_low = e->low[2] - r->column * e->stride[2], t->inside_high = e->in[2] + t->inside_low;
    t->width = r->columns;
}

static void run_whole(const plane_region *r, const plane_source *s, depthwise_tile *t, tile_function function)
{
    set_whole(r, s, t);
    function(t);
}

/* The whole region along its rows, if they are long and there is a tile for its taps. */
static bool run_swept(const plane_region *r, const plane_source *s, const depthwise_tile *tile)
{
#if SWEEPS
    depthwise_tile t = *tile;
    set_whole(r, s, &t);
    if (s->padded || r->e->mode != DSC_ZEROS || !can_sweep(&t, r->e))
        return false;
    sweep_tile(&t);
    return true;
#else
    return (void)r, (void)s, (void)tile, false;
#endif
}

/* Output rows that are one row tap apart share input: tiles take rows `apart` steps from each other. */
static void run_region(const plane_region *r, const plane_source *s, depthwise_tile *t)
{
    const dsc_extent *e = r->e;
    bool one_slice = t->depth_first == 0 && t->depth_last == 1 && t->summands == 1;
    int rolling = choose_rolling(r, s, one_slice);
    bool share = rows_share(e);
    dsc_int apart = share ? rows_apart(e) : 1;
    dsc_int most = rolling != NOT_ROLLING ? r->rows : e->kernel[1] == 1 ? 1 : share && e->kernel[1] < TILE_ROWS ? 2 : TILE_ROWS;
    t->row = row_tap_step(e) * s->row;
    t->output_row = e->stride[1] * s->row;
    t->y_row = r->y_row * apart;
    if (one_slice && run_swept(r, s, t))
        return;
    if (!s->padded && e->stride[2] > 1 && rolling == NOT_ROLLING) {
        run_whole(r, s, t, split_table[e->stride[2] - 2]);
        return;
    }
    if (!s->padded && one_slice && rolling == NOT_ROLLING && can_be_long(e, r->columns) && taps_finite(r)) {
        run_whole(r, s, t, long_tile);
        return;
    }
    if (!s->padded && one_slice && takes_rows(t, e->kernel)) {
        run_whole(r, s, t, rows_tile);
        return;
    }
    for (dsc_int first = 0; first < at_most(apart, r->rows); ++first)
        for (dsc_int row = first, rows; row < r->rows; row += rows * apart) {
            rows = divide_up(r->rows - row, apart);
            if (rolling == NOT_ROLLING)
                rows = rows >= TILE_ROWS && most == TILE_ROWS ? TILE_ROWS : share && rows >= 2 && most >= 2 ? 2 : 1;
            run_rows(r, s, t, rolling, share && rows > 1 ? SHARED : UNSHARED, r->row + row, rows);
        }
}

static void depthwise_in_place(const plane_region *r)
{
    const dsc_extent *e = r->e;
    depthwise_tile t = region_tile(r);
    plane_source s = {
        .origin = (const real *)r->x + (r->depth * e->stride[0] - e->low[0]) * r->x_step[0] + (r->column * e->stride[2] - e->low[2]),
        .row = r->x_step[1], .top = 0,
    };
    t.slice = e->dilation[0] * r->x_step[0];
    t.finite = (NOT_ALL == ZEROS || r->columns > LANES) && e->stride[2] == 1 && taps_finite(r);
    run_region(r, &s, &t);
}

static void fill_region_strips(const plane_region *r, const dsc_plan *plan, const depthwise_tile *t, dsc_int top,
                               dsc_int rows, const strip_shape *shape, const char *x, real *strips)
{
    const dsc_extent *e = r->e;
    for (dsc_int k = t->depth_first; k < t->depth_last; ++k) {
        dsc_int depth = r->depth * e->stride[0] - e->low[0] + k * e->dilation[0];
        const char *slice = element(r->p, x, dsc_source_index(depth, e->in[0], e->mode) * r->x_step[0]);
        for (dsc_int i = 0; i < rows; ++i) {
            dsc_int row = dsc_source_index(top + i, e->in[1], e->mode);
            if (row >= 0)
                fill_strip(shape, strips + (k * plan->strip_rows + i) * plan->strip_pitch,
                           element(r->p, slice, row * r->x_step[1]));
        }
    }
}

static void depthwise_strips(const plane_region *r, const dsc_plan *plan, real *strips)
{
    const dsc_extent *e = r->e;
    depthwise_tile t = region_tile(r);
    dsc_int reach = (e->kernel[2] - 1) * e->dilation[2], top = r->row * e->stride[1] - e->low[1];
    strip_shape shape = {
        .p = r->p, .base = r->column * e->stride[2] - e->low[2], .span = (r->columns - 1) * e->stride[2] + reach + 1,
        .width = e->in[2], .step = r->x_step[2], .phases = e->stride[2],
        .phase_pitch = plan->strip_pitch / e->stride[2], .mode = e->mode,
    };
    plane_source s = {.origin = strips, .row = plan->strip_pitch, .top = top, .padded = true};
    if (e->mode != DSC_ZEROS)
        t.depth_first = 0, t.depth_last = e->kernel[0];
    t.slice = plan->strip_rows * plan->strip_pitch;
    t.phases = shape.phases, t.phase_pitch = shape.phase_pitch;
    t.x_summand = e->kernel[0] * t.slice, t.finite = true;
    for (dsc_int m = 0; m < r->summands; ++m)
        fill_region_strips(r, plan, &t, top, (r->rows - 1) * e->stride[1] + (e->kernel[1] - 1) * e->dilation[1] + 1, &shape,
                           summand_of(r, m), strips + m * t.x_summand);
    run_region(r, &s, &t);
}

#endif
