/* Strict all-reduce: rank r gets chunk r of everybody's numbers, folds it, and gives the sum to
 * everybody. See allreduce.h; the order of the fold is that of lanes (lane_tree.h). */
#include "engine/allreduce.h"

#include <stdlib.h>

#include "engine/lane_tree.h"

enum { ALIGN_ELEMS = 16, BLOCK_ELEMS = 4096 /* of all ranks together in the cache */ };

enum tdbg_status tdbg_allreduce_init(struct tdbg_allreduce *a, struct tdbg_comm *comm,
                                     const struct tdbg_backend *backend, struct tdbg_err *err)
{
    const size_t n = (size_t)comm->world_size;
    *a = (struct tdbg_allreduce){.comm = comm, .backend = backend};
    a->list = calloc(2 * n, sizeof *a->list);
    a->branch = calloc(n, sizeof *a->branch);
    if (a->list && a->branch)
        return TDBG_OK;
    tdbg_allreduce_clear(a);
    return TDBG_RAISE(err, NO_MEMORY, "no memory to reach %zu ranks", n);
}

void tdbg_allreduce_clear(struct tdbg_allreduce *a)
{
    if (a->backend)
        a->backend->free(a->backend->context, a->others);
    free(a->list);
    free(a->branch);
    *a = (struct tdbg_allreduce){0};
}

/* Chunk r of n elements is [lo, hi). */
static void chunk_range(int64_t n, int32_t ranks, int32_t r, int64_t *lo, int64_t *hi)
{
    const int64_t units = (n + ALIGN_ELEMS - 1) / ALIGN_ELEMS;
    *lo = units * r / ranks * ALIGN_ELEMS;
    *hi = units * (r + 1) / ranks * ALIGN_ELEMS;
    *hi = *hi < n ? *hi : n;
}

static enum tdbg_status make_room(struct tdbg_allreduce *a, int64_t n, struct tdbg_err *err)
{
    const int64_t ranks = a->comm->world_size;
    const int64_t chunk = ((n + ALIGN_ELEMS - 1) / ALIGN_ELEMS / ranks + 1) * ALIGN_ELEMS;
    const struct tdbg_backend *be = a->backend;
    if (chunk <= a->most_chunk)
        return TDBG_OK;
    be->free(be->context, a->others);
    a->others = be->alloc(be->context, (size_t)(chunk * (ranks - 1)) * sizeof(float));
    a->most_chunk = a->others ? chunk : 0;
    return a->others ? TDBG_OK
                     : TDBG_RAISE(err, NO_MEMORY, "no memory for the gradients of other ranks");
}

/* The fold of all branches (n elements each), block by block where there is a cache to stay in; the
 * branches are used up. */
static const float *fold(struct tdbg_allreduce *a, int64_t n)
{
    const float *sum = a->branch[0];
    const int32_t ranks = a->comm->world_size;
    const int64_t block = a->backend->on_host ? BLOCK_ELEMS : n;
    for (int64_t left = n; left > 0;) {
        const int64_t count = left < block ? left : block;
        tdbg_lane_tree_fold(a->backend, count, ranks, a->branch);
        for (int32_t r = 0; r < ranks; r++)
            a->branch[r] += count;
        left -= count;
    }
    return sum;
}

/* What the others have of this rank's chunk, and theirs of this rank's. */
static enum tdbg_status scatter(struct tdbg_allreduce *a, const float *in, int64_t n, int64_t mine,
                                struct tdbg_err *err)
{
    const int32_t ranks = a->comm->world_size, rank = a->comm->rank;
    int32_t count = 0;
    for (int32_t i = 1; i < ranks; i++) {
        const int32_t to = (rank + i) % ranks, from = (rank - i + ranks) % ranks;
        int64_t lo, hi;
        chunk_range(n, ranks, to, &lo, &hi);
        a->branch[from] = a->others + (i - 1) * a->most_chunk;
        if (hi > lo)
            a->list[count++] = (struct tdbg_comm_transfer){to, true, (void *)(uintptr_t)(in + lo),
                                                           (size_t)(hi - lo) * sizeof *in};
        if (mine > 0)
            a->list[count++] = (struct tdbg_comm_transfer){from, false, a->branch[from],
                                                           (size_t)mine * sizeof *in};
    }
    return a->comm->ops->exchange(a->comm, a->list, count, err);
}

static enum tdbg_status gather(struct tdbg_allreduce *a, float *out, int64_t n,
                               struct tdbg_err *err)
{
    const int32_t ranks = a->comm->world_size, rank = a->comm->rank;
    int64_t mine_lo, mine_hi;
    int32_t count = 0;
    chunk_range(n, ranks, rank, &mine_lo, &mine_hi);
    for (int32_t i = 1; i < ranks; i++) {
        const int32_t to = (rank + i) % ranks, from = (rank - i + ranks) % ranks;
        int64_t lo, hi;
        chunk_range(n, ranks, from, &lo, &hi);
        if (mine_hi > mine_lo)
            a->list[count++] = (struct tdbg_comm_transfer){
                to, true, out + mine_lo, (size_t)(mine_hi - mine_lo) * sizeof *out};
        if (hi > lo)
            a->list[count++] =
                (struct tdbg_comm_transfer){from, false, out + lo, (size_t)(hi - lo) * sizeof *out};
    }
    return a->comm->ops->exchange(a->comm, a->list, count, err);
}

enum tdbg_status tdbg_allreduce_run(struct tdbg_allreduce *a, const float *in, float *out,
                                    int64_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = a->backend;
    const int32_t rank = a->comm->rank;
    int64_t lo, hi;
    chunk_range(n, a->comm->world_size, rank, &lo, &hi);
    TDBG_TRY(make_room(a, n, err));
    TDBG_TRY(scatter(a, in, n, hi - lo, err));
    be->copy(be->context, out + lo, in + lo, (size_t)(hi - lo) * sizeof *out);
    a->branch[rank] = out + lo;
    const float *sum = fold(a, hi - lo);
    if (rank > 0 && hi > lo)
        be->copy(be->context, out + lo, sum, (size_t)(hi - lo) * sizeof *out);
    TDBG_TRY(gather(a, out, n, err));
out:
    return st;
}
