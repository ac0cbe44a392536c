/* geometry.c alone: against plain definitions for small numbers, against 128-bit arithmetic for hostile ones. */
#include "testing.h"

#include <stdio.h>

typedef __int128 wide;

static int failures;

#define EXPECT(condition, ...) \
    do { \
        if (!(condition) && ++failures <= 20) { \
            printf("WRONG: %s:", #condition); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

static const dsc_int hostile[] = {
    0, 1, 2, 3, 5, 7, 46341, INT32_MAX, (dsc_int)INT32_MAX + 1, (dsc_int)1 << 32, (dsc_int)1 << 55, (dsc_int)1 << 61,
    (dsc_int)1 << 62, INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX - 1, INT64_MAX,
};

static dsc_int hostile_number(rng *r, dsc_int least)
{
    dsc_int n = chance(r, 30) ? between(r, 0, 20) : hostile[between(r, 0, sizeof hostile / sizeof *hostile - 1)];
    return n < least ? least : n;
}

static dsc_geometry draw_geometry(rng *r, dsc_int (*number)(rng *, dsc_int))
{
    dsc_geometry g = {.rank = (int)between(r, 1, 3), .stride = {1, 1, 1}, .dilation = {1, 1, 1},
                      .padding = (dsc_padding)between(r, DSC_EXPLICIT, DSC_CAUSAL),
                      .mode = (dsc_padding_mode)between(r, DSC_ZEROS, DSC_CIRCULAR)};
    for (int axis = 3 - g.rank; axis < 3; ++axis) {
        g.stride[axis] = number(r, 1), g.dilation[axis] = number(r, 1);
        if (g.padding == DSC_EXPLICIT)
            g.low[axis] = number(r, 0), g.high[axis] = number(r, 0);
    }
    return g;
}

/* ---- hostile numbers ---- */
static wide wide_low(const dsc_geometry *g, int axis, wide in, wide reach, wide *high)
{
    wide stride = g->stride[axis], total = ((in + stride - 1) / stride - 1) * stride + reach - in;
    total = total > 0 ? total : 0;
    switch (g->padding == DSC_CAUSAL && axis > 3 - g->rank ? DSC_SAME_UPPER : g->padding) {
    case DSC_EXPLICIT: return *high = g->high[axis], g->low[axis];
    case DSC_FULL: return *high = reach - 1;
    case DSC_CAUSAL: return *high = 0, reach - 1;
    case DSC_SAME_LOWER: return *high = total / 2, total - total / 2;
    default: return *high = total - total / 2, total / 2;
    }
}

static dsc_fit wide_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, wide *low, wide *out)
{
    wide reach = (wide)g->dilation[axis] * (kernel - 1) + 1, high, padded;
    if (kernel < 1)
        return DSC_EMPTY_KERNEL;
    if (in == 0 && g->mode != DSC_ZEROS)
        return DSC_EMPTY_INPUT;
    if (reach > INT64_MAX)
        return DSC_OVERFLOW;
    *low = wide_low(g, axis, in, reach, &high);
    padded = *low + in + high;
    if (padded > INT64_MAX)
        return DSC_OVERFLOW;
    *out = (padded - reach) / g->stride[axis] + 1;
    return padded < reach ? DSC_KERNEL_TOO_LARGE : DSC_FITS;
}

static void describe(const dsc_geometry *g, const dsc_int *in, const dsc_int *kernel)
{
    if (failures > 20)
        return;
    printf("  rank %d padding %d mode %d\n", g->rank, g->padding, g->mode);
    for (int axis = 0; axis < 3; ++axis)
        printf("  in %lld kernel %lld stride %lld dilation %lld low %lld high %lld\n", (long long)in[axis],
               (long long)kernel[axis], (long long)g->stride[axis], (long long)g->dilation[axis],
               (long long)g->low[axis], (long long)g->high[axis]);
}

static void check_extent(const dsc_geometry *g, const dsc_extent *e, int axis, wide low, wide out)
{
    EXPECT(e->low[axis] == low && e->out[axis] == out, " axis %d: low %lld out %lld", axis, (long long)e->low[axis],
           (long long)e->out[axis]);
    /* A step that is never taken is 1, but for small ones along the rows, which choose an order of summation. */
    const bool kept = out > 1 || (axis == 2 && g->stride[axis] <= 4);
    EXPECT(e->stride[axis] == (kept ? g->stride[axis] : 1), " axis %d", axis);
    EXPECT(e->dilation[axis] == (e->kernel[axis] == 1 ? 1 : g->dilation[axis]), " axis %d", axis);
}

static void check_hostile(rng *r)
{
    dsc_geometry g = draw_geometry(r, hostile_number);
    dsc_int in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
    dsc_extent e;
    int axis, before = failures;
    for (axis = 3 - g.rank; axis < 3; ++axis)
        in[axis] = hostile_number(r, 0), kernel[axis] = hostile_number(r, 0);
    dsc_fit fit = dsc_resolve(&g, in, kernel, &e, &axis);
    EXPECT(e.mode == g.mode, " %d", e.mode);
    for (int i = 0; i < 3; ++i) {
        wide low, out;
        dsc_fit wanted = wide_axis(&g, i, in[i], kernel[i], &low, &out);
        if (wanted != DSC_FITS) {
            EXPECT(fit == wanted && axis == i, " %d on axis %d, not %d on %d", fit, axis, wanted, i);
            break;
        }
        EXPECT(fit == DSC_FITS || axis > i, " %d on axis %d", fit, axis);
        if (fit == DSC_FITS || axis > i)
            check_extent(&g, &e, i, low, out);
    }
    if (failures > before)
        describe(&g, in, kernel);
}

/* ---- small numbers ---- */
static dsc_int small_number(rng *r, dsc_int least) { return between(r, least, chance(r, 50) ? 4 : 11); }

static void check_small(rng *r)
{
    dsc_geometry g = draw_geometry(r, small_number);
    dsc_int in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, low, out;
    dsc_extent e;
    int axis, before = failures;
    for (axis = 3 - g.rank; axis < 3; ++axis)
        in[axis] = between(r, 1, 30), kernel[axis] = small_number(r, 1);
    dsc_fit fit = dsc_resolve(&g, in, kernel, &e, &axis);
    for (int i = 0; i < 3; ++i) {
        bool fits = plain_axis(&g, i, in[i], kernel[i], &low, &out);
        EXPECT(fits || (fit == DSC_KERNEL_TOO_LARGE && axis == i), " %d on axis %d", fit, axis);
        if (!fits)
            break;
        EXPECT(fit == DSC_FITS || axis > i, " %d on axis %d", fit, axis);
        if (fit == DSC_FITS || axis > i)
            check_extent(&g, &e, i, low, out);
    }
    if (failures > before)
        describe(&g, in, kernel);
}

/* ---- padded positions ---- */
static void expect_source(dsc_int i, dsc_int n, dsc_padding_mode mode, wide wanted)
{
    dsc_int source = dsc_source_index(i, n, mode);
    EXPECT(source == wanted, " position %lld of %lld, mode %d: %lld", (long long)i, (long long)n, mode,
           (long long)source);
}

static void check_small_positions(void)
{
    for (dsc_padding_mode mode = DSC_ZEROS; mode <= DSC_CIRCULAR; ++mode)
        for (dsc_int n = 1; n <= 12; ++n)
            for (dsc_int i = -60; i <= 60; ++i)
                expect_source(i, n, mode, plain_source(i, n, mode));
}

static wide wide_source(wide i, wide n, dsc_padding_mode mode)
{
    wide period = mode == DSC_CIRCULAR ? n : mode == DSC_SYMMETRIC ? 2 * n : n == 1 ? 1 : 2 * n - 2;
    if (i >= 0 && i < n)
        return i;
    if (mode == DSC_ZEROS || mode == DSC_REPLICATE)
        return mode == DSC_ZEROS ? -1 : i < 0 ? 0 : n - 1;
    i = (i % period + period) % period;
    return i < n ? i : (mode == DSC_SYMMETRIC ? period - 1 : period) - i;
}

/* No array has more than 2^61 elements of four bytes. */
static void check_hostile_position(rng *r)
{
    dsc_int n = hostile_number(r, 1), i = hostile_number(r, 0);
    dsc_padding_mode mode = (dsc_padding_mode)between(r, DSC_ZEROS, DSC_CIRCULAR);
    if (n > (dsc_int)1 << 61)
        n = (dsc_int)1 << 61;
    i = chance(r, 50) ? -i : i;
    expect_source(i, n, mode, wide_source(i, n, mode));
}

static void check_products(void)
{
    const int count = sizeof hostile / sizeof *hostile;
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < count; ++j) {
            wide exact = (wide)hostile[i] * hostile[j];
            dsc_int product = -1;
            bool fits = dsc_multiply(hostile[i], hostile[j], &product);
            EXPECT(fits == (exact <= INT64_MAX) && (!fits || product == exact), " %lld * %lld", (long long)hostile[i],
                   (long long)hostile[j]);
        }
}

int main(void)
{
    enum { CASES = 300000 };
    rng r = {7};
    check_products();
    check_small_positions();
    for (int i = 0; i < CASES; ++i) {
        check_hostile(&r);
        check_small(&r);
        check_hostile_position(&r);
    }
    printf("%d geometries checked; %d wrong\n", 2 * CASES, failures);
    return failures != 0;
}
