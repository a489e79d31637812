/* Losses that compare outputs and targets element by element, and the log loss of logits. */
#ifndef TDBG_KERNELS_POINTWISE_LOSS_H
#define TDBG_KERNELS_POINTWISE_LOSS_H

#include <stdint.h>

#include "kernels/cpu.h"

/* Loss of one element and its derivative, with d = x - t (formulas of torch.nn.functional):
 *     mse        d * d                                        2 * d
 *     l1         |d|                                          sign(d), +0 where d is +-0
 *     smooth_l1  |d| < beta: 0.5 * d * d / beta               d / beta
 *                else        |d| - 0.5 * beta                 sign(d)
 *     bce        (max(x, 0) - x * t) + log1p(exp(-|x|))       sigmoid(x) - t
 * smooth_l1 with beta 0 is l1. log1p(e) = e in [0, 1]: u = 1 + e; u == 1 ? e : log(u) * (e / (u -
 * 1)). sigmoid(x), with e = exp(-|x|): (x >= 0 ? 1 : e) / (1 + e). */
enum tdbg_pointwise_loss {
    TDBG_POINTWISE_MSE,
    TDBG_POINTWISE_L1,
    TDBG_POINTWISE_SMOOTH_L1,
    TDBG_POINTWISE_BCE,
};

/* loss (rows) = sum over cols, in the order of reduce.h, of the losses of x and target (rows,
 * cols). A sum with a NaN is the canonical NaN. */
void tdbg_pointwise_loss_forward(const struct tdbg_cpu *cpu, enum tdbg_pointwise_loss kind,
                                 float beta, int64_t rows, int64_t cols, const float *x,
                                 const float *target, float *loss);

/* dx (n) = derivative of each element's loss: gradient of the sum of the losses. NaN is canonical.
 */
void tdbg_pointwise_loss_backward(const struct tdbg_cpu *cpu, enum tdbg_pointwise_loss kind,
                                  float beta, int64_t n, const float *x, const float *target,
                                  float *dx);

/* Logits (n) on the right side for bce: (x > 0) == (target >= 0.5). */
int64_t tdbg_pointwise_loss_count_correct(const struct tdbg_cpu *cpu, int64_t n, const float *x,
                                          const float *target);

/* out (rows) = strict sum of each row of x (rows, cols), in the order of reduce.h. */
void tdbg_pointwise_loss_sum_rows(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols,
                                  const float *x, float *out);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_pointwise_loss_forward(void *gpu, enum tdbg_pointwise_loss kind, float beta,
                                      int64_t rows, int64_t cols, const float *x,
                                      const float *target, float *loss);
void tdbg_cuda_pointwise_loss_backward(void *gpu, enum tdbg_pointwise_loss kind, float beta,
                                       int64_t n, const float *x, const float *target, float *dx);
int64_t tdbg_cuda_pointwise_count_correct(void *gpu, int64_t n, const float *x,
                                          const float *target);

#endif
