/* Stochastic gradient descent with momentum, Nesterov momentum and L2 weight decay (the formula of
 * torch.optim.SGD; Sutskever et al. 2013 for the momentum form). */
#ifndef TDBG_KERNELS_SGD_H
#define TDBG_KERNELS_SGD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_sgd {
    float lr, momentum, weight_decay;
    bool nesterov;
};

/* One step in place, element by element:
 *     d = weight_decay != 0 ? fma(weight_decay, p, grad) : grad
 *     if momentum != 0:  buf = fma(momentum, buf, d);  d = nesterov ? fma(momentum, buf, d) : buf
 *     p = fma(-lr, d, p)
 * param (n), grad (n), momentum_buffer (n, zero before the first step) or NULL if momentum == 0.
 * NaN results are canonical. */
void tdbg_sgd_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_sgd *sgd,
                   const float *grad, float *param, float *momentum_buffer);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_sgd(void *gpu, const struct tdbg_ranges *ranges, const struct tdbg_sgd *sgd,
                   const float *grad, float *param, float *momentum_buffer);

#endif
