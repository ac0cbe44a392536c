/* parallel.c alone, with an operation that only counts: several callers at once, abandoned calls, children of fork.
 *
 *     test_threads [calls of each caller [forks]]
 *
 * A watchdog ends the process when a call does not return. */
#define _GNU_SOURCE
#include "dsconv.h"

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ITEMS = 24, CALLERS = 4, SCRATCH = 256 };

static unsigned watchdog = 60;     /* seconds */
static atomic_int wrong;
static _Thread_local bool calls;   /* this thread makes calls: it is no worker */

/* The result of item i of a call is its entry in y, which must be written once. */
typedef struct { atomic_int written[ITEMS]; int items; } tally;

static void plan_tally(const dsc_problem *p, dsc_plan *plan)
{
    const tally *t = (const tally *)p->y.data;
    *plan = (dsc_plan){.items = t->items, .scratch = SCRATCH, .work = 1e6 * t->items};
}

/* Scratch is a thread's own: what one has written there must still be so at the end of the item. */
static void run_tally(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    tally *t = (tally *)p->y.data;
    (void)plan;
    for (dsc_int i = begin; i < end; ++i) {
        memset(scratch, (int)i, SCRATCH);
        if (!calls)
            usleep((useconds_t)(i % 4 * 60));   /* so that callers wait for workers, several at a time */
        for (int k = 0; k < SCRATCH; ++k)
            if (((char *)scratch)[k] != (char)i)
                atomic_store(&wrong, __LINE__);
        if (i == t->items - 1)
            feraiseexcept(FE_OVERFLOW);
        atomic_fetch_add(&t->written[i], 1);
    }
}

static const dsc_operation operation = {.plan = plan_tally, .run = run_tally};

static bool never(void) { return false; }
static bool always(void) { return true; }

static dsc_status call(tally *t, int items, bool (*poll)(void))
{
    dsc_problem p = {.batch = 1, .channels = 1, .outputs = 1, .poll = poll, .y = {.data = (char *)t}};
    p.e.out[0] = p.e.out[1] = p.e.out[2] = 1;
    memset(t, 0, sizeof *t);
    t->items = items;
    return dsc_execute(&operation, &p);
}

static void check_call(int items)
{
    tally t;
    feclearexcept(FE_ALL_EXCEPT);
    if (call(&t, items, never) != DSC_DONE)
        atomic_store(&wrong, __LINE__);
    for (int i = 0; i < items; ++i)
        if (t.written[i] != 1)
            atomic_store(&wrong, __LINE__);
    if (items && !fetestexcept(FE_OVERFLOW))
        atomic_store(&wrong, __LINE__);
}

static void check_abandoned(void)
{
    tally t;
    if (call(&t, ITEMS, always) != DSC_STOPPED)
        atomic_store(&wrong, __LINE__);
    for (int i = 0; i < ITEMS; ++i)
        if (t.written[i] > 1)
            atomic_store(&wrong, __LINE__);
}

static void *caller(void *rounds)
{
    calls = true;
    for (int i = 0; i < *(const int *)rounds && !wrong; ++i) {
        check_call(i % (ITEMS + 1));
        if (i % 50 == 0)
            check_abandoned();
    }
    return NULL;
}

static void run_callers(int rounds)
{
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; ++i)
        pthread_create(&callers[i], NULL, caller, &rounds);
    for (int i = 0; i < CALLERS; ++i)
        pthread_join(callers[i], NULL);
}

static void run_forks(int rounds)
{
    for (int i = 0; i < rounds; ++i) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(watchdog);
            check_call(ITEMS);
            _exit(wrong != 0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            atomic_store(&wrong, __LINE__);
        check_call(ITEMS);
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20000, forks = argc > 2 ? atoi(argv[2]) : 80;
    calls = true;
    dsc_parallel_init();
    dsc_set_threshold(0);
    alarm(watchdog);
    for (int threads = 1; threads <= 7 && !wrong; threads += 2) {
        dsc_set_threads(threads);
        run_callers(rounds / 4);
        run_forks(forks / 4);
    }
    if (wrong)
        printf("WRONG: at line %d\n", (int)wrong);
    printf("%d calls from each of %d threads, %d forks; %s\n", rounds, CALLERS, forks, wrong ? "wrong" : "0 wrong");
    return wrong != 0;
}
