/* Depthwise convolution, forward and transposed: tiles of the output, and the first stage of the separable one. */
#ifndef DSCONV_DEPTHWISE_H
#define DSCONV_DEPTHWISE_H

#include "depthwise_plan.h"
#include "depthwise_phases.h"
#include "depthwise_few_channels.h"
#include "depthwise_staged.h"
#if !PIXELS_ABREAST
#include "depthwise_marching_phases.h"
#endif

/* Where the planes of a tile's depthwise results go. */
typedef struct { real *y; dsc_int plane, row, column; const epilogue *finish; } plane_target;

/* Depthwise output channel o of a tile, and the `planes` - 1 after it if every input channel has one output. */
static plane_region region_of(const dsc_problem *p, const window *w, dsc_int o, dsc_int planes, const plane_target *target)
{
    static const real zero[2] = {0};
    dsc_int c = p->multiplier == 1 ? o : o / p->multiplier, m = o - c * p->multiplier;
    const real *bias = (const real *)p->taps_bias.data;
    return (plane_region){
        .p = p, .e = &w->e,
        .x = element(p, p->x.data, w->image * p->x.batch + c * p->x.channel), .x_step = p->x.step,
        .taps = (const real *)p->taps.data + w->image * p->taps.batch + c * p->taps.channel + m * p->taps.multiplier +
                first_tap_of(w, p->taps.step),
        .tap_step = w->tap_step,
        .bias = bias ? bias + w->image * p->taps_bias.batch + o * p->taps_bias.step : zero,
        .summands = p->summands, .x_summand = p->x.multiplier, .taps_summand = p->taps.multiplier,
        .planes = planes, .x_plane = p->x.channel, .taps_plane = p->taps.channel,
        .bias_plane = bias ? p->taps_bias.step : 0, .y_plane = target->plane,
        .depth = w->first[0], .row = w->first[1], .rows = w->count[1], .column = w->first[2], .columns = w->count[2],
        .y = target->y + w->place[1] * target->row + w->place[2] * target->column,
        .y_row = target->row * w->spacing[1], .y_column = target->column * w->spacing[2], .finish = target->finish,
    };
}

/* Outputs that no tap reaches. */
static void fill_bias(const plane_region *r)
{
    for (dsc_int plane = 0; plane < r->planes; ++plane) {
        real value = v_finish(r->finish, v_spread(r->bias[plane * r->bias_plane]))[0];
        for (dsc_int row = 0; row < r->rows; ++row)
            for (dsc_int column = 0; column < r->columns; ++column)
                r->y[plane * r->y_plane + row * r->y_row + column * r->y_column] = value;
    }
}

/* Planes that go through the tiles together: the rows that one tile takes of all of them stay in the first-level cache. */
static dsc_int planes_together(const dsc_problem *p, const dsc_plan *plan, const window *w)
{
    if (plan->path != IN_PLACE || p->multiplier != 1)
        return 1;
    if (w->e.stride[2] > 1 && choose_halving(&w->e) == NOT_ROLLING)
        return p->outputs;   /* whose tiles are whole planes */
    dsc_int apart = rows_apart(&w->e);
    dsc_int fit = PLANES_BYTES / (dsc_int)sizeof(real) / at_least(divide_up(w->count[1], apart) * w->e.in[2], 1);
    return at_least(apart > 1 ? at_most(fit, PLANES_DILATED) : fit, 1);
}

static void run_planes(const dsc_problem *p, const dsc_plan *plan, const plane_region *r, void *scratch)
{
    const dsc_int *kernel = r->e->kernel;
    if (kernel[0] == 0 || kernel[1] == 0 || kernel[2] == 0)
        fill_bias(r);
    else if (plan->path == IN_PLACE && (r->e->stride[2] == 1 || taps_finite(r)))
        depthwise_in_place(r);
    else if (plan->path == STRIPS && taps_finite(r))
        depthwise_strips(r, plan, scratch);
    else
        depthwise_elements(p, r);
}

static void finish_planes(const output_tile *t, const plane_target *target, dsc_int planes)
{
    const bool dense = target->column == 1 && target->row == t->columns;
    const dsc_int rows = dense ? 1 : t->rows, columns = dense ? t->rows * t->columns : t->columns;
    for (dsc_int plane = 0; target->finish->later != DSC_LINEAR && plane < planes; ++plane)
        for (dsc_int row = 0; row < rows; ++row)
            finish_later(target->finish, target->y + plane * target->plane + row * target->row, target->column, columns);
}

