/* Adagrad (Duchi, Hazan and Singer 2011; the formula of torch.optim.Adagrad). */
#ifndef TDBG_KERNELS_ADAGRAD_H
#define TDBG_KERNELS_ADAGRAD_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_adagrad {
    float lr; /* lr / (1 + t * lr_decay), t from 0, from double, rounded once; lr is f32 */
    float eps, weight_decay;
};

/* One step in place, element by element:
 *     d = weight_decay != 0 ? fma(weight_decay, p, g) : g
 *     s = fma(d, d, s)
 *     p = fma(-lr, d / (sqrt(s) + eps), p)
 * all (n); s is the configured initial value before the first step. NaN results are canonical. */
void tdbg_adagrad_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adagrad *adagrad,
                       const float *grad, float *param, float *sum);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_adagrad(void *gpu, const struct tdbg_ranges *ranges,
                       const struct tdbg_adagrad *adagrad, const float *grad, float *param,
                       float *sum);

#endif
