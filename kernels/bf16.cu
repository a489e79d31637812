/* bfloat16 on a GPU. Definition: bf16.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_map.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16.h"
}

enum { THREADS = 256 };

static __global__ void bf16_round(int64_t n, const float *x, float *y)
{
    tdbg_gpu_map(n, x, y, [](float v) {
        return tdbg_strict_float(tdbg_bf16_round_bits(tdbg_strict_bits(v)));
    });
}

static __global__ void bf16_pack(int64_t n, const float *x, uint16_t *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        y[i] = (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits(x[i])) >> 16);
}

static __global__ void bf16_unpack(int64_t n, const uint16_t *x, float *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        y[i] = tdbg_strict_float((uint32_t)x[i] << 16);
}

extern "C" void tdbg_cuda_bf16_round(void *gpu, int64_t n, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, bf16_round, tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS, n,
                x, y);
}

extern "C" void tdbg_cuda_bf16_pack(void *gpu, int64_t n, const float *x, uint16_t *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, bf16_pack, tdbg_gpu_blocks(n, THREADS), THREADS, n, x, y);
}

extern "C" void tdbg_cuda_bf16_unpack(void *gpu, int64_t n, const uint16_t *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, bf16_unpack, tdbg_gpu_blocks(n, THREADS), THREADS, n, x, y);
}
