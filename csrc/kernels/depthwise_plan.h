/* Depthwise convolution: which way it is computed, and how it is cut up. */
#ifndef DSCONV_DEPTHWISE_PLAN_H
#define DSCONV_DEPTHWISE_PLAN_H

#include "depthwise_elements.h"
#if PIXELS_ABREAST
#include "depthwise_abreast.h"
#else
#include "depthwise_interleaved.h"
#endif

#define STRIP_BYTES (160 << 10)       /* strips of a region: a part of the second-level cache */
#define STRIP_BYTES_MOST (256 << 10)  /* more is left to the element-wise path */
#define PACKED_BYTES_MOST (512 << 10)
#define ITEM_WORK (1 << 21)           /* multiply-adds in one item: some 0.1 ms, between two looks for an interrupt */
#define PLANES_BYTES (128 << 10)      /* input of planes that go through a tile together */
#define PLANES_DILATED 8              /* rows of a dilated tile lie pages apart: no more planes than have entries in the TLB */
#define GROUP_WORK (1 << 17)          /* multiply-adds in a group of small planes */
#define FOLD_ROWS 16                  /* a piece of a padded plane */
#define FOLD_COLUMNS 512
#define FEW_TAPS 64                   /* most of the tile for fewer channels than a vector holds; else strips, if they are very few */
#define LINE_REALS (LINE_BYTES / (dsc_int)sizeof(real))
#define MULTIPLIED_REALS ((128 << 10) / (dsc_int)sizeof(real))   /* of inputs, each as often as it has outputs */
#define MULTIPLIED_BYTES (192 << 10)   /* bytes of taps, at most: scratch of separable layers stays below 1 MiB */
#define BY_VECTORS_BYTES (512 << 10)  /* of a vector of channels, its inputs, results and taps: a part of the second-level cache */
#define BY_VECTORS_TAPS 40            /* fewer are not worth a copy of the planes, ... */
#define BY_VECTORS_GAIN 1.05          /* ... nor if vectors of columns take fewer times the multiply-adds that exist */
#define TILES_EVEN 8                  /* items a thread, at least, that need not be equally many for each */
#define TAPS_MOST (1 << 22)           /* a kernel of more taps than this is looked at for interrupts inside */

/* Results go to memory where the channel axis is the dense one. */
static bool channels_dense(const dsc_problem *p)
{
    return p->y.channel == 1 && p->y.step[2] != 1;
}

/* ... and is in x too. */
static bool pixels_dense(const dsc_problem *p)
{
    return channels_dense(p) && p->x.channel == 1;
}

static dsc_problem *arrange_axes(dsc_problem *p, dsc_problem *copy)
{
    const bool slices = p->e.kernel[0] > 1 && p->e.kernel[1] == 1 && channels_dense(p);
    if (!slices && !merges_axes(p))
        return p;
    *copy = *p;
    if (!slices) {
        dsc_merge_axes(copy);
        return copy;
    }
    dsc_exchange_rows(copy);   /* rows of outputs may share inputs in registers, slices do not */
    return rows_of_channels(&copy->e, p->parts) > rows_of_channels(&p->e, p->parts) ? copy : p;
}

/* What the outputs of a call are when they are read: the convolution itself, or the largest of those that the phases of
 * a transposed one amount to. Plans count in its outputs, and are brought to those of the call at the end. */
static dsc_extent reading_extent(const dsc_problem *p)
{
    dsc_extent e = p->e;
    for (int axis = 0; p->e.transposed && axis < 3; ++axis) {
        dsc_int stride = p->e.stride[axis], past = p->e.low[axis] % stride;
        dsc_phase_of(&p->e, axis, past ? stride - past : 0, &e);
        e.out[axis] = divide_up(p->e.out[axis], stride);
    }
    if (p->e.transposed)
        e.mode = DSC_ZEROS;
    return e;
}

static dsc_int stride_of_phases(const dsc_problem *p, int axis)
{
    return p->e.transposed ? p->e.stride[axis] : 1;
}

/* Several outputs of each channel as channels of their own, where taps lie so. */
static dsc_problem multiplied_channels(const dsc_problem *p)
{
    dsc_problem own = *p;
    own.channels *= p->multiplier, own.multiplier = 1, own.taps.channel = p->taps.multiplier;
    return own;
}

