/* Sizes and padding by their definition, found step by step. Shares no index arithmetic with the library. */
#include "testing.h"

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

bool plain_transposed_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *out)
{
    dsc_int reach = 1, natural = 0, cropped;
    for (dsc_int i = 1; i < kernel; ++i)
        reach += g->dilation[axis];
    for (dsc_int i = 0; i < in; ++i)
        natural += i == 0 ? reach : g->stride[axis];
    if (g->padding == DSC_EXPLICIT) {
        *low = g->low[axis];
        *out = natural - *low - g->high[axis] + g->extra[axis];
        return *out > 0;
    }
    for (*out = 0, cropped = in; cropped > 0; --cropped)
        *out += g->stride[axis];
    cropped = natural - *out;
    *low = 0;
    while (cropped >= 2)
        cropped -= 2, ++*low;
    return *out > 0;
}
