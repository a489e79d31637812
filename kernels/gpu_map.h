/* Element by element over arrays on a GPU, four at once where all of them lie at multiples of 16
 * bytes. Included by .cu files behind gpu.h; launched with tdbg_gpu_map_blocks(n) blocks of
 * TDBG_GPU_MAP_THREADS. */
#ifndef TDBG_KERNELS_GPU_MAP_H
#define TDBG_KERNELS_GPU_MAP_H

#include "kernels/gpu.h"

enum { TDBG_GPU_MAP_THREADS = 256, TDBG_GPU_MAP_EACH = 4 };

static inline unsigned tdbg_gpu_map_blocks(int64_t n)
{
    return tdbg_gpu_blocks(n, TDBG_GPU_MAP_THREADS * TDBG_GPU_MAP_EACH);
}

/* y[i] = f(x[i]); y may be x. */
template <typename F>
static __device__ __forceinline__ void tdbg_gpu_map(int64_t n, const float *x, float *y, F f)
{
    const int64_t step = (int64_t)gridDim.x * TDBG_GPU_MAP_THREADS;
    const int64_t first = (int64_t)blockIdx.x * TDBG_GPU_MAP_THREADS + threadIdx.x;
    const bool wide = (((uintptr_t)x | (uintptr_t)y) & 15) == 0;
    const int64_t quads = wide ? n / 4 : 0;
    for (int64_t q = first; q < quads; q += step) {
        const float4 v = ((const float4 *)x)[q];
        ((float4 *)y)[q] = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
    }
    for (int64_t i = 4 * quads + first; i < n; i += step)
        y[i] = f(x[i]);
}

/* y[i] = f(x[i], x2[i]); y may be either of them. */
template <typename F>
static __device__ __forceinline__ void tdbg_gpu_map(int64_t n, const float *x, const float *x2,
                                                    float *y, F f)
{
    const int64_t step = (int64_t)gridDim.x * TDBG_GPU_MAP_THREADS;
    const int64_t first = (int64_t)blockIdx.x * TDBG_GPU_MAP_THREADS + threadIdx.x;
    const bool wide = (((uintptr_t)x | (uintptr_t)x2 | (uintptr_t)y) & 15) == 0;
    const int64_t quads = wide ? n / 4 : 0;
    for (int64_t q = first; q < quads; q += step) {
        const float4 v = ((const float4 *)x)[q], w = ((const float4 *)x2)[q];
        ((float4 *)y)[q] = make_float4(f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w));
    }
    for (int64_t i = 4 * quads + first; i < n; i += step)
        y[i] = f(x[i], x2[i]);
}

#endif
