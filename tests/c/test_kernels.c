/* Every kernel set against plain loops, on arrays that end at pages nothing may touch.
 *
 *     test_kernels [cases [seed [index of the only case]]]
 *
 * Integers must come out exact, in any order of the work; what lies between the elements of y must stay as it was. */
#include "testing.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_MOST ((size_t)64 << 20)

typedef struct { unsigned long long seed, index; const char *set, *way; } where;

/* ---- what y must hold afterwards: results, and a pattern everywhere else ---- */
static const uint32_t pattern_bits = 0x7fa5c3e1u;    /* of a float and of either half of a double: NaN */

static void fill_pattern(char *memory, size_t bytes)
{
    size_t filled = sizeof pattern_bits;
    if (bytes == 0)
        return;
    memcpy(memory, &pattern_bits, filled);
    for (size_t more; filled < bytes; filled += more) {
        more = filled < bytes - filled ? filled : bytes - filled;
        memcpy(memory + filled, memory, more);
    }
}

static char *wanted_memory(const test_case *t, const double *results)
{
    const layout *at = &t->y.at;
    char *wanted = malloc((size_t)at->span * item_size(t->type));
    const dsc_int *size = at->size, *step = at->step;
    fill_pattern(wanted, (size_t)at->span * item_size(t->type));
    for (dsc_int n = 0; n < size[0]; ++n)
        for (dsc_int c = 0; c < size[1]; ++c)
            for (dsc_int d = 0; d < size[2]; ++d)
                for (dsc_int h = 0; h < size[3]; ++h)
                    for (dsc_int w = 0; w < size[4]; ++w)
                        set_element(wanted, t->type, n * step[0] + c * step[1] + d * step[2] + h * step[3] +
                                    w * step[4] - at->lowest, *results++);
    return wanted;
}

static bool close_enough(const test_case *t, double actual, double wanted)
{
    double tolerance = t->smooth ? (t->type == DSC_FLOAT32 ? 1e-5 : 1e-12) : 0;
    if (isnan(wanted) || isnan(actual))
        return isnan(wanted) && isnan(actual);
    return actual == wanted || fabs(actual - wanted) <= tolerance * fmax(1, fabs(wanted));
}

static bool same_element(const test_case *t, const char *wanted, dsc_int i)
{
    size_t item = item_size(t->type);
    char untouched[sizeof(double)];
    const char *actual = t->y.memory + (size_t)i * item;
    if (memcmp(actual, wanted + (size_t)i * item, item) == 0)
        return true;
    fill_pattern(untouched, sizeof untouched);
    if (memcmp(untouched, actual, item) == 0 || memcmp(untouched, wanted + (size_t)i * item, item) == 0)
        return false;
    return close_enough(t, element(actual, t->type, 0), element(wanted, t->type, i));
}

static bool check_y(const test_case *t, const char *wanted, const where *at)
{
    if (memcmp(t->y.memory, wanted, (size_t)t->y.at.span * item_size(t->type)) == 0)
        return true;
    for (dsc_int i = 0; i < t->y.at.span; ++i)
        if (!same_element(t, wanted, i)) {
            printf("WRONG: seed %llu, case %llu, kernel set %s, %s: element %lld of y is %g, not %g\n", at->seed,
                   at->index, at->set, at->way, (long long)(i + t->y.at.lowest), element(t->y.memory, t->type, i),
                   element(wanted, t->type, i));
            describe_case(t);
            return false;
        }
    return true;
}

/* ---- ways to run ---- */
static bool never(void) { return false; }

static atomic_int polls_left;

static bool soon(void) { return atomic_fetch_sub(&polls_left, 1) <= 0; }

/* Items in pieces of random sizes and in random order, with scratch that ends at a guard page and holds NaN. */
static bool run_items(rng *r, const dsc_operation *operation, dsc_problem *p)
{
    static guarded memory;
    __typeof__(*p->stop) stop = 0;
    dsc_plan plan;
    p->stop = &stop;
    p->poll = never;
    p->threads = (int)between(r, 1, 3);
    operation->plan(p, &plan);
    if (!memory.low)
        memory = guarded_memory(SCRATCH_MOST);
    size_t bytes = (plan.scratch + 63) & ~(size_t)63;
    char *scratch = guarded_place(&memory, bytes, true);
    if (!scratch)
        return false;
    memset(scratch, 0xff, bytes);
    bool odd_first = chance(r, 50);
    dsc_int piece = between(r, 1, plan.items ? plan.items : 1);
    for (int half = 0; half < 2; ++half)
        for (dsc_int begin = half == odd_first ? piece : 0; begin < plan.items; begin += 2 * piece) {
            dsc_int end = begin + piece < plan.items ? begin + piece : plan.items;
            operation->run(p, &plan, begin, end, scratch);
        }
    return true;
}