/* Does what so many outputs read fit, each channel as often as it has outputs? As a double, for it may exceed any integer. */
static bool multiplied_fits(const dsc_extent *e, dsc_int rows, dsc_int columns, dsc_int outputs)
{
    const double counts[3] = {1, (double)rows, (double)columns};
    double reals = (double)outputs;
    for (int axis = 0; axis < 3; ++axis) {
        const double reach = ((double)e->kernel[axis] - 1) * (double)e->dilation[axis];
        const double between = counts[axis] - 1, stride = (double)e->stride[axis];
        const double read = (e->transposed ? (between + reach) / stride : between * stride + reach) + 1;
        reals *= read < (double)e->in[axis] ? read : (double)e->in[axis];
    }
    return reals <= MULTIPLIED_REALS;
}

/* Distances that are small keep all products so. */
static bool is_small(const dsc_extent *e)
{
    bool small = true;
    for (int axis = 0; axis < 3; ++axis)
        small = small && stays_small(e->dilation[axis]) && stays_small(e->stride[axis]) && stays_small(e->kernel[axis]) &&
                stays_small(e->low[axis]);
    return small;
}

/* Can they be copied, see depthwise_multiplied.h? */
static bool multiplies(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    const double volume = kernel_volume(e), channels = (double)p->channels * (double)p->multiplier;
    const bool multiplied = volume > 0 && p->multiplier > 1 && p->channels > 0;
    return multiplied && is_small(e) && pixels_dense(p) && p->parts == 1 && p->summands == 1 && !p->fold &&
           (e->transposed || e->mode == DSC_ZEROS) && p->taps.channel == p->multiplier * p->taps.multiplier &&
           multiplied_fits(e, 1, 1, LINE_REALS) &&
           volume * (channels + 2 * LANES) * sizeof(real) <= MULTIPLIED_BYTES;
}

static size_t multiplied_bytes(const dsc_problem *p)
{
    const dsc_problem own = multiplied_channels(p);
    return (MULTIPLIED_REALS + LANES) * sizeof(real) + packed_bytes(&own, kernel_volume(&p->e));
}

/* Channels that settle the path, and so the order of summation: not those of a part, which threads may make smaller. */
static dsc_int whole_channels(const dsc_problem *p)
{
    return p->whole ? p->whole : p->channels;
}

static int choose_path(const dsc_problem *p, const dsc_extent *e)
{
    const dsc_int channels = whole_channels(p);
    const double lanes = (double)(lanes_of_channels(channels) * p->parts);
    const bool packs = kernel_volume(e) * lanes * (double)sizeof(real) <= PACKED_BYTES_MOST;
    if (kernel_volume(e) * (double)p->summands > TAPS_MOST)
        return ELEMENTS;
    const bool columns = p->x.step[2] == 1 && (e->stride[2] == 1 || can_split(e, p->summands));
    if (!FEW_TILES && columns && e->mode == DSC_ZEROS && !pixels_dense(p))
        return IN_PLACE;
    if (pixels_dense(p) && p->multiplier == 1 && p->summands == 1 && !p->fold && e->mode == DSC_ZEROS &&
        packs && (channels >= LANES / 4 || kernel_volume(e) <= FEW_TAPS))
        return INTERLEAVED;
    return multiplies(p) ? MULTIPLIED : STRIPS;
}

/* Strip scratch for regions of `rows` x `columns` outputs; as a double, for it may exceed any integer. */
static double strip_shape_for(const dsc_problem *p, const dsc_extent *e, dsc_int rows, dsc_int columns, dsc_plan *plan)
{
    double slices = (double)(e->kernel[0] * p->summands);
    double pitch, height = (double)(rows - 1) * (double)e->stride[1] + (double)(e->kernel[1] - 1) * e->dilation[1] + 1;
    double width = (double)columns + (double)(e->kernel[2] - 1) * e->dilation[2] / e->stride[2] + 2 * LANES + 2;
    double bytes = slices * height * width * e->stride[2] * sizeof(real);
    if (bytes > (1 << 30))
        return bytes;
    pitch = (double)round_up((dsc_int)width, LANES) * e->stride[2];
    plan->strip_rows = (dsc_int)height;
    plan->strip_pitch = (dsc_int)pitch;
    return slices * height * pitch * sizeof(real);
}

/* Shrink the plan's tile until its strips fit. False: those of the smallest tile do not, whatever tile the plan had: the
 * order of summation follows from the path, and must not follow from the number of threads. */
static bool fit_strips(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan)
{
    const dsc_int narrow = 16 * LANES;
    if (strip_shape_for(p, e, 1, at_most(e->out[2], narrow), plan) > STRIP_BYTES_MOST)
        return false;
    while (strip_shape_for(p, e, plan->band_rows, plan->column_width, plan) > STRIP_BYTES) {
        if (plan->band_rows > TILE_ROWS || (plan->band_rows > 1 && plan->column_width <= narrow))
            plan->band_rows = plan->band_rows > TILE_ROWS ? at_least(plan->band_rows / 2, TILE_ROWS) : 1;
        else if (plan->column_width > narrow)
            plan->column_width = at_least(round_up(plan->column_width / 2, LANES), narrow);
        else
            break;
    }
    return true;
}

