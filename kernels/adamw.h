/* AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2). */
#ifndef TDBG_KERNELS_ADAMW_H
#define TDBG_KERNELS_ADAMW_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_adamw {
    float beta1, beta2, eps;
    float one_minus_beta1, one_minus_beta2; /* from double, rounded once */
    float decay;      /* 1 - lr * weight_decay, from double, rounded once; lr is f32 */
    float step_size;  /* lr / (1 - beta1^t), from double, rounded once */
    float bias2_sqrt; /* sqrt(1 - beta2^t), from double, rounded once */
};

/* One step in place, element by element:
 *     p = p * decay
 *     m = fma(beta1, m, one_minus_beta1 * g)
 *     v = fma(beta2, v, (one_minus_beta2 * g) * g)
 *     p = fma(-step_size, m / (sqrt(v) / bias2_sqrt + eps), p)
 * all (n); m and v are zero before the first step. NaN results are canonical. */
void tdbg_adamw_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adamw *adamw,
                     const float *grad, float *param, float *exp_avg, float *exp_avg_sq);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_adamw(void *gpu, const struct tdbg_ranges *ranges, const struct tdbg_adamw *adamw,
                     const float *grad, float *param, float *exp_avg, float *exp_avg_sq);

#endif
