/* Convolution by its definition: loops over everything, padding found step by step. Shares no index arithmetic with
 * the library. */
#include "testing.h"

#include <math.h>
#include <stdlib.h>

static dsc_int count_outputs(dsc_int padded, dsc_int reach, dsc_int stride)
{
    dsc_int count = 0;
    for (dsc_int first = 0; first + reach <= padded; first += stride)
        ++count;
    return count;
}

/* The least padding with which there are as many outputs as every stride-th input. */
static dsc_int same_padding(dsc_int in, dsc_int reach, dsc_int stride)
{
    dsc_int wanted = count_outputs(in, 1, stride), total = 0;
    while (count_outputs(in + total, reach, stride) < wanted)
        ++total;
    return total;
}

bool plain_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *out)
{
    dsc_int reach = 1, high = 0, total;
    bool first_axis = axis == 3 - g->rank;
    for (dsc_int i = 1; i < kernel; ++i)
        reach += g->dilation[axis];
    *low = 0;
    if (g->padding == DSC_EXPLICIT) {
        *low = g->low[axis], high = g->high[axis];
    } else if (g->padding == DSC_FULL) {
        *low = high = reach - 1;
    } else if (g->padding == DSC_CAUSAL && first_axis) {
        *low = reach - 1;
    } else {
        total = same_padding(in, reach, g->stride[axis]);
        high = total / 2, *low = total - high;
        if (g->padding != DSC_SAME_LOWER && total % 2)
            --*low, ++high;
    }
    *out = count_outputs(*low + in + high, reach, g->stride[axis]);
    return *out > 0;
}

dsc_int plain_source(dsc_int i, dsc_int n, dsc_padding_mode mode)
{
    while (i < 0 || i >= n) {
        if (mode == DSC_ZEROS)
            return -1;
        if (mode == DSC_REPLICATE)
            i += i < 0 ? 1 : -1;
        else if (mode == DSC_CIRCULAR)
            i += i < 0 ? n : -n;
        else if (mode == DSC_SYMMETRIC)
            i = i < 0 ? -1 - i : 2 * n - 1 - i;
        else
            i = n == 1 ? 0 : i < 0 ? -i : 2 * n - 2 - i;
    }
    return i;
}

static double activated(dsc_activation activation, double v)
{
    switch (activation) {
    case DSC_RELU: return v < 0 ? 0 : v;
    case DSC_RELU6: return v < 0 ? 0 : v > 6 ? 6 : v;
    case DSC_HARDSIGMOID: return fmin(fmax(v + 3, 0), 6) / 6;
    case DSC_HARDSWISH: return v * fmin(fmax(v + 3, 0), 6) / 6;
    case DSC_SIGMOID: return 1 / (1 + exp(-v));
    case DSC_SILU: return v / (1 + exp(-v));
    case DSC_TANH: return tanh(v);
    case DSC_GELU: return v * 0.5 * erfc(-v / sqrt(2));
    default: return v;
    }
}

static double at(const operand *o, dsc_int i, dsc_int j, dsc_int k, dsc_int l, dsc_int m, dsc_int n)
{
    const dsc_int *step = o->at.step;
    return element(o->data, o->type, i * step[0] + j * step[1] + k * step[2] + l * step[3] + m * step[4] + n * step[5]);
}

/* Source of tap k of output o along each axis, at [axis][o * kernel + k]. */
static void find_sources(const test_case *t, dsc_int *sources[3])
{
    for (int axis = 0; axis < 3; ++axis) {
        sources[axis] = malloc((size_t)(t->out[axis] * t->kernel[axis]) * sizeof **sources);
        for (dsc_int o = 0; o < t->out[axis]; ++o)
            for (dsc_int k = 0; k < t->kernel[axis]; ++k)
                sources[axis][o * t->kernel[axis] + k] =
                    plain_source(o * t->geometry.stride[axis] + k * t->geometry.dilation[axis] - t->low[axis],
                                 t->in[axis], t->geometry.mode);
    }
}

static double depthwise_sum(const test_case *t, dsc_int *const sources[3], dsc_int image, dsc_int channel, dsc_int m,
                            const dsc_int place[3])
{
    const dsc_int *kernel = t->kernel;
    double sum = t->bias ? at(&t->taps_bias, image, channel * t->multiplier + m, 0, 0, 0, 0) : 0;
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j)
            for (dsc_int i = 0; i < kernel[2]; ++i) {
                dsc_int d = sources[0][place[0] * kernel[0] + k], h = sources[1][place[1] * kernel[1] + j];
                dsc_int w = sources[2][place[2] * kernel[2] + i];
                if (d >= 0 && h >= 0 && w >= 0)
                    sum += at(&t->x, image, channel, d, h, w, 0) * at(&t->taps, image, channel, m, k, j, i);
            }
    return sum;
}

static void fill_middle(const test_case *t, dsc_int image, double *middle)
{
    dsc_int *sources[3], place[3];
    find_sources(t, sources);
    for (dsc_int channel = 0; channel < t->channels; ++channel)
        for (dsc_int m = 0; m < t->multiplier; ++m)
            for (place[0] = 0; place[0] < t->out[0]; ++place[0])
                for (place[1] = 0; place[1] < t->out[1]; ++place[1])
                    for (place[2] = 0; place[2] < t->out[2]; ++place[2])
                        *middle++ = activated(t->inner, depthwise_sum(t, sources, image, channel, m, place));
    for (int axis = 0; axis < 3; ++axis)
        free(sources[axis]);
}

static void fill_from_x(const test_case *t, dsc_int image, double *middle)
{
    for (dsc_int c = 0; c < t->channels; ++c)
        for (dsc_int d = 0; d < t->out[0]; ++d)
            for (dsc_int h = 0; h < t->out[1]; ++h)
                for (dsc_int w = 0; w < t->out[2]; ++w)
                    *middle++ = at(&t->x, image, c, d, h, w, 0);
}

static void mix(const test_case *t, dsc_int image, const double *middle, dsc_int pixels, double *result)
{
    dsc_int depth = t->channels * t->multiplier;
    for (dsc_int o = 0; o < t->outputs; ++o, result += pixels) {
        for (dsc_int q = 0; q < pixels; ++q)
            result[q] = t->mixing_bias ? at(&t->mixing_bias_values, image, o, 0, 0, 0, 0) : 0;
        for (dsc_int k = 0; k < depth; ++k) {
            double factor = at(&t->mixing, image, o, k, 0, 0, 0);
            for (dsc_int q = 0; q < pixels; ++q)
                result[q] += factor * middle[k * pixels + q];
        }
        for (dsc_int q = 0; q < pixels; ++q)
            result[q] = activated(t->outer, result[q]);
    }
}

double *plain_result(const test_case *t)
{
    dsc_int pixels = t->out[0] * t->out[1] * t->out[2], depth = t->channels * t->multiplier;
    double *result = malloc((size_t)(t->batch * t->outputs * pixels + 1) * sizeof *result);
    double *middle = malloc((size_t)(depth * pixels + 1) * sizeof *middle);
    for (dsc_int image = 0; image < t->batch; ++image) {
        double *target = result + image * t->outputs * pixels;
        if (t->operation == DSC_DEPTHWISE) {
            fill_middle(t, image, target);
            continue;
        }
        if (t->operation == DSC_POINTWISE)
            fill_from_x(t, image, middle);
        else
            fill_middle(t, image, middle);
        mix(t, image, middle, pixels, target);
    }
    free(middle);
    return result;
}
