/* The pointwise stage: how a call is cut into tiles and shared out, and the scratch of a thread. */
#ifndef DSCONV_SEPARABLE_PLAN_H
#define DSCONV_SEPARABLE_PLAN_H

#include "depthwise.h"
#include "pointwise_tile.h"
#include "unfold.h"

#define MIXING_MOST 1024   /* channels that one pass sums over; more are summed in fixed blocks of this */
#define PIXELS_MOST 1024   /* in a tile, ... */
#define ROWS_OF_TILE 16    /* ... or so many rows of them: of fewer, each input row would be read again and again */
#define ONCE_BYTES (512 << 10)   /* a panel that is read but once, at most: scratch stays below 1 MiB */
#define GROUP_BLOCKS 8     /* of columns that are multiplied together, at most */
#define SETS_BYTES 65536   /* addresses so far apart share a set of the second-level cache ... */
#define WAYS 4             /* ... which holds at least so many lines beside others */
#define FEW_PIXELS 256     /* that are rows of the product, and are transposed, in a planar tile */
#define SQUARE_REALS (FEW_PIXELS * MIX_VECTORS * LANES + 2 * MIXING_MOST)   /* ... or the factors of pixels beyond whole vectors */
#define TRANSPOSING (VECTOR_REGISTERS >= 32 ? 4 : 8)   /* pixels whose products take the time of transposing the weights ... */
#define TRANSPOSING_RESULTS 10   /* ... and channels of each, that of transposing the results */
#define PACKED_ONCE_BYTES (256 << 10)   /* weights that a call packs for itself, at most, ... */
#define SCRATCH_BYTES (960 << 10)  /* ... and so that scratch stays below 1 MiB */
#define PACKED_OUTPUTS (MIX_PACKED ? LANES : MIX_VECTORS_USUAL * LANES)   /* of a block of packed weights */
#define WINDOW_SUMMANDS 288   /* of windows that are laid out pixel by pixel, at most: to read weights for more is dear */
#define RESIDUE_ROWS 2     /* output rows of a residue, at least */
#define RESIDUE_LANES 12   /* of so many lanes one may be empty */
#define RESIDUE_REACH 10   /* rows between a kernel's first and last, at least, where rows of pixels end within a vector */
#define STAGED 3           /* panels that an image's depthwise results fill, from which they are stored whole ... */
#define STAGED_DILATED 2   /* ... and where rows are read apart */
#define PART_OUTPUTS 32    /* fewer are not worth reading all pixels once more */
#define PART_PIXELS 512    /* planes of more are shared among threads by rows */
#define PART_TAPS 4        /* multiply-adds of a depthwise stage that take as long as reading a weight once more; in ... */
#define PART_VECTORS 7     /* ... smaller planes a band takes as long as the whole: narrow planes share vectors */

static bool is_pointwise(const dsc_problem *p)
{
    return p->taps.data == NULL && !p->windows;
}

/* Is what it reads where its results go? */
static bool in_place(const dsc_problem *p)
{
    return is_pointwise(p) && p->x.data == p->y.data;
}

static dsc_int mixed_channels(const dsc_problem *p)
{
    return p->channels * p->multiplier * p->parts;
}

/* Pixels of a tile in the panel: one run where y (and x, if it is read without a first stage) allows it, else every image
 * row padded to whole vectors. */
typedef struct { dsc_int segments, width, pitch, total; bool flat; } panel_shape;

static panel_shape shape_panel(const dsc_problem *p, dsc_int rows, dsc_int columns)
{
    panel_shape s;
    bool even = columns == p->e.out[2] && p->y.step[1] == columns * p->y.step[2];
    s.flat = rows == 1 || (even && (!is_pointwise(p) || p->x.step[1] == columns * p->x.step[2]));
    s.segments = s.flat ? 1 : rows;
    s.width = s.flat ? rows * columns : columns;
    s.pitch = s.flat ? columns : round_up(columns, LANES);
    s.total = s.flat ? round_up(rows * columns, LANES) : rows * s.pitch;
    return s;
}

