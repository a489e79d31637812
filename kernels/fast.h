/* What engine.math = "fast" computes otherwise where activations are bf16 in memory (see
 * bf16_entries.h), besides products: the same formulas with a GPU's exp2 and with sums in an order
 * that suits it. Computed in f32 and rounded once; the same bits on the same kind of GPU, without
 * atomics. NaN and infinities spread as in the strict forms. */
#ifndef TDBG_KERNELS_FAST_H
#define TDBG_KERNELS_FAST_H

#include "kernels/activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/row_norm.h"

/* Rows of logits and their targets, as in cross_entropy.h. */
struct tdbg_logits {
    int64_t rows, classes;
    int64_t stride; /* elements from row to row */
    const float *x;
    const int32_t *targets; /* (rows) */
    int32_t ignore_index;
};

/* loss (rows), f32; dlogits as the logits, with their stride, and +0 between rows. */
void tdbg_cuda_fast_cross_entropy_forward(void *gpu, const struct tdbg_logits *logits, float *loss);
void tdbg_cuda_fast_cross_entropy_backward(void *gpu, const struct tdbg_logits *logits,
                                           float *dlogits);
int64_t tdbg_cuda_fast_count_correct(void *gpu, const struct tdbg_logits *logits);

/* to (rows, cols) = from, with the strides of each; elements of 16 bits. */
void tdbg_cuda_fast_copy_rows(void *gpu, int64_t rows, int64_t cols, const float *from,
                              int64_t from_stride, float *to, int64_t to_stride);

/* Entries of the backend table: gelu by tanh, other kinds as they are; and sums over rows. */
void tdbg_cuda_fast_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n,
                                       const float *x, float *y);
void tdbg_cuda_fast_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n,
                                        const float *at, const float *dy, float *dx);
void tdbg_cuda_fast_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x, float *out);
void tdbg_cuda_fast_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm, const float *x,
                                      const float *weight, const float *stats, const float *dy,
                                      float *dx, float *dweight, float *dbias, void *workspace);

#endif
