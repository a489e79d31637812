/* Clipping gradients on a GPU. Definition: clip.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_reduce.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/clip.h"
}

enum { THREADS = 256, WARPS = THREADS / TDBG_GPU_WARP, EACH = 4, NORM_TENSORS = 1024 };

/* A warp for each block of terms: its sum of squares, or of the terms themselves. */
template <bool SQUARES>
static __global__ void sum_blocks(int64_t n, int64_t blocks, const float *x, float *out)
{
    const int64_t step = (int64_t)gridDim.x * WARPS;
    for (int64_t b = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP; b < blocks;
         b += step) {
        const int64_t first = b * TDBG_SUM_BLOCK;
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + TDBG_SUM_BLOCK;
        const float sum = tdbg_gpu_sum_terms(first, end, [=](float lane, int64_t i) {
            return SQUARES ? TDBG_STRICT_FMA(x[i], x[i], lane) : TDBG_STRICT_ADD(lane, x[i]);
        });
        if (tdbg_gpu_lane() == 0)
            out[b] = tdbg_strict_canonical(sum);
    }
}

/* Each round turns the terms into one per block, at scratch; the last one leaves a single term. */
extern "C" void tdbg_cuda_clip_square_sum(void *gpu, int64_t n, const float *x, float *out,
                                          float *scratch)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    int64_t blocks = n > 0 ? (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK : 1;
    float *to = blocks > 1 ? scratch : out;
    TDBG_LAUNCH(g, sum_blocks<true>, tdbg_gpu_blocks(blocks, WARPS), THREADS, n, blocks, x, to);
    while (blocks > 1) {
        const float *terms = to;
        const int64_t n_terms = blocks;
        scratch += blocks;
        blocks = (blocks + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
        to = blocks > 1 ? scratch : out;
        TDBG_LAUNCH(g, sum_blocks<false>, tdbg_gpu_blocks(blocks, WARPS), THREADS, n_terms, blocks,
                    terms, to);
    }
}

struct norm_shared {
    float square[NORM_TENSORS];
};

/* One block: its threads fetch, the first of them adds in order. */
static __global__ void clip_norm(int64_t n, const float *squares, float limit, float *out)
{
    TDBG_SHARED(struct norm_shared, shared);
    float sum = 0;
    for (int64_t first = 0; first < n; first += NORM_TENSORS) {
        const int count = n - first < NORM_TENSORS ? (int)(n - first) : (int)NORM_TENSORS;
        for (int i = (int)threadIdx.x; i < count; i += THREADS)
            shared.square[i] = squares[first + i];
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < count; i++)
            sum = TDBG_STRICT_ADD(sum, shared.square[i]);
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        const float norm = TDBG_STRICT_SQRT(sum);
        const float factor = TDBG_STRICT_DIV(limit, TDBG_STRICT_ADD(norm, 1e-6f));
        out[0] = tdbg_strict_canonical(norm);
        out[1] = tdbg_strict_canonical(factor > 1 ? 1.0f : factor);
    }
}

extern "C" void tdbg_cuda_clip_norm(void *gpu, int64_t n, const float *squares, float limit,
                                    float *out)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, clip_norm, 1, THREADS, n, squares, limit, out);
}

/* In place, EACH elements of a thread on their way together. */
template <typename Change> static __device__ void change_all(int64_t n, float *x, Change change)
{
    const int64_t width = (int64_t)EACH * THREADS;
    for (int64_t base = blockIdx.x * width + threadIdx.x; base < n; base += gridDim.x * width) {
        float v[EACH];
#pragma unroll
        for (int e = 0; e < EACH; e++)
            v[e] = base + e * THREADS < n ? x[base + e * THREADS] : 0.0f;
#pragma unroll
        for (int e = 0; e < EACH; e++)
            if (base + e * THREADS < n)
                x[base + e * THREADS] = tdbg_strict_canonical(change(v[e]));
    }
}

static __global__ void clip_scale(int64_t n, const float *factor, float *x)
{
    const float by = *factor;
    change_all(n, x, [=](float v) { return TDBG_STRICT_MUL(v, by); });
}

static __global__ void clip_value(int64_t n, float limit, float *x)
{
    change_all(n, x, [=](float v) {
        v = v > limit ? limit : v;
        return v < -limit ? -limit : v;
    });
}

extern "C" void tdbg_cuda_clip_scale(void *gpu, int64_t n, const float *factor, float *x)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, clip_scale, tdbg_gpu_blocks(n, EACH * THREADS), THREADS, n,
                factor, x);
}

extern "C" void tdbg_cuda_clip_value(void *gpu, int64_t n, float limit, float *x)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, clip_value, tdbg_gpu_blocks(n, EACH * THREADS), THREADS, n,
                limit, x);
}
