/* The pool of encoding threads: a circle of jobs under one lock. See workers.h.
 *
 *     front (taken back next)      begun (encoded next)       given
 *       v                            v                          v
 *     [ done ][ done ][ running ][ waiting ][ waiting ][ free ][ free ]
 */
#include "trace/workers.h"

#include <pthread.h>
#include <stdlib.h>

struct tdbg_workers {
    pthread_mutex_t lock;
    pthread_cond_t work, done; /* a job is waiting, or the end; a job was encoded */
    struct tdbg_encode_job *jobs;
    uint64_t front, begun, given; /* counts since the start; place = count % room */
    int room;
    bool ends;
    struct tdbg_chunk_io own; /* of the thread that owns the pool */
    pthread_t *threads;
    int n_threads;
};

static struct tdbg_encode_job *job_at(struct tdbg_workers *w, uint64_t n)
{
    return &w->jobs[n % (uint64_t)w->room];
}

/* Encodes the next waiting job; the lock is held on entry and exit. */
static void encode_next(struct tdbg_workers *w, struct tdbg_chunk_io *io)
{
    struct tdbg_encode_job *job = job_at(w, w->begun++);
    job->state = TDBG_JOB_RUNNING;
    pthread_mutex_unlock(&w->lock);
    if (job->has_chunk)
        tdbg_chunk_encode(&job->chunk, io, &job->err);
    if (job->n_elems >= 0)
        tdbg_digest_with_stats(job->data, job->dtype, job->n_elems, &job->digest, &job->stats);
    pthread_mutex_lock(&w->lock);
    job->state = TDBG_JOB_DONE;
    pthread_cond_signal(&w->done);
}

static void *work(void *self)
{
    struct tdbg_workers *w = self;
    struct tdbg_chunk_io io;
    if (tdbg_chunk_io_init(&io, NULL) != TDBG_OK)
        return NULL; /* the others, or the owner, do its part */
    pthread_mutex_lock(&w->lock);
    while (!w->ends) {
        if (w->begun < w->given)
            encode_next(w, &io);
        else
            pthread_cond_wait(&w->work, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    tdbg_chunk_io_free(&io);
    return NULL;
}

struct tdbg_workers *tdbg_workers_create(int n_threads, int room)
{
    struct tdbg_workers *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    w->room = room;
    w->jobs = calloc((size_t)room, sizeof *w->jobs);
    w->threads = calloc((size_t)n_threads + 1, sizeof *w->threads);
    if (!w->jobs || !w->threads || tdbg_chunk_io_init(&w->own, NULL) != TDBG_OK) {
        tdbg_workers_destroy(w);
        return NULL;
    }
    /* Fewer threads than wanted only cost time. */
    while (w->n_threads < n_threads &&
           pthread_create(&w->threads[w->n_threads], NULL, work, w) == 0)
        w->n_threads++;
    return w;
}

void tdbg_workers_destroy(struct tdbg_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    for (int i = 0; w->jobs && i < w->room; i++) {
        tdbg_chunk_job_free(&w->jobs[i].chunk);
        tdbg_err_clear(&w->jobs[i].err);
    }
    tdbg_chunk_io_free(&w->own);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    free(w->jobs);
    free(w->threads);
    free(w);
}

struct tdbg_encode_job *tdbg_workers_next(struct tdbg_workers *w)
{
    TDBG_ASSERT(w->given - w->front < (uint64_t)w->room); /* both are the owner's */
    return job_at(w, w->given);
}

void tdbg_workers_give(struct tdbg_workers *w)
{
    pthread_mutex_lock(&w->lock);
    job_at(w, w->given)->state = TDBG_JOB_WAITING;
    w->given++;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

bool tdbg_workers_front(struct tdbg_workers *w, bool wait, struct tdbg_encode_job **out)
{
    struct tdbg_encode_job *job = job_at(w, w->front);
    TDBG_ASSERT(w->front < w->given);
    pthread_mutex_lock(&w->lock);
    while (wait && job->state != TDBG_JOB_DONE) {
        if (w->begun == w->front)
            encode_next(w, &w->own);
        else
            pthread_cond_wait(&w->done, &w->lock);
    }
    const bool done = job->state == TDBG_JOB_DONE;
    pthread_mutex_unlock(&w->lock);
    *out = job;
    return done;
}

void tdbg_workers_pop(struct tdbg_workers *w)
{
    w->front++;
}
