/* Threads: one loop over independent items, handed out in pieces.
 *
 * Serial below a work threshold, when asked, and in a child of a process that has already used threads: libgomp's
 * threads do not survive a fork, and waiting for them would hang. */
#include "dsconv.h"

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define THREADS_MOST 256
#define PIECE_WORK 1e6      /* multiply-adds worth one look at the shared counter */

static pthread_key_t arena_key;
static int threads = 1;
static double threshold = 2e6;
static atomic_bool started, forked;

bool dsc_has_openmp(void)
{
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

int dsc_get_threads(void) { return threads; }

void dsc_set_threads(int n) { threads = n < THREADS_MOST ? n : THREADS_MOST; }

double dsc_set_threshold(double work)
{
    double previous = threshold;
    threshold = work;
    return previous;
}

static void after_fork(void)
{
    if (atomic_load(&started))
        atomic_store(&forked, true);
}

static int environment_threads(const char *name)
{
    const char *text = getenv(name);
    long n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n <= THREADS_MOST ? (int)n : 0;
}

void dsc_parallel_init(void)
{
    int n = environment_threads("DSCONV_NUM_THREADS");
    if (!n)
        n = environment_threads("OMP_NUM_THREADS");
    if (!n) {
#ifdef _OPENMP
        n = omp_get_num_procs();
#else
        n = 1;
#endif
    }
    dsc_set_threads(n);
    pthread_atfork(NULL, NULL, after_fork);
    pthread_key_create(&arena_key, free);
}

typedef struct {
    const dsc_operation *operation;
    const dsc_problem *problem;
    dsc_plan plan;
    dsc_int piece;
    size_t scratch;             /* bytes a thread, a multiple of 64 */
    char *memory;
    _Atomic dsc_int next;
    atomic_int flags;           /* floating-point exceptions that any thread raised */
    volatile int stop;
} job;

static void work(job *j, int thread, bool caller)
{
    void *scratch = j->memory ? j->memory + (size_t)thread * j->scratch : NULL;
    dsc_int begin;
    if (!caller)
        feclearexcept(FE_ALL_EXCEPT);
    while (!j->stop && (begin = atomic_fetch_add(&j->next, j->piece)) < j->plan.items) {
        dsc_int end = begin + j->piece;
        j->operation->run(j->problem, &j->plan, begin, end < j->plan.items ? end : j->plan.items, scratch);
        if (caller)
            dsc_stopped(j->problem);
    }
    if (!caller)
        atomic_fetch_or(&j->flags, fetestexcept(FE_ALL_EXCEPT));
}

/* libgomp ends the process when it cannot create a thread, so whether there is room is tried before it has to. */
#ifdef _OPENMP
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int largest_team = 1;

static void *wait_for_release(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&hold);
    pthread_mutex_unlock(&hold);
    return NULL;
}

static int startable_threads(int team)
{
    pthread_t helpers[THREADS_MOST];
    int started_here = 0;
    if (team <= atomic_load(&largest_team))
        return team;
    pthread_mutex_lock(&hold);
    while (started_here < team - 1 && pthread_create(&helpers[started_here], NULL, wait_for_release, NULL) == 0)
        ++started_here;
    pthread_mutex_unlock(&hold);
    for (int i = 0; i < started_here; ++i)
        pthread_join(helpers[i], NULL);
    if (started_here == team - 1)
        atomic_store(&largest_team, team);
    /* Where not all can be had, leave what is left to others. */
    return started_here == team - 1 ? team : 1;
}
#else
static int startable_threads(int team) { return team; }
#endif

static int team_size(const job *j)
{
    dsc_int pieces = j->plan.items / j->piece + (j->plan.items % j->piece != 0);
    if (threads == 1 || j->plan.work < threshold || atomic_load(&forked) || !dsc_has_openmp())
        return 1;
    return startable_threads(pieces < threads ? (int)pieces : threads);
}

static void run_team(job *j, int team)
{
#ifdef _OPENMP
    if (team > 1) {
        atomic_store(&started, true);
#pragma omp parallel num_threads(team)
        work(j, omp_get_thread_num(), omp_get_thread_num() == 0);
        feraiseexcept(atomic_load(&j->flags));
        return;
    }
#endif
    work(j, 0, true);
}

/* Scratch of a calling thread, kept between calls: fresh pages would cost more than a small call itself. */
typedef struct { size_t size; } arena;
#define ARENA_HEADER 64

static char *borrow_scratch(size_t size)
{
    arena *kept = pthread_getspecific(arena_key);
    if (kept && kept->size >= size)
        return (char *)kept + ARENA_HEADER;
    free(kept);
    pthread_setspecific(arena_key, NULL);
    if (posix_memalign((void **)&kept, 64, size + ARENA_HEADER) != 0)
        return NULL;
    kept->size = size;
    pthread_setspecific(arena_key, kept);
    return (char *)kept + ARENA_HEADER;
}

static dsc_int piece_size(const dsc_plan *plan)
{
    double each = plan->work / (double)plan->items;
    double piece = PIECE_WORK / (each > 1 ? each : 1), most = (double)plan->items / (4.0 * threads);
    piece = piece < most ? piece : most;
    return piece < 1 ? 1 : (dsc_int)piece;
}

dsc_status dsc_execute(const dsc_operation *operation, dsc_problem *problem)
{
    job j = {.operation = operation, .problem = problem};
    const dsc_int *out = problem->e.out;
    if (problem->batch == 0 || out[0] == 0 || out[1] == 0 || out[2] == 0)
        return DSC_DONE;
    problem->threads = threads;
    problem->stop = &j.stop;
    operation->plan(problem, &j.plan);
    if (j.plan.items == 0)
        return DSC_DONE;
    if (j.plan.work < threshold)
        problem->threads = 1, operation->plan(problem, &j.plan);
    j.piece = piece_size(&j.plan);
    int team = team_size(&j);
    j.scratch = (j.plan.scratch + 127) & ~(size_t)63;
    if (j.plan.scratch && !(j.memory = borrow_scratch(j.scratch * (size_t)team)))
        return DSC_NO_MEMORY;
    run_team(&j, team);
    return j.stop ? DSC_STOPPED : DSC_DONE;
}
