/* Convolution and its gradients by their definition: loops over everything, on dense copies of the arrays. */
#include "testing.h"

#include <stdlib.h>
#include <string.h>

/* Dense arrays of parts, in the order of the axes; strides of the last axes that belong together. */
typedef struct { double *of[OPERANDS]; int parts; } copies;

static double *copy_axis(const test_case *t, const operand *o, int axis, dsc_int offset, double *target)
{
    for (dsc_int i = 0; i < o->at.size[axis]; ++i, offset += o->at.step[axis]) {
        if (axis + 1 < o->at.axes) {
            target = copy_axis(t, o, axis + 1, offset, target);
            continue;
        }
        for (int part = 0; part < t->kind->parts; ++part)
            *target++ = part_at(t->kind, o->data, offset + part);
    }
    return target;
}

static double *zeros(dsc_int count) { return calloc((size_t)count + 1, sizeof(double)); }

static dsc_int count_parts(const test_case *t, const operand *o)
{
    dsc_int count = t->kind->parts;
    for (int i = 0; i < o->at.axes; ++i)
        count *= o->at.size[i];
    return count;
}

static copies copy_arrays(const test_case *t)
{
    copies c = {.parts = t->kind->parts};
    for (int role = 0; role < OPERANDS; ++role) {
        const operand *o = &t->array[role];
        if (!o->data)
            continue;
        c.of[role] = zeros(count_parts(t, o));
        if (role != t->row->result)
            copy_axis(t, o, 0, 0, c.of[role]);
    }
    return c;
}

/* sum += a * b, with the conjugate of b if so. */
static void add_product(double *sum, const double *a, const double *b, int parts, bool conjugate)
{
    if (parts == 1) {
        *sum += *a * *b;
        return;
    }
    double imaginary = conjugate ? -b[1] : b[1];
    sum[0] += a[0] * b[0] - a[1] * imaginary;
    sum[1] += a[0] * imaginary + a[1] * b[0];
}

/* Of y += x * w, or of a gradient: x += y * conj(w), w += y * conj(x). */
static void add_term(int result, double *x, double *y, double *w, int parts)
{
    if (result == X)
        add_product(x, y, w, parts, true);
    else if (result == Y)
        add_product(y, x, w, parts, false);
    else
        add_product(w, y, x, parts, true);
}

static dsc_int volume(const dsc_int size[3]) { return size[0] * size[1] * size[2]; }

/* Where the taps of every start lie on the other side, at [axis][start * kernel + tap]; -1: nowhere. */
static void find_links(const test_case *t, dsc_int *links[3])
{
    const dsc_geometry *g = &t->geometry;
    for (int axis = 0; axis < 3; ++axis) {
        dsc_int starts = starts_of(t)[axis], kernel = t->kernel[axis];
        links[axis] = malloc((size_t)(starts * kernel + 1) * sizeof **links);
        for (dsc_int i = 0; i < starts * kernel; ++i) {
            dsc_int position = i / kernel * g->stride[axis] + i % kernel * g->dilation[axis] - t->low[axis];
            links[axis][i] = t->row->window == TRANSPOSED ? plain_source(position, t->out[axis], DSC_ZEROS)
                                                          : plain_source(position, t->in[axis], g->mode);
        }
    }
}

/* All taps of one start. `starts`, `others`: planes of the two sides, x and y or the reverse. */
static void add_taps(const test_case *t, dsc_int *const links[3], const dsc_int place[3], double *start, double *others,
                     double *taps)
{
    const bool transposed = t->row->window == TRANSPOSED;
    const dsc_int *kernel = t->kernel, *size = transposed ? t->out : t->in;
    const int parts = t->kind->parts;
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j)
            for (dsc_int i = 0; i < kernel[2]; ++i, taps += parts) {
                dsc_int d = links[0][place[0] * kernel[0] + k], h = links[1][place[1] * kernel[1] + j];
                dsc_int w = links[2][place[2] * kernel[2] + i];
                double *other = others + ((d * size[1] + h) * size[2] + w) * parts;
                if (d >= 0 && h >= 0 && w >= 0)
                    add_term(t->row->result, transposed ? start : other, transposed ? other : start, taps, parts);
            }
}

/* The terms of one channel of x and one of y with the taps between them. */
static void add_plane(const test_case *t, dsc_int *const links[3], double *x, double *y, double *taps)
{
    const dsc_int *starts = starts_of(t);
    bool transposed = t->row->window == TRANSPOSED;
    double *start = transposed ? x : y, *others = transposed ? y : x;
    dsc_int place[3];
    for (place[0] = 0; place[0] < starts[0]; ++place[0])
        for (place[1] = 0; place[1] < starts[1]; ++place[1])
            for (place[2] = 0; place[2] < starts[2]; ++place[2], start += t->kind->parts)
                add_taps(t, links, place, start, others, taps);
}

