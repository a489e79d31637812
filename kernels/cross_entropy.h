/* Softmax cross-entropy over rows of logits, and the count of rows that are classified right. */
#ifndef TDBG_KERNELS_CROSS_ENTROPY_H
#define TDBG_KERNELS_CROSS_ENTROPY_H

#include <stdint.h>

#include "kernels/cpu.h"

/* loss (rows) = log(sum_j exp(x_j - max)) - (x_t - max); the sum in the order of reduce.h; +0 where
 * target == ignore_index. logits (rows, classes), targets (rows) in 0..classes-1 or ignore_index.
 * A row with NaN or +Inf gives the canonical NaN (Inf - Inf). */
void tdbg_cross_entropy_forward(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                const float *logits, const int32_t *targets, int32_t ignore_index,
                                float *loss);

/* dlogits (rows, classes) = exp(x_j - max) / sum - (j == target), +0 in ignored rows: gradient of
 * the *sum* of losses; the divisor comes once, after the fold over lanes. */
void tdbg_cross_entropy_backward(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                 const float *logits, const int32_t *targets, int32_t ignore_index,
                                 float *dlogits);

/* Label smoothing (Szegedy et al. 2016) and class weights, as torch.nn.functional.cross_entropy has
 * them. From double, each rounded once: */
struct tdbg_cross_entropy {
    const float *weights; /* (classes), one per class; NULL: all 1 */
    float keep;           /* 1 - label_smoothing */
    float share;          /* label_smoothing / classes */
    float weight_sum;     /* of all classes, added in ascending order; classes without weights */
};

/* The same with smoothing or weights. With lse = log(sum_j exp(x_j - max)), w_t the target's
 * weight: nll = lse - (x_t - max) smooth = sum_j w_j * (lse - (x_j - max)), in the order of
 * reduce.h; +0 if share == 0 loss = (keep * w_t) * nll + share * smooth dlogits_j = p_j *
 * fma(share, weight_sum, keep * w_t) - share * w_j, and at j = t minus keep * w_t, with p_j =
 * exp(x_j - max) / sum Ignored rows give +0. */
void tdbg_cross_entropy_weighted_forward(const struct tdbg_cpu *cpu,
                                         const struct tdbg_cross_entropy *how, int64_t rows,
                                         int64_t classes, const float *logits,
                                         const int32_t *targets, int32_t ignore_index, float *loss);
void tdbg_cross_entropy_weighted_backward(const struct tdbg_cpu *cpu,
                                          const struct tdbg_cross_entropy *how, int64_t rows,
                                          int64_t classes, const float *logits,
                                          const int32_t *targets, int32_t ignore_index,
                                          float *dlogits);

/* weight (n) = what each target counts in the divisor of a mean: its class's weight (weights NULL:
 * 1), +0 where it is ignored. */
void tdbg_cross_entropy_target_weights(const struct tdbg_cpu *cpu, int64_t n,
                                       const int32_t *targets, int32_t ignore_index,
                                       const float *weights, float *weight);

/* Rows whose largest logit (the first of equals; NaN counts as largest, as in PyTorch) is at their
 * target; ignored rows do not count. */
int64_t tdbg_cross_entropy_count_correct(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                         const float *logits, const int32_t *targets,
                                         int32_t ignore_index);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_cross_entropy_forward(void *gpu, int64_t rows, int64_t classes, const float *logits,
                                     const int32_t *targets, int32_t ignore_index, float *loss);
void tdbg_cuda_cross_entropy_backward(void *gpu, int64_t rows, int64_t classes, const float *logits,
                                      const int32_t *targets, int32_t ignore_index, float *dlogits);
void tdbg_cuda_cross_entropy_weighted_forward(void *gpu, const struct tdbg_cross_entropy *how,
                                              int64_t rows, int64_t classes, const float *logits,
                                              const int32_t *targets, int32_t ignore_index,
                                              float *loss);
void tdbg_cuda_cross_entropy_weighted_backward(void *gpu, const struct tdbg_cross_entropy *how,
                                               int64_t rows, int64_t classes, const float *logits,
                                               const int32_t *targets, int32_t ignore_index,
                                               float *dlogits);
void tdbg_cuda_target_weights(void *gpu, int64_t n, const int32_t *targets, int32_t ignore_index,
                              const float *weights, float *weight);
int64_t tdbg_cuda_count_correct(void *gpu, int64_t rows, int64_t classes, const float *logits,
                                const int32_t *targets, int32_t ignore_index);

#endif
