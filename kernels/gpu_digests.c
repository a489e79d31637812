/* Digests on a GPU that are not waited for.
 *
 * A launch costs more than a small tensor's digest, so requests wait on the host until anything
 * else is to be put on the stream (tdbg_gpu_before_work); then one launch computes the parts of all
 * that wait. Parts have memory of their own until the step is at its end, where one more launch
 * adds them up:
 *
 *     digest_later       waiting[]  (data, its parts)      sums[]  (parts, its slot)
 *     before other work     '-> tdbg_gpu_digest_blocks        |
 *     digests_take                                            '-> tdbg_gpu_digest_add, fetch
 *
 * A tensor of one block needs no adding: its part is its slot. */
#include "kernels/gpu_digests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fused_digest.h"
#include "kernels/gpu.h"
#include "kernels/gpu_queue.h"

enum {
    LEAST_PARTS = 512,
    MOST_PARTS = 1 << 18, /* 16 MiB; more only for a tensor that has more */
};

/* What was asked for under a slot. */
struct slot {
    enum tdbg_dtype dtype;
    bool is_asked;
    int64_t n_elems;
};

struct tdbg_gpu_digests {
    int32_t n_slots;
    struct slot *slots;               /* (n_slots) */
    struct tdbg_digest_part *totals;  /* (n_slots), on the device */
    struct tdbg_digest_part *on_host; /* (n_slots), where they come to */
    struct tdbg_digest_part *parts;   /* (n_parts), on the device */
    int64_t n_parts, used_parts;
    struct tdbg_gpu_digest waiting[TDBG_GPU_DIGESTS]; /* gpu->waiting_digests of them */
    enum tdbg_dtype dtypes[TDBG_GPU_DIGESTS];
    int n_sums;
    struct tdbg_gpu_digest_sum sums[TDBG_GPU_DIGEST_SUMS];
};

void tdbg_gpu_close_digests(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_digests *d = gpu->digests;
    if (!d)
        return;
    tdbg_gpu_free(gpu, d->totals);
    tdbg_gpu_free(gpu, d->parts);
    cudaFreeHost(d->on_host);
    free(d->slots);
    free(d);
}

void tdbg_gpu_put_digests(struct tdbg_gpu *gpu)
{
    const struct tdbg_gpu_digests *d = gpu->digests;
    const int n = gpu->waiting_digests;
    gpu->waiting_digests = 0; /* the launches below come here, too */
    tdbg_gpu_use(gpu);
    for (int dtype = 0; dtype < TDBG_DTYPE_COUNT; dtype++) {
        struct tdbg_gpu_digest of[TDBG_GPU_DIGESTS];
        int n_of = 0;
        for (int i = 0; i < n; i++) {
            if (d->dtypes[i] == (enum tdbg_dtype)dtype)
                of[n_of++] = d->waiting[i];
        }
        if (n_of > 0)
            tdbg_gpu_digest_blocks(gpu, (enum tdbg_dtype)dtype, TDBG_PART_DIGEST | TDBG_PART_STATS,
                                   n_of, of);
    }
}

/* Leaves nothing to be put on the stream; all parts are free again. */
static void put_all(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_digests *d = gpu->digests;
    const int n = d->n_sums;
    tdbg_gpu_before_work(gpu);
    d->n_sums = 0;
    d->used_parts = 0;
    if (n > 0)
        tdbg_gpu_digest_add(gpu, n, d->sums);
}

/* Room for `slots` slots; those that are asked for stay. */
static bool grow_slots(struct tdbg_gpu *gpu, int32_t slots)
{
    struct tdbg_gpu_digests *d = gpu->digests;
    const int32_t room = 2 * slots + 256;
    const size_t bytes = (size_t)room * sizeof(struct tdbg_digest_part);
    struct slot *grown = calloc((size_t)room, sizeof *grown);
    void *totals = NULL, *on_host = NULL;
    if (!grown || cudaMalloc(&totals, bytes) != cudaSuccess ||
        cudaMallocHost(&on_host, bytes) != cudaSuccess) {
        cudaGetLastError(); /* or the next launch tells it */
        cudaFree(totals);
        free(grown);
        return false;
    }
    if (d->n_slots > 0) {
        put_all(gpu);
        memcpy(grown, d->slots, (size_t)d->n_slots * sizeof *grown);
        tdbg_gpu_copy(gpu, totals, d->totals, (size_t)d->n_slots * sizeof *d->totals);
    }
    tdbg_gpu_free(gpu, d->totals); /* waits for the copy */
    tdbg_gpu_note(gpu, cudaFreeHost(d->on_host), "cudaFreeHost");
    free(d->slots);
    d->n_slots = room;
    d->slots = grown;
    d->totals = totals;
    d->on_host = on_host;
    return true;
}