/* The windows of all phases of the columns that begin with `w`, if there is a tile for them; `at` then moves past them. */
static bool run_phases(const dsc_problem *p, const dsc_plan *plan, const output_tile *t, const window *w, window_cursor *at,
                       dsc_int first, dsc_int count, plane_target target)
{
    phase_windows all = {.count = (int)at_most(w->spacing[2], PHASES_MOST + 1)};
    window_cursor next = *at;
    if (plan->path != IN_PLACE || target.column != 1 || all.count < 2 || all.count > PHASES_MOST || w->place[2] != 0)
        return false;
    all.window[0] = *w;
    for (int i = 1; i < all.count; ++i)
        if (!next_window(p, t, &next, &all.window[i]))
            return false;
    if (!roll_together(&all))
        return false;
    *at = next;
    const dsc_int together = p->multiplier == 1 ? count : 1;
    for (dsc_int done = 0; done < count; done += together, target.y += together * target.plane) {
        plane_region r = region_of(p, w, first + done, together, &target);
        depthwise_phases(&r, &all, p->taps.step[2]);
    }
    return true;
}

/* Depthwise output channels [first, first + count) of a tile, the first to `target`. */
static void depthwise_planes(const dsc_problem *p, const dsc_plan *plan, const output_tile *t, dsc_int first,
                             dsc_int count, plane_target target, void *scratch)
{
    window w;
    for (window_cursor at = first_window(p, t); next_window(p, t, &at, &w);) {
        dsc_int together = planes_together(p, plan, &w);
        plane_target here = target;
        if (run_phases(p, plan, t, &w, &at, first, count, target))
            continue;
        for (dsc_int done = 0, planes; done < count; done += planes, here.y += planes * here.plane) {
            planes = at_most(together, count - done);
            plane_region r = region_of(p, &w, first + done, planes, &here);
            if (planes > 1 && w.e.stride[2] != 1 && !taps_finite(&r)) {
                planes = 1;
                r = region_of(p, &w, first + done, planes, &here);
            }
            run_planes(p, plan, &r, scratch);
            if (!p->e.transposed)
                finish_planes(t, &here, planes);
        }
    }
    if (p->e.transposed)
        finish_planes(t, &target, count);
}

/* Channels dense: are the results many, and can vectors of channels begin with a line, or half of one, in every pixel? */
static bool stores_past(const dsc_problem *p)
{
    const dsc_int *step = p->y.step;
    const bool whole = whole_vectors(step[0]) && whole_vectors(step[1]) && whole_vectors(step[2]);
    return (VECTOR_BYTES == LINE_BYTES || PIXELS_ABREAST) && whole && !p->mixing.data && result_bytes(p) > PAST_BYTES;
}

/* Channels [first, first + count) of a tile, channels dense on both sides, and where their results go. */
typedef struct {
    const output_tile *tile;
    const packed_channels *packed;
    dsc_int first, count, y_row, y_column;
    const epilogue *finish;
    real *y;
} pixel_target;

#define ASKS_FROM (16 << 20)       /* bytes of x and y; the third-level cache is fast enough for fewer ... */
#define ASKED_ROWS_MOST (96 << 10) /* ... and rows of more have been driven out again when they are needed */

/* Channels dense: do rows come from memory, and follow others, so that they should be asked for? */
static bool asks_for_rows(const dsc_problem *p, const window *w)
{
    const dsc_int *in = p->e.in;
    const double row = (double)in[2] * (double)p->channels * sizeof(real);
    const double x = row * (double)in[0] * (double)in[1] * (double)p->batch;
    return !p->mixing.data && w->spacing[2] == 1 && w->count[1] > 1 && row < ASKED_ROWS_MOST && x + result_bytes(p) > ASKS_FROM;
}

static channel_region region_of_pixels(const dsc_problem *p, const window *w, const pixel_target *to)
{
    const dsc_int tap = p->parts * LANES, row = p->e.kernel[2] * tap, step[3] = {p->e.kernel[1] * row, row, tap};
    const dsc_int taps = p->e.kernel[0] * step[0], vector = divide_up(to->first, LANES);
    channel_region r = {
        .e = &w->e, .x = (const real *)p->x.data + to->tile->image * p->x.batch + to->first * p->x.channel, .x_step = p->x.step,
        .parts = p->parts, .taps = to->packed->taps + vector * taps + first_tap_of(w, step), .tap_vector = taps,
        .in_order = !p->e.transposed, .bias = to->packed->bias + vector * LANES, .skip = to->first == 0 ? to->packed->skip : 0,
        .channels = to->count, .depth = w->first[0], .row = w->first[1], .rows = w->count[1], .column = w->first[2],
        .columns = w->count[2], .y = to->y + w->place[1] * to->y_row + w->place[2] * to->y_column,
        .y_row = to->y_row * w->spacing[1], .y_column = to->y_column * w->spacing[2], .past = stores_past(p),
        .spread = w->spacing[2] > 1 && !p->mixing.data && result_bytes(p) > PHASES_FAR,
        .asks = asks_for_rows(p, w), .finish = to->finish,
    };
    for (int axis = 0; axis < 3; ++axis)
        r.tap_step[axis] = step[axis] * w->tap_sign[axis];
    return r;
}

