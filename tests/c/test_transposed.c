/* Sizes of transposed convolutions, and the convolutions that their phases are: against plain definitions for small
 * numbers, against 128-bit arithmetic for hostile ones. */
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
    ((dsc_int)1 << 62) - 100, (dsc_int)1 << 62, INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX - 110, INT64_MAX - 1,
    INT64_MAX,
};

static dsc_int hostile_number(rng *r, dsc_int least)
{
    dsc_int n = chance(r, 30) ? between(r, 0, 20) : hostile[between(r, 0, sizeof hostile / sizeof *hostile - 1)];
    return n < least ? least : n;
}

static dsc_int small_number(rng *r, dsc_int least) { return between(r, least, chance(r, 50) ? 4 : 11); }

/* What is resolved: rank 1, as the axes do not depend on each other. */
typedef struct { dsc_geometry g; dsc_int in[3], kernel[3], out[3]; bool wants_out; } question;

static question draw_question(rng *r, dsc_int (*number)(rng *, dsc_int))
{
    question q = {.in = {1, 1, 0}, .kernel = {1, 1, 1}, .out = {1, 1, 1}};
    dsc_geometry *g = &q.g;
    *g = (dsc_geometry){.rank = 1, .stride = {1, 1, number(r, 1)}, .dilation = {1, 1, number(r, 1)}};
    g->padding = chance(r, 60) ? DSC_EXPLICIT : DSC_SAME_UPPER;
    q.in[2] = number(r, 0), q.kernel[2] = number(r, chance(r, 5) ? 0 : 1);
    if (g->padding == DSC_EXPLICIT)
        g->low[2] = number(r, 0), g->high[2] = number(r, 0);
    q.wants_out = chance(r, 30);
    if (q.wants_out)
        q.out[2] = number(r, 0);
    else if (chance(r, 50))
        g->extra[2] = number(r, 0);
    return q;
}

static void describe(const question *q)
{
    const dsc_geometry *g = &q->g;
    if (failures <= 20)
        printf("  padding %d in %lld kernel %lld stride %lld dilation %lld low %lld high %lld extra %lld out %lld\n",
               g->padding, (long long)q->in[2], (long long)q->kernel[2], (long long)g->stride[2],
               (long long)g->dilation[2], (long long)g->low[2], (long long)g->high[2], (long long)g->extra[2],
               (long long)(q->wants_out ? q->out[2] : -1));
}

/* ---- sizes ---- */
typedef struct { dsc_fit fit; wide least, most, low, out; } answer;

static bool fits(wide n) { return n >= INT64_MIN && n <= INT64_MAX; }

static answer answer_to(const question *q)
{
    const dsc_geometry *g = &q->g;
    wide stride = g->stride[2], dilation = g->dilation[2], larger = stride > dilation ? stride : dilation;
    wide reach = dilation * (q->kernel[2] - 1) + 1, natural = (q->in[2] - 1) * stride + reach;
    answer a = {.fit = DSC_OVERFLOW, .low = g->low[2], .least = natural - g->low[2] - g->high[2]};
    if (g->padding != DSC_EXPLICIT)
        a.least = q->in[2] * stride, a.low = reach > stride ? (reach - stride) / 2 : 0;
    a.most = g->padding == DSC_EXPLICIT ? a.least + larger - 1 : a.least;
    a.out = q->wants_out ? q->out[2] : a.least + g->extra[2];
    if (q->kernel[2] < 1)
        a.fit = DSC_EMPTY_KERNEL;
    else if (fits(reach) && fits(natural) && fits(a.least) && fits(a.most) && fits(a.least + g->extra[2]))
        a.fit = a.out < a.least || a.out > a.most ? DSC_OUT_OF_RANGE : a.out < 1 ? DSC_EMPTY_OUTPUT : DSC_FITS;
    return a;
}

static void check_sizes(const question *q, const answer *a, dsc_extent *e)
{
    dsc_int least, most;
    int axis;
    dsc_fit fit = dsc_resolve_transposed(&q->g, q->in, q->kernel, q->wants_out ? q->out : NULL, e, &axis);
    EXPECT(fit == a->fit && axis == (fit == DSC_FITS ? 3 : 2), " %d on axis %d, not %d", fit, axis, a->fit);
    if (fit == DSC_FITS && a->fit == DSC_FITS) {
        EXPECT(e->transposed && e->mode == DSC_ZEROS, " mode %d", e->mode);
        EXPECT(e->low[2] == a->low && e->out[2] == a->out, " low %lld out %lld", (long long)e->low[2],
               (long long)e->out[2]);
        EXPECT(e->stride[2] == (q->in[2] <= 1 ? 1 : q->g.stride[2]), " %lld", (long long)e->stride[2]);
        EXPECT(e->dilation[2] == (q->kernel[2] == 1 ? 1 : q->g.dilation[2]), " %lld", (long long)e->dilation[2]);
    }
    if (a->fit != DSC_OVERFLOW && a->fit != DSC_EMPTY_KERNEL) {
        bool known = dsc_transposed_range(&q->g, 2, q->in[2], q->kernel[2], &least, &most);
        EXPECT(known && least == a->least && most == a->most, " %lld to %lld", (long long)least, (long long)most);
    }
}