/* From the outputs that were planned with to those of the call. */
static void set_tiles(const dsc_problem *p, dsc_plan *plan)
{
    plan->band_rows = at_most(plan->band_rows * stride_of_phases(p, 1), p->e.out[1]);
    plan->column_width = at_most(plan->column_width * stride_of_phases(p, 2), p->e.out[2]);
    plan->bands = divide_up(p->e.out[1], plan->band_rows);
    plan->columns = divide_up(p->e.out[2], plan->column_width);
}

/* Settle how the depthwise stage reads x, for tiles that the plan already limits. */
static ONCE_A_CALL void plan_reading(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan)
{
    plan->path = choose_path(p, e);
    if (plan->path == STRIPS) {
        dsc_plan fitted = *plan;
        if (fit_strips(p, e, &fitted))
            *plan = fitted;
        else
            plan->path = ELEMENTS;
    }
    if (plan->path == STRIPS)
        plan->scratch += (size_t)(p->summands * e->kernel[0] * plan->strip_rows * plan->strip_pitch) * sizeof(real);
    else if (plan->path == INTERLEAVED)
        plan->scratch += packed_bytes(p, kernel_volume(&p->e));
    else if (plan->path == MULTIPLIED)
        plan->scratch += multiplied_bytes(p);
}

/* Tiles of a depthwise convolution alone. `work`: multiply-adds for one output. */
static void limit_tiles(const dsc_extent *e, double work, dsc_plan *plan)
{
    dsc_int apart = at_least(1, e->dilation[1] / e->stride[1]) * TILE_ROWS;
    plan->band_rows = e->out[1], plan->column_width = e->out[2];
    if (work * (double)e->out[2] > 64.0 * ITEM_WORK)
        plan->column_width = at_most(e->out[2], round_up(at_least((dsc_int)(64.0 * ITEM_WORK / work), 1), 16 * LANES));
    work *= (double)plan->column_width;
    if (work * (double)e->out[1] > ITEM_WORK)
        plan->band_rows = at_most(e->out[1], round_up(at_least((dsc_int)(ITEM_WORK / work), 1), apart));
}

/* Output channels of one item: several planes where they are small. */
static dsc_int group_of(const dsc_problem *p, const dsc_extent *e, const dsc_plan *plan, double work)
{
    dsc_int apart = at_least(1, e->dilation[1] / e->stride[1]) * TILE_ROWS;
    if (plan->path == INTERLEAVED)
        return p->outputs + lanes_to_skip(p);
    if (plan->path == MULTIPLIED)
        return p->outputs;
    if (plan->path != IN_PLACE || plan->bands != 1 || plan->columns != 1)
        return 1;
    work *= (double)e->out[1] * (double)e->out[2];
    return at_most(at_least((dsc_int)(GROUP_WORK / (work * TILE_ROWS / (double)apart)), 1), p->outputs);
}

/* At least so many pieces of each of `wholes`, at most `most`: as many that every thread gets equally many, or very many. */
static dsc_int share_pieces(const dsc_problem *p, dsc_int wholes, dsc_int pieces, dsc_int most)
{
    while (pieces < most && wholes * pieces < TILES_EVEN * p->threads && wholes * pieces % p->threads != 0)
        ++pieces;
    return pieces;
}

/* So many rows of outputs, of each phase, in a tile. */
static void share_rows(const dsc_problem *p, dsc_int rows, dsc_plan *plan)
{
    plan->band_rows = at_most(rows * stride_of_phases(p, 1), p->e.out[1]);
    plan->bands = divide_up(p->e.out[1], plan->band_rows);
}

static void share_vectors(const dsc_problem *p, dsc_int tiles, dsc_plan *plan)
{
    const dsc_int channels = p->outputs + lanes_to_skip(p), vectors = divide_up(channels, LANES);
    plan->group = LANES * divide_up(vectors, share_pieces(p, tiles, 1, vectors));
    plan->groups = divide_up(channels, plan->group);
}

/* Where items are few, equally many for each thread: of planes; where channels are dense, of rows if they have enough that
 * do not read each other's input, else of vectors of channels. */
