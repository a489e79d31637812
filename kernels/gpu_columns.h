/* Rows of bf16 values on a GPU, 16 bytes at a time, and sums over rows in an order that suits it:
 * for fast forms (fast.h). For .cu files behind gpu.h. */
#ifndef TDBG_KERNELS_GPU_COLUMNS_H
#define TDBG_KERNELS_GPU_COLUMNS_H

#include "kernels/gpu_elem.h"

enum { TDBG_GPU_EIGHT = 8 };

struct tdbg_gpu_eight {
    float at[TDBG_GPU_EIGHT];
};

/* Whether rows can be read so: they begin at multiples of 16 bytes. */
static inline bool tdbg_gpu_has_eights(const void *x, int64_t stride)
{
    return (uintptr_t)x % sizeof(uint4) == 0 && stride % TDBG_GPU_EIGHT == 0;
}

static __device__ __forceinline__ struct tdbg_gpu_eight
tdbg_gpu_read_bf16(const struct tdbg_gpu_bf16 *x)
{
    const uint4 v = *(const uint4 *)x;
    const unsigned word[TDBG_GPU_EIGHT / 2] = {v.x, v.y, v.z, v.w};
    struct tdbg_gpu_eight e;
#pragma unroll
    for (int i = 0; i < TDBG_GPU_EIGHT / 2; i++) {
        e.at[2 * i] = tdbg_strict_float(word[i] << 16);
        e.at[2 * i + 1] = tdbg_strict_float(word[i] & 0xffff0000u);
    }
    return e;
}

static __device__ __forceinline__ void tdbg_gpu_write_bf16(struct tdbg_gpu_bf16 *y,
                                                           const struct tdbg_gpu_eight &e)
{
    unsigned word[TDBG_GPU_EIGHT / 2];
#pragma unroll
    for (int i = 0; i < TDBG_GPU_EIGHT / 2; i++)
        word[i] = tdbg_bf16_round_bits(tdbg_strict_bits(e.at[2 * i])) >> 16 |
                  tdbg_bf16_round_bits(tdbg_strict_bits(e.at[2 * i + 1]));
    *(uint4 *)y = make_uint4(word[0], word[1], word[2], word[3]);
}

static __device__ __forceinline__ void tdbg_gpu_add_eight(struct tdbg_gpu_eight *sum,
                                                          const struct tdbg_gpu_eight &x)
{
#pragma unroll
    for (int k = 0; k < TDBG_GPU_EIGHT; k++)
        sum->at[k] += x.at[k];
}

/* ---- sums over rows: chunks of rows first, by a block for 64 columns of a chunk ---- */

enum {
    TDBG_GPU_COLUMN_THREADS = 256,
    TDBG_GPU_COLUMN_ACROSS = 8, /* threads of a row, each with 8 columns */
    TDBG_GPU_COLUMN_DOWN = TDBG_GPU_COLUMN_THREADS / TDBG_GPU_COLUMN_ACROSS,
    TDBG_GPU_COLUMN_CHUNK = 1024 /* rows */
};

struct tdbg_gpu_column_sums {
    struct tdbg_gpu_eight of[TDBG_GPU_COLUMN_DOWN][TDBG_GPU_COLUMN_ACROSS];
};

/* The sum over the threads of a column, in the first of them; all threads of the block call. */
static __device__ __forceinline__ struct tdbg_gpu_eight
tdbg_gpu_fold_columns(struct tdbg_gpu_column_sums *shared, int across, int down,
                      const struct tdbg_gpu_eight &own)
{
    shared->of[down][across] = own;
    __syncthreads();
    for (int half = TDBG_GPU_COLUMN_DOWN / 2; half > 0; half /= 2) {
        if (down < half)
            tdbg_gpu_add_eight(&shared->of[down][across], shared->of[down + half][across]);
        __syncthreads();
    }
    const struct tdbg_gpu_eight sum = shared->of[0][across];
    __syncthreads();
    return sum;
}

