/* The strict sum of reduce.h on a GPU, for kernels whose terms come from anywhere: virtual lane l
 * is lane l of a warp. Included by .cu files behind gpu.h; blocks have one dimension, whole warps.
 *
 * How a term joins its lane is a function add(lane, i), i in 0..n-1, that gives the new lane:
 *
 *     const float sum = tdbg_gpu_sum_warp(n, [=](float lane, int64_t i) {
 *         return TDBG_STRICT_FMA(x[i], x[i], lane);
 *     });
 *
 * All lanes of a warp call together and get the same sum; a NaN is not canonical yet. */
#ifndef TDBG_KERNELS_GPU_REDUCE_H
#define TDBG_KERNELS_GPU_REDUCE_H

#include "kernels/gpu.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

static_assert((int)TDBG_SUM_LANES == (int)TDBG_GPU_WARP, "a virtual lane is a lane of a warp");

/* Warps of a block that tdbg_gpu_sum_block() can have at most; a power of two. */
enum { TDBG_GPU_MAX_WARPS = 32 };

static __device__ __forceinline__ int tdbg_gpu_lane(void)
{
    return (int)(threadIdx.x % TDBG_GPU_WARP);
}

/* lane[i] + lane[i + width] for width 16, 8, 4, 2, 1. Here lane[i + width] does the same addition
 * with its operands exchanged, so that in the end every lane has the result. */
static __device__ __forceinline__ float tdbg_gpu_fold(float lane)
{
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
        lane = TDBG_STRICT_ADD(lane, __shfl_xor_sync(TDBG_GPU_ALL_LANES, lane, width));
    return lane;
}

/* Terms first..end-1, at most TDBG_SUM_BLOCK of them, first a multiple of it. */
template <typename Add>
static __device__ __forceinline__ float tdbg_gpu_sum_terms(int64_t first, int64_t end, Add add)
{
    float lane = 0;
#pragma unroll 8
    for (int64_t i = first + tdbg_gpu_lane(); i < end; i += TDBG_GPU_WARP)
        lane = add(lane, i);
    return tdbg_gpu_fold(lane);
}

/* The levels above blocks, as struct tdbg_sum_tree of sum_lanes.h: every lane of a warp has one. */
struct tdbg_gpu_tree {
    float blocks, upper;
    int64_t n_blocks;
};

static __device__ __forceinline__ void tdbg_gpu_tree_lift(struct tdbg_gpu_tree *tree,
                                                          int64_t upper_term)
{
    const float sum = tdbg_gpu_fold(tree->blocks);
    if (upper_term % TDBG_SUM_LANES == tdbg_gpu_lane())
        tree->upper = TDBG_STRICT_ADD(tree->upper, sum);
    tree->blocks = 0;
}

/* The next block's sum. */
static __device__ __forceinline__ void tdbg_gpu_tree_add(struct tdbg_gpu_tree *tree, float block)
{
    const int64_t i = tree->n_blocks++;
    if (i % TDBG_SUM_LANES == tdbg_gpu_lane())
        tree->blocks = TDBG_STRICT_ADD(tree->blocks, block);
    if (tree->n_blocks % TDBG_SUM_BLOCK == 0)
        tdbg_gpu_tree_lift(tree, i / TDBG_SUM_BLOCK);
}

static __device__ __forceinline__ float tdbg_gpu_tree_finish(struct tdbg_gpu_tree *tree)
{
    if (tree->n_blocks % TDBG_SUM_BLOCK != 0)
        tdbg_gpu_tree_lift(tree, tree->n_blocks / TDBG_SUM_BLOCK);
    return tdbg_gpu_fold(tree->upper);
}

/* The sum of n terms by one warp. */
template <typename Add>
static __device__ __forceinline__ float tdbg_gpu_sum_warp(int64_t n, Add add)
{
    if (n <= TDBG_SUM_BLOCK)
        return tdbg_gpu_sum_terms(0, n, add);
    struct tdbg_gpu_tree tree = {0, 0, 0};
    for (int64_t first = 0; first < n; first += TDBG_SUM_BLOCK) {
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + TDBG_SUM_BLOCK;
        tdbg_gpu_tree_add(&tree, tdbg_gpu_sum_terms(first, end, add));
    }
    return tdbg_gpu_tree_finish(&tree);
}

/* Shared memory of tdbg_gpu_sum_block(): sums of the blocks that its warps are at. */
struct tdbg_gpu_block_sums {
    float block[TDBG_GPU_MAX_WARPS];
};

/* The sum of n terms by all threads of a block; every one of them calls and gets it. `sums` is in
 * shared memory and may be used again at once. */
template <typename Add>
static __device__ __forceinline__ float tdbg_gpu_sum_block(int64_t n, Add add,
                                                           struct tdbg_gpu_block_sums *sums)
{
    const int warps = (int)(blockDim.x / TDBG_GPU_WARP), warp = (int)(threadIdx.x / TDBG_GPU_WARP);
    const int64_t blocks = (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
    struct tdbg_gpu_tree tree = {0, 0, 0};
    for (int64_t b = 0; b < blocks; b += warps) {
        const int64_t first = (b + warp) * TDBG_SUM_BLOCK;
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + TDBG_SUM_BLOCK;
        if (first < n) {
            const float sum = tdbg_gpu_sum_terms(first, end, add);
            if (tdbg_gpu_lane() == 0)
                sums->block[warp] = sum;
        }
        __syncthreads();
        const int here = (int)(blocks - b < warps ? blocks - b : warps);
        for (int w = 0; w < here; w++)
            tdbg_gpu_tree_add(&tree, sums->block[w]);
        __syncthreads();
    }
    return tdbg_gpu_tree_finish(&tree);
}

#endif
