/* Rectified linear unit on a GPU. Definition: relu.h. */
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
        const float v = tdbg_strict_canonical(x[i]);
        y[i] = v <= 0 ? 0.0f : v;
    }
}

static __global__ void relu_backward(int64_t n, const float *y, const float *dy, float *dx)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const float pass = tdbg_strict_canonical(dy[i]);
        dx[i] = y[i] <= 0 ? 0.0f : pass;
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
