/* What cuBLAS leaves to do after a product. See blas.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/blas.h"
}

enum { THREADS = 256 };

/* A block has rows of its own, and a thread columns. */
static __global__ void add_bias(int64_t rows, int64_t cols, int64_t ldc, const float *bias,
                                float *c)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        for (int64_t col = threadIdx.x; col < cols; col += THREADS)
            c[r * ldc + col] = TDBG_STRICT_ADD(c[r * ldc + col], bias[col]);
    }
}

static __global__ void mask_causal(int64_t rows, int64_t tokens, float *x)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        for (int64_t col = r % tokens + 1 + threadIdx.x; col < tokens; col += THREADS)
            x[r * tokens + col] = 0.0f;
    }
}

extern "C" void tdbg_cuda_add_bias(void *gpu, int64_t rows, int64_t cols, int64_t ldc,
                                   const float *bias, float *c)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, add_bias, tdbg_gpu_blocks(rows, 1), THREADS, rows, cols,
                ldc, bias, c);
}

extern "C" void tdbg_cuda_mask_causal(void *gpu, int64_t matrices, int64_t tokens, float *x)
{
    const int64_t rows = matrices * tokens;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, mask_causal, tdbg_gpu_blocks(rows, 1), THREADS, rows,
                tokens, x);
}
