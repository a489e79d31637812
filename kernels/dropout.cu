/* Dropout on a GPU. Definition: dropout.h. */
#include "base/philox.h"
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/dropout.h"
}

enum { THREADS = 256, WORDS = 4 };

/* A thread for each block of random words, which are WORDS elements of a row. */
template <typename T>
static __global__ void dropout_apply(struct tdbg_dropout d, int64_t blocks, int64_t blocks_per_row,
                                     int64_t elems, const T *x, T *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    const uint32_t threshold = (uint32_t)d.threshold;
    for (int64_t b = (int64_t)blockIdx.x * THREADS + threadIdx.x; b < blocks; b += step) {
        const int64_t row = b / blocks_per_row, counter = b % blocks_per_row;
        const int64_t left = elems - counter * WORDS, at = row * elems + counter * WORDS;
        const struct tdbg_philox_block made =
            tdbg_philox(d.key, (uint64_t)counter, d.first_sample + (uint64_t)row);
        float v[WORDS];
#pragma unroll
        for (int e = 0; e < WORDS; e++)
            v[e] = e < left ? tdbg_gpu_get(x + at + e) : 0.0f;
#pragma unroll
        for (int e = 0; e < WORDS; e++)
            if (e < left)
                tdbg_gpu_put(y + at + e,
                             made.word[e] < threshold
                                 ? 0.0f
                                 : tdbg_strict_canonical(TDBG_STRICT_MUL(v[e], d.scale)));
    }
}

template <typename T>
static void apply(struct tdbg_gpu *g, const struct tdbg_dropout *dropout, int64_t rows,
                  int64_t elems, const T *x, T *y)
{
    const int64_t blocks_per_row = (elems + WORDS - 1) / WORDS, blocks = rows * blocks_per_row;
    if (dropout->threshold > UINT32_MAX) { /* no word would be kept */
        tdbg_gpu_clear(g, y, (size_t)(rows * elems) * sizeof *y);
        return;
    }
    TDBG_LAUNCH(g, (dropout_apply<T>), tdbg_gpu_blocks(blocks, THREADS), THREADS, *dropout, blocks,
                blocks_per_row, elems, x, y);
}

extern "C" void tdbg_cuda_dropout_apply(void *gpu, const struct tdbg_dropout *dropout, int64_t rows,
                                        int64_t elems, const float *x, float *y)
{
    apply((struct tdbg_gpu *)gpu, dropout, rows, elems, x, y);
}

extern "C" void tdbg_cuda_bf16_dropout_apply(void *gpu, const struct tdbg_dropout *dropout,
                                             int64_t rows, int64_t elems, const float *x, float *y)
{
    apply((struct tdbg_gpu *)gpu, dropout, rows, elems, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(y));
}
