/* Derivatives of the activations. */
#ifndef DSCONV_ACTIVATION_GRAD_H
#define DSCONV_ACTIVATION_GRAD_H

#include <math.h>

#include "activation.h"

/* All comparisons are of the bits, as integers: those of reals would raise a flag for NaN. */
INLINE ivec v_is_nan(vec x)
{
    return (ivec)v_abs(x) > (ivec)v_spread((real)INFINITY);
}

INLINE ivec v_beyond(vec x, real limit)
{
    return ((ivec)v_abs(x) >= (ivec)v_spread(limit)) & ~v_is_nan(x);
}

/* 1 where 0 < x < high; high NaN: where 0 < x. */
static inline vec v_relu_slope(vec x, real high)
{
    ivec open = ((ivec)x > v_ispread(0)) & ((ivec)x < (ivec)v_spread(high));
    return v_select(open | v_is_nan(x), v_spread(1), v_spread(0));
}

static inline vec v_hardswish_slope(vec x)
{
    vec line = v_at_most(v_at_least(x, v_spread(-3)), v_spread(3)) * v_spread((real)(1.0 / 3)) + v_spread((real)0.5);
    return v_select(v_beyond(x, 3), v_select(v_negative(x), v_spread(0), v_spread(1)), line);
}

/* sigmoid(x) * (1 - sigmoid(x)), without cancellation. */
static inline vec v_sigmoid_slope(vec x)
{
    vec e = v_exp(-v_abs(x)), d = v_spread(1) + e;
    return e / (d * d);
}

/* 4 * sigmoid'(2x) */
static inline vec v_tanh_slope(vec x)
{
    vec size = v_at_most(v_abs(x), v_spread(-EXP_LOWEST));
    return v_spread(4) * v_sigmoid_slope(size + size);
}

static inline vec v_silu_slope(vec x)
{
    x = v_at_most(v_at_least(x, v_spread(EXP_LOWEST)), v_spread(-EXP_LOWEST));
    return v_sigmoid(x) * (v_spread(1) + x * v_sigmoid(-x));
}

/* Phi(x) + x * phi(x), Phi and phi the normal distribution and its density. */
static inline vec v_gelu_slope(vec x)
{
    const vec limit = v_spread((real)(REAL_BITS == 32 ? 15 : 39.5));
    vec size = v_at_most(v_abs(x), limit);
    vec tail = v_spread((real)0.5) * v_erfc(size * v_spread((real)0.70710678118654752440));
    vec density = v_exp(v_spread((real)-0.5) * size * size) * size * v_spread((real)0.39894228040143267794);
    return v_select(v_negative(x), tail - density, v_spread(1) - tail + density);
}

static vec v_slope(dsc_activation activation, vec x)
{
    switch (activation) {
    case DSC_RELU: return v_relu_slope(x, (real)NAN);
    case DSC_RELU6: return v_relu_slope(x, 6);
    case DSC_HARDSWISH: return v_hardswish_slope(x);
    case DSC_HARDSIGMOID: return v_select(v_beyond(x, 3), v_spread(0), v_spread((real)(1.0 / 6)));
    case DSC_SILU: return v_silu_slope(x);
    case DSC_SIGMOID: return v_sigmoid_slope(x);
    case DSC_TANH: return v_tanh_slope(x);
    case DSC_GELU: return v_gelu_slope(x);
    default: return v_spread(1);
    }
}

#endif