/* Every image of every batch, by its index n and that of its batch. */
static void add_depthwise(const test_case *t, const copies *c, double *y)
{
    dsc_int *links[3], sums = t->sum_a * t->sum_b, middle = middle_of(t), taps = volume(t->kernel) * c->parts;
    dsc_int x_plane = volume(t->in) * c->parts, y_plane = volume(t->out) * c->parts;
    find_links(t, links);
    for (dsc_int n = 0; n < t->batch * sums; ++n)
        for (dsc_int o = 0; o < middle; ++o)
            add_plane(t, links, c->of[X] + (n * t->channels + o / t->multiplier) * x_plane,
                      y + (n * middle + o) * y_plane, c->of[TAPS] + (n / sums * middle + o) * taps);
    for (int axis = 0; axis < 3; ++axis)
        free(links[axis]);
}

/* `depth` channels of x and all outputs. */
static void add_pointwise(const test_case *t, const copies *c, double *x, dsc_int depth)
{
    dsc_int sums = t->sum_a * t->sum_b, pixels = volume(t->out);
    for (dsc_int n = 0; n < t->batch * sums; ++n)
        for (dsc_int o = 0; o < t->outputs; ++o)
            for (dsc_int k = 0; k < depth; ++k) {
                double *weight = c->of[MIXING] + ((n / sums * t->outputs + o) * depth + k) * c->parts;
                double *from = x + (n * depth + k) * pixels * c->parts;
                double *to = c->of[Y] + (n * t->outputs + o) * pixels * c->parts;
                for (dsc_int q = 0; q < pixels * c->parts; q += c->parts)
                    add_term(t->row->result, from + q, to + q, weight, c->parts);
            }
}

static void add_channel_sums(const test_case *t, const copies *c)
{
    dsc_int sums = t->sum_a * t->sum_b, pixels = volume(t->out);
    const double *y = c->of[Y];
    for (dsc_int n = 0; n < t->batch * sums; ++n)
        for (dsc_int o = 0; o < t->outputs; ++o)
            for (dsc_int q = 0; q < pixels * c->parts; ++q)
                c->of[MIXING_BIAS][(n / sums * t->outputs + o) * c->parts + q % c->parts] += *y++;
}

/* A map of `channels` channels for each of the batch, each with its bias. */
static void add_bias(const test_case *t, const double *bias, dsc_int channels, double *map)
{
    dsc_int plane = volume(t->out) * t->kind->parts;
    for (dsc_int i = 0; bias && i < t->batch * channels; ++i)
        for (dsc_int q = 0; q < plane; ++q)
            map[i * plane + q] += bias[i * t->kind->parts + q % t->kind->parts];
}

static void activate(dsc_activation activation, double *values, dsc_int count)
{
    for (dsc_int i = 0; activation != DSC_LINEAR && i < count; ++i)
        values[i] = activated(activation, values[i]);
}

static void add_forward(const test_case *t, const copies *c)
{
    dsc_int plane = t->batch * volume(t->out) * c->parts;
    double *middle = c->of[X];
    if (t->row->reads[TAPS]) {
        middle = t->row->reads[MIXING] ? zeros(plane * middle_of(t)) : c->of[Y];
        add_bias(t, c->of[TAPS_BIAS], middle_of(t), middle);
        add_depthwise(t, c, middle);
        activate(t->inner, middle, plane * middle_of(t));
    }
    if (t->row->reads[MIXING]) {
        add_bias(t, c->of[MIXING_BIAS], t->outputs, c->of[Y]);
        add_pointwise(t, c, middle, middle_of(t));
        activate(t->outer, c->of[Y], plane * t->outputs);
    }
    if (middle != c->of[X] && middle != c->of[Y])
        free(middle);
}

double *plain_result(const test_case *t)
{
    copies c = copy_arrays(t);
    if (t->row->result == Y)
        add_forward(t, &c);
    else if (t->row->result == MIXING_BIAS)
        add_channel_sums(t, &c);
    else if (t->row->window == NO_WINDOW)
        add_pointwise(t, &c, c.of[X], t->channels);
    else
        add_depthwise(t, &c, c.of[Y]);
    for (int role = 0; role < OPERANDS; ++role)
        if (role != t->row->result)
            free(c.of[role]);
    return c.of[t->row->result];
}
