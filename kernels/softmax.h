/* Softmax over rows. */
#ifndef TDBG_KERNELS_SOFTMAX_H
#define TDBG_KERNELS_SOFTMAX_H

#include <stdint.h>

#include "kernels/cpu.h"

/* y (rows, cols) = exp(x_j - max) / sum_j exp(x_j - max); max skips NaN, the sum is in the order of
 * reduce.h: the numbers of cross_entropy.h. A row with NaN or +Inf, or with nothing but -Inf, is
 * the canonical NaN throughout. y may be x. */
void tdbg_softmax_forward(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *x,
                          float *y);

/* dx (rows, cols) = y_j * (dy_j - s), s = sum_j dy_j y_j in the order of reduce.h, each term added
 * by fma(dy_j, y_j, lane). dx may be y or dy. NaN results are canonical. */
void tdbg_softmax_backward(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *y,
                           const float *dy, float *dx);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_softmax_forward(void *gpu, int64_t rows, int64_t cols, const float *x, float *y);
void tdbg_cuda_softmax_backward(void *gpu, int64_t rows, int64_t cols, const float *y,
                                const float *dy, float *dx);

#endif