/* Off the powers of two whose rows would share cache sets. */
static dsc_int off_powers(dsc_int step)
{
    return step * (dsc_int)sizeof(real) % 512 == 0 ? step + LANES : step;
}

/* Elements between panel rows (planar): with room for one vector past the end. */
static dsc_int panel_step(dsc_int total)
{
    return off_powers(round_up(total, LANES) + LANES);
}

/* Elements between pixels of a panel (interleaved). */
static dsc_int pixel_step(dsc_int depth)
{
    return off_powers(round_up(depth, LANES));
}

/* Columns that are copied and multiplied together. A channel, of x or of y, is a page of its own: the fewer visits, the
 * fewer misses in the translation buffer, and runs of some lines are read ahead. */
static dsc_int group_columns(dsc_int depth)
{
    const dsc_int block = MIX_VECTORS_USUAL * LANES, room = (dsc_int)(dsc_panel_bytes() / 2 / sizeof(real));
    return at_least(at_most(room / (at_least(depth, 1) * block), GROUP_BLOCKS) * block, MIX_VECTORS * LANES);
}

/* Pixels, in whole vectors, of the thread that has most of them, where planes are cut into bands of so many rows. */
static dsc_int most_pixels(const dsc_problem *p, const dsc_extent *e, dsc_int planes, dsc_int rows)
{
    return divide_up(planes * divide_up(e->out[1], rows), p->threads) * round_up(rows * e->out[2], LANES);
}

/* Rows of a band, `most` or fewer, of which threads get nearly equally many. */
static dsc_int even_rows(const dsc_problem *p, const dsc_extent *e, dsc_int planes, dsc_int most)
{
    dsc_int best = most;
    if (planes * divide_up(e->out[1], most) >= TILES_EVEN * p->threads)
        return best;
    for (dsc_int rows = most - 1; rows > 0 && rows >= most / (2 * p->threads); --rows)
        if (most_pixels(p, e, planes, rows) < most_pixels(p, e, planes, best))
            best = rows;
    return best;
}

static void cut_rows(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan, dsc_int planes, dsc_int pixels)
{
    const dsc_int bands = divide_up(e->out[1], at_least(pixels / e->out[2], 1)), rows = divide_up(e->out[1], bands);
    const dsc_int together = p->taps.data && channels_dense(p) ? rows_of_channels(e, p->parts) : TILE_ROWS;
    plan->column_width = e->out[2];
    plan->band_rows = bands > 2 && rows > together ? rows - rows % together : rows;
    if (p->threads > 1)
        plan->band_rows = even_rows(p, e, planes, rows);
    /* As many as the vectors hold that are needed anyway. */
    plan->band_rows = round_up(plan->band_rows * e->out[2], LANES) / e->out[2];
}

static void cut_columns(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan, dsc_int planes, dsc_int pixels)
{
    plan->band_rows = e->out[1] >= TILE_ROWS && pixels >= 2 * TILE_ROWS * LANES ? TILE_ROWS : 1;
    plan->column_width = at_least(pixels / plan->band_rows / LANES * LANES, LANES);
    const dsc_int pieces = share_pieces(p, planes * divide_up(e->out[1], plan->band_rows),
                                        divide_up(e->out[2], plan->column_width), divide_up(e->out[2], 4 * LANES));
    if (p->threads > 1)
        plan->column_width = round_up(divide_up(e->out[2], pieces), LANES);
}

static void plan_separable_tiles(const dsc_problem *p, const dsc_extent *e, dsc_plan *plan, dsc_int pixels)
{
    const dsc_int planes = p->batch * e->out[0] * plan->groups;
    if (e->out[2] <= pixels && (e->out[1] > 1 || planes >= p->threads))
        cut_rows(p, e, plan, planes, pixels);
    else
        cut_columns(p, e, plan, planes, pixels);
}

/* Outputs of an item. Where planes are small, threads share out outputs rather than pixels: each transposes its own weights
 * only, and reads no others. */
