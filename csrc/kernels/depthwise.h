/* Depthwise convolution: which way it is computed, how it is cut up, and the first stage of the separable one. */
#ifndef DSCONV_DEPTHWISE_H
#define DSCONV_DEPTHWISE_H

#include "depthwise_elements.h"
#include "depthwise_interleaved.h"

#define STRIP_BYTES (160 << 10)       /* strips of a region: a part of the second-level cache */
#define STRIP_BYTES_MOST (256 << 10)  /* more is left to the element-wise path */
#define PACKED_BYTES_MOST (256 << 10)
#define ITEM_WORK (1 << 21)           /* multiply-adds in one item: some 0.1 ms, between two looks for an interrupt */
#define PLANES_BYTES (12 << 10)       /* input of planes that go through a tile together */
#define PLANES_DILATED 8              /* rows of a dilated tile lie pages apart: no more planes than have entries in the TLB */
#define GROUP_WORK (1 << 17)          /* multiply-adds in a group of small planes */
#define TAPS_MOST (1 << 22)           /* a kernel of more taps than this is looked at for interrupts inside */

static double kernel_volume(const dsc_extent *e)
{
    return (double)e->kernel[0] * (double)e->kernel[1] * (double)e->kernel[2];
}

static double output_volume(const dsc_extent *e)
{
    return (double)e->out[0] * (double)e->out[1] * (double)e->out[2];
}

static dsc_int padded_channels(const dsc_problem *p)
{
    return round_up(p->channels, LANES);
}

/* Results go to memory where the channel axis is the dense one. */
static bool channels_dense(const dsc_problem *p)
{
    return p->y.channel == 1 && p->y.step[2] != 1;
}

static int choose_path(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    bool packs = kernel_volume(e) * (double)(padded_channels(p) * sizeof(real)) <= PACKED_BYTES_MOST;
    if (kernel_volume(e) > TAPS_MOST)
        return ELEMENTS;
    if (p->x.step[2] == 1 && e->stride[2] <= 2 && e->mode == DSC_ZEROS && !(channels_dense(p) && p->x.channel == 1))
        return IN_PLACE;
    if (channels_dense(p) && p->x.channel == 1 && p->multiplier == 1 && e->mode == DSC_ZEROS && packs && p->channels >= LANES / 4)
        return INTERLEAVED;
    return STRIPS;
}

/* Strip scratch for regions of `rows` x `columns` outputs; as a double, for it may exceed any integer. */
static double strip_shape_for(const dsc_extent *e, dsc_int rows, dsc_int columns, dsc_plan *plan)
{
    double pitch, height = (double)(rows - 1) * (double)e->stride[1] + (double)(e->kernel[1] - 1) * e->dilation[1] + 1;
    double width = (double)columns + (double)(e->kernel[2] - 1) * e->dilation[2] / e->stride[2] + 2 * LANES + 2;
    double bytes = e->kernel[0] * height * width * e->stride[2] * sizeof(real);
    if (bytes > (1 << 30))
        return bytes;
    pitch = (double)round_up((dsc_int)width, LANES) * e->stride[2];
    plan->strip_rows = (dsc_int)height;
    plan->strip_pitch = (dsc_int)pitch;
    return e->kernel[0] * height * pitch * sizeof(real);
}

/* Shrink the plan's tile until its strips fit. False: those of the smallest tile do not, whatever tile the plan had: the
 * order of summation follows from the path, and must not follow from the number of threads. */
static bool fit_strips(const dsc_extent *e, dsc_plan *plan)
{
    const dsc_int narrow = 16 * LANES;
    if (strip_shape_for(e, 1, at_most(e->out[2], narrow), plan) > STRIP_BYTES_MOST)
        return false;
    while (strip_shape_for(e, plan->band_rows, plan->column_width, plan) > STRIP_BYTES) {
        if (plan->band_rows > TILE_ROWS || (plan->band_rows > 1 && plan->column_width <= narrow))
            plan->band_rows = plan->band_rows > TILE_ROWS ? at_least(plan->band_rows / 2, TILE_ROWS) : 1;
        else if (plan->column_width > narrow)
            plan->column_width = at_least(round_up(plan->column_width / 2, LANES), narrow);
        else
            break;
    }
    return true;
}

static void set_tiles(const dsc_extent *e, dsc_plan *plan)
{
    plan->bands = divide_up(e->out[1], plan->band_rows);
    plan->columns = divide_up(e->out[2], plan->column_width);
}

