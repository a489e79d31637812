/* RMSprop (Tieleman and Hinton 2012; centered: Graves 2013; the formula of torch.optim.RMSprop). */
#ifndef TDBG_KERNELS_RMSPROP_H
#define TDBG_KERNELS_RMSPROP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

struct tdbg_rmsprop {
    float lr, alpha, eps, weight_decay, momentum;
    float one_minus_alpha; /* from double, rounded once */
    bool centered;
};

/* The state; all (n), zero before the first step. */
struct tdbg_rmsprop_state {
    float *square_avg;
    float *momentum_buffer; /* NULL if momentum == 0 */
    float *grad_avg;        /* NULL unless centered */
};

/* One step in place, element by element:
 *     d = weight_decay != 0 ? fma(weight_decay, p, g) : g
 *     v = fma(alpha, v, (one_minus_alpha * d) * d)
 *     centered:  a = fma(alpha, a, one_minus_alpha * d)
 *     x = d / (sqrt(centered ? fma(-a, a, v) : v) + eps)
 *     if momentum != 0:  b = fma(momentum, b, x);  x = b
 *     p = fma(-lr, x, p)
 * with v square_avg, a grad_avg, b momentum_buffer. NaN results are canonical (a centered variance
 * that rounding made negative gives NaN, as in PyTorch). */
void tdbg_rmsprop_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_rmsprop *rmsprop,
                       const float *grad, float *param, const struct tdbg_rmsprop_state *state);

/* The same on a GPU, for all ranges of flat buffers: see gpu.h. */
void tdbg_cuda_rmsprop(void *gpu, const struct tdbg_ranges *ranges,
                       const struct tdbg_rmsprop *rmsprop, const float *grad, float *param,
                       const struct tdbg_rmsprop_state *state);

#endif
