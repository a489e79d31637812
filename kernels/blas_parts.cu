/* What cuBLAS leaves to do after a product. See blas.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/blas.h"
}

enum { THREADS = 256 };

static __global__ void add_bias(int64_t n, int64_t cols, int64_t ldc, const float *bias, float *c)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        float *at = c + i / cols * ldc + i % cols;
        *at = TDBG_STRICT_ADD(*at, bias[i % cols]);
    }
}

static __global__ void mask_causal(int64_t n, int64_t tokens, float *x)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        if (i % tokens > i / tokens % tokens)
            x[i] = 0.0f;
    }
}

extern "C" void tdbg_cuda_add_bias(void *gpu, int64_t rows, int64_t cols, int64_t ldc,
                                   const float *bias, float *c)
{
    const int64_t n = rows * cols;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, add_bias, tdbg_gpu_blocks(n, THREADS), THREADS, n, cols,
                ldc, bias, c);
}

extern "C" void tdbg_cuda_mask_causal(void *gpu, int64_t matrices, int64_t tokens, float *x)
{
    const int64_t n = matrices * tokens * tokens;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, mask_causal, tdbg_gpu_blocks(n, THREADS), THREADS, n,
                tokens, x);
}