/* Settle how the depthwise stage reads x, for tiles that the plan already limits. */
static void plan_reading(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_extent *e = &p->e;
    plan->path = choose_path(p);
    if (plan->path == STRIPS) {
        dsc_plan fitted = *plan;
        if (fit_strips(e, &fitted))
            *plan = fitted;
        else
            plan->path = ELEMENTS;
    }
    if (plan->path == STRIPS)
        plan->scratch += (size_t)(e->kernel[0] * plan->strip_rows * plan->strip_pitch) * sizeof(real);
    else if (plan->path == INTERLEAVED)
        plan->scratch += ((size_t)kernel_volume(e) + 1) * (size_t)padded_channels(p) * sizeof(real) + 64;
}

static void plan_depthwise(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_extent *e = &p->e;
    double work = kernel_volume(e) * (choose_path(p) == INTERLEAVED ? (double)p->channels : 1);
    dsc_int apart = at_least(1, e->dilation[1] / e->stride[1]) * TILE_ROWS;
    *plan = (dsc_plan){.band_rows = e->out[1], .column_width = e->out[2]};
    if (work * (double)e->out[2] > 64.0 * ITEM_WORK)
        plan->column_width = at_most(e->out[2], round_up(at_least((dsc_int)(64.0 * ITEM_WORK / work), 1), 16 * LANES));
    work *= (double)plan->column_width;
    if (work * (double)e->out[1] > ITEM_WORK)
        plan->band_rows = at_most(e->out[1], round_up(at_least((dsc_int)(ITEM_WORK / work), 1), apart));
    plan_reading(p, plan);
    set_tiles(e, plan);
    plan->group = plan->path == INTERLEAVED ? p->outputs : 1;
    if (plan->path == IN_PLACE && plan->bands == 1 && plan->columns == 1)
        plan->group = at_most(at_least((dsc_int)(GROUP_WORK / (work * (double)e->out[1] * TILE_ROWS / apart)), 1), p->outputs);
    plan->groups = plan->group ? divide_up(p->outputs, plan->group) : 0;
    plan->items = p->batch * plan->groups * e->out[0] * plan->bands * plan->columns;
    plan->work = (kernel_volume(e) + 8) * output_volume(e) * (double)p->batch * (double)p->outputs;
}

/* A tile of the output plane, and where its results go. */
typedef struct { dsc_int image, depth, row, rows, column, columns; } output_tile;

static output_tile tile_of(const dsc_problem *p, const dsc_plan *plan, const item_cursor *c)
{
    output_tile t = {.image = c->image, .depth = c->depth, .row = c->band * plan->band_rows,
                     .column = c->column * plan->column_width};
    t.rows = at_most(plan->band_rows, p->e.out[1] - t.row);
    t.columns = at_most(plan->column_width, p->e.out[2] - t.column);
    return t;
}

/* Where the planes of a tile's depthwise results go. */
typedef struct { real *y; dsc_int plane, row, column; const epilogue *finish; } plane_target;

/* Depthwise output channel o of a tile, and the `planes` - 1 after it if every input channel has one output. */
static plane_region region_of(const dsc_problem *p, const output_tile *t, dsc_int o, dsc_int planes,
                              const plane_target *target)
{
    static const real zero = 0;
    dsc_int c = p->multiplier == 1 ? o : o / p->multiplier, m = o - c * p->multiplier;
    const real *bias = (const real *)p->taps_bias.data;
    return (plane_region){
        .e = &p->e,
        .x = (const real *)p->x.data + t->image * p->x.batch + c * p->x.channel, .x_step = p->x.step,
        .taps = (const real *)p->taps.data + t->image * p->taps.batch + c * p->taps.channel + m * p->taps.multiplier,
        .tap_step = p->taps.step,
        .bias = bias ? bias + t->image * p->taps_bias.batch + o * p->taps_bias.step : &zero,
        .planes = planes, .x_plane = p->x.channel, .taps_plane = p->taps.channel,
        .bias_plane = bias ? p->taps_bias.step : 0, .y_plane = target->plane,
        .depth = t->depth, .row = t->row, .rows = t->rows, .column = t->column, .columns = t->columns,
        .y = target->y, .y_row = target->row, .y_column = target->column, .finish = target->finish,
    };
}

static void finish_plane(const plane_region *r)
{
    if (r->finish->later != DSC_LINEAR)
        for (dsc_int row = 0; row < r->rows; ++row)
            finish_later(r->finish, r->y + row * r->y_row, r->y_column, r->columns);
}