static bool has_slot(struct tdbg_gpu *gpu, int32_t slot)
{
    if (!gpu->digests)
        gpu->digests = calloc(1, sizeof *gpu->digests);
    return gpu->digests && (slot < gpu->digests->n_slots || grow_slots(gpu, slot + 1));
}

/* All parts are free: twice as many as there were, up to a limit, and at least n. */
static bool grow_parts(struct tdbg_gpu *gpu, int64_t n)
{
    struct tdbg_gpu_digests *d = gpu->digests;
    int64_t room = 2 * d->n_parts;
    void *parts = NULL;
    room = room < LEAST_PARTS ? LEAST_PARTS : room > MOST_PARTS ? MOST_PARTS : room;
    room = room < n ? n : room;
    if (room <= d->n_parts)
        return true;
    tdbg_gpu_free(gpu, d->parts); /* waits for those that use it */
    d->parts = NULL;
    d->n_parts = 0;
    const cudaError_t error = cudaMalloc(&parts, (size_t)room * sizeof *d->parts);
    tdbg_gpu_note(gpu, error, "cudaMalloc of the parts of digests");
    if (error != cudaSuccess) {
        cudaGetLastError(); /* or the next launch tells it, too */
        return false;
    }
    d->parts = parts;
    d->n_parts = room;
    return true;
}

/* n parts that are to be added up to *total. NULL when there is no memory, and noted. */
static struct tdbg_digest_part *owe_sum(struct tdbg_gpu *gpu, int64_t n,
                                        struct tdbg_digest_part *total)
{
    struct tdbg_gpu_digests *d = gpu->digests;
    if (d->n_sums == TDBG_GPU_DIGEST_SUMS)
        put_all(gpu);
    if (n > d->n_parts - d->used_parts) {
        put_all(gpu);
        if (!grow_parts(gpu, n))
            return NULL;
    }
    struct tdbg_digest_part *parts = d->parts + d->used_parts;
    d->used_parts += n;
    d->sums[d->n_sums++] = (struct tdbg_gpu_digest_sum){parts, n, total};
    return parts;
}

enum tdbg_status tdbg_cuda_digest_later(void *context, const void *data, enum tdbg_dtype dtype,
                                        int64_t n_elems, int32_t slot, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = context;
    const int64_t n_parts = tdbg_gpu_digest_parts(n_elems);
    if (!has_slot(gpu, slot))
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the digests of a step");
    struct tdbg_gpu_digests *d = gpu->digests;
    if (d->slots[slot].is_asked) /* of a step that was given up: the last one counts */
        put_all(gpu);
    d->slots[slot] = (struct slot){dtype, true, n_elems};
    if (n_parts > 0) {
        struct tdbg_digest_part *to = d->totals + slot;
        if (n_parts > 1)
            to = owe_sum(gpu, n_parts, to);
        if (!to)
            return tdbg_gpu_report(gpu, err);
        if (gpu->waiting_digests == TDBG_GPU_DIGESTS)
            tdbg_gpu_put_digests(gpu);
        d->dtypes[gpu->waiting_digests] = dtype;
        d->waiting[gpu->waiting_digests++] = (struct tdbg_gpu_digest){data, n_elems, to};
    }
    return tdbg_gpu_report(gpu, err);
}

enum tdbg_status tdbg_cuda_digests_take(void *context, int32_t n_slots, uint64_t *digests,
                                        struct tdbg_stats *stats, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = context;
    const struct tdbg_gpu_digests *d = gpu->digests;
    const int32_t n = !d ? 0 : n_slots < d->n_slots ? n_slots : d->n_slots;
    const struct tdbg_digest_part none = TDBG_DIGEST_PART_NONE;
    if (n > 0) {
        put_all(gpu);
        tdbg_gpu_fly_queue(gpu); /* the step is at its end */
        tdbg_gpu_fetch(gpu, d->on_host, d->totals, (size_t)n * sizeof *d->totals);
    }
    const enum tdbg_status st = tdbg_gpu_report(gpu, err);
    for (int32_t i = 0; i < n; i++) {
        struct slot *slot = &d->slots[i];
        if (st == TDBG_OK && slot->is_asked)
            tdbg_digest_part_finish(slot->n_elems > 0 ? &d->on_host[i] : &none, slot->dtype,
                                    slot->n_elems, &digests[i], &stats[i]);
        slot->is_asked = false;
    }
    return st;
}