static void share_depthwise(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan)
{
    const dsc_int planes = p->batch * p->e.out[0] * plan->columns, tiles = planes * plan->bands;
    if (p->threads == 1 || tiles * plan->groups == 0)
        return;
    if (plan->path != INTERLEAVED) {
        plan->group = divide_up(p->outputs, share_pieces(p, tiles, plan->groups, p->outputs));
        plan->group = plan->path == MULTIPLIED ? round_up(plan->group, LANES) : plan->group;
        plan->groups = divide_up(p->outputs, plan->group);
    } else if (share_pieces(p, tiles, 1, 2) > 1) {
        const dsc_int bands = share_pieces(p, planes, plan->bands, e->out[1]), rows = divide_up(e->out[1], bands);
        if (e->dilation[1] == 1 && rows >= e->kernel[1] && bands > plan->bands)
            share_rows(p, rows, plan);
        else
            share_vectors(p, tiles, plan);
    }
}

/* Under a padding mode the gradient of x is computed on the padded plane, a piece of it at a time, and added up: one item
 * does a whole plane. */
static void plan_fold(const dsc_problem *p, dsc_plan *plan)
{
    plan->group = 1, plan->groups = p->outputs;
    plan->items = p->batch * p->outputs;
    plan->scratch += FOLD_ROWS * FOLD_COLUMNS * sizeof(real) + 64;
}

/* Multiply-adds of a row of outputs in vectors of columns, to those whose inputs exist. */
static double columns_wasted(const dsc_extent *e)
{
    double exist = 1;
    for (dsc_int column = 0, first, last; column < e->out[2]; ++column) {
        clip_taps(column * e->stride[2] - e->low[2], e->dilation[2], e->kernel[2], e->in[2], 0, &first, &last);
        exist += (double)(last - first);
    }
    return (double)round_up(e->out[2], LANES) * (double)e->kernel[2] / exist;
}

/* Counted even where pixels are not copied: an item stays so short that interrupts need not be looked for inside. */
static double bytes_of_vector(const dsc_problem *p)
{
    const double in = (double)p->e.in[1] * (double)p->e.in[2], out = (double)p->e.out[1] * (double)p->e.out[2];
    return (kernel_volume(&p->e) + in + out + 2) * VECTOR_BYTES + LINE_BYTES;
}

/* Vectors of channels by themselves: of planes, whatever their steps, or where the taps of all channels are too many to be packed at
 * once. */
static bool by_vectors(const dsc_problem *p, const dsc_extent *e, int path)
{
    const bool plain = p->parts == 1 && p->multiplier == 1 && p->summands == 1 && !p->fold && e->mode == DSC_ZEROS;
    const bool flat = p->e.in[0] == 1 && p->e.out[0] == 1 && p->e.kernel[0] == 1 && p->e.low[0] == 0;
    const bool rows = e->kernel[1] > 1;   /* of one row, the order of summation must not depend on its length */
    if (!plain || !flat || !rows || !is_small(e) || whole_channels(p) < LANES || kernel_volume(e) < BY_VECTORS_TAPS ||
        bytes_of_vector(p) > BY_VECTORS_BYTES)
        return false;
    if (pixels_dense(p))
        return path == STRIPS;
    return !FEW_TILES && (path == IN_PLACE || path == STRIPS) && columns_wasted(e) > BY_VECTORS_GAIN;
}

static void plan_vectors(const dsc_problem *p, dsc_plan *plan)
{
    plan->path = BY_VECTORS;
    plan->group = LANES, plan->groups = divide_up(p->outputs, LANES), plan->columns = 1;
    share_rows(p, divide_up(p->e.out[1], share_pieces(p, p->batch * plan->groups, 1, p->e.out[1])), plan);
    plan->items = p->batch * plan->groups * plan->bands;
    plan->scratch = (size_t)bytes_of_vector(p);
}

static ONCE_A_CALL void plan_depthwise(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_extent e = reading_extent(p);
    double work = at_least((dsc_int)kernel_volume(&e), 1) * (double)p->summands;
    *plan = (dsc_plan){.path = choose_path(p, &e)};
    limit_tiles(&e, plan->path == INTERLEAVED || plan->path == MULTIPLIED ? work * (double)p->outputs : work, plan);
    plan_reading(p, &e, plan);
    set_tiles(p, plan);
    plan->group = group_of(p, &e, plan, work);
    plan->groups = plan->group ? divide_up(p->outputs, plan->group) : 0;
    share_depthwise(p, &e, plan);
    plan->items = p->batch * plan->groups * p->e.out[0] * plan->bands * plan->columns;
    plan->work = (work + 8) * output_volume(&p->e) * (double)p->batch * (double)p->outputs;
    if (p->fold)
        plan_fold(p, plan);
    else if (by_vectors(p, &e, plan->path))
        plan_vectors(p, plan);
}

#endif
