"""The bugs that planted_bugs.py plants, one a row."""

from dataclasses import dataclass

# A bug is looked for where it must show, for a short run.
CONVOLUTIONS = ("depthwise_conv", "pointwise_conv", "separable_conv")
TRANSPOSED = ("depthwise_conv_transpose", "separable_conv_transpose")
INPUT_GRADIENT = ("depthwise_conv_input_grad",)
WEIGHT_GRADIENTS = ("depthwise_conv_weight_grad", "depthwise_conv_transpose_weight_grad")
POINTWISE_GRADIENT = ("pointwise_conv_weight_grad",)
REALS, COMPLEX = ("float32", "float64"), ("complex64", "complex128")


@dataclass
class Bug:
    """A replacement in one file under csrc; the text to replace occurs there exactly once."""

    name: str
    file: str
    before: str
    after: str
    isa: str = "baseline"
    check: str = "campaign"
    ops: tuple = CONVOLUTIONS
    dtypes: tuple = REALS


WINDOW, FOLD, FORMATS = "kernels/window.h", "kernels/depthwise_fold.h", "kernels/formats.h"
WEIGHTS, WEIGHTS_TILE = "kernels/depthwise_weights.h", "kernels/weights_tile.h"
PRODUCTS, REDUCTION = "kernels/pointwise_weights.h", "kernels/reduction.h"
TILE, ROLLING = "kernels/depthwise_tile.h", "kernels/depthwise_rolling.h"
TAPS_NEAR = "kernels/depthwise_taps.h"
SWEEPING = "kernels/depthwise_sweeping.h"
HALVING, PHASES = "kernels/depthwise_halving.h", "kernels/depthwise_phases.h"
INTERLEAVED, SEPARABLE = "kernels/depthwise_interleaved.h", "kernels/separable.h"
PLANAR, MIXING = "kernels/depthwise_planar.h", "kernels/pointwise_tile.h"
ABREAST = "kernels/depthwise_abreast_tiles.h"
MARCHING, CHANNELS = "kernels/depthwise_marching.h", "kernels/channel_taps.h"
REGION = "kernels/converted_region.h"

