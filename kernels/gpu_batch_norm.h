/* What the two files of a GPU's batch norm share: batch_norm.cu has what touches every element,
 * batch_norm_fold.cu what is done once per channel. Formulas and orders: batch_norm.h. */
#ifndef TDBG_KERNELS_GPU_BATCH_NORM_H
#define TDBG_KERNELS_GPU_BATCH_NORM_H

#include "kernels/gpu.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/batch_norm.h"
#include "kernels/batch_norm_blocks.h"
}

/* A batch norm with the sizes of its blocks. */
struct bn_shape {
    int64_t samples, channels, inner;
    int64_t block_samples, pieces, blocks;
};

static inline struct bn_shape bn_shape_of(const struct tdbg_batch_norm *norm)
{
    const struct bn_shape s = {norm->samples,        norm->channels,
                               norm->inner,          tdbg_bn_block_samples(norm),
                               tdbg_bn_pieces(norm), tdbg_bn_blocks(norm)};
    return s;
}

struct bn_stats {
    float m, c, r;
};

static __device__ __forceinline__ struct bn_stats bn_load_stats(const float *stats,
                                                                int64_t channels, int64_t channel)
{
    const struct bn_stats s = {stats[channel], stats[channels + channel],
                               stats[2 * channels + channel]};
    return s;
}

static __device__ __forceinline__ float bn_normalised(float x, struct bn_stats s)
{
    return TDBG_STRICT_MUL(TDBG_STRICT_SUB(TDBG_STRICT_SUB(x, s.m), s.c), s.r);
}

/* What dx is made of beside the statistics: scale = weight * r, or r. */
struct bn_slopes {
    float a, k, scale;
};

/* sums (2, channels) from parts (blocks, 2, channels) */
void tdbg_bn_gpu_fold_sums(struct tdbg_gpu *gpu, const struct tdbg_batch_norm *norm,
                           const float *parts, float *sums);
void tdbg_bn_gpu_find_slopes(struct tdbg_gpu *gpu, int64_t channels, const float *stats,
                             const float *weight, const float *sums, int64_t count,
                             struct bn_slopes *slopes);
/* Evaluation: stats from running statistics. */
void tdbg_bn_gpu_recall(struct tdbg_gpu *gpu, const struct tdbg_batch_norm *norm,
                        const float *running_mean, const float *running_var, float *stats);

#endif