/* Terms::SUMS sums over rows of each of `cols` columns: terms.add(row, col, sums) adds those of a
 * row for 8 columns. out (chunks, SUMS, cols). */
template <class Terms>
static __global__ void __launch_bounds__(TDBG_GPU_COLUMN_THREADS)
    tdbg_gpu_sum_chunks(int64_t rows, int64_t cols, int64_t tiles, Terms terms, float *out)
{
    TDBG_SHARED(struct tdbg_gpu_column_sums, shared);
    const int across = (int)(threadIdx.x % TDBG_GPU_COLUMN_ACROSS);
    const int down = (int)(threadIdx.x / TDBG_GPU_COLUMN_ACROSS);
    const int64_t chunk = blockIdx.x / tiles, tile = blockIdx.x - chunk * tiles;
    const int64_t col = (tile * TDBG_GPU_COLUMN_ACROSS + across) * TDBG_GPU_EIGHT;
    const int64_t first = chunk * TDBG_GPU_COLUMN_CHUNK, left = rows - first;
    const int64_t end =
        left < TDBG_GPU_COLUMN_CHUNK ? rows : first + (int64_t)TDBG_GPU_COLUMN_CHUNK;
    struct tdbg_gpu_eight sums[Terms::SUMS] = {};
    if (col < cols)
#pragma unroll 4
        for (int64_t row = first + down; row < end; row += TDBG_GPU_COLUMN_DOWN)
            terms.add(row, col, sums);
#pragma unroll
    for (int s = 0; s < Terms::SUMS; s++) {
        const struct tdbg_gpu_eight sum = tdbg_gpu_fold_columns(&shared, across, down, sums[s]);
        if (down == 0 && col < cols)
            for (int k = 0; k < TDBG_GPU_EIGHT; k++)
                out[(chunk * Terms::SUMS + s) * cols + col + k] = sum.at[k];
    }
}

static __global__ void tdbg_gpu_add_chunks(int64_t chunks, int64_t cols, int64_t stride,
                                           const float *parts, float *out)
{
    const int64_t step = (int64_t)gridDim.x * TDBG_GPU_COLUMN_THREADS;
    int64_t c = (int64_t)blockIdx.x * TDBG_GPU_COLUMN_THREADS + threadIdx.x;
    for (; c < cols; c += step) {
        float sum = 0;
#pragma unroll 8
        for (int64_t i = 0; i < chunks; i++)
            sum += parts[i * stride + c];
        out[c] = tdbg_strict_canonical(sum);
    }
}

/* out[s] (cols), or NULL: sum s of each column, which the terms can add 8 at a time. */
template <class Terms>
static void tdbg_gpu_sum_columns(struct tdbg_gpu *gpu, int64_t rows, int64_t cols, Terms terms,
                                 float *const *out)
{
    const int64_t per_tile = TDBG_GPU_COLUMN_ACROSS * TDBG_GPU_EIGHT;
    const int64_t tiles = (cols + per_tile - 1) / per_tile;
    const int64_t chunks =
        rows > 0 ? (rows + TDBG_GPU_COLUMN_CHUNK - 1) / TDBG_GPU_COLUMN_CHUNK : 1;
    const int64_t stride = Terms::SUMS * cols;
    float *parts = (float *)tdbg_gpu_scratch(gpu, (size_t)(chunks * stride + 1) * sizeof *parts);
    if (!parts)
        return;
    TDBG_LAUNCH(gpu, (tdbg_gpu_sum_chunks<Terms>), tdbg_gpu_blocks(chunks * tiles, 1),
                TDBG_GPU_COLUMN_THREADS, rows, cols, tiles, terms, parts);
    for (int s = 0; s < Terms::SUMS; s++)
        if (out[s])
            TDBG_LAUNCH(gpu, tdbg_gpu_add_chunks, tdbg_gpu_blocks(cols, TDBG_GPU_COLUMN_THREADS),
                        TDBG_GPU_COLUMN_THREADS, chunks, cols, stride, parts + s * cols, out[s]);
}

#endif
