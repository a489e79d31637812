/* The strict functions over arrays on a GPU, as math_cpu.c has them: for the sweep over all floats
 * (tests/gpu/test_gpu_sweep.c). */
#ifndef TDBG_KERNELS_GPU_MATH_H
#define TDBG_KERNELS_GPU_MATH_H

#include <stdint.h>

/* X(NAME, function) */
#define TDBG_GPU_MATH_LIST(X)                                                                      \
    X(EXP, tdbg_strict_expf)                                                                       \
    X(LOG, tdbg_strict_logf)                                                                       \
    X(LOG1P, tdbg_strict_log1pf)                                                                   \
    X(SOFTPLUS, tdbg_strict_softplusf)                                                             \
    X(ERF, tdbg_strict_erff)                                                                       \
    X(SIN, tdbg_strict_sinf)                                                                       \
    X(COS, tdbg_strict_cosf)

enum tdbg_gpu_math {
#define TDBG_GPU_MATH_ENUM(name, function) TDBG_GPU_MATH_##name,
    TDBG_GPU_MATH_LIST(TDBG_GPU_MATH_ENUM)
#undef TDBG_GPU_MATH_ENUM
};

/* y (n) = function of x (n); y may be x. */
void tdbg_cuda_math(void *gpu, enum tdbg_gpu_math function, int64_t n, const float *x, float *y);

#endif
