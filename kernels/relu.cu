/* Rectified linear unit on a GPU. Definition: relu.h. NaN is made canonical last: a GPU may compute
 * a comparison with a choice as one maximum, whose NaN is 0x7fffffff. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/relu.h"
}

enum { THREADS = 256 };

static __global__ void relu_forward(int64_t n, const float *x, float *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const float v = x[i];
        y[i] = tdbg_strict_canonical(v <= 0 ? 0.0f : v);
    }
}

static __global__ void relu_backward(int64_t n, const float *y, const float *dy, float *dx)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        dx[i] = tdbg_strict_canonical(y[i] <= 0 ? 0.0f : dy[i]);
    }
}

extern "C" void tdbg_cuda_relu_forward(void *gpu, int64_t n, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, relu_forward, tdbg_gpu_blocks(n, THREADS), THREADS, n, x,
                y);
}

extern "C" void tdbg_cuda_relu_backward(void *gpu, int64_t n, const float *y, const float *dy,
                                        float *dx)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, relu_backward, tdbg_gpu_blocks(n, THREADS), THREADS, n, y,
                dy, dx);
}
