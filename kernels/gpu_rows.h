/* Rows of a tensor on a GPU: a warp for each row of at most TDBG_SUM_BLOCK terms, a whole block for
 * a longer one. Kernels are templates over the team, who calls its functions together:
 *
 *     template <class Team, typename T> static __global__ void kernel(int64_t rows, const T *x,
 * ...)
 *     {
 *         TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
 *         const Team team(&memory);
 *         for (int64_t r = team.first_row(); r < rows; r += team.step()) ...
 *
 * Sums are in the order of reduce.h, as gpu_reduce.h has them, and also in pairs over the same
 * elements. For .cu files, behind gpu.h. */
#ifndef TDBG_KERNELS_GPU_ROWS_H
#define TDBG_KERNELS_GPU_ROWS_H

#include "kernels/gpu_reduce.h"

/* Two lanes or sums over the same elements. */
struct tdbg_gpu_pair {
    float first, second;
};

struct tdbg_gpu_team_memory {
    struct tdbg_gpu_block_sums sums;
    struct tdbg_gpu_pair pairs[TDBG_GPU_MAX_WARPS];
    float max[TDBG_GPU_MAX_WARPS];
};

/* As tdbg_gpu_sum_terms(), of add(pair, i). */
template <typename Add>
static __device__ __forceinline__ struct tdbg_gpu_pair tdbg_gpu_pair_terms(int64_t first,
                                                                           int64_t end, Add add)
{
    struct tdbg_gpu_pair lane = {0, 0};
#pragma unroll 8
    for (int64_t i = first + tdbg_gpu_lane(); i < end; i += TDBG_GPU_WARP)
        lane = add(lane, i);
    lane.first = tdbg_gpu_fold(lane.first);
    lane.second = tdbg_gpu_fold(lane.second);
    return lane;
}

/* The larger one, a NaN skipped; -Inf if there are only those. Which of two zeros it is may depend
 * on the team. */
static __device__ __forceinline__ float tdbg_gpu_larger(float a, float b)
{
    return b > a ? b : a;
}

static __device__ __forceinline__ float tdbg_gpu_max_warp(float value)
{
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
        value = tdbg_gpu_larger(value, __shfl_xor_sync(TDBG_GPU_ALL_LANES, value, width));
    return value;
}

/* A row of at most TDBG_SUM_BLOCK elements. */
struct tdbg_gpu_warp_team {
    __device__ __forceinline__ explicit tdbg_gpu_warp_team(struct tdbg_gpu_team_memory *)
    {
    }
    __device__ __forceinline__ int64_t first_row() const
    {
        return (int64_t)blockIdx.x * (blockDim.x / TDBG_GPU_WARP) + threadIdx.x / TDBG_GPU_WARP;
    }
    __device__ __forceinline__ int64_t step() const
    {
        return (int64_t)gridDim.x * (blockDim.x / TDBG_GPU_WARP);
    }
    __device__ __forceinline__ int rank() const
    {
        return tdbg_gpu_lane();
    }
    __device__ __forceinline__ int size() const
    {
        return TDBG_GPU_WARP;
    }
    __device__ __forceinline__ float max(float value) const
    {
        return tdbg_gpu_max_warp(value);
    }
    template <typename Add> __device__ __forceinline__ float sum(int64_t n, Add add) const
    {
        return tdbg_gpu_sum_terms(0, n, add);
    }
    template <typename Add>
    __device__ __forceinline__ struct tdbg_gpu_pair sum_pair(int64_t n, Add add) const
    {
        return tdbg_gpu_pair_terms(0, n, add);
    }
};

/* A row of more than TDBG_SUM_BLOCK elements: each warp sums blocks of it. */
struct tdbg_gpu_block_team {
    struct tdbg_gpu_team_memory *memory;

    __device__ __forceinline__ explicit tdbg_gpu_block_team(struct tdbg_gpu_team_memory *shared)
        : memory(shared)
    {
    }
    __device__ __forceinline__ int64_t first_row() const
    {
        return blockIdx.x;
    }
    __device__ __forceinline__ int64_t step() const
    {
        return gridDim.x;
    }
    __device__ __forceinline__ int rank() const
    {
        return (int)threadIdx.x;
    }
    __device__ __forceinline__ int size() const
    {
        return (int)blockDim.x;
    }
    __device__ __forceinline__ float max(float value) const
    {
        const int warps = (int)(blockDim.x / TDBG_GPU_WARP);
        value = tdbg_gpu_max_warp(value);
        if (tdbg_gpu_lane() == 0)
            memory->max[threadIdx.x / TDBG_GPU_WARP] = value;
        __syncthreads();
        for (int w = 0; w < warps; w++)
            value = tdbg_gpu_larger(value, memory->max[w]);
        __syncthreads();
        return value;
    }
    template <typename Add> __device__ __forceinline__ float sum(int64_t n, Add add) const
    {
        return tdbg_gpu_sum_block(n, add, &memory->sums);
    }
    template <typename Add>
    __device__ __forceinline__ struct tdbg_gpu_pair sum_pair(int64_t n, Add add) const
    {
        const int warps = (int)(blockDim.x / TDBG_GPU_WARP);
        const int warp = (int)(threadIdx.x / TDBG_GPU_WARP);
        const int64_t blocks = (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
        struct tdbg_gpu_tree first = {0, 0, 0}, second = {0, 0, 0};
        for (int64_t b = 0; b < blocks; b += warps) {
            const int64_t begin = (b + warp) * TDBG_SUM_BLOCK;
            if (begin < n) {
                const int64_t end = n - begin < TDBG_SUM_BLOCK ? n : begin + TDBG_SUM_BLOCK;
                const struct tdbg_gpu_pair pair = tdbg_gpu_pair_terms(begin, end, add);
                if (tdbg_gpu_lane() == 0)
                    memory->pairs[warp] = pair;
            }
            __syncthreads();
            const int here = (int)(blocks - b < warps ? blocks - b : warps);
            for (int w = 0; w < here; w++) {
                tdbg_gpu_tree_add(&first, memory->pairs[w].first);
                tdbg_gpu_tree_add(&second, memory->pairs[w].second);
            }
            __syncthreads();
        }
        struct tdbg_gpu_pair sums;
        sums.first = tdbg_gpu_tree_finish(&first);
        sums.second = tdbg_gpu_tree_finish(&second);
        return sums;
    }
};

enum { TDBG_GPU_ROW_WARPS = 8, TDBG_GPU_LONG_ROW_THREADS = 512 };

/* Launches a kernel over rows of `cols` elements of a type with the team that they want. */
#define TDBG_LAUNCH_ROWS(gpu, kernel, type, rows, cols, ...)                                       \
    do {                                                                                           \
        if ((cols) <= TDBG_SUM_BLOCK)                                                              \
            TDBG_LAUNCH(gpu, (kernel<struct tdbg_gpu_warp_team, type>),                            \
                        tdbg_gpu_blocks((rows), TDBG_GPU_ROW_WARPS),                               \
                        TDBG_GPU_ROW_WARPS *TDBG_GPU_WARP, __VA_ARGS__);                           \
        else                                                                                       \
            TDBG_LAUNCH(gpu, (kernel<struct tdbg_gpu_block_team, type>),                           \
                        tdbg_gpu_blocks((rows), 1), TDBG_GPU_LONG_ROW_THREADS, __VA_ARGS__);       \
    } while (0)

#endif
