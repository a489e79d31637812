/* Products by cuBLAS, for engine.math = "fast": TF32 on tensor cores, sums in f32 in an order that
 * is the library's. They repeat on one stack (GPU, library version, workspace), and nowhere else.
 * The library is loaded when it is first asked for, so that tdbg starts without it.
 *
 * The launchers are entries of the backend table like those of gpu.h, but need gpu->blas. */
#ifndef TDBG_KERNELS_BLAS_H
#define TDBG_KERNELS_BLAS_H

#include "kernels/attention.h"
#include "kernels/gemm.h"

struct tdbg_gpu;
struct tdbg_blas;

/* Sets gpu->blas, which tdbg_gpu_close() closes. TDBG_DEVICE where the library is not there or does
 * not work with this GPU. */
enum tdbg_status tdbg_blas_open(struct tdbg_gpu *gpu, struct tdbg_err *err);

/* As the library says it: 130100 is 13.1.0. */
int tdbg_blas_version(const struct tdbg_blas *blas);

size_t tdbg_blas_gemm_workspace_bytes(void *gpu, const struct tdbg_gemm *gemm);
void tdbg_blas_gemm(void *gpu, const struct tdbg_gemm *gemm, void *workspace);
size_t tdbg_blas_attention_workspace_bytes(void *gpu, const struct tdbg_attention *attention);
void tdbg_blas_attention_scores(void *gpu, const struct tdbg_attention *attention, const float *qkv,
                                float *scores, void *workspace);
void tdbg_blas_attention_scores_backward(void *gpu, const struct tdbg_attention *attention,
                                         const float *qkv, const float *dscores, float *dqkv,
                                         void *workspace);
void tdbg_blas_attention_context(void *gpu, const struct tdbg_attention *attention,
                                 const float *probs, const float *qkv, float *context,
                                 void *workspace);
void tdbg_blas_attention_context_backward(void *gpu, const struct tdbg_attention *attention,
                                          const float *probs, const float *qkv,
                                          const float *dcontext, float *dprobs, float *dqkv,
                                          void *workspace);

/* The same where activations are bf16 in memory (bf16_entries.h): products of bf16 with sums in
 * f32. */
void tdbg_blas_bf16_gemm(void *gpu, const struct tdbg_gemm *gemm, void *workspace);
void tdbg_blas_bf16_attention_scores(void *gpu, const struct tdbg_attention *attention,
                                     const float *qkv, float *scores, void *workspace);
void tdbg_blas_bf16_attention_scores_backward(void *gpu, const struct tdbg_attention *attention,
                                              const float *qkv, const float *dscores, float *dqkv,
                                              void *workspace);
void tdbg_blas_bf16_attention_context(void *gpu, const struct tdbg_attention *attention,
                                      const float *probs, const float *qkv, float *context,
                                      void *workspace);
void tdbg_blas_bf16_attention_context_backward(void *gpu, const struct tdbg_attention *attention,
                                               const float *probs, const float *qkv,
                                               const float *dcontext, float *dprobs, float *dqkv,
                                               void *workspace);

/* What a product leaves to do (blas_parts.cu): c (rows, cols) with row stride ldc + bias (cols);
 * and +0 where causal attention masks x (matrices, tokens, tokens). */
void tdbg_cuda_add_bias(void *gpu, int64_t rows, int64_t cols, int64_t ldc, const float *bias,
                        float *c);
void tdbg_cuda_mask_causal(void *gpu, int64_t matrices, int64_t tokens, float *x);

#endif
