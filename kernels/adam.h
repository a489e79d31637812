/* Adam with L2 weight decay (Kingma and Ba 2015; the formula of torch.optim.Adam). Decoupled decay
 * is adamw.h. */
#ifndef TDBG_KERNELS_ADAM_H
#define TDBG_KERNELS_ADAM_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_adam {
    float beta1, beta2, eps;
    float one_minus_beta1, one_minus_beta2; /* from double, rounded once */
    float weight_decay;
    float step_size;  /* lr / (1 - beta1^t), from double, rounded once; lr is f32 */
    float bias2_sqrt; /* sqrt(1 - beta2^t), from double, rounded once */
};

/* One step in place, element by element:
 *     d = weight_decay != 0 ? fma(weight_decay, p, g) : g
 *     m = fma(beta1, m, one_minus_beta1 * d)
 *     v = fma(beta2, v, (one_minus_beta2 * d) * d)
 *     p = fma(-step_size, m / (sqrt(v) / bias2_sqrt + eps), p)
 * all (n); m and v are zero before the first step. NaN results are canonical. */
void tdbg_adam_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adam *adam,
                    const float *grad, float *param, float *exp_avg, float *exp_avg_sq);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_adam(void *gpu, const struct tdbg_ranges *ranges, const struct tdbg_adam *adam,
                    const float *grad, float *param, float *exp_avg, float *exp_avg_sq);

#endif