#if PIXELS_ABREAST
static bool run_phases_together(const dsc_problem *p, const pixel_target *to) { (void)p, (void)to; return false; }
#else
/* All windows of a tile at once, if there is a function for them. */
static bool run_phases_together(const dsc_problem *p, const pixel_target *to)
{
    const output_tile *t = to->tile;
    window_cursor at = first_window(p, t);
    window w[MARCHING_WINDOWS];
    channel_region r[MARCHING_WINDOWS];
    phases_together all;
    if (!p->e.transposed || p->e.stride[1] != MARCHING_PHASES || p->e.stride[2] != MARCHING_PHASES || t->row % MARCHING_PHASES ||
        t->column % MARCHING_PHASES || at.rows != MARCHING_PHASES || at.columns != MARCHING_PHASES)
        return false;
    for (int i = 0; i < MARCHING_WINDOWS; ++i) {
        next_window(p, t, &at, &w[i]);
        r[i] = region_of_pixels(p, &w[i], to);
    }
    if (!phases_march(r, &all))
        return false;
    march_phases(r, &all);
    return true;
}
#endif

static void depthwise_pixels(const dsc_problem *p, const output_tile *t, packed_channels *packed, dsc_int first,
                             dsc_int count, const epilogue *finish, real *y, dsc_int y_row, dsc_int y_column)
{
    const pixel_target to = {.tile = t, .packed = packed, .first = first, .count = count, .y_row = y_row, .y_column = y_column,
                             .finish = finish, .y = y};
    window w;
    pack_channels(p, t->image, packed);
    if (run_phases_together(p, &to))
        return;
    for (window_cursor at = first_window(p, t); next_window(p, t, &at, &w);) {
        channel_region r = region_of_pixels(p, &w, &to);
        if (has_few_channels(&r))
            depthwise_few_channels(&r);
        else if (can_stage(&r))
            depthwise_staged(&r);
        else
            depthwise_channels(&r);
    }
}

#include "depthwise_fold.h"
#include "depthwise_multiplied.h"
#include "depthwise_vectors.h"

static void run_depthwise(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_map *y = &p->y;
    bool interleaved = plan->path == INTERLEAVED;
    epilogue finish = make_epilogue(p->taps_activation);
    packed_channels packed = {.image = -1};
    if (p->fold) {
        run_folded(p, plan, begin, end, scratch);
        return;
    }
    if (plan->path == BY_VECTORS) {
        run_vectors_of_channels(p, plan, begin, end, scratch);
        return;
    }
    if (interleaved)
        packed = no_channels(p, lanes_to_skip(p), scratch);
    else if (plan->path == MULTIPLIED)
        packed = after_multiplied(p, scratch);
    item_cursor c = item_at(p, plan, plan->groups, begin);
    for (dsc_int i = begin; i < end; ++i, next_item(&c)) {
        output_tile t = tile_of(p, plan, &c);
        /* Where the first vector is of fewer channels, so is the first group. */
        const dsc_int skip = interleaved ? packed.skip : 0, channel = at_least(c.channel * plan->group - skip, 0);
        const dsc_int count = at_most((c.channel + 1) * plan->group - skip, p->outputs) - channel;
        char *place = element_of(p, y->data, c.image * y->batch + channel * y->channel + t.depth * y->step[0] +
                                                 t.row * y->step[1] + t.column * y->step[2]);
        real *target = (real *)place;
        if (interleaved)
            depthwise_pixels(p, &t, &packed, channel, count, &finish, target, y->step[1], y->step[2]);
        else if (plan->path == MULTIPLIED)
            depthwise_multiplied(p, &t, &packed, channel, count, &finish, target, y->step[1], y->step[2], scratch);
        else
            depthwise_planes(p, plan, &t, channel, count,
                             (plane_target){target, y->channel, y->step[1], y->step[2], &finish}, scratch);
    }
}

#endif
