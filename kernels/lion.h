/* Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2). */
#ifndef TDBG_KERNELS_LION_H
#define TDBG_KERNELS_LION_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_lion {
    float lr, beta1, beta2;
    float one_minus_beta1, one_minus_beta2; /* from double, rounded once */
    float decay; /* 1 - lr * weight_decay, from double, rounded once; lr is f32 */
};

/* One step in place, element by element:
 *     c = fma(beta1, m, one_minus_beta1 * g)
 *     p = fma(-lr, sign(c), p * decay)          sign(+-0) is c itself, sign(NaN) is NaN
 *     m = fma(beta2, m, one_minus_beta2 * g)
 * all (n); m is zero before the first step. NaN results are canonical. */
void tdbg_lion_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_lion *lion,
                    const float *grad, float *param, float *exp_avg);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_lion(void *gpu, const struct tdbg_ranges *ranges, const struct tdbg_lion *lion,
                    const float *grad, float *param, float *exp_avg);

#endif
