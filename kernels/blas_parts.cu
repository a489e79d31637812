/* What cuBLAS leaves to do after a product. See blas.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/blas.h"
#include "kernels/bf16_entries.h"
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

template <typename T> static __global__ void mask_causal(int64_t rows, int64_t tokens, T *x)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        for (int64_t col = r % tokens + 1 + threadIdx.x; col < tokens; col += THREADS)
            tdbg_gpu_put(x + r * tokens + col, 0.0f);
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
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (mask_causal<float>), tdbg_gpu_blocks(rows, 1), THREADS,
                rows, tokens, x);
}

extern "C" void tdbg_cuda_bf16_mask_causal(void *gpu, int64_t matrices, int64_t tokens, float *x)
{
    const int64_t rows = matrices * tokens;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (mask_causal<struct tdbg_gpu_bf16>),
                tdbg_gpu_blocks(rows, 1), THREADS, rows, tokens, tdbg_gpu_bf16_of(x));
}
