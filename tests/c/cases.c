/* Random cases: sizes and geometry, then how every array lies in memory. */
#include "testing.h"

#include <math.h>
#include <stdio.h>

#define MAX_WORK 250000     /* multiply-adds of one case in the plain loops */
#define MAX_WORK_HUGE 6000000
#define LARGEST_SUM(type) ((type) == DSC_FLOAT32 ? 16777216.0 : 9007199254740992.0)

/* ---- sizes ---- */
static void draw_geometry(rng *r, test_case *t)
{
    dsc_geometry *g = &t->geometry;
    int far = chance(r, 4) ? (int)between(r, 1, 3) : 0;
    *g = (dsc_geometry){.rank = (int)PICK(r, 1, 2, 2, 2, 3), .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    g->mode = chance(r, 70) ? DSC_ZEROS : (dsc_padding_mode)between(r, DSC_REFLECT, DSC_CIRCULAR);
    g->padding = chance(r, 50) ? DSC_EXPLICIT : (dsc_padding)between(r, DSC_SAME_UPPER, DSC_CAUSAL);
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
    dsc_int kernel = PICK(r, 3, 3, 5, 7), stride = PICK(r, 1, 1, 2), dilation = stride == 1 ? PICK(r, 1, 1, 2, 4) : 1;
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
    dsc_int in = (outputs - 1) * g->stride[axis] + reach - padding;
    return in > 1 ? in : 1;
}

static bool settle_sizes(test_case *t)
{
    for (int axis = 0; axis < 3; ++axis)
        if (!plain_axis(&t->geometry, axis, t->in[axis], t->kernel[axis], &t->low[axis], &t->out[axis]))
            return false;
    return true;
}

/* Some cases exceed what the kernels take at once: pixels of a tile, channels of a pass. */
static void draw_sizes(rng *r, test_case *t)
{
    const int rank = t->geometry.rank;
    bool long_row = chance(r, 5), many_channels = chance(r, 6), plane = !long_row && chance(r, 6);
    dsc_int width = between(r, 1, rank == 1 ? 200 : 75);
    t->batch = PICK(r, 1, 1, 1, 2, 3);
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

static double work_of(const test_case *t)
{
    double pixels = (double)t->batch * t->out[0] * t->out[1] * t->out[2], middle = (double)t->channels * t->multiplier;
    double taps = (double)t->kernel[0] * t->kernel[1] * t->kernel[2];
    double inputs = (double)t->batch * t->channels * t->in[0] * t->in[1] * t->in[2];
    return inputs + pixels * middle * ((t->operation == DSC_POINTWISE ? 0 : taps) +
                                       (t->operation == DSC_DEPTHWISE ? 0 : (double)t->outputs / 4));
}

static void shrink(rng *r, test_case *t)
{
    dsc_int *sizes[] = {&t->batch, &t->channels, &t->multiplier, &t->outputs, &t->in[0], &t->in[1], &t->in[2],
                        &t->kernel[0], &t->kernel[1]};
    dsc_int *size = sizes[between(r, 0, 8)], before = *size;
    *size = before > 1 ? before * 2 / 3 : before;
    if (!settle_sizes(t))
        *size = before, settle_sizes(t);
}

static bool draw_shapes(rng *r, test_case *t)
{
    const bool huge = t->operation != DSC_POINTWISE && chance(r, 1);
    const double most = huge ? MAX_WORK_HUGE : MAX_WORK;
    draw_geometry(r, t);
    if (chance(r, 30))
        make_usual(r, t);
    if (t->operation == DSC_POINTWISE) {
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
    if (t->operation == DSC_POINTWISE)
        t->multiplier = 1;
    for (int tries = 0; !settle_sizes(t); ++tries)
        for (int axis = 3 - t->geometry.rank; axis < 3; ++axis)
            t->in[axis] += 2 + tries;
    for (int tries = 0; tries < 200 && work_of(t) > most; ++tries)
        shrink(r, t);
    if (t->operation == DSC_DEPTHWISE)
        t->outputs = t->channels * t->multiplier;
    return work_of(t) <= 4 * most;
}

/* ---- memory ---- */
static void draw_order(rng *r, int axes, int *order)
{
    for (int i = 0; i < axes; ++i)
        order[i] = i;
    if (chance(r, 40) && axes == 5) {        /* channels last */
        const int last[] = {IMAGE, DEPTH, ROW, COLUMN, CHANNEL};
        for (int i = 0; i < axes; ++i)
            order[i] = last[i];
    } else if (chance(r, 20)) {
        for (int i = axes - 1; i > 0; --i) {
            int j = (int)between(r, 0, i), swapped = order[i];
            order[i] = order[j], order[j] = swapped;
        }
    }
}

static void measure(layout *l)
{
    dsc_int highest = l->lowest = l->span = 0;
    for (int i = 0; i < l->axes; ++i)
        if (l->size[i] == 0)
            return;
    for (int i = 0; i < l->axes; ++i) {
        dsc_int reach = (l->size[i] - 1) * l->step[i];
        *(reach < 0 ? &l->lowest : &highest) += reach;
    }
    l->span = highest - l->lowest + 1;
}

/* `shared`: an axis may repeat one element, as a broadcast array does. */
static layout draw_layout(rng *r, int axes, const dsc_int *size, bool shared)
{
    layout l = {.axes = axes};
    int order[AXES];
    bool gaps = chance(r, 40), flips = chance(r, 15);
    dsc_int pitch = gaps && chance(r, 30) ? between(r, 2, 3) : 1;
    draw_order(r, axes, order);
    for (int i = 0; i < axes; ++i)
        l.size[i] = size[i];
    for (int i = axes - 1; i >= 0; --i) {
        int axis = order[i];
        if (shared && chance(r, 4))
            continue;
        l.step[axis] = flips && chance(r, 50) ? -pitch : pitch;
        pitch = pitch * l.size[axis] + (gaps && chance(r, 50) ? between(r, 1, 9) : 0);
    }
    measure(&l);
    return l;
}

static double draw_value(rng *r, const test_case *t)
{
    if (t->wild && chance(r, 2))
        return PICK(r, 0, 1) ? NAN : chance(r, 50) ? INFINITY : -INFINITY;
    return (double)between(r, -t->limit, t->limit);
}

static void fill_axis(rng *r, const test_case *t, operand *o, int axis, dsc_int offset)
{
    for (dsc_int i = 0; i < o->at.size[axis]; ++i, offset += o->at.step[axis])
        if (axis + 1 < o->at.axes)
            fill_axis(r, t, o, axis + 1, offset);
        else
            set_element(o->data, o->type, offset, draw_value(r, t));
}

/* An array that ends at a guard page, or begins behind one; what is between its elements is NaN. */
static bool place(rng *r, test_case *t, operand *o, int which, int axes, const dsc_int *size, bool input)
{
    enum { OPERANDS = 6, ROOM = 32 << 20 };
    static guarded memory[OPERANDS];
    if (!memory[which].low)
        memory[which] = guarded_memory(ROOM);
    o->at = draw_layout(r, axes, size, input);
    o->type = t->type;
    size_t item = item_size(t->type);
    o->memory = guarded_place(&memory[which], (size_t)o->at.span * item, chance(r, 75));
    if (!o->memory)
        return false;
    o->data = o->memory - o->at.lowest * (dsc_int)item;
    for (dsc_int i = 0; input && i < o->at.span; ++i)
        set_element(o->memory, o->type, i, NAN);
    if (input)
        fill_axis(r, t, o, 0, 0);
    return true;
}

/* The largest of a few values for which every sum is exact in any order. */
static dsc_int exact_limit(const test_case *t)
{
    const dsc_int limits[] = {100, 20, 5, 2, 1};
    double taps = t->operation == DSC_POINTWISE ? 1 : (double)t->kernel[0] * t->kernel[1] * t->kernel[2];
    for (int i = 0; i < 4; ++i) {
        double limit = (double)limits[i], first = taps * limit * limit + limit;
        double last = (double)t->channels * t->multiplier * first * limit + limit;
        if ((t->operation == DSC_DEPTHWISE ? first : last) < LARGEST_SUM(t->type))
            return limits[i];
    }
    return 1;
}

static bool place_all(rng *r, test_case *t)
{
    const dsc_int n = t->batch, c = t->channels, m = t->multiplier, o = t->outputs;
    const dsc_int *in = t->in, *out = t->out, *k = t->kernel;
    bool taps = t->operation != DSC_POINTWISE, mixing = t->operation != DSC_DEPTHWISE;
    t->bias = taps && chance(r, 60), t->mixing_bias = mixing && chance(r, 60);
    return place(r, t, &t->x, 0, 5, (dsc_int[]){n, c, in[0], in[1], in[2]}, true) &&
           place(r, t, &t->y, 1, 5, (dsc_int[]){n, o, out[0], out[1], out[2]}, false) &&
           (!taps || place(r, t, &t->taps, 2, 6, (dsc_int[]){n, c, m, k[0], k[1], k[2]}, true)) &&
           (!mixing || place(r, t, &t->mixing, 3, 3, (dsc_int[]){n, o, c * m}, true)) &&
           (!t->bias || place(r, t, &t->taps_bias, 4, 2, (dsc_int[]){n, c * m}, true)) &&
           (!t->mixing_bias || place(r, t, &t->mixing_bias_values, 5, 2, (dsc_int[]){n, o}, true));
}

static void draw_activations(rng *r, test_case *t)
{
    dsc_activation last = chance(r, 60) ? DSC_LINEAR : (dsc_activation)PICK(r, DSC_RELU, DSC_RELU6);
    t->inner = t->outer = DSC_LINEAR;
    t->smooth = !t->wild && chance(r, 10);
    if (t->smooth)
        last = (dsc_activation)between(r, DSC_HARDSWISH, DSC_GELU);
    if (t->operation == DSC_SEPARABLE && chance(r, 40))
        t->inner = (dsc_activation)PICK(r, DSC_RELU, DSC_RELU6);
    *(t->operation == DSC_DEPTHWISE ? &t->inner : &t->outer) = last;
}

bool draw_case(rng *r, test_case *t)
{
    *t = (test_case){
        .operation = (int)PICK(r, DSC_DEPTHWISE, DSC_DEPTHWISE, DSC_POINTWISE, DSC_SEPARABLE, DSC_SEPARABLE),
        .type = (int)PICK(r, DSC_FLOAT32, DSC_FLOAT64),
    };
    if (!draw_shapes(r, t))
        return false;
    t->wild = chance(r, 6);
    t->tidy = chance(r, 70);
    draw_activations(r, t);
    t->limit = exact_limit(t);
    return place_all(r, t);
}

/* ---- a case as the library's problem ---- */
static dsc_map map_of(const operand *o)
{
    const dsc_int *step = o->at.step;
    return (dsc_map){o->data, step[IMAGE], step[CHANNEL], {step[DEPTH], step[ROW], step[COLUMN]}};
}

/* Steps that are never taken, as the caller sets them: NumPy's own is 0. */
static void tidy(dsc_map *map, const dsc_int *size, dsc_int channels)
{
    if (channels == 1)
        map->channel = 0;
    if (size[2] == 1)
        map->step[2] = size[1] > 1 ? map->step[1] : 1;
    if (size[1] == 1)
        map->step[1] = size[2] * map->step[2];
}

dsc_problem problem_of(const test_case *t)
{
    dsc_problem p = {.batch = t->batch, .channels = t->channels, .multiplier = t->multiplier, .summands = 1, .outputs = t->outputs,
                     .threads = 1, .taps_activation = t->inner, .mixing_activation = t->outer};
    const dsc_int *s = t->taps.at.step;
    int axis;
    dsc_resolve(&t->geometry, t->in, t->kernel, &p.e, &axis);
    p.x = map_of(&t->x), p.y = map_of(&t->y);
    if (t->tidy)
        tidy(&p.x, t->in, t->channels), tidy(&p.y, t->out, t->outputs);
    if (t->taps.data)
        p.taps = (dsc_taps){t->taps.data, s[0], s[1], s[2], {s[3], s[4], s[5]}};
    if (t->mixing.data)
        p.mixing = (dsc_matrix){t->mixing.data, t->mixing.at.step[0], t->mixing.at.step[1], t->mixing.at.step[2]};
    if (t->bias)
        p.taps_bias = (dsc_vector){t->taps_bias.data, t->taps_bias.at.step[0], t->taps_bias.at.step[1]};
    if (t->mixing_bias)
        p.mixing_bias = (dsc_vector){t->mixing_bias_values.data, t->mixing_bias_values.at.step[0],
                                     t->mixing_bias_values.at.step[1]};
    return p;
}

static void describe_layout(const char *name, const operand *o)
{
    if (!o->data)
        return;
    printf("  %s:", name);
    for (int i = 0; i < o->at.axes; ++i)
        printf(" %lld*%lld", (long long)o->at.size[i], (long long)o->at.step[i]);
    printf("\n");
}

void describe_case(const test_case *t)
{
    static const char *const operations[] = {"depthwise", "pointwise", "separable"};
    const dsc_geometry *g = &t->geometry;
    printf("  %s, %s, rank %d, padding %d, mode %d, activations %d %d%s%s; sizes*steps:\n", operations[t->operation],
           t->type == DSC_FLOAT32 ? "float32" : "float64", g->rank, g->padding, g->mode, t->inner, t->outer,
           t->wild ? ", not finite" : "", t->tidy ? "" : ", steps not tidied");
    for (int axis = 0; axis < 3; ++axis)
        printf("  axis %d: in %lld kernel %lld out %lld stride %lld dilation %lld low %lld\n", axis,
               (long long)t->in[axis], (long long)t->kernel[axis], (long long)t->out[axis], (long long)g->stride[axis],
               (long long)g->dilation[axis], (long long)t->low[axis]);
    describe_layout("x", &t->x), describe_layout("y", &t->y);
    describe_layout("taps", &t->taps), describe_layout("mixing", &t->mixing);
    describe_layout("taps bias", &t->taps_bias), describe_layout("mixing bias", &t->mixing_bias_values);
}
