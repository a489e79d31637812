/* Element by element over arrays on a GPU, four at once where all of them lie at multiples of four
 * elements' size; elements as gpu_elem.h has them. Included by .cu files behind gpu.h; launched
 * with tdbg_gpu_map_blocks(n) blocks of TDBG_GPU_MAP_THREADS. */
#ifndef TDBG_KERNELS_GPU_MAP_H
#define TDBG_KERNELS_GPU_MAP_H

#include "kernels/gpu_elem.h"

enum { TDBG_GPU_MAP_THREADS = 256, TDBG_GPU_MAP_EACH = 4 };

static inline unsigned tdbg_gpu_map_blocks(int64_t n)
{
    return tdbg_gpu_blocks(n, TDBG_GPU_MAP_THREADS * TDBG_GPU_MAP_EACH);
}

/* y[i] = f(x[i]); y may be x. */
template <typename T, typename F>
static __device__ __forceinline__ void tdbg_gpu_map(int64_t n, const T *x, T *y, F f)
{
    const int64_t step = (int64_t)gridDim.x * TDBG_GPU_MAP_THREADS;
    const int64_t first = (int64_t)blockIdx.x * TDBG_GPU_MAP_THREADS + threadIdx.x;
    const int64_t quads = tdbg_gpu_has_quads(x) && tdbg_gpu_has_quads(y) ? n / 4 : 0;
    for (int64_t q = first; q < quads; q += step) {
        const float4 v = tdbg_gpu_get_quad(x, q);
        tdbg_gpu_put_quad(y, q, make_float4(f(v.x), f(v.y), f(v.z), f(v.w)));
    }
    for (int64_t i = 4 * quads + first; i < n; i += step)
        tdbg_gpu_put(y + i, f(tdbg_gpu_get(x + i)));
}

/* y[i] = f(x[i], x2[i]); y may be either of them. */
template <typename T, typename F>
static __device__ __forceinline__ void tdbg_gpu_map(int64_t n, const T *x, const T *x2, T *y, F f)
{
    const int64_t step = (int64_t)gridDim.x * TDBG_GPU_MAP_THREADS;
    const int64_t first = (int64_t)blockIdx.x * TDBG_GPU_MAP_THREADS + threadIdx.x;
    const bool wide = tdbg_gpu_has_quads(x) && tdbg_gpu_has_quads(x2) && tdbg_gpu_has_quads(y);
    const int64_t quads = wide ? n / 4 : 0;
    for (int64_t q = first; q < quads; q += step) {
        const float4 v = tdbg_gpu_get_quad(x, q), w = tdbg_gpu_get_quad(x2, q);
        tdbg_gpu_put_quad(y, q, make_float4(f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w)));
    }
    for (int64_t i = 4 * quads + first; i < n; i += step)
        tdbg_gpu_put(y + i, f(tdbg_gpu_get(x + i), tdbg_gpu_get(x2 + i)));
}

#endif
