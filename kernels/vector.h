/* Element-wise helpers on contiguous f32. NaN results are canonical. */
#ifndef TDBG_KERNELS_VECTOR_H
#define TDBG_KERNELS_VECTOR_H

#include <stdint.h>

#include "kernels/cpu.h"

/* dst (n) = dst + src */
void tdbg_vector_add(const struct tdbg_cpu *cpu, int64_t n, float *dst, const float *src);

/* y (n) = x + x2; y may be either of them */
void tdbg_vector_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, const float *x2,
                     float *y);

/* y (n, cols, rows) from x (n, rows, cols): each matrix transposed, its elements copied. */
void tdbg_vector_transpose(const struct tdbg_cpu *cpu, int64_t n, int64_t rows, int64_t cols,
                           const float *x, float *y);

/* dst (n) = src / divisor; dst may be src. Division, not multiplication by a reciprocal. */
void tdbg_vector_divide(const struct tdbg_cpu *cpu, int64_t n, const float *src, float divisor,
                        float *dst);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_vector_add(void *gpu, int64_t n, float *dst, const float *src);
void tdbg_cuda_vector_sum(void *gpu, int64_t n, const float *x, const float *x2, float *y);
void tdbg_cuda_transpose(void *gpu, int64_t n, int64_t rows, int64_t cols, const float *x,
                         float *y);
void tdbg_cuda_vector_divide(void *gpu, int64_t n, const float *src, float divisor, float *dst);

#endif