BUGS = [
    # ---- geometry
    Bug(
        "same padding on the wrong side",
        "geometry.c",
        "padding == DSC_SAME_UPPER ? total / 2 : total - total / 2",
        "padding == DSC_SAME_LOWER ? total / 2 : total - total / 2",
    ),
    Bug(
        "causal padding one late", "geometry.c", "*low = reach - 1, *high = 0", "*low = reach - 2, *high = 1"
    ),
    Bug("reflect repeats the border", "geometry.c", "i : 2 * (n - 1) - i", "i : 2 * n - 1 - i"),
    Bug("symmetric period", "geometry.c", "modulo(i, 2 * n)", "modulo(i, 2 * n - 1)"),
    Bug("one output too many", "geometry.c", "(padded - reach) / g->", "(padded - reach + 1) / g->"),
    # ---- which taps exist
    Bug(
        "first tap rounded down",
        "kernels/walk.h",
        "(-(start + reach) + step - 1) / step",
        "-(start + reach) / step",
    ),
    Bug(
        "last tap one beyond",
        "kernels/walk.h",
        "start + (count - 1) * step < size",
        "start + (count - 1) * step <= size",
    ),
    Bug(
        "padding with the wrong sign",
        PLANAR,
        "position = row * e->stride[1] - e->low",
        "position = row * e->stride[1] + e->low",
    ),
    Bug("height beyond the last row", TILE, "source >= t->height", "source > t->height"),
    # ---- planar tiles
    Bug(
        "row and column taps swapped",
        "kernels/plane_region.h",
        ".tap_row = r->tap_step[1], .tap_column = r->tap_step[2]",
        ".tap_row = r->tap_step[2], .tap_column = r->tap_step[1]",
    ),
    Bug("upper row taps missed", TILE, "o <= r; ++o", "o < r; ++o"),
    Bug("phase not wrapped", TILE, "if (phase >= t->phases)", "if (phase > t->phases)"),
    Bug("bias of the plane before", TILE, "t->bias += t->bias_plane;", ""),
    Bug(
        "last pixel dropped",
        TILE,
        "v_store_first(target, sum, left)",
        "v_store_first(target, sum, left - 1)",
    ),
    # the baseline pads strips: borders of rolling tiles are those of the other sets
    Bug("rolling skips a border row", ROLLING, "if (r >= t->row_first)", "if (r > t->row_first)", isa="avx2"),
    Bug(
        "rolling forgets the last row",
        ROLLING,
        "if (t->rows + r < t->row_last)",
        "if (t->rows + r + 1 < t->row_last)",
        isa="avx2",
    ),
    Bug(
        "halving forgets the last odd tap",
        HALVING,
        "if (c + 1 < t->column_last)",
        "if (c + 2 < t->column_last)",
        isa="avx2",
    ),
    Bug(
        "halving shifts too far",
        "vec.h",
        "#define FROM_1(i) ((i) + 1)",
        "#define FROM_1(i) ((i) + 2)",
        isa="avx2",
    ),
    Bug(
        "halving loses the last row",
        HALVING,
        "if (2 * (t->rows + step) < t->row_last)",
        "if (2 * (t->rows + step) + 1 < t->row_last)",
        isa="avx2",
    ),
    Bug(
        "rows apart end early",
        "kernels/depthwise_apart.h",
        "end = at_most(t->row_last - first, t->kernel_rows)",
        "end = at_most(t->row_last - first - 1, t->kernel_rows)",
    ),
    Bug(
        "pairs share the first plane's taps",
        "kernels/depthwise_paired.h",
        "*second = t.taps + other * t.taps_plane",
        "*second = t.taps + plane * t.taps_plane",
        isa="avx512",
        check="C tests",
    ),
    Bug(
        "the odd plane of a pair is another's",
        "kernels/depthwise_paired.h",
        "at_most(plane + 1, t.planes - 1)",
        "at_most(plane + 1, t.planes)",
        isa="avx512",
        check="C tests",
    ),
    Bug(
        "phases of two rows taken for one's",
        PHASES,
        "w->place[1] != all->window[0].place[1]",
        "w->place[1] < 0",
        isa="avx2",
        ops=INPUT_GRADIENT,
    ),
    Bug(
        "last outputs of zipped phases dropped",
        PHASES,
        "w->outputs = at_most(all->count * t->width, outputs - all->count * done);",
        "w->outputs = at_most(all->count * t->width, outputs - all->count * done) - 1;",
        isa="avx2",
        ops=TRANSPOSED,
    ),
    Bug(
        "a phase of three joined wrongly",
        "vec.h",
        "JOINED(i, n) / 3 + JOINED(i, n) % 3 * LANE_COUNT : 0)",
        "JOINED(i, n) / 3 : 0)",
        isa="avx2",
        ops=TRANSPOSED,
    ),
    Bug(
        "a phase of three split wrongly",
        "vec.h",
        "THIRD(i, n) - LANE_COUNT)",
        "THIRD(i, n) - LANE_COUNT - 1)",
    ),
    Bug(
        "strip masks begin late",
        "kernels/strip.h",
        "v_mask(first - at, last - at)",
        "v_mask(first - at + 1, last - at)",
    ),
    Bug("odd pixels instead of even", FORMATS, "v_even(v_load", "v_odd(v_load"),
    Bug(
        "phase begins early",
        "kernels/strip.h",
        "first > phase ? divide_up(first - phase, s->phases)",
        "first > phase ? (first - phase) / s->phases",
    ),
    # ---- channels last
    Bug(
        "last column not clipped",
        INTERLEAVED,
        "e->stride[2] + reach >= e->in[2]",
        "e->stride[2] + reach > e->in[2] + 1",
    ),
    Bug("taps packed transposed", CHANNELS, "j * step[1] + i * step[2]", "j * step[2] + i * step[1]"),
    Bug(
        "lanes skipped in the bias alone",
        CHANNELS,
        "p->taps.batch, first, packed->taps",
        "p->taps.batch, vector * LANES, packed->taps",
        isa="avx512",
    ),
    Bug(
        "march begins a column late",
        MARCHING,
        "if (i >= t->low && i < t->high)",
        "if (i > t->low && i < t->high)",
        isa="avx512",
    ),
    Bug(
        "march ends a column late",
        MARCHING,
        "c >= t->low && c < t->high)",
        "c >= t->low && c <= t->high)",
        isa="avx512",
    ),
    Bug(
        "one row of taps for rows that march together",
        INTERLEAVED,
        "    if (together)\n        return one_slice",
        "    if (together && t->r->e->kernel[1] > 1)\n        return one_slice",
        isa="avx512",
        ops=TRANSPOSED,
    ),
    Bug(
        "rows march across the border",
        INTERLEAVED,
        "start >= 0 && last < e->in[1]",
        "last < e->in[1]",
        isa="avx512",
    ),
    Bug(
        "residue of columns forgotten",
        INTERLEAVED,
        "+ residue * r->y_column",
        "+ 0 * residue * r->y_column",
        isa="avx512",
    ),
    Bug(
        "dilated rows too close",
        INTERLEAVED,
        "- e->low[1] + j * e->dilation[1]) * r->x_step[1]",
        "- e->low[1] + j) * r->x_step[1]",
        isa="avx512",
    ),
    Bug("pixels abreast: the first column left out", ABREAST, "start + c < 0 ||", "start + c <= 0 ||"),
    Bug("pixels abreast: a column too many", ABREAST, "start + c >= t->size", "start + c > t->size"),
    Bug(
        "a last vector that overlaps, with the taps of a whole one",
        "kernels/channel_region.h",
        "t->channel = r->channels - LANES, ++vector;",
        "t->channel = r->channels - LANES;",
    ),
    Bug(
        "taps of the second vector of a line",
        ABREAST,
        "v_load(taps + v * t->tap_vector + part * LANES)",
        "v_load(taps + part * LANES)",
        isa="avx2",
    ),
    # ---- pointwise and separable
    Bug("second block of channels starts over", SEPARABLE, ".resume = first > 0", ".resume = false"),
    Bug(
        "activation forgotten",
        SEPARABLE,
        "first + plan->mixing_block >= mixed_channels(p)",
        "first + plan->mixing_block > mixed_channels(p)",
    ),
    Bug(
        "bias of the wrong row",
        MIXING,
        "t->row_bias + b->row * t->row_bias_step",
        "t->row_bias + (b->row > 0) * t->row_bias_step",
    ),
    Bug("blocks of columns overlap", MIXING, "t->b + b->column * t->depth", "t->b"),
    Bug(
        "last columns not repeated",
        SEPARABLE,
        "copy_padded(source, count, block, whole)",
        "copy_padded(source, count - (count > 1), block, whole)",
    ),
    Bug(
        "packed weights: the second half of a block read as the first",
        MIXING,
        "b->row / LANES * t->packed_block + b->row % LANES :",
        "b->row / LANES * t->packed_block :",
        isa="avx512",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "packed columns: every pass over channels begins with the first",
        SEPARABLE,
        "+ o * mixed_channels(p) + first * whole :",
        "+ o * mixed_channels(p) :",
        isa="avx2",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "packed columns: several blocks in parts of their summands",
        SEPARABLE,
        "parts ? whole : at_least(whole, most)",
        "at_least(whole, most)",
        isa="avx2",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "packed columns: blocks of one vector",
        "kernels/pointwise_packed.h",
        "whole = MIX_PACKED ? LANES : block_vectors(p->outputs, p->outputs - o) * LANES",
        "whole = LANES",
        isa="avx2",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "windows pixel by pixel: one that ends beyond the row is read as a whole one",
        "kernels/unfold.h",
        "e->in[2] - taps + 1, 0, &first, &last",
        "e->in[2] - taps + 2, 0, &first, &last",
        isa="avx2",
        check="tests/test_tiles.py::test_standard_convolution",
    ),
    Bug(
        "windows pixel by pixel: weights in the order of those tap by tap",
        "kernels/separable_plan.h",
        "transpose(weights + tap, p->mixing.row, p->multiplier,",
        "transpose(weights + tap * p->channels, p->mixing.row, 1,",
        isa="avx2",
        check="tests/test_tiles.py::test_standard_convolution",
    ),
    Bug(
        "a pixel beside vectors: the biases of the first outputs for all",
        "kernels/pointwise_rest.h",
        "m->row_bias + o * m->row_bias_step",
        "m->row_bias",
        isa="avx2",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "a pixel beside vectors: outputs that lag behind end with the others",
        "kernels/pointwise_pixel.h",
        "k < span + v * lag)",
        "k < span)",
        isa="avx2",
        check="tests/test_tiles.py::test_single_pixels",
    ),
    Bug(
        "multiplied channels: every part begins with the first output of a channel",
        "kernels/depthwise_multiplied.h",
        "lead = first % p->multiplier",
        "lead = 0",
        isa="avx2",
    ),
    Bug(
        "multiplied channels: rows that only the last outputs of a part read are not copied",
        "kernels/depthwise_multiplied.h",
        "counts[3] = {1, t->rows, t->columns}",
        "counts[3] = {1, 1, t->columns}",
        isa="avx2",
    ),
    Bug(
        "packed weights: the first pixel's factors for all",
        "kernels/pointwise_pixel.h",
        "v_spread(x[q]) * column",
        "v_spread(x[0]) * column",
        isa="avx512",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "packed weights: every pass over channels begins with the first",
        SEPARABLE,
        "(const real *)p->packed + first * LANES : NULL",
        "(const real *)p->packed : NULL",
        isa="avx512",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "the last square does not end with the columns",
        "kernels/transpose.h",
        "at_most(at + LANES, count - LANES)",
        "at + LANES",
        check="C tests",
    ),
    Bug(
        "few pixels forget partial sums",
        SEPARABLE,
        "if (m.resume)\n            transpose(y",
        "if (0)\n            transpose(y",
    ),
    Bug("depth and band swapped", "kernels/walk.h", "c.depth = item % c.depths", "c.depth = item % c.bands"),
    Bug(
        "the second of overlapping vectors reads on",
        "kernels/depthwise_edges.h",
        "x[1] = column > (k.columns - 1) / 2 ?",
        "x[1] = column > k.columns ?",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "overlapping vectors: the border is said to end within the first",
        "kernels/depthwise_overlapping.h",
        "at_most(t->second, columns / 2 * t->dilation)",
        "columns / 2 * t->dilation",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "long rows: the last rows of a plane read on",
        SWEEPING,
        "r >= s->last",
        "r > s->last",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "long rows: the right border begins a vector late",
        SWEEPING,
        "room = t->inside_high - swept_reach(t)",
        "room = t->inside_high - swept_reach(t) + 1",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "long rows: rows read apart, of another residue",
        SWEEPING,
        "(const char *)(t->x + row * t->output_row)",
        "(const char *)(t->x + row * t->row)",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "depth taps of another slice",
        TAPS_NEAR,
        "t->taps + depth * t->tap_depth, &taps->near[depth]",
        "t->taps, &taps->near[depth]",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "the blocks of a run begin a vector late",
        "kernels/pointwise_loop.h",
        "mix_run(t, R, V, Q, b, run * V * LANES)",
        "mix_run(t, R, V, Q, b, run * LANES)",
        isa="avx2",
        ops=("pointwise_conv",),
    ),
    Bug(
        "pairs of column taps: masks of the first",
        HALVING,
        "pairs[c / 2][2 * v + 1]) : v_load(p + LANES)",
        "pairs[0][2 * v + 1]) : v_load(p + LANES)",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    # ---- one kernel set, the Python side, threads
    Bug(
        "one lane too many",
        "isa/avx2_mask.h",
        "< v_ispread((lane)high)",
        "<= v_ispread((lane)high)",
        isa="avx2",
    ),
    Bug(
        "strided vector reads past the row",
        "kernels/depthwise_split.h",
        "v_mask(low - i * LANES, high - i * LANES)",
        "v_mask(low - i * LANES, high - i * LANES + 1)",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "last taps of a dealt row",
        "kernels/depthwise_long.h",
        "at_least(i - left + 1, 0)",
        "at_least(i - left + 2, 0)",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "pitch of what is staged",
        "kernels/depthwise_staged.h",
        "step[1] = pitch * LANES",
        "step[1] = (pitch - 1) * LANES",
        ops=("depthwise_conv",),
    ),
    Bug(
        "few channels: the last vector's turns",
        "kernels/depthwise_few_channels.h",
        "column < next ? turns + period : turns + turn",
        "turns + turn",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug(
        "few channels: masks of one pixel less",
        "kernels/depthwise_few_channels.h",
        "e->in[2] * r->channels - start",
        "(e->in[2] - 1) * r->channels - start",
        isa="avx2",
        ops=("depthwise_conv",),
    ),
    Bug("multiplier's stride", "loop.c", ".multiplier = strides[1]", ".multiplier = strides[0]"),
    Bug(
        "last item of a share",
        "parallel.c",
        "at_most(begin + j->piece, end)",
        "at_most(begin + j->piece, end - 1)",
    ),
    # ---- transposed
    Bug(
        "phase begins one early",
        WINDOW,
        "divide_up(first - phase, stride)",
        "(first - phase) / stride",
        ops=TRANSPOSED,
    ),
    Bug(
        "phases of another axis",
        WINDOW,
        "at_most(p->e.stride[2], t->column + t->columns)",
        "at_most(p->e.stride[1], t->column + t->columns)",
        ops=("separable_conv_transpose",),
    ),
    Bug(
        "taps of a phase in the wrong order",
        WINDOW,
        "w->tap_step[axis] = -f.tap_step",
        "w->tap_step[axis] = f.tap_step",
        ops=TRANSPOSED,
    ),
    Bug(
        "packed taps of a phase in the wrong order",
        "kernels/depthwise.h",
        "step[axis] * w.tap_sign[axis]",
        "step[axis] * (w.tap_sign[axis] < 0 ? -w.tap_sign[axis] : w.tap_sign[axis])",
        ops=TRANSPOSED,
    ),
    Bug(
        "last tap of a phase missed",
        "geometry.c",
        "(e->kernel[axis] - first - 1) / stride + 1",
        "(e->kernel[axis] - first - 2) / stride + 1",
        ops=TRANSPOSED,
    ),
    Bug(
        "every second element, one too few",
        "isa/avx2_mask.h",
        "v_ispread(2 * count - LANES)",
        "v_ispread(2 * count - LANES - 2)",
        isa="avx2",
        ops=TRANSPOSED,
    ),
    # ---- gradients of the input
    Bug(
        "folded at the padding of another axis",
        FOLD,
        "t->row + row - p->e.low[1]",
        "t->row + row - p->e.low[2]",
        ops=INPUT_GRADIENT,
    ),
    Bug(
        "folding replaces", FOLD, "p->e.mode) * step] += row", "p->e.mode) * step] = row", ops=INPUT_GRADIENT
    ),
    Bug(
        "summands overlap",
        PLANAR,
        "t.x_summand = e->kernel[0] * t.slice",
        "t.x_summand = t.slice",
        ops=INPUT_GRADIENT,
    ),
    Bug(
        "conjugate of the wrong product",
        FORMATS,
        "p->conjugate ? in == 0 && out == 1 : in == 1 && out == 0",
        "in == 1 && out == 0",
        ops=INPUT_GRADIENT,
        dtypes=COMPLEX,
    ),
    # ---- tiles of narrow floats and complex numbers, and shares of threads
    Bug(
        "region moved by its padding",
        REGION,
        "a.low = a.first - position",
        "a.low = 0",
        ops=("depthwise_conv", "separable_conv"),
        dtypes=("float16", "complex64"),
    ),
    Bug(
        "region begins late",
        REGION,
        "(position - reach) / stride",
        "(position - reach) / stride + 1",
        ops=TRANSPOSED,
        dtypes=("float16", "complex64"),
    ),
    Bug(
        "imaginary parts of taps by parts that are not exchanged",
        "kernels/channel_taps.h",
        "lane = p->conjugate; lane < LANES",
        "lane = LANES; lane < LANES",
        ops=("depthwise_conv", "separable_conv"),
        dtypes=COMPLEX,
        isa="avx2",
    ),
    Bug(
        "conjugated taps turn inputs the other way",
        "kernels/depthwise_turning.h",
        "p->conjugate ? -1 : 1",
        "1",
        ops=INPUT_GRADIENT,
        dtypes=COMPLEX,
        isa="avx2",
    ),
    Bug(
        "imaginary parts of taps that are the real ones",
        TAPS_NEAR,
        "gather_taps_near(t, k, t->taps + part, &taps->near[part])",
        "gather_taps_near(t, k, t->taps, &taps->near[part])",
        dtypes=COMPLEX,
        isa="avx2",
    ),
    Bug(
        "results by imaginary parts are not turned",
        FORMATS,
        "parts[0] += v_spread(bias[0]) - v_load_first(b + rows->part, left)",
        "parts[0] += v_spread(bias[0]) + v_load_first(b + rows->part, left)",
        ops=("depthwise_conv",),
        dtypes=COMPLEX,
    ),
    Bug(
        "factors that sum to imaginary parts without their signs",
        "kernels/converted_mixing.h",
        "v_exchange(x) * crossed : v_times_i(x, turn)",
        "v_exchange(x) * crossed : v_exchange(x)",
        ops=("pointwise_conv",),
        dtypes=COMPLEX,
    ),
    Bug(
        "biases of the first share",
        "kernels/separable_plan.h",
        "first * p->mixing_bias.step",
        "0 * p->mixing_bias.step",
        ops=("pointwise_conv",),
    ),
    Bug(
        "summands of the square before",
        "kernels/pointwise_pixel.h",
        "for (dsc_int i = from; i < to; ++i)",
        "for (dsc_int i = 0; i < to; ++i)",
        ops=("pointwise_conv",),
    ),
    Bug(
        "pixels beyond vectors where the second column goes",
        "kernels/pointwise_rest.h",
        "    m.y += m.width * m.y_column;",
        "    m.y += m.y_column;",
        ops=("pointwise_conv",),
    ),
    Bug(
        "pixels beyond vectors: factors of the turn that follows",
        "kernels/pointwise_loop.h",
        "waiting = factors + (turn ^ REST_TURN);",
        "waiting = factors + turn;",
        isa="avx512",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "pixels beyond vectors: rows that are no whole block are left out",
        "kernels/pointwise_rest.h",
        "p->outputs - p->outputs % MIX_ROWS : 0",
        "p->outputs : 0",
        isa="avx512",
        ops=("pointwise_conv", "separable_conv"),
    ),
    Bug(
        "last block of columns from the first",
        SEPARABLE,
        "group_dense(&end, m->lines + last,",
        "group_dense(&end, m->lines,",
        ops=CONVOLUTIONS,
    ),
    Bug(
        "first block of columns for all that are read in place",
        "kernels/pointwise_tile.h",
        "t->lines + b->column",
        "t->lines",
        ops=CONVOLUTIONS,
    ),
    # ---- gradients of the weights
    Bug(
        "row beyond the last",
        WEIGHTS_TILE,
        "r >= t->row_last",
        "r > t->row_last",
        ops=WEIGHT_GRADIENTS,
    ),
    Bug(
        "column beyond the last",
        WEIGHTS_TILE,
        "at_most(t->width - at, t->columns - column)",
        "t->columns - column",
        ops=WEIGHT_GRADIENTS,
    ),
    Bug(
        "pixel beyond the last",
        WEIGHTS_TILE,
        "t.width - t.position - (I - 1) * t.dilation",
        "t.width - t.position",
        ops=WEIGHT_GRADIENTS,
    ),
    Bug(
        "sum of another pair of blocks",
        REDUCTION,
        "add_block(block, c->levels + level * c->size",
        "add_block(block, c->levels + (level + 1) * c->size",
        ops=(*WEIGHT_GRADIENTS, *POINTWISE_GRADIENT),
    ),
    Bug(
        "conjugate of the other factor",
        WEIGHTS,
        "p->conjugate ? y_part == 1 : part == 1",
        "part == 1",
        ops=WEIGHT_GRADIENTS,
        dtypes=COMPLEX,
    ),
    Bug(
        "channels of the first item packed again",
        PRODUCTS,
        "(const real *)x + w->channel * p->x.channel",
        "(const real *)x",
        ops=POINTWISE_GRADIENT,
    ),
    Bug(
        "runs of pixels start over", PRODUCTS, "w->waiting > 0, .last", "false, .last", ops=POINTWISE_GRADIENT
    ),
    # ---- narrow floats, and numbers that are not finite
    Bug(
        "bfloat16 ties away from zero",
        FORMATS,
        "bits + 0x7fff + (bits >> 16 & 1)",
        "bits + 0x8000",
        check="C tests",
    ),
    Bug("subnormal halves cut off", FORMATS, "v_spread(0.5f)) -", "v_spread(0.25f)) -", check="C tests"),
    Bug(
        "padded zeros meet infinities",
        WEIGHTS,
        "divide_up(-s->base, s->phases) : 0",
        "-s->base / s->phases - 1 : 0",
        check="C tests",
    ),
    # ---- axes that become one
    Bug(
        "merged rows without their dilation",
        "geometry.c",
        "dsc_multiply(e->dilation[1], width, &apart)",
        "dsc_multiply(1, width, &apart)",
        isa="avx2",
    ),
    Bug("merged rows half a row early", "geometry.c", "e->low[2] = low;", "e->low[2] = low / 2;", isa="avx2"),
    Bug(
        "a tap that ends too late",
        "kernels/depthwise_rows.h",
        "t->inside_high - (s->last - 1) * t->dilation",
        "t->inside_high + 1 - (s->last - 1) * t->dilation",
        isa="avx2",
    ),
    # ---- right results, wrong memory
    Bug(
        "masked load reads on",
        "isa/generic_mask.h",
        "if (m.low == 0 && m.high == LANES)",
        "if (m.low == 0)",
        check="C tests",
    ),
    Bug(
        "strided copy reads on",
        FORMATS,
        "2 * (j + LANES) <= 2 * count - 1",
        "j + LANES <= count",
        check="C tests",
    ),
]
