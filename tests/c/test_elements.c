/* Narrow floats and activations, every kernel set against one number at a time.
 *
 * All narrow floats must survive being read and stored; all sums must be rounded once, to even. */
#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(condition, ...) \
    do { \
        if (!(condition) && ++failures <= 20) { \
            printf("WRONG on %s: ", dsc_active_name()); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

static bool never(void) { return false; }

/* Arrays of `count` elements, `step` apart, that end at a guard page. */
static char *array_of(int which, const storage *s, dsc_int count, dsc_int step)
{
    enum { ARRAYS = 3, ROOM = 8 << 20 };
    static guarded memory[ARRAYS];
    if (!memory[which].low)
        memory[which] = guarded_memory(ROOM);
    return guarded_place(&memory[which], (size_t)((count - 1) * step + 1) * s->item, true);
}

static void execute(const storage *s, int kernel, dsc_problem p)
{
    static const dsc_images one = {.count = 1};
    p.format = s->format, p.item = (int)s->item, p.parts = 1, p.summands = 1, p.images = &one, p.poll = never;
    EXPECT(dsc_execute(&dsc_active(s->type)->operation[kernel], &p) == DSC_DONE, "%s: the call failed", s->name);
}

/* ---- element by element ---- */
/* x through an activation, or a gradient of ones through its derivative. */
static char *run_activation(const storage *s, dsc_activation activation, bool gradient, char *x, dsc_int count,
                            dsc_int step)
{
    char *result = array_of(1, s, count, step), *ones = array_of(2, s, count, step);
    dsc_problem p = {.batch = count, .x = {.data = x, .batch = step}, .taps_activation = activation};
    if (gradient)
        p.y = (dsc_map){.data = ones, .batch = step}, p.mixing_bias = (dsc_vector){.data = result, .batch = step};
    else
        p.y = (dsc_map){.data = result, .batch = step};
    for (dsc_int i = 0; i < count; ++i)
        set_part(s, ones, i * step, 1);
    execute(s, gradient ? DSC_ACTIVATE_GRAD : DSC_ACTIVATE, p);
    return result;
}

static void check_round_trip(const storage *s, dsc_int step)
{
    enum { ALL = 65536 };
    uint16_t bits, back;
    char *x = array_of(0, s, ALL, step);
    for (dsc_int i = 0; i < ALL; ++i)
        bits = (uint16_t)i, memcpy(x + i * step * 2, &bits, sizeof bits);
    const char *y = run_activation(s, DSC_LINEAR, false, x, ALL, step);
    for (dsc_int i = 0; i < ALL; ++i) {
        double value = part_at(s, x, i * step);
        memcpy(&back, y + i * step * 2, sizeof back);
        bool same = isnan(value) ? isnan(part_at(s, y, i * step)) && back >> 15 == i >> 15 : back == i;
        EXPECT(same, "%s: %llx comes back as %x", s->name, (unsigned long long)i, back);
    }
}

static double draw_argument(rng *r)
{
    const dsc_int spread = PICK(r, 1, 4, 10, 40, 800);
    if (chance(r, 5))
        return (double)PICK(r, -6, -3, 0, 3, 6);
    return (double)between(r, -1000000, 1000000) * 1e-6 * (double)spread;
}

/* Within the tolerance of the numbers that a sum may be: of the argument, as far as it was rounded. */
static void check_activations(rng *r, const storage *s, bool gradient)
{
    dsc_int count = between(r, 1, 5000), step = PICK(r, 1, 1, 2, 3);
    dsc_activation activation = (dsc_activation)between(r, DSC_LINEAR, DSC_GELU);
    char *x = array_of(0, s, count, step);
    for (dsc_int i = 0; i < count; ++i)
        set_part(s, x, i * step, draw_argument(r));
    const char *y = run_activation(s, activation, gradient, x, count, step);
    for (dsc_int i = 0; i < count; ++i) {
        double v = part_at(s, x, i * step), actual = part_at(s, y, i * step);
        double wanted = (gradient ? slope : activated)(activation, v);
        EXPECT(fabs(actual - wanted) <= s->tolerance * fmax(fabs(wanted), 0.1),
               "%s, activation %d%s: of %.17g: %.17g, not %.17g", s->name, activation, gradient ? ", slope" : "", v,
               actual, wanted);
    }
}

/* ---- rounding ---- */
enum { BYTES = 3, NUMBERS = 3000 };

/* 24 bits: any, or some with which a rounding to fewer bits is a tie or next to one. */
static dsc_int draw_digits(rng *r)
{
    dsc_int digits = between(r, 0, (1 << 24) - 1), kept = between(r, 1, 24);
    if (chance(r, 40))
        return digits >> between(r, 0, 23);
    digits = ((digits >> kept << kept) | (dsc_int)1 << (kept - 1)) + PICK(r, -1, 0, 0, 1);
    return digits & ((1 << 24) - 1);
}

/* Sums of three bytes times powers of two, which make any float, through a pointwise convolution that stores them. The
 * powers go from 2^low on, x is in units of 2^unit. */
static void check_rounding(rng *r, const storage *s, int low, int powers, int unit)
{
    dsc_int step = PICK(r, 1, 1, 2), numbers = between(r, 1, NUMBERS);
    char *x = array_of(0, s, BYTES * numbers, step), *y = array_of(1, s, powers * numbers, step);
    char *weights = array_of(2, s, BYTES * powers, 1);
    dsc_int digits[NUMBERS];
    for (dsc_int i = 0; i < numbers; ++i) {
        dsc_int sign = PICK(r, -1, 1);
        digits[i] = draw_digits(r);
        for (int k = 0; k < BYTES; ++k)
            set_part(s, x, (k * numbers + i) * step, ldexp((double)(sign * (digits[i] >> 8 * k & 255)), unit));
        digits[i] *= sign;
    }
    for (int o = 0; o < powers; ++o)
        for (int k = 0; k < BYTES; ++k)
            set_part(s, weights, o * BYTES + k, ldexp(1, low + o + 8 * k));
    dsc_problem p = {
        .batch = 1, .channels = BYTES, .multiplier = 1, .outputs = powers,
        .e = {.in = {1, 1, numbers}, .out = {1, 1, numbers}, .kernel = {1, 1, 1}, .stride = {1, 1, 1},
              .dilation = {1, 1, 1}},
        .x = {.data = x, .channel = numbers * step, .step = {numbers * step, numbers * step, step}},
        .y = {.data = y, .channel = numbers * step, .step = {numbers * step, numbers * step, step}},
        .mixing = {weights, 0, BYTES, 1},
    };
    execute(s, DSC_POINTWISE, p);
    for (dsc_int o = 0; o < powers; ++o)
        for (dsc_int i = 0; i < numbers; ++i) {
            char wanted[sizeof(double)], *actual = y + (o * numbers + i) * step * (dsc_int)s->item;
            double sum = ldexp((double)digits[i], (int)(low + o + unit));
            set_part(s, wanted, 0, sum);
            EXPECT(part_at(s, actual, 0) == part_at(s, wanted, 0), "%s: %a is rounded to %a, not %a", s->name, sum,
                   part_at(s, actual, 0), part_at(s, wanted, 0));
        }
}

static void check_conversions(rng *r)
{
    for (int step = 1; step <= 2; ++step)
        check_round_trip(&storages[FLOAT16], step), check_round_trip(&storages[BFLOAT16], step);
    for (int i = 0; i < 8; ++i) {
        check_rounding(r, &storages[FLOAT16], -24, 24, -14);    /* to the least subnormal and below */
        check_rounding(r, &storages[FLOAT16], -8, 8, 0);        /* to infinity */
        check_rounding(r, &storages[BFLOAT16], -129, 40, -20);
        check_rounding(r, &storages[BFLOAT16], -20, 30, 0);
        check_rounding(r, &storages[BFLOAT16], 80, 25, 0);
    }
}

int main(void)
{
    enum { ACTIVATIONS = 300 };
    rng r = {11};
    dsc_parallel_init();
    dsc_dispatch_init();
    for (int set = 0; dsc_available(set); ++set) {
        dsc_select(dsc_available(set));
        check_conversions(&r);
        for (int i = 0; i < ACTIVATIONS; ++i)
            check_activations(&r, &storages[i % COMPLEX64], i % 3 == 0);
    }
    printf("narrow floats and %d activations on each kernel set; %d wrong\n", ACTIVATIONS, failures);
    return failures != 0;
}
