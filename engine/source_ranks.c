/* Samples from an inner source, sums over ranks from a comm. See source_ranks.h.
 *
 * Sums are a thread's work, so that the engine goes on backward meanwhile. Between the first and
 * the last reduction of a step this thread alone uses the comm. */
#include "engine/source_ranks.h"

#include <pthread.h>
#include <stdlib.h>

#include "engine/allreduce.h"
#include "engine/source_around.h"
#include "kernels/parallel.h"

enum { JOBS = TDBG_COMM_HANDED }; /* begun and not done */

struct job {
    const struct tdbg_reduction *what;
    const float *in;
    float *out;
};

struct tdbg_source_ranks {
    struct tdbg_source inner; /* first: source_around.h */
    struct tdbg_allreduce allreduce;
    bool native;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake_thread, wake_caller;
    struct job job[JOBS]; /* number k is in k % JOBS */
    int64_t begun, done, ended;
    bool quits;
    enum tdbg_status status; /* of the first job that failed: those after it do nothing */
    struct tdbg_err err;
};

static enum tdbg_status run_job(struct tdbg_source_ranks *s, int64_t number, const struct job *job,
                                struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_comm *comm = s->allreduce.comm;
    if (!tdbg_parallel_mode_is_strict())
        return TDBG_RAISE(err, DEVICE, "the floating-point mode of the thread that adds is loose");
    if (comm->ops->take_over)
        TDBG_TRY(comm->ops->take_over(comm, number, err));
    if (s->native)
        TDBG_TRY(comm->ops->native_sum(comm, job->in, job->out, job->what->elems, err));
    else
        TDBG_TRY(tdbg_allreduce_run(&s->allreduce, job->in, job->out, job->what->elems, err));
    if (comm->ops->complete)
        TDBG_TRY(comm->ops->complete(comm, err));
out:
    return st;
}

/* Job after job, as they are begun. */
static void *run_thread(void *self)
{
    struct tdbg_source_ranks *s = self;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->quits && s->done == s->begun)
            pthread_cond_wait(&s->wake_thread, &s->lock);
        if (s->done == s->begun)
            break;
        const struct job job = s->job[s->done % JOBS];
        enum tdbg_status st = s->status;
        pthread_mutex_unlock(&s->lock);
        if (st == TDBG_OK)
            st = run_job(s, s->done, &job, &s->err);
        pthread_mutex_lock(&s->lock);
        s->status = st;
        s->done++;
        pthread_cond_signal(&s->wake_caller);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

enum tdbg_status tdbg_source_ranks_create(struct tdbg_source inner, struct tdbg_comm *comm,
                                          const struct tdbg_backend *backend, bool native,
                                          struct tdbg_source_ranks **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_source_ranks *s = calloc(1, sizeof *s);
    TDBG_FAIL_IF(!s, NO_MEMORY, "no memory for the source of a rank");
    s->inner = inner;
    s->native = native && comm->ops->native_sum;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake_thread, NULL);
    pthread_cond_init(&s->wake_caller, NULL);
    TDBG_TRY(tdbg_allreduce_init(&s->allreduce, comm, backend, err));
    TDBG_FAIL_IF(pthread_create(&s->thread, NULL, run_thread, s) != 0, NO_MEMORY,
                 "no thread for the communication of a rank");
    *out = s;
    return TDBG_OK;
out:
    if (s)
        tdbg_allreduce_clear(&s->allreduce);
    free(s);
    return st;
}

void tdbg_source_ranks_destroy(struct tdbg_source_ranks *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quits = true;
    pthread_cond_signal(&s->wake_thread);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    tdbg_allreduce_clear(&s->allreduce);
    tdbg_err_clear(&s->err);
    pthread_cond_destroy(&s->wake_thread);
    pthread_cond_destroy(&s->wake_caller);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum tdbg_status reduce_begin(void *self, int64_t step, const struct tdbg_reduction *what,
                                     const float *in, float *out, struct tdbg_err *err)
{
    (void)step;
    (void)err; /* what fails is told by reduce_end */
    struct tdbg_source_ranks *s = self;
    struct tdbg_comm *comm = s->allreduce.comm;
    pthread_mutex_lock(&s->lock);
    while (s->begun - s->done == JOBS)
        pthread_cond_wait(&s->wake_caller, &s->lock);
    if (comm->ops->hand_over)
        comm->ops->hand_over(comm, s->begun);
    s->job[s->begun++ % JOBS] = (struct job){what, in, out};
    pthread_cond_signal(&s->wake_thread);
    pthread_mutex_unlock(&s->lock);
    return TDBG_OK;
}

static enum tdbg_status reduce_end(void *self, int64_t step, const struct tdbg_reduction *what,
                                   const float *in, float *out, struct tdbg_err *err)
{
    (void)step;
    (void)what;
    (void)in;
    (void)out;
    enum tdbg_status st = TDBG_OK;
    struct tdbg_source_ranks *s = self;
    pthread_mutex_lock(&s->lock);
    TDBG_ASSERT(s->ended < s->begun);
    while (s->done == s->ended)
        pthread_cond_wait(&s->wake_caller, &s->lock);
    s->ended++;
    if (s->status != TDBG_OK)
        st = tdbg_err_set(err, s->status, s->err.file, s->err.line, "%s", s->err.message);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static const struct tdbg_source_ops ranks_ops = {
    .describe = tdbg_source_around_describe,
    .train_batch = tdbg_source_around_train_batch,
    .eval_batch = tdbg_source_around_eval_batch,
    .reduce_begin = reduce_begin,
    .reduce_end = reduce_end,
    .clock_ns = tdbg_source_around_clock_ns,
};

struct tdbg_source tdbg_source_ranks_table(struct tdbg_source_ranks *s)
{
    const struct tdbg_comm *comm = s->allreduce.comm;
    return (struct tdbg_source){.ops = &ranks_ops,
                                .self = s,
                                .rank = comm->rank,
                                .world_size = comm->world_size,
                                .reduces_on_device = comm->ops->hand_over != NULL};
}
