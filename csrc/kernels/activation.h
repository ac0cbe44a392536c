/* Activations over vectors. Each propagates NaN and stays within a few units in the last place (see the reference). */
#ifndef DSCONV_ACTIVATION_H
#define DSCONV_ACTIVATION_H

#include "../vec.h"

/* 1 / k! */
static const double exp_coefficients[] = {
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0, 1.0 / 87178291200.0, 1.0 / 1307674368000.0,
};

/* Chebyshev coefficients of log(erfc(z) / t) + z^2 in 2t - 1, where t = 2 / (2 + z), z >= 0; computed in 50 digits. */
static const double erfc_coefficients[] = {
    -1.30265371978170943, 0.64196979235649026, 0.0194764732041858363, -0.00956151478680863164,
    -0.000946595344482036866, 0.000366839497852761452, 0.0000425233248069077716, -0.0000202785781125342432,
    -1.62429000464702551e-6, 1.3036558355805232e-6, 1.56264417220661432e-8, -8.52380959149265425e-8,
    6.5290544390988515e-9, 5.05934349555146894e-9, -9.91364156493033087e-10, -2.27365122293183586e-10,
    9.6467911020155268e-11, 2.39403808303911474e-12, -6.8860275264975534e-12, 8.94487927309072572e-13,
    3.13092139934295808e-13, -1.12708223613672524e-13, 3.81090525518923206e-16, 7.10609761360923699e-15,
    -1.5230282014571043e-15, -9.457494571291234e-17,
};

INLINE vec v_power_of_two(ivec n)
{
    return (vec)((n + v_ispread(REAL_BIAS)) << REAL_MANTISSA);
}

/* Nearest integer, as a real and as an integer: adding 1.5 * 2^mantissa leaves it in the low bits. */
INLINE vec v_round(vec x, ivec *n)
{
    const vec shift = v_spread((real)1.5 * (real)((int64_t)1 << REAL_MANTISSA));
    vec shifted = x + shift;
    *n = (ivec)shifted - (ivec)shift;
    return shifted - shift;
}

/* v * 2^n, n also as a real. */
INLINE vec v_times_power(vec v, ivec n, vec real_n)
{
#ifdef VECTOR_SCALES
    (void)n;
    return v_scale(v, real_n);
#else
    /* In two factors: one alone has no exponent for subnormal results. */
    ivec half = n >> 1;
    (void)real_n;
    return v * v_power_of_two(half) * v_power_of_two(n - half);
#endif
}

/* exp(x) = 2^n * (1 + p): p = exp(r) - 1 without cancellation, |r| <= ln(2) / 2. */
INLINE vec v_reduced_expm1(vec x, ivec *n, vec *real_n)
{
    vec whole = *real_n = v_round(x * v_spread((real)1.44269504088896340736), n);
    vec r = x - whole * v_spread(LN2_HIGH) - whole * v_spread(LN2_LOW);
    vec p = v_spread((real)exp_coefficients[EXP_TERMS]);
    UNROLL
    for (int k = EXP_TERMS - 1; k >= 2; --k)
        p = p * r + v_spread((real)exp_coefficients[k]);
    return p * r * r + r;
}

/* Of x that are not above EXP_HIGHEST. */
INLINE vec v_exp_below(vec x)
{
    ivec n;
    vec real_n, p = v_reduced_expm1(v_at_least(x, v_spread(EXP_LOWEST)), &n, &real_n);
    return v_times_power(p + v_spread(1), n, real_n);
}

static inline vec v_exp(vec x)
{
    return v_exp_below(v_at_most(x, v_spread(EXP_HIGHEST)));
}

static inline vec v_sigmoid(vec x)
{
    vec one = v_spread(1), e = v_exp_below(-v_abs(x));
    return v_select(v_negative(x), e, one) / (one + e);
}

static inline vec v_tanh(vec x)
{
    ivec n;
    vec size = v_at_most(v_abs(x), v_spread(TANH_SATURATED)) * v_spread(2), real_n;
    vec p = v_reduced_expm1(size, &n, &real_n), scale = v_power_of_two(n);
    vec m = scale * p + (scale - v_spread(1));
    vec t = m / (m + v_spread(2));
    return (vec)((ivec)t | ((ivec)x & (ivec)v_spread((real)-0.0)));
}

