/* Are taps finite? Where lanes that do not exist are multiplied as zeros, they have to be. */
#ifndef DSCONV_FINITE_TAPS_H
#define DSCONV_FINITE_TAPS_H

#include "depthwise_tile.h"

#define FINITE_SINGLY 5   /* taps that are sooner looked at one by one */

/* Negative lanes: exponents below that of infinity and NaN. As integers, for comparing would raise a flag for NaN. */
INLINE ivec lanes_finite(vec v)
{
    const ivec infinity = (ivec)v_spread((real)INFINITY);
    return ((ivec)v & infinity) - infinity;
}

/* Taps `step` apart, many at a time: this is done for every plane of a call. */
static bool row_finite(const real *taps, dsc_int step, dsc_int count)
{
    dsc_int i = 0;
    if (!FEW_TILES && step == 1 && count > FINITE_SINGLY) {
        ivec finite = v_ispread(-1);
        for (; i + LANES <= count; i += LANES)
            finite &= lanes_finite(v_load(taps + i));
        finite &= lanes_finite(v_load_masked(taps + i, v_mask(0, count - i)));
        lane all = -1;
        for (int l = 0; l < LANES; ++l)
            all &= finite[l];
        return all < 0;
    }
    while (i < count && isfinite(taps[i * step]))
        ++i;
    return i == count;
}

static bool slice_dense(const dsc_int *kernel, const dsc_int *step)
{
    return step[2] == 1 && (kernel[1] == 1 || step[1] == kernel[2]);
}

static bool kernel_dense(const dsc_int *kernel, const dsc_int *step)
{
    return slice_dense(kernel, step) && (kernel[0] == 1 || step[0] == kernel[1] * kernel[2]);
}

/* Of one plane and summand: kernels are mostly dense, and then a single row. */
static bool kernel_finite(const dsc_int *kernel, const dsc_int *step, const real *taps)
{
    const bool rows_dense = slice_dense(kernel, step), dense = kernel_dense(kernel, step);
    const dsc_int rows = rows_dense ? 1 : kernel[1], count = dense ? kernel[0] * kernel[1] * kernel[2]
                                                          : rows_dense ? kernel[1] * kernel[2] : kernel[2];
    for (dsc_int k = 0; k < (dense ? 1 : kernel[0]); ++k)
        for (dsc_int j = 0; j < rows; ++j)
            if (!row_finite(taps + k * step[0] + j * step[1], step[2], count))
                return false;
    return true;
}

#endif