/* The same by steps of one, for sizes that are not asked for but follow. */
static void check_plainly(const question *q, const answer *a)
{
    dsc_int low, out;
    bool something = plain_transposed_axis(&q->g, 2, q->in[2], q->kernel[2], &low, &out);
    if (q->wants_out || q->in[2] == 0 || (a->fit != DSC_FITS && a->fit != DSC_EMPTY_OUTPUT))
        return;
    EXPECT(something == (a->fit == DSC_FITS), " %d", a->fit);
    dsc_int extra = q->g.padding == DSC_EXPLICIT ? 0 : q->g.extra[2];
    EXPECT(!something || (low == a->low && out + extra == a->out), " low %lld out %lld", (long long)low,
           (long long)out);
}

/* ---- phases ---- */
/* All pairs of an input and a tap that meet at each output of the phase, as the phase tells them, and by trying. */
static void check_small_phase(const dsc_extent *e, dsc_int phase)
{
    dsc_extent p = *e;
    dsc_phase f = dsc_phase_of(e, 2, phase, &p);
    dsc_int place = phase;
    for (dsc_int o = 0; o < p.out[2]; ++o, place += e->stride[2]) {
        int told = 0, found = 0;
        for (dsc_int j = 0; j < p.kernel[2]; ++j) {
            dsc_int tap = f.last_tap - j * f.tap_step, i = o * p.stride[2] + j * p.dilation[2] - p.low[2];
            EXPECT(tap >= 0 && tap < e->kernel[2], " tap %lld of phase %lld", (long long)tap, (long long)phase);
            if (i < 0 || i >= e->in[2])
                continue;
            ++told;
            EXPECT(i * e->stride[2] + tap * e->dilation[2] - e->low[2] == place, " tap %lld of output %lld",
                   (long long)tap, (long long)place);
        }
        for (dsc_int i = 0; i < e->in[2]; ++i)
            for (dsc_int tap = 0; tap < e->kernel[2]; ++tap)
                found += i * e->stride[2] + tap * e->dilation[2] - e->low[2] == place;
        EXPECT(told == found, " %d taps of output %lld, not %d", told, (long long)place, found);
    }
    EXPECT(place >= e->out[2] && (p.out[2] == 0 || place - e->stride[2] < e->out[2]), " %lld outputs",
           (long long)p.out[2]);
}

/* The first and the last tap of a phase, and that there is none before and after them. */
static void check_hostile_phase(const dsc_extent *e, dsc_int phase)
{
    dsc_extent p = *e;
    dsc_phase f = dsc_phase_of(e, 2, phase, &p);
    wide position = (wide)phase + e->low[2], stride = e->stride[2], dilation = e->dilation[2];
    for (dsc_int tap = 0; tap < e->kernel[2] && tap < 50; ++tap)
        EXPECT(p.kernel[2] > 0 || (position - tap * dilation) % stride != 0, " tap %lld is missed", (long long)tap);
    if (p.kernel[2] == 0)
        return;
    wide first = f.last_tap - (wide)(p.kernel[2] - 1) * f.tap_step, step = f.tap_step;
    EXPECT(first >= 0 && first < step && f.last_tap < e->kernel[2] && f.last_tap + step >= e->kernel[2],
           " taps to %lld, %lld apart", (long long)f.last_tap, (long long)f.tap_step);
    EXPECT((position - first * dilation) % stride == 0, " first tap %lld", (long long)first);
    EXPECT((position - f.last_tap * dilation) / stride == -(wide)p.low[2], " low %lld", (long long)p.low[2]);
    EXPECT(p.kernel[2] == 1 || (wide)p.dilation[2] * stride == step * dilation, " dilation %lld",
           (long long)p.dilation[2]);
}

/* No output has more elements than `most`. The kernels look at phases before the end of the output, and at one more to
 * plan: the first that input 0 begins in. */
static void check_hostile_phases(rng *r, const dsc_extent *e)
{
    const dsc_int most = (dsc_int)1 << 47;
    dsc_int phases = e->stride[2] < e->out[2] ? e->stride[2] : e->out[2], past = e->low[2] % e->stride[2];
    if (e->out[2] > most)
        return;
    check_hostile_phase(e, 0);
    check_hostile_phase(e, phases - 1);
    check_hostile_phase(e, between(r, 0, phases - 1));
    check_hostile_phase(e, past ? e->stride[2] - past : 0);
}

static void check_exchange(const dsc_extent *e)
{
    dsc_extent x = *e;
    dsc_exchange(&x);
    EXPECT(x.in[2] == e->out[2] && x.out[2] == e->in[2] && x.transposed != e->transposed, " %d", x.transposed);
}

int main(void)
{
    enum { CASES = 100000 };
    rng r = {5};
    for (int i = 0; i < 2 * CASES; ++i) {
        bool small = i % 2;
        question q = draw_question(&r, small ? small_number : hostile_number);
        answer a = answer_to(&q);
        dsc_extent e;
        int before = failures;
        check_sizes(&q, &a, &e);
        if (small)
            check_plainly(&q, &a);
        for (dsc_int phase = 0; a.fit == DSC_FITS && small && phase < e.stride[2]; ++phase)
            check_small_phase(&e, phase);
        if (a.fit == DSC_FITS && !small)
            check_hostile_phases(&r, &e);
        if (a.fit == DSC_FITS)
            check_exchange(&e);
        if (failures > before)
            describe(&q);
    }
    printf("%d transposed geometries checked; %d wrong\n", 2 * CASES, failures);
    return failures != 0;
}
