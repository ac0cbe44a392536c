/* Threads: one loop over independent items, handed out in pieces to a pool of workers and to the caller itself.
 *
 * Not OpenMP: libgomp hangs in a child of fork, ends the process when it cannot create a thread, and makes the caller wait
 * for every thread of a team, even one that has not been scheduled yet. */
#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif

#include "dsconv.h"
#include "kernels/walk.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MOST 256
#define PIECE_WORK 1e6      /* multiply-adds worth one look at the shared counter */
#define PATIENCE 200e-6     /* seconds that a thread looks for what it waits for before it sleeps: to wake it takes some 50 us */
#define SPINS 64            /* looks at it between two at the clock */
#define STACK_BYTES (1 << 20)

static pthread_key_t arena_key;
static int threads = 1;
static double threshold = 2e6;

int dsc_get_threads(void) { return threads; }

void dsc_set_threads(int n) { threads = n < THREADS_MOST ? n : THREADS_MOST; }

double dsc_set_threshold(double work)
{
    double previous = threshold;
    threshold = work;
    return previous;
}

static int usable_processors(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static int environment_threads(const char *name)
{
    const char *text = getenv(name);
    long n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n <= THREADS_MOST ? (int)n : 0;
}

typedef struct {
    const dsc_operation *operation;
    const dsc_problem *problem;
    dsc_plan plan;
    dsc_int piece;
    size_t scratch;             /* bytes a thread, a multiple of 64 */
    char *memory;
    atomic_int flags;           /* floating-point exceptions that any worker raised */
    atomic_int stop;
    int team, joined;           /* threads wanted, workers that came; under pool.lock */
    atomic_int active;          /* workers at it; changes under pool.lock */
    _Atomic dsc_int next[THREADS_MOST];   /* of each thread's share of the items; last, for only its beginning is set */
} job;

static dsc_int share_begin(const job *j, int share)
{
    return j->plan.items / j->team * share + at_most(share, j->plan.items % j->team);
}

/* First the thread's own share, the same in every call of these sizes, so that it finds its data in its own cache; then
 * what others have left of theirs. */
static void work(job *j, int thread)
{
    void *scratch = j->memory ? j->memory + (size_t)thread * j->scratch : NULL;
    for (int i = 0; i < j->team; ++i) {
        int share = (thread + i) % j->team;
        dsc_int begin, end = share_begin(j, share + 1);
        while (!j->stop && (begin = atomic_fetch_add(&j->next[share], j->piece)) < end) {
            j->operation->run(j->problem, &j->plan, begin, at_most(begin + j->piece, end), scratch);
            dsc_stopped(j->problem);
        }
    }
}

/* Workers sleep here between calls. One call at a time is offered to them; a second caller meanwhile works alone. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t offered, finished;
    job *current;
    atomic_uint ticket;         /* of the last job offered */
    int workers;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .offered = PTHREAD_COND_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

double dsc_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Look for something for a while. */
#define AWAIT(condition) \
    for (double end = dsc_seconds() + PATIENCE; !(condition) && dsc_seconds() < end;) \
        for (int i = 0; i < SPINS && !(condition); ++i) \
            relax()

static void *worker(void *unused)
{
    unsigned seen = 0;
    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        job *j = pool.current;
        if (j && seen != atomic_load(&pool.ticket) && j->joined < j->team - 1) {
            int thread = ++j->joined;
            ++j->active;
            seen = atomic_load(&pool.ticket);
            pthread_mutex_unlock(&pool.lock);
            feclearexcept(FE_ALL_EXCEPT);
            work(j, thread);
            atomic_fetch_or(&j->flags, fetestexcept(FE_ALL_EXCEPT));
            pthread_mutex_lock(&pool.lock);
            if (--j->active == 0)
                pthread_cond_broadcast(&pool.finished);
            pthread_mutex_unlock(&pool.lock);
            AWAIT(atomic_load(&pool.ticket) != seen);   /* calls often come close together */
            pthread_mutex_lock(&pool.lock);
        } else {
            pthread_cond_wait(&pool.offered, &pool.lock);
        }
    }
    return NULL;
}

/* As many workers as can be had. They take no signals: those are for Python's threads. Under pool.lock. */
static void start_workers(int wanted)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pool.workers >= wanted || pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted && pthread_create(&thread, &attributes, worker, NULL) == 0)
        ++pool.workers;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Workers do not survive a fork: the child starts its own. */
static void before_fork(void) { pthread_mutex_lock(&pool.lock); }
static void after_fork_parent(void) { pthread_mutex_unlock(&pool.lock); }
static void after_fork_child(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.offered, NULL);
    pthread_cond_init(&pool.finished, NULL);
    pool.current = NULL;
    pool.workers = 0;
}

/* The caller works like any worker, and at the end waits only for those that have begun: a worker that the system has not
 * woken in time is not missed. */
static void run_team(job *j)
{
    bool offered = false;
    if (j->team > 1) {
        pthread_mutex_lock(&pool.lock);
        if ((offered = pool.current == NULL)) {
            start_workers(j->team - 1);
            pool.current = j;
            atomic_fetch_add(&pool.ticket, 1);
            pthread_cond_broadcast(&pool.offered);
        }
        pthread_mutex_unlock(&pool.lock);
    }
    work(j, 0);
    if (!offered)
        return;
    AWAIT(atomic_load(&j->active) == 0);
    pthread_mutex_lock(&pool.lock);
    pool.current = NULL;
    while (j->active > 0)
        pthread_cond_wait(&pool.finished, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    feraiseexcept(atomic_load(&j->flags));
}

static int team_size(const job *j)
{
    dsc_int pieces = j->plan.items / j->piece + (j->plan.items % j->piece != 0);
    if (threads == 1 || j->plan.work < threshold)
        return 1;
    return pieces < threads ? (int)pieces : threads;
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
    job j;
    memset(&j, 0, offsetof(job, next));
    j.operation = operation, j.problem = problem;
    const dsc_int *out = problem->e.out;
    bool reduces = operation->reduces;   /* sums over nothing are zeros */
    if (problem->batch == 0 || (!reduces && (out[0] == 0 || out[1] == 0 || out[2] == 0)))
        return DSC_DONE;
    problem->threads = 1;
    problem->stop = &j.stop;
    operation->plan(problem, &j.plan);
    if (j.plan.items == 0)
        return DSC_DONE;
    if (threads > 1 && j.plan.work >= threshold)
        problem->threads = threads, operation->plan(problem, &j.plan);
    j.piece = piece_size(&j.plan);
    j.team = team_size(&j);
    for (int i = 0; i < j.team; ++i)
        atomic_init(&j.next[i], share_begin(&j, i));
    j.scratch = (j.plan.scratch + 127) & ~(size_t)63;
    const size_t own = j.scratch * (size_t)j.team;
    if (j.plan.scratch && !(j.memory = borrow_scratch(own + j.plan.packed)))
        return DSC_NO_MEMORY;
    if (j.plan.packed)
        operation->pack(problem, j.memory + own), problem->packed = j.memory + own;
    run_team(&j);
    if (j.plan.packed)
        problem->packed = NULL;
    return j.stop ? DSC_STOPPED : DSC_DONE;
}

void dsc_parallel_init(void)
{
    int n = environment_threads("DSCONV_NUM_THREADS");
    if (!n)
        n = environment_threads("OMP_NUM_THREADS");
    if (!n)
        n = usable_processors();
    dsc_set_threads(n);
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    pthread_key_create(&arena_key, free);
}
