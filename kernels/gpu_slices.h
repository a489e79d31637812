/* Slices of TDBG_K_SLICE terms that are added in ascending order, for .cu files behind gpu.h.
 *
 * One thread has to add a slice's terms one after the other, so nothing else may take time: all
 * threads of a block bring the terms of some slices to shared memory with loads that do not wait
 * for each other, a line per slice, and a thread per line adds them while it reads ahead.
 *
 * Where terms are lacking there is -0: x + -0 is x for every x. */
#ifndef TDBG_KERNELS_GPU_SLICES_H
#define TDBG_KERNELS_GPU_SLICES_H

#include "kernels/gpu_elem.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

enum {
    TDBG_GPU_LINES = 8,          /* of a block; floats of a sector of memory */
    TDBG_GPU_LINE_THREADS = 128, /* of a block */
    TDBG_GPU_LINE_LOADS = TDBG_GPU_LINES * TDBG_K_SLICE / TDBG_GPU_LINE_THREADS,
    TDBG_GPU_LINE_DOWN = TDBG_GPU_LINE_THREADS / TDBG_GPU_LINES, /* terms from load to load */
    TDBG_GPU_LINE_STEP = 16                                      /* terms that are read at once */
};

/* The padding keeps threads that read quads of neighbouring lines, or that store 4 neighbouring
 * terms of each line, in different banks. */
struct tdbg_gpu_lines {
    alignas(16) float term[TDBG_GPU_LINES][TDBG_K_SLICE + 4];
};

static __device__ __forceinline__ void tdbg_gpu_line_read(const float *line,
                                                          float (&to)[TDBG_GPU_LINE_STEP])
{
#pragma unroll
    for (int i = 0; i < TDBG_GPU_LINE_STEP; i += 4) {
        const float4 quad = *(const float4 *)(line + i);
        to[i] = quad.x, to[i + 1] = quad.y, to[i + 2] = quad.z, to[i + 3] = quad.w;
    }
}

/* sum + the first n terms of a line; those up to a multiple of TDBG_GPU_LINE_STEP are -0. */
static __device__ __forceinline__ float tdbg_gpu_line_add(const float *line, int n, float sum)
{
    float now[TDBG_GPU_LINE_STEP], next[TDBG_GPU_LINE_STEP];
    tdbg_gpu_line_read(line, next);
    for (int t = 0; t < n; t += TDBG_GPU_LINE_STEP) {
#pragma unroll
        for (int i = 0; i < TDBG_GPU_LINE_STEP; i++)
            now[i] = next[i];
        tdbg_gpu_line_read(line + (t + TDBG_GPU_LINE_STEP) % TDBG_K_SLICE, next);
#pragma unroll
        for (int i = 0; i < TDBG_GPU_LINE_STEP; i++)
            sum = TDBG_STRICT_ADD(sum, now[i]);
    }
    return sum;
}

/* ---- the sum over rows ---- */

/* Column c is first[c], from `split` on second[c - split]; NULL: nobody needs it. */
struct tdbg_gpu_columns {
    float *first, *second;
    int64_t split;
};

/* Rows are added `chain` at a time, a multiple of TDBG_K_SLICE, from +0: the sums of chain i are
 * row i of `out`. A block has a line per column. */
template <typename T>
static __global__ void tdbg_gpu_chain_rows(int64_t rows, int64_t cols, int64_t chain, int64_t tiles,
                                           int64_t blocks, const T *x, struct tdbg_gpu_columns out)
{
    TDBG_SHARED(struct tdbg_gpu_lines, s);
    const int line = (int)(threadIdx.x % TDBG_GPU_LINES);
    const int down = (int)(threadIdx.x / TDBG_GPU_LINES);
    for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        const int64_t i = b / tiles, col = (b - i * tiles) * TDBG_GPU_LINES + line;
        const int64_t end = rows - i * chain < chain ? rows : (i + 1) * chain;
        float term[TDBG_GPU_LINE_LOADS], sum = 0;
        const auto fetch = [&](int64_t row0) {
            const int64_t left = col < cols ? end - row0 - down : 0;
            const T *from = x + (row0 + down) * cols + col;
#pragma unroll
            for (int k = 0; k < TDBG_GPU_LINE_LOADS; k++, from += TDBG_GPU_LINE_DOWN * cols)
                term[k] = k * TDBG_GPU_LINE_DOWN < left ? tdbg_gpu_get_const(from) : -0.0f;
        };
        fetch(i * chain);
        for (int64_t row0 = i * chain; row0 < end; row0 += TDBG_K_SLICE) {
#pragma unroll
            for (int k = 0; k < TDBG_GPU_LINE_LOADS; k++)
                s.term[line][down + k * TDBG_GPU_LINE_DOWN] = term[k];
            __syncthreads();
            if (row0 + TDBG_K_SLICE < end)
                fetch(row0 + TDBG_K_SLICE);
            const int n = (int)(end - row0 < TDBG_K_SLICE ? end - row0 : (int64_t)TDBG_K_SLICE);
            if (down == 0)
                sum = tdbg_gpu_line_add(s.term[line], n, sum);
            __syncthreads(); /* the lines are free again */
        }
        float *to = col < out.split ? out.first : out.second;
        if (down == 0 && col < cols && to)
            to[i * cols + (col < out.split ? col : col - out.split)] = tdbg_strict_canonical(sum);
    }
}

template <typename T>
static inline void tdbg_gpu_sum_chains(struct tdbg_gpu *gpu, int64_t rows, int64_t cols,
                                       int64_t chain, const T *x, struct tdbg_gpu_columns out)
{
    const int64_t chains = rows > 0 ? (rows + chain - 1) / chain : 1;
    const int64_t tiles = (cols + TDBG_GPU_LINES - 1) / TDBG_GPU_LINES, blocks = chains * tiles;
    TDBG_LAUNCH(gpu, (tdbg_gpu_chain_rows<T>), tdbg_gpu_blocks(blocks, 1), TDBG_GPU_LINE_THREADS,
                rows, cols, chain, tiles, blocks, x, out);
}

/* out = the sum over the slices of part (slices, cols), one after the other from +0. */
static inline void tdbg_gpu_add_slices(struct tdbg_gpu *gpu, int64_t slices, int64_t cols,
                                       const float *part, struct tdbg_gpu_columns out)
{
    const int64_t all = (slices + TDBG_K_SLICE - 1) / TDBG_K_SLICE * TDBG_K_SLICE;
    tdbg_gpu_sum_chains(gpu, slices, cols, all > 0 ? all : (int64_t)TDBG_K_SLICE, part, out);
}

#endif
