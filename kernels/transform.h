/* Data transforms on raw samples, as engine ops. NaN results are canonical. */
#ifndef TDBG_KERNELS_TRANSFORM_H
#define TDBG_KERNELS_TRANSFORM_H

#include <stdint.h>

#include "kernels/cpu.h"

/* y (n) = (float)x, exact */
void tdbg_transform_u8_to_f32(const struct tdbg_cpu *cpu, int64_t n, const uint8_t *x, float *y);

/* y (n) = x * by; y may be x */
void tdbg_transform_scale(const struct tdbg_cpu *cpu, int64_t n, const float *x, float by,
                          float *y);

/* y = (x - mean[c]) / std[c] over (outer, channels, inner); y may be x */
void tdbg_transform_normalize(const struct tdbg_cpu *cpu, int64_t outer, int64_t channels,
                              int64_t inner, const float *x, const float *mean, const float *std,
                              float *y);

/* The same on a GPU: see gpu.h. mean and std are the host's. */
void tdbg_cuda_u8_to_f32(void *gpu, int64_t n, const uint8_t *x, float *y);
void tdbg_cuda_scale(void *gpu, int64_t n, const float *x, float by, float *y);
void tdbg_cuda_normalize(void *gpu, int64_t outer, int64_t channels, int64_t inner, const float *x,
                         const float *mean, const float *std, float *y);

#endif
