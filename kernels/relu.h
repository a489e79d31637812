/* Rectified linear unit. */
#ifndef TDBG_KERNELS_RELU_H
#define TDBG_KERNELS_RELU_H

#include <stdint.h>

#include "kernels/cpu.h"

/* y (n) = x > 0 ? x : +0; NaN stays, as the canonical NaN. y may be x. */
void tdbg_relu_forward(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *y);

/* dx (n) = y <= 0 ? +0 : dy, so that dy passes where y is NaN, as PyTorch's threshold_backward. dx
 * may be dy. NaN results are canonical. */
void tdbg_relu_backward(const struct tdbg_cpu *cpu, int64_t n, const float *y, const float *dy,
                        float *dx);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_relu_forward(void *gpu, int64_t n, const float *x, float *y);
void tdbg_cuda_relu_backward(void *gpu, int64_t n, const float *y, const float *dy, float *dx);

#endif
