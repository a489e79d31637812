/* Threads that encode chunk jobs, in the order in which they were given. */
#ifndef TDBG_TRACE_WORKERS_H
#define TDBG_TRACE_WORKERS_H

#include "base/digest.h"
#include "trace/chunked.h"

enum tdbg_job_state { TDBG_JOB_WAITING, TDBG_JOB_RUNNING, TDBG_JOB_DONE };

struct tdbg_encode_job {
    struct tdbg_chunk_job chunk;
    bool has_chunk;
    /* n_elems >= 0: digest and statistics of so many elements at `data` are wanted too */
    const void *data;
    enum tdbg_dtype dtype;
    int64_t n_elems;
    uint64_t digest;
    struct tdbg_stats stats;
    enum tdbg_job_state state; /* under the pool's lock */
    struct tdbg_err err;       /* of the encoding; the taker clears it */
};

/* A pool for at most `room` jobs at a time. NULL: no memory or no threads. */
struct tdbg_workers;
struct tdbg_workers *tdbg_workers_create(int n_threads, int room);
void tdbg_workers_destroy(struct tdbg_workers *workers); /* NULL is fine; no job may be open */

/* The job to fill in next (its packed buffer is kept from before); _give starts it. */
struct tdbg_encode_job *tdbg_workers_next(struct tdbg_workers *workers);
void tdbg_workers_give(struct tdbg_workers *workers);

/* Has the job that was given first, and not taken back yet, been encoded? The status is that of the
 * encoding. wait: until it has, and this thread encodes it where no other has begun. */
bool tdbg_workers_front(struct tdbg_workers *workers, bool wait, struct tdbg_encode_job **out);
void tdbg_workers_pop(struct tdbg_workers *workers);

#endif