static void plan_outputs(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int planes = p->batch * p->e.out[0], pixels = p->e.out[1] * p->e.out[2];
    dsc_int parts = p->threads;
    bool shares = parts > 1 && !in_place(p) && planes < parts && pixels <= PART_PIXELS && p->outputs >= parts * PART_OUTPUTS;
    const dsc_int inputs = p->e.in[1] * p->e.in[2];
    if (!is_pointwise(p) && inputs > PART_VECTORS * LANES)
        shares = shares && kernel_volume(&p->e) * (double)inputs <= (double)(PART_TAPS * p->outputs);
    plan->group = shares ? round_up(divide_up(p->outputs, parts), PACKED_OUTPUTS) : p->outputs;
    plan->groups = plan->group ? divide_up(p->outputs, plan->group) : 1;
}

/* The call for one group of outputs. */
static dsc_problem part_of(const dsc_problem *p, const dsc_plan *plan, dsc_int group)
{
    dsc_problem part = *p;
    const dsc_int first = group * plan->group;
    part.outputs = at_most(plan->group, p->outputs - first);
    part.y.data = element_of(p, p->y.data, first * p->y.channel);
    part.mixing.data = element_of(p, p->mixing.data, first * p->mixing.row);
    if (p->packed)
        part.packed = p->packed + (size_t)(first * mixed_channels(p)) * sizeof(real);
    if (p->mixing_bias.data)
        part.mixing_bias.data = element_of(p, p->mixing_bias.data, first * p->mixing_bias.step);
    return part;
}

/* Are windows laid out pixel by pixel? Of one channel, they are copied faster tap by tap. */
static bool windows_as_pixels(const dsc_problem *p)
{
    return MIX_WINDOWS && p->windows && channels_dense(p) && p->channels > 1 && mixed_channels(p) <= WINDOW_SUMMANDS;
}

/* Does the panel hold pixels, one after the other? */
static bool pixels_in_panel(const dsc_problem *p)
{
    return p->windows ? windows_as_pixels(p) : channels_dense(p);
}

/* Weights of some outputs, from a first summand on, as columns for the summands in the order in which the panel holds them. */
static void weights_as_columns(const dsc_problem *p, const real *weights, dsc_int outputs, dsc_int depth, real *to, dsc_int whole)
{
    if (!windows_as_pixels(p)) {
        transpose(weights, p->mixing.row, p->mixing.column, outputs, depth, to, whole);
        return;
    }
    for (dsc_int tap = 0; tap < p->multiplier; ++tap, to += p->channels * whole)
        transpose(weights + tap, p->mixing.row, p->multiplier, outputs, p->channels, to, whole);
}

/* Scratch for the factors and results of a product of so many summands. */
static size_t mixing_bytes(dsc_int block)
{
    return (size_t)((block + 1) * group_columns(block) + SQUARE_REALS) * sizeof(real) + 192;
}

/* Planes of an image so large that they come from beyond the second-level cache. */
static bool comes_from_far(const dsc_problem *p)
{
    const double items = (double)p->channels * (double)(p->e.in[1] * p->e.in[2]);
    return items * sizeof(real) >= 2 * (double)dsc_panel_bytes();
}

/* Lanes that a row of pixels takes: of a few beyond whole vectors, none is left empty (see rest_of). */
static dsc_int lanes_of_row(dsc_int columns)
{
    return columns % LANES <= MIX_RESTS && columns >= 2 * LANES ? columns : round_up(columns, LANES);
}

/* Output rows of one residue modulo the dilation read the same input rows, and are a convolution without dilation of its own.
 * Tiles of such rows read each input row once or twice, tiles of neighbours as often as there are row taps: dearer where x is
 * too large for the cache. Planar, rows that are not neighbours in y are padded to whole vectors in the panel: only where
 * that costs little. */
static dsc_int row_residues(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    const bool dilated = p->taps.data && !e->transposed && e->mode == DSC_ZEROS && e->stride[1] == 1 && e->dilation[1] > 1;
    const bool padded = !channels_dense(p) && lanes_of_row(e->out[2]) * RESIDUE_LANES > e->out[2] * (RESIDUE_LANES + 1);
    const dsc_int rest = channels_dense(p) ? 0 : e->out[2] % LANES;
    const bool reaches = rest == 0 || rest > MIX_RESTS || (e->kernel[1] - 1) * e->dilation[1] >= RESIDUE_REACH;
    const bool many = e->kernel[1] > 1 && e->out[1] >= RESIDUE_ROWS * e->dilation[1];
    return dilated && comes_from_far(p) && reaches && many && !padded ? e->dilation[1] : 1;
}

