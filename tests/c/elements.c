/* Elements of arrays, and activations, one number at a time. */
#include "testing.h"

#include <math.h>
#include <string.h>

#define FLOAT_EXACT 16777216.0
#define DOUBLE_EXACT 9007199254740992.0

const storage storages[STORAGES] = {
    [FLOAT32] = {"float32", DSC_FLOAT32, DSC_NATIVE, 4, 1, FLOAT_EXACT, 1e-5},
    [FLOAT64] = {"float64", DSC_FLOAT64, DSC_NATIVE, 8, 1, DOUBLE_EXACT, 1e-12},
    [FLOAT16] = {"float16", DSC_FLOAT32, DSC_HALF, 2, 1, FLOAT_EXACT, 1e-3},
    [BFLOAT16] = {"bfloat16", DSC_FLOAT32, DSC_BFLOAT, 2, 1, FLOAT_EXACT, 8e-3},
    [COMPLEX64] = {"complex64", DSC_FLOAT32, DSC_NATIVE, 4, 2, FLOAT_EXACT, 1e-5},
    [COMPLEX128] = {"complex128", DSC_FLOAT64, DSC_NATIVE, 8, 2, DOUBLE_EXACT, 1e-12},
};

/* Bits of a narrow float: a sign, an exponent with that bias, `digits` of the fraction. */
typedef struct { int digits, bias, infinite; } narrow_shape;

static narrow_shape shape_of(const storage *s)
{
    return s->format == DSC_HALF ? (narrow_shape){10, 15, 31} : (narrow_shape){7, 127, 255};
}

static double widened(narrow_shape n, unsigned bits)
{
    int exponent = (int)(bits >> n.digits) & n.infinite;
    double fraction = bits & ((1u << n.digits) - 1), sign = bits >> 15 ? -1 : 1;
    if (exponent == n.infinite)
        return fraction != 0 ? (double)NAN : sign * INFINITY;
    if (exponent > 0)
        fraction += ldexp(1, n.digits), --exponent;
    return sign * ldexp(fraction, exponent + 1 - n.bias - n.digits);
}

static unsigned narrowed(narrow_shape n, double value)
{
    unsigned sign = signbit(value) ? 0x8000 : 0, infinite = (unsigned)n.infinite << n.digits;
    int exponent;
    if (isnan(value))
        return sign | infinite | 1u << (n.digits - 1);
    if (isinf(value))
        return sign | infinite;
    value = fabs(value);
    frexp(value, &exponent);
    exponent = exponent - 1 < 1 - n.bias || value == 0 ? 1 - n.bias : exponent - 1;
    /* Rounded up to the next power of two, the carry goes into the exponent as it should. */
    double digits = rint(ldexp(value, n.digits - exponent));
    if (exponent > n.bias || (exponent == n.bias && digits == ldexp(1, n.digits + 1)))
        return sign | infinite;
    return sign | (((unsigned)(exponent - 1 + n.bias) << n.digits) + (unsigned)digits);
}

double part_at(const storage *s, const char *data, dsc_int i)
{
    uint16_t bits;
    if (s->item == sizeof(double))
        return ((const double *)data)[i];
    if (s->item == sizeof(float))
        return (double)((const float *)data)[i];
    memcpy(&bits, data + i * 2, sizeof bits);
    return widened(shape_of(s), bits);
}

void set_part(const storage *s, char *data, dsc_int i, double value)
{
    if (s->item == sizeof(double)) {
        ((double *)data)[i] = value;
    } else if (s->item == sizeof(float)) {
        ((float *)data)[i] = (float)value;
    } else {
        uint16_t bits = (uint16_t)narrowed(shape_of(s), value);
        memcpy(data + i * 2, &bits, sizeof bits);
    }
}

double activated(dsc_activation activation, double v)
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

double slope(dsc_activation activation, double v)
{
    double s = 1 / (1 + exp(-v));
    switch (activation) {
    case DSC_RELU: return v > 0;
    case DSC_RELU6: return v > 0 && v < 6;
    case DSC_HARDSIGMOID: return v > -3 && v < 3 ? 1.0 / 6 : 0;
    case DSC_HARDSWISH: return v <= -3 ? 0 : v < 3 ? v / 3 + 0.5 : 1;
    case DSC_SIGMOID: return s * (1 - s);
    case DSC_SILU: return s * (1 + v * (1 - s));
    case DSC_TANH: return 1 / (cosh(v) * cosh(v));
    case DSC_GELU: return 0.5 * erfc(-v / sqrt(2)) + v * exp(-v * v / 2) * 0.39894228040143267794;
    default: return 1;
    }
}
