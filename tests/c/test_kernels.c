/* Every kernel set against plain loops, on arrays that end at pages nothing may touch.
 *
 *     test_kernels [cases [seed [index of the only case]]]
 *
 * Integers must come out exact, in any order of the work; what lies between the elements of
 * the result must stay as it was. */
#include "testing.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_MOST ((size_t)64 << 20)

typedef struct { unsigned long long seed, index; const char *set, *way; } where;

/* ---- what the result must hold afterwards: numbers, and a pattern everywhere else ---- */
static const uint16_t pattern_bits = 0x7fa5;    /* repeated: NaN in every format */

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

static size_t bytes_of(const test_case *t) { return (size_t)result_of(t)->at.span * t->kind->item; }

static const double *set_axis(const test_case *t, const layout *at, int axis, dsc_int offset, const double *results,
                              char *wanted)
{
    for (dsc_int i = 0; i < at->size[axis]; ++i, offset += at->step[axis]) {
        if (axis + 1 < at->axes) {
            results = set_axis(t, at, axis + 1, offset, results, wanted);
            continue;
        }
        for (int part = 0; part < t->kind->parts; ++part)
            set_part(t->kind, wanted, offset + part, *results++);
    }
    return results;
}

static char *wanted_memory(const test_case *t, const double *results)
{
    const layout *at = &result_of(t)->at;
    char *wanted = malloc(bytes_of(t) + 1);
    fill_pattern(wanted, bytes_of(t));
    set_axis(t, at, 0, -at->lowest, results, wanted);
    return wanted;
}

static bool close_enough(const test_case *t, double actual, double wanted)
{
    double tolerance = t->smooth ? t->kind->tolerance : 0;
    if (isnan(wanted) || isnan(actual))
        return isnan(wanted) && isnan(actual);
    return actual == wanted || fabs(actual - wanted) <= tolerance * fmax(1, fabs(wanted));
}

static bool untouched(const test_case *t, const char *part)
{
    char pattern[sizeof(double)];
    fill_pattern(pattern, sizeof pattern);
    return memcmp(part, pattern, t->kind->item) == 0;
}

static bool same_part(const test_case *t, const char *actual, const char *wanted)
{
    if (memcmp(actual, wanted, t->kind->item) == 0)
        return true;
    if (untouched(t, actual) || untouched(t, wanted))
        return false;
    return close_enough(t, part_at(t->kind, actual, 0), part_at(t->kind, wanted, 0));
}

static bool check_result(const test_case *t, const char *wanted, const where *at)
{
    const operand *o = result_of(t);
    if (memcmp(o->memory, wanted, bytes_of(t)) == 0)
        return true;
    for (dsc_int i = 0; i < o->at.span; ++i) {
        size_t offset = (size_t)i * t->kind->item;
        if (same_part(t, o->memory + offset, wanted + offset))
            continue;
        printf("WRONG: seed %llu, case %llu, kernel set %s, %s: part %lld of the result is %g, not %g\n", at->seed,
               at->index, at->set, at->way, (long long)(i + o->at.lowest), part_at(t->kind, o->memory, i),
               part_at(t->kind, wanted, i));
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

/* A call that is abandoned may leave the result unfinished, but writes no more than a whole one. */
static bool check_abandoned(rng *r, test_case *t, const dsc_operation *operation, const char *wanted, const where *at)
{
    dsc_problem p = problem_of(t);
    const operand *o = result_of(t);
    fill_pattern(o->memory, bytes_of(t));
    polls_left = (int)between(r, 0, 6);
    p.poll = soon;
    dsc_set_threads((int)between(r, 1, 3));
    dsc_set_threshold(0);
    dsc_execute(operation, &p);
    for (dsc_int i = 0; i < o->at.span; ++i) {
        size_t offset = (size_t)i * t->kind->item;
        if (untouched(t, wanted + offset) && !untouched(t, o->memory + offset)) {
            printf("WRONG: seed %llu, case %llu, kernel set %s: an abandoned call wrote between elements\n", at->seed,
                   at->index, at->set);
            describe_case(t);
            return false;
        }
    }
    return true;
}

/* Pointwise weights in the order of their use, just before or behind a guard page; false where the set has no such order. */
static bool pack_weights(rng *r, const test_case *t, dsc_problem *p)
{
    static guarded memory;
    const dsc_operation *operation = &dsc_active(t->kind->type)->operation[t->row->kernel];
    const bool mixes = t->row->kernel == DSC_POINTWISE || t->row->kernel == DSC_SEPARABLE;
    const size_t bytes = mixes ? operation->pack(p, NULL) : 0;
    if (!memory.low)
        memory = guarded_memory(SCRATCH_MOST);
    char *packed = bytes ? guarded_place(&memory, bytes, chance(r, 50)) : NULL;
    if (!packed)
        return false;
    operation->pack(p, packed);
    p->packed = packed;
    return true;
}

static bool check_set(rng *r, test_case *t, const char *wanted, where *at)
{
    const dsc_operation *operation = &dsc_active(t->kind->type)->operation[t->row->kernel];
    static const struct { const char *name; int threads; bool packed; } ways[] = {
        {"items", 0, false}, {"1 thread", 1, false}, {"3 threads", 3, false}, {"packed, items", 0, true}, {"packed", 3, true},
    };
    at->set = dsc_active_name();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i) {
        dsc_problem p = problem_of(t);
        if (ways[i].packed && !pack_weights(r, t, &p))
            continue;
        at->way = ways[i].name;
        fill_pattern(result_of(t)->memory, bytes_of(t));
        bool ran = ways[i].threads ? run_threads(operation, &p, ways[i].threads) : run_items(r, operation, &p);
        if (!ran && ways[i].threads) {
            printf("WRONG: seed %llu, case %llu, %s: the call failed\n", at->seed, at->index, at->set);
            return false;
        }
        if (ran && !check_result(t, wanted, at))
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
    if (resolve_case(t, &e) == DSC_FITS && !memcmp(e.out, t->out, sizeof e.out) && !memcmp(e.low, t->low, sizeof e.low))
        return true;
    printf("WRONG: seed %llu, case %llu: the library's sizes\n", at->seed, at->index);
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
