/* The sum of all ranks' numbers in the order of the aligned lane tree, on every rank. */
#ifndef TDBG_ENGINE_ALLREDUCE_H
#define TDBG_ENGINE_ALLREDUCE_H

#include "engine/backend.h"
#include "engine/comm.h"

/* Memory for sums of up to `most` elements; grows when more are asked for. */
struct tdbg_allreduce {
    struct tdbg_comm *comm;
    const struct tdbg_backend *backend; /* adds, where the comm's transfers are */
    float *others;                      /* (world_size - 1, most_chunk) */
    int64_t most_chunk;
    struct tdbg_comm_transfer *list; /* (2 * world_size) */
    float **branch;                  /* (world_size) */
};

enum tdbg_status tdbg_allreduce_init(struct tdbg_allreduce *a, struct tdbg_comm *comm,
                                     const struct tdbg_backend *backend, struct tdbg_err *err);
void tdbg_allreduce_clear(struct tdbg_allreduce *a);

/* out (n) = the fold of in (n) over the ranks: neighbours are added, then neighbours of the sums,
 * and so on; what has no neighbour goes up as it is. in and out do not overlap; they are in the
 * memory of `backend`, and where that is a device's, out is there after the comm's `complete`. Each
 * rank sends and receives 2 (N-1)/N n elements, as in a ring. */
enum tdbg_status tdbg_allreduce_run(struct tdbg_allreduce *a, const float *in, float *out,
                                    int64_t n, struct tdbg_err *err);

#endif