/* Planes that go through the tiles together: the rows that one tile takes of all of them stay in the first-level cache. */
static dsc_int planes_together(const dsc_problem *p, const dsc_plan *plan, const output_tile *t)
{
    if (plan->path != IN_PLACE || p->multiplier != 1 || p->e.stride[2] != 1)
        return 1;
    dsc_int apart = rows_share(&p->e) ? p->e.dilation[1] / p->e.stride[1] : 1;
    dsc_int fit = PLANES_BYTES / (dsc_int)sizeof(real) / at_least(divide_up(t->rows, apart) * p->e.in[2], 1);
    return at_least(apart > 1 ? at_most(fit, PLANES_DILATED) : fit, 1);
}

/* Depthwise output channels [first, first + count) of a tile, the first to `target`. */
static void depthwise_planes(const dsc_problem *p, const dsc_plan *plan, const output_tile *t, dsc_int first,
                             dsc_int count, plane_target target, void *scratch)
{
    dsc_int together = planes_together(p, plan, t);
    for (dsc_int done = 0, planes; done < count; done += planes) {
        planes = at_most(together, count - done);
        plane_region r = region_of(p, t, first + done, planes, &target);
        if (plan->path == IN_PLACE && (p->e.stride[2] == 1 || taps_finite(&r)))
            depthwise_in_place(&r);
        else if (plan->path == STRIPS && taps_finite(&r))
            depthwise_strips(&r, plan, scratch);
        else
            depthwise_elements(p, &r);
        for (dsc_int plane = 0; plane < planes; ++plane, r.y += r.y_plane)
            finish_plane(&r);
        target.y += planes * target.plane;
    }
}

/* What a thread keeps between tiles of one image: its packed taps and bias. */
typedef struct { dsc_int image; real *taps, *bias; } packed_channels;

static packed_channels no_channels(const dsc_problem *p, void *scratch)
{
    real *taps = scratch;
    return (packed_channels){.image = -1, .taps = taps, .bias = taps + (size_t)kernel_volume(&p->e) * padded_channels(p)};
}

static void pack_channels(const dsc_problem *p, dsc_int image, packed_channels *packed)
{
    const real *bias = (const real *)p->taps_bias.data;
    bool same = packed->image >= 0 && p->taps.batch == 0 && (!bias || p->taps_bias.batch == 0);
    if (same || packed->image == image)
        return;
    pack_taps(p, (const real *)p->taps.data + image * p->taps.batch, packed->taps, padded_channels(p));
    for (dsc_int c = 0; c < padded_channels(p); ++c)
        packed->bias[c] = bias && c < p->channels ? bias[image * p->taps_bias.batch + c * p->taps_bias.step] : 0;
    packed->image = image;
}

/* Channels [first, first + count) of a tile, channels dense on both sides. */
static void depthwise_pixels(const dsc_problem *p, const output_tile *t, packed_channels *packed, dsc_int first,
                             dsc_int count, const epilogue *finish, real *y, dsc_int y_row, dsc_int y_column)
{
    pack_channels(p, t->image, packed);
    channel_region r = {
        .e = &p->e, .x = (const real *)p->x.data + t->image * p->x.batch + first, .x_step = p->x.step,
        .taps = packed->taps + first, .bias = packed->bias + first, .channels = count, .padded = padded_channels(p),
        .depth = t->depth, .row = t->row, .rows = t->rows, .column = t->column, .columns = t->columns,
        .y = y, .y_row = y_row, .y_column = y_column, .finish = finish,
    };
    depthwise_channels(&r);
}

static void run_depthwise(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const dsc_map *y = &p->y;
    bool interleaved = plan->path == INTERLEAVED;
    epilogue finish = make_epilogue(p->taps_activation);
    packed_channels packed = {.image = -1};
    if (interleaved)
        packed = no_channels(p, scratch);
    item_cursor c = item_at(p, plan, plan->groups, begin);
    for (dsc_int i = begin; i < end; ++i, next_item(&c)) {
        output_tile t = tile_of(p, plan, &c);
        dsc_int channel = c.channel * plan->group, count = at_most(plan->group, p->outputs - channel);
        real *target = (real *)y->data + c.image * y->batch + channel * y->channel + t.depth * y->step[0] +
                       t.row * y->step[1] + t.column * y->step[2];
        if (interleaved)
            depthwise_pixels(p, &t, &packed, 0, p->channels, &finish, target, y->step[1], y->step[2]);
        else
            depthwise_planes(p, plan, &t, channel, count,
                             (plane_target){target, y->channel, y->step[1], y->step[2], &finish}, scratch);
    }
}

#endif
