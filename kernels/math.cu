/* The strict functions over arrays on a GPU. See gpu_math.h. */
#include "kernels/gpu.h"
#include "kernels/strict_gelu.h"
#include "kernels/strict_sin.h"
extern "C" {
#include "kernels/gpu_math.h"
}

enum { THREADS = 256, EACH = 4, TILE = THREADS * EACH };

template <float function(float)> static __global__ void map(int64_t n, const float *x, float *y)
{
    const int64_t step = (int64_t)gridDim.x * TILE;
    for (int64_t tile = (int64_t)blockIdx.x * TILE; tile < n; tile += step) {
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            if (i < n)
                y[i] = function(x[i]);
        }
    }
}

extern "C" void tdbg_cuda_math(void *gpu, enum tdbg_gpu_math function, int64_t n, const float *x,
                               float *y)
{
    switch (function) {
#define MAP_CASE(name, strict_function)                                                            \
    case TDBG_GPU_MATH_##name:                                                                     \
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, (map<strict_function>), tdbg_gpu_blocks(n, TILE),      \
                    THREADS, n, x, y);                                                             \
        break;
        TDBG_GPU_MATH_LIST(MAP_CASE)
#undef MAP_CASE
    }
}
