/* Rectified linear unit on a GPU. Definition: relu.h. NaN is made canonical last: a GPU may compute
 * a comparison with a choice as one maximum, whose NaN is 0x7fffffff. */
#include "kernels/gpu.h"
#include "kernels/gpu_map.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/relu.h"
}

template <typename T> static __global__ void relu_forward(int64_t n, const T *x, T *y)
{
    tdbg_gpu_map(n, x, y, [](float v) { return tdbg_strict_canonical(v <= 0 ? 0.0f : v); });
}

template <typename T>
static __global__ void relu_backward(int64_t n, const T *y, const T *dy, T *dx)
{
    tdbg_gpu_map(n, y, dy, dx,
                 [](float v, float d) { return tdbg_strict_canonical(v <= 0 ? 0.0f : d); });
}

extern "C" void tdbg_cuda_relu_forward(void *gpu, int64_t n, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (relu_forward<float>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, x, y);
}

extern "C" void tdbg_cuda_relu_backward(void *gpu, int64_t n, const float *y, const float *dy,
                                        float *dx)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (relu_backward<float>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, y, dy, dx);
}

extern "C" void tdbg_cuda_bf16_relu_forward(void *gpu, int64_t n, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (relu_forward<struct tdbg_gpu_bf16>),
                tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(x),
                tdbg_gpu_bf16_of(y));
}

extern "C" void tdbg_cuda_bf16_relu_backward(void *gpu, int64_t n, const float *y, const float *dy,
                                             float *dx)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (relu_backward<struct tdbg_gpu_bf16>),
                tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(y),
                tdbg_gpu_bf16_of(dy), tdbg_gpu_bf16_of(dx));
}