/* The call on output rows residue, residue + residues, ... */
static dsc_problem residue_of(const dsc_problem *p, dsc_int residues, dsc_int residue)
{
    dsc_problem own = *p;
    if (residues == 1)
        return own;
    const dsc_int start = residue - p->e.low[1], rest = start % residues, first = rest < 0 ? rest + residues : rest;
    own.e.low[1] = -(start - first) / residues, own.e.dilation[1] = 1;
    own.e.in[1] = p->e.in[1] > first ? divide_up(p->e.in[1] - first, residues) : 0;
    own.e.out[1] = divide_up(p->e.out[1] - residue, residues);
    own.x.data = element_of(p, p->x.data, first * p->x.step[1]), own.x.step[1] *= residues;
    own.y.data = element_of(p, p->y.data, residue * p->y.step[1]), own.y.step[1] *= residues;
    return own;
}

/* Is the depthwise stage better finished before the other begins, and its results kept where those of the call go? So it can run
 * over whole planes, and reads no row for two tiles: worth a pass more over results that are more than a tile, or for other kernels
 * than a tile has. */
static bool in_stages(const dsc_problem *p)
{
    const bool planar = is_native(p) && p->parts == 1 && p->taps.data && !channels_dense(p) && p->y.step[2] == 1;
    const bool fits = mixed_channels(p) > 0 && mixed_channels(p) <= at_most(p->outputs, MIXING_MOST);
    const double bytes = output_volume(&p->e) * (double)mixed_channels(p) * sizeof(real);
    const bool dilated = p->e.dilation[1] > 1;
    if (planar && fits && !p->e.transposed && by_vectors(p, &p->e, choose_path(p, &p->e)))
        return true;
    return (MIX_STAGES || dilated) && planar && fits && bytes >= (dilated ? STAGED_DILATED : STAGED) * (double)dsc_panel_bytes();
}

/* May these weights be packed? Converted tiles read them in other ways. */
static bool can_pack(const dsc_problem *p)
{
    const bool few = p->e.out[0] * p->e.out[1] * p->e.out[2] <= FEW_PIXELS;
    const bool read = MIX_PACKED ? !channels_dense(p) : channels_dense(p) || few;
    return read && is_native(p) && p->parts == 1 && p->mixing.batch == 0 && p->outputs >= LANES && mixed_channels(p) > 0;
}

static size_t packed_weights(const dsc_problem *p)
{
    return (size_t)(round_up(p->outputs, LANES) * mixed_channels(p)) * sizeof(real);
}

/* Bytes of weights to pack for this call, once instead of for each tile; 0: none. */
static size_t packed_once(const dsc_problem *p, const dsc_plan *plan)
{
    const bool useful = !MIX_PACKED && channels_dense(p) && !p->packed && plan->groups == 1 && plan->items >= 2 * p->threads;
    const bool few = (double)p->outputs * (double)mixed_channels(p) * sizeof(real) <= PACKED_ONCE_BYTES;   /* maybe no integer */
    const size_t bytes = useful && few && can_pack(p) ? packed_weights(p) : 0;
    return plan->scratch + bytes <= SCRATCH_BYTES ? bytes : 0;
}

/* Pixels of a tile, of whose panel so many summands are part. */
static dsc_int pixels_of_tile(const dsc_problem *p, const dsc_extent *e, dsc_int block)
{
    const dsc_int room = (dsc_int)(dsc_panel_bytes() / sizeof(real)), pitch = pixels_in_panel(p) ? pixel_step(block) : block;
    const dsc_int rows = is_pointwise(p) || e->out[1] == 1 ? 0 : at_most(ROWS_OF_TILE * e->out[2], room / at_least(pitch, 1));
    return at_most(room / at_least(block, 1), at_least(PIXELS_MOST, rows));
}

