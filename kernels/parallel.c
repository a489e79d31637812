/* The threads that kernels run on. See parallel.h.
 *
 * One pool for the process, grown to the largest number of threads asked for. A job is cut into
 * chunks that the caller and the workers claim one by one, so that a worker which the system does
 * not run now delays nothing but its own chunk. A worker waits for the next job by looking for a
 * moment, because kernels follow each other closely, then it sleeps: others may need the processor.
 *
 * `state` holds everything that decides who may touch the job: its number, whether workers may
 * still enter, and how many are inside. Its fields change only while the job is closed and nobody
 * is inside. */
#include "kernels/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#include "base/status.h"

enum {
    CHUNKS_PER_THREAD = 4,
    LOOKS_BEFORE_SLEEP = 1500, /* some tens of microseconds */
    LOOKS_BEFORE_YIELD = 200,
};

#define JOB_STEP   (UINT64_C(1) << 32) /* the job's number counts in these */
#define JOB_CLOSED (UINT64_C(1) << 31)
#define JOB_INSIDE (JOB_CLOSED - 1) /* workers inside */

struct pool {
    pthread_mutex_t use; /* held by the thread whose job runs */
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    int n_workers;         /* under use */
    atomic_int n_sleeping; /* seq_cst with state: no wake-up is lost */
    atomic_int n_loose;    /* workers whose floating-point mode is not strict */
    atomic_int n_started;
    _Atomic uint64_t state;

    /* the job */
    void (*fn)(void *ctx, int64_t lo, int64_t hi);
    void *ctx;
    int64_t n, grain, units, chunks;
    int workers;          /* workers below this number take part */
    _Atomic int64_t next; /* chunk to claim */
};

static struct pool pool = {.use = PTHREAD_MUTEX_INITIALIZER,
                           .sleep = PTHREAD_MUTEX_INITIALIZER,
                           .wake = PTHREAD_COND_INITIALIZER,
                           .state = JOB_CLOSED};
static _Thread_local bool is_inside; /* this thread runs a job: jobs in it run in itself */

static void pause_a_moment(void)
{
#ifdef __x86_64__
    _mm_pause();
#endif
}

static void run_chunks(void)
{
    for (;;) {
        const int64_t chunk = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
        if (chunk >= pool.chunks)
            return;
        const int64_t lo = pool.units * chunk / pool.chunks * pool.grain;
        const int64_t hi = pool.units * (chunk + 1) / pool.chunks * pool.grain;
        if (lo < hi)
            pool.fn(pool.ctx, lo, hi < pool.n ? hi : pool.n);
    }
}

/* The number of the job after `seen`, once there is one. */
static uint64_t wait_for_job(uint64_t seen)
{
    for (int i = 0; i < LOOKS_BEFORE_SLEEP; i++) {
        const uint64_t state = atomic_load_explicit(&pool.state, memory_order_acquire);
        if (state / JOB_STEP != seen)
            return state / JOB_STEP;
        pause_a_moment();
    }
    pthread_mutex_lock(&pool.sleep);
    atomic_fetch_add(&pool.n_sleeping, 1);
    uint64_t number;
    while ((number = atomic_load(&pool.state) / JOB_STEP) == seen)
        pthread_cond_wait(&pool.wake, &pool.sleep);
    atomic_fetch_sub(&pool.n_sleeping, 1);
    pthread_mutex_unlock(&pool.sleep);
    return number;
}

/* Enters job `number` unless it is over. */
static bool enter_job(uint64_t number)
{
    uint64_t state = atomic_load_explicit(&pool.state, memory_order_acquire);
    do {
        if (state / JOB_STEP != number || (state & JOB_CLOSED))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool.state, &state, state + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    return true;
}

static void *work(void *context)
{
    const int index = (int)(intptr_t)context;
    uint64_t seen = 0;
    is_inside = true;
    if (!tdbg_parallel_mode_is_strict())
        atomic_fetch_add(&pool.n_loose, 1);
    atomic_fetch_add(&pool.n_started, 1);
    for (;;) {
        seen = wait_for_job(seen);
        if (!enter_job(seen))
            continue;
        if (index < pool.workers)
            run_chunks();
        atomic_fetch_sub_explicit(&pool.state, 1, memory_order_release);
    }
    return NULL;
}

/* A child has the memory of its parent, but none of the threads. */
static void forget_workers(void)
{
    pool.n_workers = 0;
    atomic_store(&pool.n_started, 0);
    atomic_store(&pool.n_sleeping, 0);
    atomic_store(&pool.state, (atomic_load(&pool.state) & ~JOB_INSIDE) | JOB_CLOSED);
    pthread_mutex_init(&pool.use, NULL);
    pthread_mutex_init(&pool.sleep, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

/* Workers as far as the system gives them; under use. */
static void grow(int workers)
{
    static bool registered;
    if (!registered)
        registered = pthread_atfork(NULL, NULL, forget_workers) == 0;
    while (pool.n_workers < workers) {
        pthread_attr_t attr;
        pthread_t thread;
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        const int failed = pthread_create(&thread, &attr, work, (void *)(intptr_t)pool.n_workers);
        pthread_attr_destroy(&attr);
        if (failed)
            return;
        pool.n_workers++;
    }
}

static void open_job(void)
{
    const uint64_t state = atomic_load_explicit(&pool.state, memory_order_relaxed);
    atomic_store(&pool.state, (state / JOB_STEP + 1) * JOB_STEP);
    if (atomic_load(&pool.n_sleeping) > 0) {
        pthread_mutex_lock(&pool.sleep);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.sleep);
    }
}

/* Lets nobody in any more, and waits until those inside are through. */
static void close_job(void)
{
    uint64_t state = atomic_fetch_or_explicit(&pool.state, JOB_CLOSED, memory_order_acq_rel);
    for (int i = 0; (state & JOB_INSIDE) > 0; i++) {
        if (i < LOOKS_BEFORE_YIELD)
            pause_a_moment();
        else
            sched_yield();
        state = atomic_load_explicit(&pool.state, memory_order_acquire);
    }
}

void tdbg_parallel_for(int threads, int64_t n, int64_t grain,
                       void (*fn)(void *ctx, int64_t lo, int64_t hi), void *ctx)
{
    if (n <= 0)
        return;
    const int64_t units = (n - 1) / grain + 1;
    /* a job that another thread runs at the moment has the workers */
    if (units == 1 || threads <= 1 || is_inside || pthread_mutex_trylock(&pool.use) != 0) {
        fn(ctx, 0, n);
        return;
    }
    grow(threads - 1);
    pool.fn = fn;
    pool.ctx = ctx;
    pool.n = n;
    pool.grain = grain;
    pool.units = units;
    pool.chunks =
        units < (int64_t)threads * CHUNKS_PER_THREAD ? units : (int64_t)threads * CHUNKS_PER_THREAD;
    pool.workers = threads - 1;
    atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
    is_inside = true;
    open_job();
    run_chunks();
    close_job();
    is_inside = false;
    pthread_mutex_unlock(&pool.use);
}

int tdbg_parallel_start(int threads)
{
    pthread_mutex_lock(&pool.use);
    grow(threads - 1);
    while (atomic_load(&pool.n_started) < pool.n_workers)
        sched_yield();
    pthread_mutex_unlock(&pool.use);
    return atomic_load(&pool.n_loose) + !tdbg_parallel_mode_is_strict();
}
