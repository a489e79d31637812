/* Strict sums. A sum of n terms: blocks of TDBG_SUM_BLOCK terms; in a block virtual lane l of
 * TDBG_SUM_LANES adds terms l, l+32, ... from +0, lanes are folded 16, 8, 4, 2, 1 (lane[i] +=
 * lane[i + width]); if there is more than one block, the block results are summed the same way.
 * An empty sum is +0. NaN results are canonical. */
#ifndef TDBG_KERNELS_REDUCE_H
#define TDBG_KERNELS_REDUCE_H

#include <stdint.h>

#include "kernels/cpu.h"

/* Sum of x (n). scratch: at least tdbg_reduce_scratch_elems(n) floats, may be NULL if that is 0. */
float tdbg_reduce_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *scratch);
int64_t tdbg_reduce_scratch_elems(int64_t n);

/* out (cols) = sum over rows of x (rows, cols), as a GEMM with ones would: slices of TDBG_K_SLICE
 * rows in ascending order from +0, slice results added in order. */
void tdbg_reduce_rows(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *x,
                      float *out);

/* The same on a GPU: see gpu.h. All pointers are the device's, `out` of the sum (1) too; the
 * scratch memory of the sum over rows is the GPU's. */
void tdbg_cuda_reduce_sum(void *gpu, int64_t n, const float *x, float *out, float *scratch);
void tdbg_cuda_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x, float *out);
/* tdbg_pointwise_loss_sum_rows() of pointwise_loss.h */
void tdbg_cuda_sum_rows(void *gpu, int64_t rows, int64_t cols, const float *x, float *out);

#endif
