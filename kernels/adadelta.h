/* Adadelta (Zeiler 2012; the formula of torch.optim.Adadelta). */
#ifndef TDBG_KERNELS_ADADELTA_H
#define TDBG_KERNELS_ADADELTA_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_adadelta {
    float lr, rho, eps, weight_decay;
    float one_minus_rho; /* from double, rounded once */
};

/* One step in place, element by element:
 *     d = weight_decay != 0 ? fma(weight_decay, p, g) : g
 *     v = fma(rho, v, (one_minus_rho * d) * d)
 *     x = (sqrt(u + eps) / sqrt(v + eps)) * d
 *     u = fma(rho, u, (one_minus_rho * x) * x)
 *     p = fma(-lr, x, p)
 * all (n); v (square_avg) and u (acc_delta) are zero before the first step. NaN results are
 * canonical. */
void tdbg_adadelta_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adadelta *adadelta,
                        const float *grad, float *param, float *square_avg, float *acc_delta);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_adadelta(void *gpu, const struct tdbg_ranges *ranges,
                        const struct tdbg_adadelta *adadelta, const float *grad, float *param,
                        float *square_avg, float *acc_delta);

#endif
