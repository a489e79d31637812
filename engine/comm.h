/* How the ranks of a run reach each other: one table of functions over an opaque context, like a
 * backend. Implementations are comm_threads.c (ranks that are threads of one process) and
 * comm_mpi.c; everything else is built from `exchange`.
 *
 * All ranks make the same calls in the same order. One thread of a rank at a time uses its comm. */
#ifndef TDBG_ENGINE_COMM_H
#define TDBG_ENGINE_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { TDBG_MAX_RANKS = 4096 };

/* Bytes to or from another rank. Between two ranks, what is sent and what is received are matched
 * in the order of the list and have the same length. */
struct tdbg_comm_transfer {
    int32_t peer;
    bool sends; /* else `data` is written */
    void *data;
    size_t bytes; /* > 0 */
};

struct tdbg_comm;

struct tdbg_comm_ops {
    /* Runs all transfers at once and returns when all are complete. TDBG_RANKS: a rank has not
     * answered in time, or has given up; the message names it. After that no call succeeds. */
    enum tdbg_status (*exchange)(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                                 int32_t n, struct tdbg_err *err);
    /* out (n) = the sum of in (n) over the ranks, as the library adds; NULL: it has no such call.
     * Fails as exchange does. */
    enum tdbg_status (*native_sum)(struct tdbg_comm *comm, const float *in, float *out, int64_t n,
                                   struct tdbg_err *err);
    /* Tells the others that this rank cannot go on: their calls fail with that message. */
    void (*give_up)(struct tdbg_comm *comm, const char *message);
    void (*destroy)(struct tdbg_comm *comm);
};

struct tdbg_comm {
    const struct tdbg_comm_ops *ops;
    int32_t rank, world_size;
    double timeout_s;
    bool has_failed;     /* no call succeeds any more */
    bool is_told;        /* the rank that failed says itself what happened */
    int32_t failed_rank; /* where has_failed */
};

/* Of the ranks that see another one fail: is it this one that says so? */
static inline bool tdbg_comm_is_speaker(const struct tdbg_comm *comm)
{
    return !comm->is_told && comm->rank == (comm->failed_rank == 0 ? 1 : 0);
}

/* N ranks that are threads of this process: out (n), one for each. Each is destroyed by
 * tdbg_comm_destroy(), the memory that they share with the last of them. */
enum tdbg_status tdbg_comm_threads_create(int32_t n, double timeout_s, struct tdbg_comm **out,
                                          struct tdbg_err *err);

/* Ranks that are processes, started by mpirun or srun: joins them, which starts MPI. No process may
 * be spawned after that. TDBG_UNSUPPORTED: built without MPI. */
enum tdbg_status tdbg_comm_mpi_create(double timeout_s, struct tdbg_comm **out,
                                      struct tdbg_err *err);
bool tdbg_comm_mpi_is_built(void);

/* What mpirun or srun has told this process by its environment. */
struct tdbg_comm_launch {
    int32_t rank, world_size;
    int32_t local_rank, local_size; /* among the ranks of this machine; -1: not told */
};

/* false: nobody has; then it is rank 0 of 1. */
bool tdbg_comm_launch_read(struct tdbg_comm_launch *out);

void tdbg_comm_destroy(struct tdbg_comm *comm); /* NULL is fine */

/* `bytes` bytes of every rank: all (world_size, bytes), in the order of the ranks. */
enum tdbg_status tdbg_comm_gather(struct tdbg_comm *comm, const void *mine, size_t bytes, void *all,
                                  struct tdbg_err *err);

#endif
