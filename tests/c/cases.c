/* Random cases: an operation, its sizes and geometry. */
#include "testing.h"

#define MAX_WORK 250000     /* multiply-adds of one case in the plain loops */
#define MAX_WORK_HUGE 6000000

const operation_row operations[OPERATIONS] = {
    {"depthwise", DSC_DEPTHWISE, CONVOLUTION, Y, 16, {[X] = true, [TAPS] = true, [TAPS_BIAS] = true}},
    {"pointwise", DSC_POINTWISE, NO_WINDOW, Y, 8, {[X] = true, [MIXING] = true, [MIXING_BIAS] = true}},
    {"separable", DSC_SEPARABLE, CONVOLUTION, Y, 16,
     {[X] = true, [TAPS] = true, [MIXING] = true, [TAPS_BIAS] = true, [MIXING_BIAS] = true}},
    {"transposed depthwise", DSC_DEPTHWISE, TRANSPOSED, Y, 9, {[X] = true, [TAPS] = true, [TAPS_BIAS] = true}},
    {"transposed separable", DSC_SEPARABLE, TRANSPOSED, Y, 9,
     {[X] = true, [TAPS] = true, [MIXING] = true, [TAPS_BIAS] = true, [MIXING_BIAS] = true}},
    {"depthwise input gradient", DSC_DEPTHWISE, CONVOLUTION, X, 11, {[Y] = true, [TAPS] = true}},
    {"transposed depthwise input gradient", DSC_DEPTHWISE, TRANSPOSED, X, 6, {[Y] = true, [TAPS] = true}},
    {"depthwise weight gradient", DSC_DEPTHWISE_WEIGHTS, CONVOLUTION, TAPS, 10, {[X] = true, [Y] = true}},
    {"transposed depthwise weight gradient", DSC_DEPTHWISE_WEIGHTS, TRANSPOSED, TAPS, 5, {[X] = true, [Y] = true}},
    {"pointwise input gradient", DSC_POINTWISE, NO_WINDOW, X, 3, {[Y] = true, [MIXING] = true}},
    {"pointwise weight gradient", DSC_POINTWISE_WEIGHTS, NO_WINDOW, MIXING, 5, {[X] = true, [Y] = true}},
    {"channel sum", DSC_DEPTHWISE_WEIGHTS, NO_WINDOW, MIXING_BIAS, 2, {[Y] = true}},
};

static bool sums_images(const test_case *t) { return t->row->result != X && t->row->result != Y; }

