/* Digests of several tensors at a time on a GPU: the two launches of fused_digest.cu, and the
 * requests that gpu_digests.c collects for them. */
#ifndef TDBG_KERNELS_GPU_DIGESTS_H
#define TDBG_KERNELS_GPU_DIGESTS_H

#include <stdint.h>

#include "base/digest_block.h"

struct tdbg_gpu;

/* How many tensors a launch takes at most: they are arguments of a kernel, 4 KB. */
enum { TDBG_GPU_DIGESTS = 64, TDBG_GPU_DIGEST_SUMS = 128 };

struct tdbg_gpu_digest {
    const void *data;
    int64_t n_elems;                /* > 0 */
    struct tdbg_digest_part *parts; /* (tdbg_gpu_digest_parts), overwritten */
};

struct tdbg_gpu_digest_sum {
    const struct tdbg_digest_part *parts; /* (n_parts) */
    int64_t n_parts;
    struct tdbg_digest_part *total; /* overwritten */
};

static inline int64_t tdbg_gpu_digest_parts(int64_t n_elems)
{
    return (n_elems + TDBG_STATS_BLOCK_ELEMS - 1) / TDBG_STATS_BLOCK_ELEMS;
}

/* Parts of n <= TDBG_GPU_DIGESTS tensors of one dtype. want: bits of TDBG_PART_...; of more tensors
 * than one both are computed. */
void tdbg_gpu_digest_blocks(struct tdbg_gpu *gpu, enum tdbg_dtype dtype, int want, int n,
                            const struct tdbg_gpu_digest *of);

/* The parts of each of n <= TDBG_GPU_DIGEST_SUMS tensors, added in order. */
void tdbg_gpu_digest_add(struct tdbg_gpu *gpu, int n, const struct tdbg_gpu_digest_sum *of);

void tdbg_gpu_close_digests(struct tdbg_gpu *gpu);

#endif
