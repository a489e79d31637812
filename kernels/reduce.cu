/* Strict sums on a GPU. Definition: reduce.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/reduce.h"
}
#include "kernels/gpu_reduce.h"
#include "kernels/gpu_slices.h"

enum { THREADS = 256, WARPS = THREADS / TDBG_GPU_WARP };

/* ---- the sum of a vector, and of each row ---- */

/* out[b] = sum of the b-th TDBG_SUM_BLOCK terms: a warp each. */
static __global__ void sum_blocks(int64_t n, int64_t blocks, const float *x, float *out)
{
    const int64_t step = (int64_t)gridDim.x * WARPS;
    int64_t b = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP;
    for (; b < blocks; b += step) {
        const int64_t first = b * TDBG_SUM_BLOCK;
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + TDBG_SUM_BLOCK;
        const float sum = tdbg_gpu_sum_terms(
            first, end, [=](float lane, int64_t i) { return TDBG_STRICT_ADD(lane, x[i]); });
        if (tdbg_gpu_lane() == 0)
            out[b] = tdbg_strict_canonical(sum);
    }
}

/* The rounds of tdbg_reduce_sum(): each leaves one term per block, in scratch. */
extern "C" void tdbg_cuda_reduce_sum(void *gpu, int64_t n, const float *x, float *out,
                                     float *scratch)
{
    for (;;) {
        const int64_t blocks = n > 0 ? (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK : 1;
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, sum_blocks, tdbg_gpu_blocks(blocks, WARPS), THREADS, n,
                    blocks, x, blocks > 1 ? scratch : out);
        if (blocks == 1)
            break;
        x = scratch;
        n = blocks;
        scratch += blocks;
    }
}

static __global__ void sum_short_rows(int64_t rows, int64_t cols, const float *x, float *out)
{
    const int64_t step = (int64_t)gridDim.x * WARPS;
    int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP;
    for (; r < rows; r += step) {
        const float *row = x + r * cols;
        const float sum = tdbg_gpu_sum_warp(
            cols, [=](float lane, int64_t i) { return TDBG_STRICT_ADD(lane, row[i]); });
        if (tdbg_gpu_lane() == 0)
            out[r] = tdbg_strict_canonical(sum);
    }
}

static __global__ void sum_long_rows(int64_t rows, int64_t cols, const float *x, float *out)
{
    TDBG_SHARED(struct tdbg_gpu_block_sums, sums);
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *row = x + r * cols;
        const float sum = tdbg_gpu_sum_block(
            cols, [=](float lane, int64_t i) { return TDBG_STRICT_ADD(lane, row[i]); }, &sums);
        if (threadIdx.x == 0)
            out[r] = tdbg_strict_canonical(sum);
    }
}

extern "C" void tdbg_cuda_sum_rows(void *gpu, int64_t rows, int64_t cols, const float *x,
                                   float *out)
{
    if (cols <= TDBG_SUM_BLOCK)
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, sum_short_rows, tdbg_gpu_blocks(rows, WARPS), THREADS,
                    rows, cols, x, out);
    else
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, sum_long_rows, tdbg_gpu_blocks(rows, 1), THREADS, rows,
                    cols, x, out);
}

/* ---- the sum over rows ---- */

template <typename T>
static void reduce_rows(struct tdbg_gpu *g, int64_t rows, int64_t cols, const T *x, float *out)
{
    const int64_t slices = (rows + TDBG_K_SLICE - 1) / TDBG_K_SLICE;
    const struct tdbg_gpu_columns sums = {out, NULL, cols};
    struct tdbg_gpu_columns parts = sums;
    if (slices > 1)
        parts.first = (float *)tdbg_gpu_scratch(g, (size_t)(slices * cols) * sizeof(float));
    if (!parts.first)
        return;
    tdbg_gpu_sum_chains(g, rows, cols, TDBG_K_SLICE, x, parts);
    if (slices > 1)
        tdbg_gpu_add_slices(g, slices, cols, parts.first, sums);
}

extern "C" void tdbg_cuda_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x,
                                      float *out)
{
    reduce_rows((struct tdbg_gpu *)gpu, rows, cols, x, out);
}

extern "C" void tdbg_cuda_bf16_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x,
                                           float *out)
{
    reduce_rows((struct tdbg_gpu *)gpu, rows, cols, tdbg_gpu_bf16_of(x), out);
}