static bool run_threads(const dsc_operation *operation, dsc_problem *p, int threads)
{
    dsc_set_threads(threads);
    dsc_set_threshold(threads == 1 ? HUGE_VAL : 0);
    p->poll = never;
    return dsc_execute(operation, p) == DSC_DONE;
}

/* A call that is abandoned may leave y unfinished, but writes no more than a whole one. */
static bool check_abandoned(rng *r, const test_case *t, const dsc_operation *operation, char *wanted, const where *at)
{
    dsc_problem p = problem_of(t);
    size_t item = item_size(t->type);
    char untouched[sizeof(double)];
    fill_pattern(untouched, sizeof untouched);
    fill_pattern(t->y.memory, (size_t)t->y.at.span * item);
    polls_left = (int)between(r, 0, 6);
    p.poll = soon;
    dsc_set_threads((int)between(r, 1, 3));
    dsc_set_threshold(0);
    dsc_execute(operation, &p);
    for (dsc_int i = 0; i < t->y.at.span; ++i) {
        char *actual = t->y.memory + (size_t)i * item;
        if (memcmp(wanted + (size_t)i * item, untouched, item) == 0 && memcmp(actual, untouched, item) != 0) {
            printf("WRONG: seed %llu, case %llu, kernel set %s: an abandoned call wrote between elements of y\n",
                   at->seed, at->index, at->set);
            describe_case(t);
            return false;
        }
    }
    return true;
}

static bool check_set(rng *r, const test_case *t, char *wanted, where *at)
{
    const dsc_operation *operation = &dsc_active(t->type)->operation[t->operation];
    static const struct { const char *name; int threads; } ways[] = {{"items", 0}, {"1 thread", 1}, {"3 threads", 3}};
    at->set = dsc_active_name();
    for (int i = 0; i < 3; ++i) {
        dsc_problem p = problem_of(t);
        at->way = ways[i].name;
        fill_pattern(t->y.memory, (size_t)t->y.at.span * item_size(t->type));
        bool ran = ways[i].threads ? run_threads(operation, &p, ways[i].threads) : run_items(r, operation, &p);
        if (!ran && ways[i].threads) {
            printf("WRONG: seed %llu, case %llu, %s: the call failed\n", at->seed, at->index, at->set);
            return false;
        }
        if (ran && !check_y(t, wanted, at))
            return false;
    }
    return !chance(r, 10) || check_abandoned(r, t, operation, wanted, at);
}

/* ---- cases ---- */
static const test_case *running;

/* A sanitizer ends the process: say on what. */
#ifdef __SANITIZE_ADDRESS__
void __sanitizer_set_death_callback(void (*)(void));

static void last_words(void)
{
    if (running)
        describe_case(running);
    fflush(stdout);
}

static void describe_on_death(void) { __sanitizer_set_death_callback(last_words); }
#else
static void describe_on_death(void) {}
#endif

static bool agrees_with_library(const test_case *t, const where *at)
{
    dsc_extent e;
    int axis;
    if (dsc_resolve(&t->geometry, t->in, t->kernel, &e, &axis) == DSC_FITS && !memcmp(e.out, t->out, sizeof e.out) &&
        !memcmp(e.low, t->low, sizeof e.low))
        return true;
    printf("WRONG: seed %llu, case %llu: dsc_resolve\n", at->seed, at->index);
    describe_case(t);
    return false;
}

static bool check_case(unsigned long long seed, unsigned long long index, unsigned long long *checked)
{
    rng r = {seed * 0x100000001b3u + index};
    where at = {.seed = seed, .index = index};
    test_case t;
    draw(&r);
    if (!draw_case(&r, &t))
        return true;
    if (!agrees_with_library(&t, &at))
        return false;
    double *results = plain_result(&t);
    char *wanted = wanted_memory(&t, results);
    bool right = true;
    running = &t;
    for (int i = 0; right && dsc_available(i); ++i) {
        dsc_select(dsc_available(i));
        right = check_set(&r, &t, wanted, &at);
    }
    running = NULL;
    free(results), free(wanted);
    ++*checked;
    return right;
}

int main(int argc, char **argv)
{
    unsigned long long cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000, failures = 0, checked = 0;
    unsigned long long seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    unsigned long long first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    describe_on_death();
    dsc_parallel_init();
    dsc_dispatch_init();
    for (unsigned long long i = first; i < (argc > 3 ? first + 1 : cases) && failures < 10; ++i)
        failures += !check_case(seed, i, &checked);
    printf("%llu cases checked on:", checked);
    for (int i = 0; dsc_available(i); ++i)
        printf(" %s", dsc_available(i));
    printf("; %llu wrong\n", failures);
    return failures != 0;
}
