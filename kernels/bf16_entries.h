/* Entries of the backend table for activations that are bf16 in a GPU's memory.
 *
 * Their signatures are those of the table (engine/backend.h), so that ops call either; what stands
 * there as float is 16 bits wide in activations, their gradients, and the parameters that ops read.
 * Gradients of parameters, losses, what an op saves, tables of the host and all that is not float
 * stay as they are. Values are computed in f32 and rounded when they are stored, each once. */
#ifndef TDBG_KERNELS_BF16_ENTRIES_H
#define TDBG_KERNELS_BF16_ENTRIES_H

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/position.h"
#include "kernels/row_norm.h"

void tdbg_cuda_bf16_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n,
                                        const float *at, const float *dy, float *dx);
void tdbg_cuda_bf16_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n,
                                       const float *x, float *y);
void tdbg_cuda_bf16_attention_softmax_backward(void *gpu, const struct tdbg_attention *attention,
                                               const float *probs, const float *dprobs,
                                               float *dscores);
void tdbg_cuda_bf16_attention_softmax_forward(void *gpu, const struct tdbg_attention *attention,
                                              const float *scores, float *probs);
int64_t tdbg_cuda_bf16_count_correct(void *gpu, int64_t rows, int64_t classes, const float *logits,
                                     const int32_t *targets, int32_t ignore_index);
void tdbg_cuda_bf16_cross_entropy_backward(void *gpu, int64_t rows, int64_t classes,
                                           const float *logits, const int32_t *targets,
                                           int32_t ignore_index, float *dlogits);
void tdbg_cuda_bf16_cross_entropy_forward(void *gpu, int64_t rows, int64_t classes,
                                          const float *logits, const int32_t *targets,
                                          int32_t ignore_index, float *loss);
void tdbg_cuda_bf16_cross_entropy_weighted_backward(void *gpu, const struct tdbg_cross_entropy *how,
                                                    int64_t rows, int64_t classes,
                                                    const float *logits, const int32_t *targets,
                                                    int32_t ignore_index, float *dlogits);
void tdbg_cuda_bf16_cross_entropy_weighted_forward(void *gpu, const struct tdbg_cross_entropy *how,
                                                   int64_t rows, int64_t classes,
                                                   const float *logits, const int32_t *targets,
                                                   int32_t ignore_index, float *loss);
void tdbg_cuda_bf16_dropout_apply(void *gpu, const struct tdbg_dropout *dropout, int64_t rows,
                                  int64_t elems, const float *x, float *y);
void tdbg_cuda_bf16_embedding_backward(void *gpu, const struct tdbg_embedding *embedding,
                                       const float *dy, float *dtable, void *workspace);
void tdbg_cuda_bf16_embedding_forward(void *gpu, const struct tdbg_embedding *embedding,
                                      const float *table, float *y);
void tdbg_cuda_bf16_position_add(void *gpu, int64_t rows, int64_t n, const float *x,
                                 const float *table, float *y);
void tdbg_cuda_bf16_position_add_fixed(void *gpu, int64_t rows, int64_t n, const float *x,
                                       const float *table, float *y);
void tdbg_cuda_bf16_position_rotate(void *gpu, const struct tdbg_rotary *rotary, bool inverse,
                                    const float *x, float *y);
void tdbg_cuda_bf16_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x, float *out);
void tdbg_cuda_bf16_relu_backward(void *gpu, int64_t n, const float *y, const float *dy, float *dx);
void tdbg_cuda_bf16_relu_forward(void *gpu, int64_t n, const float *x, float *y);
void tdbg_cuda_bf16_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm, const float *x,
                                      const float *weight, const float *stats, const float *dy,
                                      float *dx, float *dweight, float *dbias, void *workspace);
void tdbg_cuda_bf16_row_norm_forward(void *gpu, const struct tdbg_row_norm *norm, const float *x,
                                     const float *weight, const float *bias, float *y,
                                     float *stats);
void tdbg_cuda_bf16_scale(void *gpu, int64_t n, const float *x, float by, float *y);
void tdbg_cuda_bf16_vector_add(void *gpu, int64_t n, float *dst, const float *src);
void tdbg_cuda_bf16_vector_sum(void *gpu, int64_t n, const float *x, const float *x2, float *y);

/* What cuBLAS leaves to do: see blas.h. */
void tdbg_cuda_bf16_mask_causal(void *gpu, int64_t matrices, int64_t tokens, float *x);

#endif
