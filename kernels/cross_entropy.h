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

/* Rows whose largest logit (the first of equals; NaN counts as largest, as in PyTorch) is at their
 * target; ignored rows do not count. */
int64_t tdbg_cross_entropy_count_correct(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                         const float *logits, const int32_t *targets,
                                         int32_t ignore_index);

#endif
