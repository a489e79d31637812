/* Rectified linear unit on a GPU. Definition: relu.h. NaN is made canonical last: a GPU may compute
 * a comparison with a choice as one maximum, whose NaN is 0x7fffffff. */
#include "kernels/gpu.h"
#include "kernels/gpu_map.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/relu.h"
}

static __global__ void relu_forward(int64_t n, const float *x, float *y)
{
    tdbg_gpu_map(n, x, y, [](float v) { return tdbg_strict_canonical(v <= 0 ? 0.0f : v); });
}

static __global__ void relu_backward(int64_t n, const float *y, const float *dy, float *dx)
{
    tdbg_gpu_map(n, y, dy, dx,
                 [](float v, float d) { return tdbg_strict_canonical(v <= 0 ? 0.0f : d); });
}

extern "C" void tdbg_cuda_relu_forward(void *gpu, int64_t n, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, relu_forward, tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS,
                n, x, y);
}

extern "C" void tdbg_cuda_relu_backward(void *gpu, int64_t n, const float *y, const float *dy,
                                        float *dx)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, relu_backward, tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS,
                n, y, dy, dx);
}
