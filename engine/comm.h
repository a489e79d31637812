/* How the ranks of a run reach each other: one table of functions over an opaque context, like a
 * backend. Implementations are comm_threads.c (ranks that are threads of one process), comm_mpi.c,
 * and comm_nccl.c, which goes from GPU to GPU; everything else is built from `exchange`.
 *
 * All ranks make the same calls in the same order. One thread of a rank at a time uses its comm. */
#ifndef TDBG_ENGINE_COMM_H
#define TDBG_ENGINE_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { TDBG_MAX_RANKS = 4096, TDBG_COMM_HANDED = 64 };

/* Bytes to or from another rank. Between two ranks, what is sent and what is received are matched
 * in the order of the list and have the same length. */
struct tdbg_comm_transfer {
    int32_t peer;
    bool sends; /* else `data` is written */
    void *data;
    size_t bytes; /* > 0 */
};

struct tdbg_comm;

/* What a look at something that is waited for has found. */
enum tdbg_comm_sight {
    TDBG_COMM_WAITS,
    TDBG_COMM_MOVES, /* it has got on since the last look */
    TDBG_COMM_WORKS, /* it is this rank's own turn: no time counts, and the others wait for it */
    TDBG_COMM_DONE
};
typedef enum tdbg_status (*tdbg_comm_look)(void *self, enum tdbg_comm_sight *sight,
                                           struct tdbg_err *err);

struct tdbg_comm_ops {
    /* Runs all transfers at once and returns when all are complete. TDBG_RANKS: a rank has not
     * answered in time, or has given up; the message names it. After that no call succeeds. */
    enum tdbg_status (*exchange)(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                                 int32_t n, struct tdbg_err *err);
    /* out (n) = the sum of in (n) over the ranks, as the library adds; NULL: it has no such call.
     * Fails as exchange does. */
    enum tdbg_status (*native_sum)(struct tdbg_comm *comm, const float *in, float *out, int64_t n,
                                   struct tdbg_err *err);
    /* Looks until it is done, for what all ranks wait for without this comm. Fails as exchange
     * does, and where a look does. */
    enum tdbg_status (*wait)(struct tdbg_comm *comm, tdbg_comm_look look, void *self,
                             struct tdbg_err *err);
    /* Tells the others that this rank cannot go on: their calls fail with that message. */
    void (*give_up)(struct tdbg_comm *comm, const char *message);
    /* Another rank is gone, it is not known which: the reason is `message`, unless a rank gives
     * another one within a second. Returns TDBG_RANKS. */
    enum tdbg_status (*lose)(struct tdbg_comm *comm, const char *message, struct tdbg_err *err);

    /* Where transfers are of a device's memory, else NULL: they are under way when exchange and
     * native_sum return, in the order of calls, to be read by who asked for them after `complete`.
     * `hand_over` is called by the thread that computes: what that has asked of the device by then
     * is done before the transfers that follow `take_over` with the same number, which counts up
     * from 0; at most TDBG_COMM_HANDED numbers are between the two. */
    void (*hand_over)(struct tdbg_comm *comm, int64_t number);
    enum tdbg_status (*take_over)(struct tdbg_comm *comm, int64_t number, struct tdbg_err *err);
    enum tdbg_status (*complete)(struct tdbg_comm *comm, struct tdbg_err *err);

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