/* erfc(z) for z >= 0 */
static inline vec v_erfc(vec z)
{
    vec t = v_spread(2) / (v_spread(2) + z);
    vec y = v_spread(4) * t - v_spread(2), d = v_spread(0), dd = v_spread(0);
    UNROLL
    for (int k = ERFC_TERMS - 1; k > 0; --k) {
        vec previous = d;
        d = y * d - dd + v_spread((real)erfc_coefficients[k]);
        dd = previous;
    }
    vec series = v_spread((real)0.5) * (v_spread((real)erfc_coefficients[0]) + y * d) - dd;
    /* z^2 in two parts: the rounding of one, times z^2, would be the error of the result. */
    vec head = (vec)((ivec)z & v_ispread(-((lane)1 << (REAL_MANTISSA / 2 + 1))));
    return t * v_exp(-head * head) * v_exp(-(z - head) * (z + head) + series);
}

static inline vec v_gelu(vec x)
{
    /* Where the tail of the distribution is 0 for sure. */
    const vec limit = v_spread((real)(REAL_BITS == 32 ? 15 : 39.5));
    vec size = v_at_most(v_abs(x), limit);
    vec tail = v_spread((real)0.5) * v_erfc(size * v_spread((real)0.70710678118654752440));
    return x * v_select(v_negative(x), tail, v_spread(1) - tail);
}

static inline vec v_hardsigmoid(vec x)
{
    vec y = v_at_most(v_at_least(x + v_spread(3), v_spread(0)), v_spread(6));
    return y * v_spread((real)(1.0 / 6));
}

static inline vec v_hardswish(vec x)
{
    return x * v_hardsigmoid(x);
}

INLINE vec v_activate(dsc_activation activation, vec x)
{
    switch (activation) {
    case DSC_HARDSWISH: return v_hardswish(x);
    case DSC_HARDSIGMOID: return v_hardsigmoid(x);
    case DSC_SILU: return x * v_sigmoid(x);
    case DSC_SIGMOID: return v_sigmoid(x);
    case DSC_TANH: return v_tanh(x);
    case DSC_GELU: return v_gelu(x);
    default: return x;
    }
}

/* Of one vector, which is rare. */
static __attribute__((noinline)) vec v_activate_any(dsc_activation activation, vec x)
{
    return v_activate(activation, x);
}

INLINE void activate_whole(const dsc_activation activation, real *p, dsc_int count)
{
    for (dsc_int i = 0; i < count; i += LANES)
        v_store(p + i, v_activate(activation, v_load(p + i)));
}

/* Whole vectors in place: a loop for each activation, whose constants stay in registers. */
static __attribute__((noinline)) void activate_vectors(dsc_activation activation, real *p, dsc_int count)
{
    switch (activation) {
    case DSC_HARDSWISH: activate_whole(DSC_HARDSWISH, p, count); break;
    case DSC_HARDSIGMOID: activate_whole(DSC_HARDSIGMOID, p, count); break;
    case DSC_SILU: activate_whole(DSC_SILU, p, count); break;
    case DSC_SIGMOID: activate_whole(DSC_SIGMOID, p, count); break;
    case DSC_TANH: activate_whole(DSC_TANH, p, count); break;
    case DSC_GELU: activate_whole(DSC_GELU, p, count); break;
    default: break;
    }
}

/* In place, for the activations that do not fit into a kernel's epilogue (see epilogue.h). */
static __attribute__((noinline)) void activate(dsc_activation activation, real *p, dsc_int step, dsc_int count)
{
    const dsc_int whole = step == 1 ? count / LANES * LANES : 0;
    if (whole)
        activate_vectors(activation, p, whole);
    for (dsc_int i = whole; i < count; i += LANES) {
        int here = (int)(count - i < LANES ? count - i : LANES);
        real *q = p + i * step;
        if (step == 1) {
            v_store_end(q, v_activate_any(activation, v_load_masked(q, v_mask(0, here))), here);
        } else {
            v_scatter(q, step, v_activate_any(activation, v_gather(q, step, here)), here);
        }
    }
}

#endif
