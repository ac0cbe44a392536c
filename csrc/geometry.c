/* Output sizes and padding. No Python here, so that it can be fuzzed alone. */
#include "dsconv.h"

#include <string.h>

bool dsc_multiply(dsc_int a, dsc_int b, dsc_int *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

static bool add(dsc_int a, dsc_int b, dsc_int *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/* Input elements that the dilated kernel spans. */
static bool span(dsc_int kernel, dsc_int dilation, dsc_int *result)
{
    return dsc_multiply(dilation, kernel - 1, result) && add(*result, 1, result);
}

#define STRIDE_KEPT 4   /* kernels have tiles for strides up to this one */

/* Padding that makes the output ceil(in / stride) long. */
static bool same_total(dsc_int in, dsc_int stride, dsc_int reach, dsc_int *total)
{
    dsc_int outputs = in / stride + (in % stride != 0), last;
    if (!dsc_multiply(outputs - 1, stride, &last) || !add(last, reach - in, total))
        return false;
    if (*total < 0)
        *total = 0;
    return true;
}

static bool pad(const dsc_geometry *g, int axis, dsc_int in, dsc_int reach, dsc_int *low, dsc_int *high)
{
    dsc_padding padding = g->padding;
    dsc_int total;
    if (padding == DSC_CAUSAL && axis > 3 - g->rank)
        padding = DSC_SAME_UPPER;
    switch (padding) {
    case DSC_EXPLICIT:
        *low = g->low[axis], *high = g->high[axis];
        return true;
    case DSC_FULL:
        *low = *high = reach - 1;
        return true;
    case DSC_CAUSAL:
        *low = reach - 1, *high = 0;
        return true;
    default:
        if (!same_total(in, g->stride[axis], reach, &total))
            return false;
        *low = padding == DSC_SAME_UPPER ? total / 2 : total - total / 2;
        *high = total - *low;
        return true;
    }
}

static dsc_fit resolve_axis(const dsc_geometry *g, int axis, dsc_extent *e)
{
    dsc_int in = e->in[axis], kernel = e->kernel[axis], reach, high, padded;
    if (kernel < 1)
        return DSC_EMPTY_KERNEL;
    if (in == 0 && g->mode != DSC_ZEROS)
        return DSC_EMPTY_INPUT;
    if (!span(kernel, g->dilation[axis], &reach) || !pad(g, axis, in, reach, &e->low[axis], &high))
        return DSC_OVERFLOW;
    if (!add(in, e->low[axis], &padded) || !add(padded, high, &padded))
        return DSC_OVERFLOW;
    if (padded < reach)
        return DSC_KERNEL_TOO_LARGE;
    e->out[axis] = (padded - reach) / g->stride[axis] + 1;
    /* A step that is never taken must not cost anything later, however large it is. But a small one along the last axis chooses the
     * order of summation, which must not follow from the number of outputs. */
    e->stride[axis] = e->out[axis] == 1 && (axis < 2 || g->stride[axis] > STRIDE_KEPT) ? 1 : g->stride[axis];
    e->dilation[axis] = kernel == 1 ? 1 : g->dilation[axis];
    return DSC_FITS;
}

dsc_fit dsc_resolve(const dsc_geometry *g, const dsc_int in[3], const dsc_int kernel[3], dsc_extent *e, int *axis)
{
    e->mode = g->mode;
    e->transposed = false;
    for (*axis = 0; *axis < 3; ++*axis) {
        e->in[*axis] = in[*axis];
        e->kernel[*axis] = kernel[*axis];
        dsc_fit fit = resolve_axis(g, *axis, e);
        if (fit != DSC_FITS)
            return fit;
    }
    return DSC_FITS;
}


/* Size of a transposed convolution along one axis without output padding, and the padding that it takes away. */
static bool natural_size(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *size)
{
    dsc_int stride = g->stride[axis], reach, last, total;
    if (!span(kernel, g->dilation[axis], &reach) || !dsc_multiply(in - 1, stride, &last) || !add(last, reach, size))
        return false;
    if (g->padding == DSC_EXPLICIT) {
        *low = g->low[axis];
        return !__builtin_sub_overflow(*size, g->low[axis], size) && !__builtin_sub_overflow(*size, g->high[axis], size);
    }
    total = reach > stride ? reach - stride : 0;
    *low = total / 2;
    return dsc_multiply(in, stride, size);
}

bool dsc_transposed_range(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *least, dsc_int *most)
{
    dsc_int low, larger = g->stride[axis] > g->dilation[axis] ? g->stride[axis] : g->dilation[axis];
    if (!natural_size(g, axis, in, kernel, &low, least))
        return false;
    *most = *least;
    return g->padding != DSC_EXPLICIT || add(*least, larger - 1, most);
}

static dsc_fit resolve_transposed_axis(const dsc_geometry *g, int axis, const dsc_int *out, dsc_extent *e)
{
    dsc_int in = e->in[axis], kernel = e->kernel[axis], least, most, size;
    if (kernel < 1)
        return DSC_EMPTY_KERNEL;
    if (!natural_size(g, axis, in, kernel, &e->low[axis], &size) || !add(size, g->extra[axis], &size) ||
        !dsc_transposed_range(g, axis, in, kernel, &least, &most))
        return DSC_OVERFLOW;
    if (out)
        size = out[axis];
    if (size < least || size > most)
        return DSC_OUT_OF_RANGE;
    if (size < 1)
        return DSC_EMPTY_OUTPUT;
    e->out[axis] = size;
    e->stride[axis] = in <= 1 ? 1 : g->stride[axis];
    e->dilation[axis] = kernel == 1 ? 1 : g->dilation[axis];
    return DSC_FITS;
}

dsc_fit dsc_resolve_transposed(const dsc_geometry *g, const dsc_int in[3], const dsc_int kernel[3], const dsc_int *out,
                               dsc_extent *e, int *axis)
{
    e->mode = DSC_ZEROS;
    e->transposed = true;
    for (*axis = 0; *axis < 3; ++*axis) {
        e->in[*axis] = in[*axis];
        e->kernel[*axis] = kernel[*axis];
        dsc_fit fit = resolve_transposed_axis(g, *axis, out, e);
        if (fit != DSC_FITS)
            return fit;
    }
    return DSC_FITS;
}

void dsc_exchange(dsc_extent *e)
{
    for (int axis = 0; axis < 3; ++axis) {
        dsc_int in = e->in[axis];
        e->in[axis] = e->out[axis];
        e->out[axis] = in;
    }
    e->transposed = !e->transposed;
}

static dsc_int common_divisor(dsc_int a, dsc_int b)
{
    while (b) {
        dsc_int rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* Smallest t >= 0 with t * dilation = position (mod stride), -1 if there is none. Both are free of common divisors. */
static dsc_int first_tap(dsc_int position, dsc_int dilation, dsc_int stride)
{
    dsc_int a = dilation % stride, m = stride, inverse = 1, next = 0;
    if (dilation == 1)
        return position % stride;
    while (stride > 1 && a > 1) {
        dsc_int quotient = a / m, rest = a % m, before = next;
        next = inverse - quotient * next, inverse = before;
        a = m, m = rest;
    }
    if (stride == 1)
        return 0;
    inverse = inverse % stride < 0 ? inverse % stride + stride : inverse % stride;
    return (dsc_int)((__int128)(position % stride) * inverse % stride);
}

/* Of numbers that may exceed 64 bits, and hardly ever do: those divisions take several times as long. */
static __int128 quotient(__int128 a, dsc_int b)
{
    return a == (dsc_int)a ? (dsc_int)a / b : a / b;
}

static dsc_int remainder_of(__int128 a, dsc_int b)
{
    return a == (dsc_int)a ? (dsc_int)a % b : (dsc_int)(a % b);
}

dsc_phase dsc_phase_of(const dsc_extent *e, int axis, dsc_int phase, dsc_extent *p)
{
    dsc_int divisor = common_divisor(e->stride[axis], e->dilation[axis]);
    dsc_int stride = e->stride[axis] / divisor, dilation = e->dilation[axis] / divisor;
    __int128 position = (__int128)phase + e->low[axis];   /* a phase beyond the last output may exceed 64 bits */
    dsc_int first = remainder_of(position, divisor) ? -1
                    : first_tap(remainder_of(quotient(position, divisor), stride), dilation, stride);
    p->in[axis] = e->in[axis];
    p->out[axis] = phase < e->out[axis] ? (e->out[axis] - phase - 1) / e->stride[axis] + 1 : 0;
    p->stride[axis] = 1, p->dilation[axis] = dilation;
    p->kernel[axis] = first < 0 || first >= e->kernel[axis] ? 0 : (e->kernel[axis] - first - 1) / stride + 1;
    if (p->kernel[axis] == 0)
        return (dsc_phase){0, 0};
    p->low[axis] = (p->kernel[axis] - 1) * dilation -
                   (dsc_int)quotient(position - first * e->dilation[axis], e->stride[axis]);
    if (p->kernel[axis] == 1)
        p->dilation[axis] = 1;
    return (dsc_phase){first + (p->kernel[axis] - 1) * stride, stride};
}

static dsc_int modulo(dsc_int i, dsc_int n)
{
    dsc_int r = i % n;
    return r < 0 ? r + n : r;
}

dsc_int dsc_source_index(dsc_int i, dsc_int n, dsc_padding_mode mode)
{
    if (i >= 0 && i < n)
        return i;
    switch (mode) {
    case DSC_ZEROS:
        return -1;
    case DSC_REPLICATE:
        return i < 0 ? 0 : n - 1;
    case DSC_CIRCULAR:
        return modulo(i, n);
    case DSC_SYMMETRIC:
        i = modulo(i, 2 * n);
        return i < n ? i : 2 * n - 1 - i;
    default: /* DSC_REFLECT: the border element is not repeated */
        if (n == 1)
            return 0;
        i = modulo(i, 2 * (n - 1));
        return i < n ? i : 2 * (n - 1) - i;
    }
}

void dsc_tidy_map(dsc_map *map, const dsc_int size[3], dsc_int channels)
{
    if (channels == 1 && size[2] > 1)
        map->channel = 0;
    if (size[2] == 1)
        map->step[2] = size[1] > 1 ? map->step[1] : 1;
    if (size[1] == 1)
        map->step[1] = size[2] * map->step[2];
}

static bool evenly_spaced(const dsc_map *map, const dsc_int size[3])
{
    return !map->data || ((size[1] == 1 || map->step[1] == size[2] * map->step[2]) &&
            (size[0] == 1 || map->step[0] == size[1] * size[2] * map->step[2]));
}

void dsc_collapse_pixels(dsc_problem *p)
{
    dsc_extent *e = &p->e;
    if (!evenly_spaced(&p->x, e->in) || !evenly_spaced(&p->y, e->in))
        return;
    e->in[2] *= e->in[0] * e->in[1];
    e->in[0] = e->in[1] = 1;
    memcpy(e->out, e->in, sizeof e->out);
    dsc_tidy_map(&p->x, e->in, p->channels);
    dsc_tidy_map(&p->y, e->out, p->outputs);
}

#define MERGED_WIDTH 8   /* taps of fewer elements apart are better left in rows of their own, ... */
#define MERGED_TAPS 32   /* ... and so are more taps */

/* Rows that are one run, of a kernel of one column that reads nothing beside them: the rows are columns then, a row apart. */
static bool merge_rows(dsc_problem *p)
{
    dsc_extent *e = &p->e;
    const dsc_int width = e->in[2];
    dsc_int apart = 1, low;
    const bool plain = e->kernel[2] == 1 && e->stride[1] == 1 && e->stride[2] == 1 && e->low[2] == 0 && e->out[2] == width;
    const bool dense = p->x.step[2] == 1 && p->y.step[2] == 1 && p->x.step[1] == width && p->y.step[1] == width;
    if (!plain || !dense || e->in[1] <= 1 || (e->kernel[1] > 1 && width < MERGED_WIDTH) ||
        e->kernel[1] > MERGED_TAPS || !dsc_multiply(e->low[1], width, &low))
        return false;
    if (e->kernel[1] > 1 && !dsc_multiply(e->dilation[1], width, &apart))
        return false;
    e->kernel[2] = e->kernel[1], e->dilation[2] = apart, e->low[2] = low;
    e->in[2] *= e->in[1], e->out[2] *= e->out[1];
    e->kernel[1] = e->dilation[1] = e->in[1] = e->out[1] = 1, e->low[1] = 0;
    p->taps.step[2] = p->taps.step[1];
    p->x.step[1] = e->in[2], p->y.step[1] = e->out[2];
    return true;
}

static void exchange_numbers(dsc_int *a)
{
    const dsc_int first = a[0];
    a[0] = a[1], a[1] = first;
}

void dsc_exchange_rows(dsc_problem *p)
{
    dsc_extent *e = &p->e;
    dsc_int *of_axes[] = {e->in, e->kernel, e->out, e->stride, e->dilation, e->low, p->x.step, p->y.step, p->taps.step};
    for (size_t i = 0; i < sizeof of_axes / sizeof *of_axes; ++i)
        exchange_numbers(of_axes[i]);
    dsc_tidy_map(&p->x, e->in, p->channels);
    dsc_tidy_map(&p->y, e->out, p->outputs);
}

void dsc_merge_axes(dsc_problem *p)
{
    dsc_extent *e = &p->e;
    const int wide = (e->kernel[0] > 1) + (e->kernel[1] > 1) + (e->kernel[2] > 1);
    if (p->parts > 1 || wide > 1 || e->mode != DSC_ZEROS || !merge_rows(p))
        return;
    if (e->in[0] <= 1 || e->stride[0] != 1 || e->kernel[2] > 1)
        return;
    e->in[1] = e->in[0], e->out[1] = e->out[0], e->low[1] = e->low[0];
    e->kernel[1] = e->kernel[0], e->dilation[1] = e->dilation[0];
    p->x.step[1] = p->x.step[0], p->y.step[1] = p->y.step[0], p->taps.step[1] = p->taps.step[0];
    e->in[0] = e->out[0] = e->kernel[0] = e->dilation[0] = 1, e->low[0] = 0;
    merge_rows(p);
}
