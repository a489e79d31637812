/* Element-wise addition on a GPU. Definition: vector.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/vector.h"
}

enum { THREADS = 256 };

static __global__ void vector_sum(int64_t n, const float *x, const float *x2, float *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        y[i] = tdbg_strict_canonical(TDBG_STRICT_ADD(x[i], x2[i]));
}

extern "C" void tdbg_cuda_vector_sum(void *gpu, int64_t n, const float *x, const float *x2,
                                     float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, vector_sum, tdbg_gpu_blocks(n, THREADS), THREADS, n, x, x2,
                y);
}

extern "C" void tdbg_cuda_vector_add(void *gpu, int64_t n, float *dst, const float *src)
{
    tdbg_cuda_vector_sum(gpu, n, dst, src, dst);
}