/* ---- sizes ---- */
static void draw_geometry(rng *r, test_case *t)
{
    dsc_geometry *g = &t->geometry;
    int far = chance(r, 4) ? (int)between(r, 1, 3) : 0;
    *g = (dsc_geometry){.rank = (int)PICK(r, 1, 2, 2, 2, 3), .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    if (t->row->window == TRANSPOSED) {
        g->padding = chance(r, 75) ? DSC_EXPLICIT : DSC_SAME_UPPER;
    } else {
        g->mode = chance(r, 70) ? DSC_ZEROS : (dsc_padding_mode)between(r, DSC_REFLECT, DSC_CIRCULAR);
        g->padding = chance(r, 50) ? DSC_EXPLICIT : (dsc_padding)between(r, DSC_SAME_UPPER, DSC_CAUSAL);
    }
    for (int axis = 0; axis < 3; ++axis)
        t->in[axis] = t->kernel[axis] = 1;
    for (int axis = 3 - g->rank; axis < 3; ++axis) {
        g->stride[axis] = PICK(r, 1, 1, 1, 1, 2, 2, 3, 4);
        g->dilation[axis] = far >> (2 - axis) & 1 ? between(r, 100, 3000) : PICK(r, 1, 1, 1, 1, 2, 2, 3, 5);
        t->kernel[axis] = PICK(r, 1, 2, 3, 3, 3, 3, 4, 5, 5, 7, 7, 9);
        if (chance(r, 3))
            t->kernel[axis] = between(r, 1, axis == 2 ? 40 : 17);
    }
}

/* What networks ask for most often, and independent draws for each axis seldom give. */
static void make_usual(rng *r, test_case *t)
{
    dsc_geometry *g = &t->geometry;
    dsc_int kernel = t->row->window == TRANSPOSED ? PICK(r, 2, 3, 4, 5) : PICK(r, 3, 3, 5, 7);
    dsc_int stride = PICK(r, 1, 1, 2), dilation = stride == 1 ? PICK(r, 1, 1, 2, 4) : 1;
    g->mode = DSC_ZEROS;
    g->padding = (dsc_padding)PICK(r, DSC_EXPLICIT, DSC_SAME_UPPER);
    for (int axis = 3 - g->rank; axis < 3; ++axis)
        t->kernel[axis] = kernel, g->stride[axis] = stride, g->dilation[axis] = dilation;
}

static void draw_padding(rng *r, test_case *t)
{
    dsc_geometry *g = &t->geometry;
    for (int axis = 3 - g->rank; axis < 3; ++axis) {
        dsc_int reach = g->dilation[axis] * (t->kernel[axis] - 1) + 1;
        dsc_int most = chance(r, 15) ? reach + 3 : reach / 2;
        g->low[axis] = between(r, 0, most), g->high[axis] = between(r, 0, most);
        if (t->row->window == TRANSPOSED && chance(r, 60))
            g->extra[axis] = between(r, 0, (g->stride[axis] > g->dilation[axis] ? g->stride : g->dilation)[axis] - 1);
    }
}

/* About that many outputs along an axis: the input that gives them. */
static dsc_int input_for(const test_case *t, int axis, dsc_int outputs)
{
    const dsc_geometry *g = &t->geometry;
    dsc_int reach = g->dilation[axis] * (t->kernel[axis] - 1) + 1, padding = reach - 1;
    if (g->padding == DSC_EXPLICIT)
        padding = g->low[axis] + g->high[axis];
    else if (g->padding == DSC_FULL)
        padding = 2 * (reach - 1);
    dsc_int in = t->row->window == TRANSPOSED ? (outputs - reach + padding) / g->stride[axis] + 1
                                              : (outputs - 1) * g->stride[axis] + reach - padding;
    return in > 1 ? in : 1;
}

static bool settle_sizes(test_case *t)
{
    bool transposed = t->row->window == TRANSPOSED;
    for (int axis = 0; axis < 3; ++axis)
        if (!(transposed ? plain_transposed_axis : plain_axis)(&t->geometry, axis, t->in[axis], t->kernel[axis],
                                                               &t->low[axis], &t->out[axis]))
            return false;
    return true;
}

/* Some cases exceed what the kernels take at once: pixels of a tile, channels of a pass. */
static void draw_sizes(rng *r, test_case *t)
{
    const int rank = t->geometry.rank;
    bool long_row = chance(r, 5), many_channels = chance(r, 6), plane = !long_row && chance(r, 6);
    dsc_int width = between(r, 1, rank == 1 ? 200 : 75);
    t->batch = PICK(r, 1, 1, 1, 2, 3), t->sum_a = t->sum_b = 1;
    if (sums_images(t))
        t->sum_a = PICK(r, 1, 1, 2, 5), t->sum_b = PICK(r, 1, 1, 2, 3), t->batch = PICK(r, 1, 1, 1, 2);
    t->channels = between(r, 1, chance(r, 30) ? 70 : 12);
    t->multiplier = PICK(r, 1, 1, 1, 1, 2, 3);
    t->outputs = between(r, 1, chance(r, 40) ? 110 : 20);
    if (long_row || plane) {
        width = long_row ? between(r, 1000, 2300) : between(r, 40, 70);
        t->channels = between(r, 1, 3), t->outputs = between(r, 1, 9);
    }
    if (many_channels)
        width = between(r, 1, 7), t->channels = between(r, 200, 2300), t->batch = 1;
    for (int axis = 3 - rank; axis < 2; ++axis) {
        dsc_int outputs = plane && axis == 1 ? between(r, 25, 70) : between(r, 1, many_channels ? 2 : 12);
        t->in[axis] = input_for(t, axis, outputs);
    }
    t->in[2] = input_for(t, 2, width);
}

/* One plane with so much work that it is cut into bands. */
static void make_huge(rng *r, test_case *t)
{
    for (int axis = 1; axis < 3; ++axis) {
        t->kernel[axis] = between(r, 7, 9);
        t->geometry.stride[axis] = t->geometry.dilation[axis] = 1;
        t->geometry.low[axis] = t->geometry.high[axis] = between(r, 0, 4);
        t->in[axis] = input_for(t, axis, between(r, 200, 280));
    }
    t->in[0] = t->kernel[0] = t->geometry.stride[0] = t->geometry.dilation[0] = 1;
    t->geometry.rank = 2, t->geometry.padding = DSC_EXPLICIT;
    t->batch = t->channels = t->multiplier = 1, t->outputs = 2;
}

static double volume(const dsc_int size[3]) { return (double)size[0] * (double)size[1] * (double)size[2]; }

static double work_of(const test_case *t)
{
    double images = (double)(t->batch * t->sum_a * t->sum_b), middle = (double)middle_of(t);
    double outputs = (double)t->outputs;
    double work = (double)t->channels * volume(t->in) + outputs * volume(t->out);
    if (has_array(t->row, TAPS))
        work += middle * volume(t->kernel) * volume(starts_of(t));
    if (has_array(t->row, MIXING))
        work += middle * outputs / 4 * volume(t->out);
    return images * work;
}

static void shrink(rng *r, test_case *t)
{
    dsc_int *sizes[] = {&t->batch, &t->sum_a, &t->sum_b, &t->channels, &t->multiplier, &t->outputs, &t->in[0],
                        &t->in[1], &t->in[2], &t->kernel[0], &t->kernel[1]};
    dsc_int *size = sizes[between(r, 0, sizeof sizes / sizeof *sizes - 1)], before = *size;
    *size = before > 1 ? before * 2 / 3 : before;
    if (!settle_sizes(t))
        *size = before, settle_sizes(t);
}

static void settle(rng *r, test_case *t, double most)
{
    for (int tries = 0; !settle_sizes(t); ++tries)
        for (int axis = 3 - t->geometry.rank; axis < 3; ++axis)
            t->in[axis] += 2 + tries;
    for (int tries = 0; tries < 200 && work_of(t) > most; ++tries)
        shrink(r, t);
    if (!has_array(t->row, MIXING) && has_array(t->row, TAPS))
        t->outputs = middle_of(t);
}

static bool draw_shapes(rng *r, test_case *t)
{
    const bool huge = t->row->window == CONVOLUTION && chance(r, 1);
    const double most = huge ? MAX_WORK_HUGE : MAX_WORK;
    draw_geometry(r, t);
    if (chance(r, 30))
        make_usual(r, t);
    if (t->row->window == NO_WINDOW) {
        t->geometry = (dsc_geometry){.rank = t->geometry.rank, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
        t->kernel[0] = t->kernel[1] = t->kernel[2] = 1;
    } else if (t->geometry.padding == DSC_EXPLICIT) {
        draw_padding(r, t);
    }
    draw_sizes(r, t);
    if (huge)
        make_huge(r, t);
    if (chance(r, 1))
        t->channels = 0;
    if (t->row->window == NO_WINDOW)
        t->multiplier = 1;
    settle(r, t, most);
    if (sums_images(t) && chance(r, 2))
        t->sum_a = 0;
    return work_of(t) <= 4 * most;
}

/* How often a padding mode repeats one element, at most. */
static double repeats(const test_case *t)
{
    double count = 1;
    for (int axis = 0; axis < 3; ++axis) {
        dsc_int reach = t->geometry.dilation[axis] * (t->kernel[axis] - 1) + 1;
        count *= 1 + (double)(t->low[axis] + t->out[axis] * t->geometry.stride[axis] + reach) / (double)t->in[axis];
    }
    return t->geometry.mode == DSC_ZEROS ? 1 : 2 * count;
}

/* Products in one element of the result, at most; of the separable convolution: of its first stage. */
static double terms_of(const test_case *t)
{
    double taps = volume(t->kernel);
    switch (t->row->result) {
    case X: return t->row->window == NO_WINDOW ? (double)t->outputs : taps * (double)t->multiplier * repeats(t);
    case Y: return t->row->window == NO_WINDOW ? (double)t->channels : taps;
    default: return (double)(t->sum_a * t->sum_b) * volume(starts_of(t));
    }
}

/* The largest of a few values for which every sum is exact in any order. */
static dsc_int exact_limit(const test_case *t)
{
    const dsc_int limits[] = {100, 20, 5, 2, 1};
    for (int i = 0; i < 4; ++i) {
        double limit = (double)limits[i], most = terms_of(t) * t->kind->parts * limit * limit + limit;
        if (t->row->kernel == DSC_SEPARABLE)
            most = (double)middle_of(t) * t->kind->parts * most * limit + limit;
        if (most < t->kind->exact)
            return limits[i];
    }
    return 1;
}

static void draw_activations(rng *r, test_case *t)
{
    dsc_activation last = chance(r, 60) ? DSC_LINEAR : (dsc_activation)PICK(r, DSC_RELU, DSC_RELU6);
    t->inner = t->outer = DSC_LINEAR;
    if (t->row->result != Y || t->kind->parts == 2)
        return;
    t->smooth = !t->wild && chance(r, 10);
    if (t->smooth)
        last = (dsc_activation)between(r, DSC_HARDSWISH, DSC_GELU);
    if (t->row->kernel == DSC_SEPARABLE && chance(r, 40))
        t->inner = (dsc_activation)PICK(r, DSC_RELU, DSC_RELU6);
    *(t->row->kernel == DSC_DEPTHWISE ? &t->inner : &t->outer) = last;
}

/* A row as often as it says, of a hundred. */
static const operation_row *draw_row(rng *r)
{
    int row = 0, left = (int)between(r, 1, 100);
    while (row < OPERATIONS - 1 && left > operations[row].often)
        left -= operations[row++].often;
    return &operations[row];
}

bool draw_case(rng *r, test_case *t)
{
    *t = (test_case){.row = draw_row(r)};
    t->kind = &storages[PICK(r, FLOAT32, FLOAT32, FLOAT32, FLOAT64, FLOAT64, FLOAT16, BFLOAT16, COMPLEX64, COMPLEX128)];
    if (!draw_shapes(r, t))
        return false;
    t->wild = chance(r, 6);
    t->tidy = chance(r, 70);
    draw_activations(r, t);
    t->limit = exact_limit(t);
    return place_arrays(r, t);
}