static void plan_one_residue(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_extent e = reading_extent(p);
    const dsc_int block = at_most(mixed_channels(p), MIXING_MOST);
    dsc_int pixels = pixels_of_tile(p, &e, block);
    *plan = (dsc_plan){.mixing_block = block};
    plan_outputs(p, plan);
    pixels /= at_most(stride_of_phases(p, 1), PIXELS_MOST) * at_most(stride_of_phases(p, 2), PIXELS_MOST);
    const dsc_int plane = e.out[1] * e.out[2];
    /* A plane that is hardly larger is one tile; where panels are read but once, one that is twice as large. */
    const bool once = !(channels_dense(p) && p->packed) && plan->group >= MIX_PACKS_FROM && 2 * dsc_panel_bytes() <= ONCE_BYTES;
    pixels = plane <= pixels + pixels / (once ? 1 : 8) ? plane : at_least(pixels, LANES);
    plan_separable_tiles(p, &e, plan, pixels);
    if (p->windows && !pixels_in_panel(p))
        plan->scratch += (size_t)unfold_strip(&e, plan->column_width) * sizeof(real);
    else if (!is_pointwise(p))
        plan_reading(p, &e, plan);
    set_tiles(p, plan);
    panel_shape s = shape_panel(p, plan->band_rows, plan->column_width);
    dsc_int panel = is_pointwise(p) ? 0 : pixels_in_panel(p) ? s.total * pixel_step(block) + LANES : block * panel_step(s.total);
    plan->scratch += (size_t)panel * sizeof(real) + mixing_bytes(block);
    plan->items = p->batch * plan->groups * p->e.out[0] * plan->bands * plan->columns;
    plan->work = output_volume(&p->e) * (double)p->batch * (double)mixed_channels(p) *
                 ((double)p->outputs + (p->taps.data ? kernel_volume(&e) : 0));
    /* Reading weights from memory takes as long as some pixels would. */
    plan->work += (double)p->batch * (double)p->outputs * (double)mixed_channels(p) * 2 * TRANSPOSING;
}

static ONCE_A_CALL void plan_separable(const dsc_problem *p, dsc_plan *plan)
{
    const dsc_int residues = row_residues(p);
    const dsc_problem first = residue_of(p, residues, 0);
    plan_one_residue(&first, plan);
    plan->residues = residues;
    plan->packed = packed_once(p, plan);
    plan->items *= residues, plan->work *= (double)residues;
}

/* Scratch of one thread, laid out. */
typedef struct {
    real *panel;       /* depthwise results: planar [channel][step], interleaved [pixel][step] */
    real *group;       /* blocks of columns: each [channel][columns] */
    real *square;      /* results that are to be transposed: [pixel][output]; or factors, see pack_rest */
    real *bias;        /* interleaved: of a group of columns */
    void *strips;
    dsc_int step;
    packed_channels packed;
} separable_scratch;

static real *aligned(void *p)
{
    return (real *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
}

static separable_scratch lay_out(const dsc_problem *p, const dsc_plan *plan, void *memory)
{
    panel_shape s = shape_panel(p, plan->band_rows, plan->column_width);
    separable_scratch scratch = {.bias = aligned(memory)};
    scratch.step = pixels_in_panel(p) ? pixel_step(plan->mixing_block) : panel_step(s.total);
    dsc_int columns = group_columns(plan->mixing_block);
    scratch.square = scratch.bias + columns;
    scratch.group = scratch.square + SQUARE_REALS;
    scratch.panel = aligned(scratch.group + plan->mixing_block * columns);
    scratch.strips = scratch.panel;
    if (!is_pointwise(p))
        scratch.strips = aligned(scratch.panel + scratch.step * (pixels_in_panel(p) ? s.total : plan->mixing_block) + LANES);
    if (plan->path == INTERLEAVED && !is_pointwise(p))
        scratch.packed = no_channels(p, 0, scratch.strips);
    else if (plan->path == MULTIPLIED && !is_pointwise(p))
        scratch.packed = after_multiplied(p, scratch.strips);
    return scratch;
}

#endif
