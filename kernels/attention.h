/* Attention in pieces that each give a tensor worth looking at: scores, probabilities, context, and
 * the gradients of each. Queries, keys and values lie in one packed tensor
 *
 *     qkv (rows, tokens, heads + 2 kv_heads, dim)    of a token: queries | keys | values
 *
 * and query head h goes with key and value head h / (heads / kv_heads). Nothing is transposed or
 * copied. Every product is that of gemm.h on a part of these tensors, so its order is known.
 *
 * causal: query i sees the keys j <= i. Scores and their gradients are +0 at j > i. Products leave
 * out whole blocks of TDBG_ATTENTION_BLOCK tokens that are masked: for query i the sum over keys
 * goes over j < end(i), for key j the sum over queries over i >= begin(j), with
 *     begin(t) = t - t % TDBG_ATTENTION_BLOCK, end(t) = min(tokens, begin(t) + that block)
 * as products of their own, whose slices of TDBG_K_SLICE start at the first term. Not causal: all
 * of 0..tokens-1. */
#ifndef TDBG_KERNELS_ATTENTION_H
#define TDBG_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_attention {
    int64_t rows, tokens;
    int64_t heads, kv_heads; /* kv_heads divides heads */
    int64_t dim;             /* of a head */
    float scale;             /* of the scores; 1: none */
    bool causal;
    /* (rows): keys from lengths[r] on are padding, which the softmax leaves out; NULL: none are.
     * In 0..tokens. */
    const int32_t *lengths;
};

/* Bytes of scratch memory, 64-byte aligned, that is enough for each function below. */
size_t tdbg_attention_workspace_bytes(const struct tdbg_cpu *cpu,
                                      const struct tdbg_attention *attention);

/* scores (rows, heads, tokens, tokens) = (q_i . k_j) * scale, masked ones +0 (padding is not). */
void tdbg_attention_scores(const struct tdbg_cpu *cpu, const struct tdbg_attention *attention,
                           const float *qkv, float *scores, void *workspace);

/* dqkv (as qkv): dq_i = (sum_j ds_ij k_j) * scale; dk_j = (sum over the group's heads, ascending,
 * of sum_i ds_ij q_i) * scale; +0 for the values. dscores has +0 where scores are masked. */
void tdbg_attention_scores_backward(const struct tdbg_cpu *cpu,
                                    const struct tdbg_attention *attention, const float *qkv,
                                    const float *dscores, float *dqkv, void *workspace);

/* probs (rows, heads, tokens, tokens): over the keys that query i sees, j < min(length, i + 1 if
 * causal): exp(s_j - max) / sum, max skipping NaN, the sum in the order of reduce.h by the number
 * of the key; masked keys add nothing (as +0 would) and get +0, all of them where none is seen. A
 * row that has NaN or +Inf, or nothing but -Inf, gives NaN wherever it is not masked. */
void tdbg_attention_softmax_forward(const struct tdbg_cpu *cpu,
                                    const struct tdbg_attention *attention, const float *scores,
                                    float *probs);

/* dscores = p_j * (dp_j - sum), sum: lanes and blocks as in reduce.h with fma(p_j, dp_j, lane) for
 * lane + x. Masked keys get +0 and are not read. dscores may be dprobs. */
void tdbg_attention_softmax_backward(const struct tdbg_cpu *cpu,
                                     const struct tdbg_attention *attention, const float *probs,
                                     const float *dprobs, float *dscores);

/* context (rows, tokens, heads, dim) = sum_j p_ij v_j. probs has +0 where j > i if causal. */
void tdbg_attention_context(const struct tdbg_cpu *cpu, const struct tdbg_attention *attention,
                            const float *probs, const float *qkv, float *context, void *workspace);

/* dprobs (as probs) = dcontext_i . v_j, masked by causal: +0; may be NULL. dqkv (as qkv): dv_j =
 * sum over the group's heads, ascending, of sum_i p_ij dcontext_i; +0 for queries and keys; may be
 * NULL. */
void tdbg_attention_context_backward(const struct tdbg_cpu *cpu,
                                     const struct tdbg_attention *attention, const float *probs,
                                     const float *qkv, const float *dcontext, float *dprobs,
                                     float *dqkv, void *workspace);

/* The same on a GPU: see gpu.h. */
size_t tdbg_cuda_attention_workspace_bytes(void *gpu, const struct tdbg_attention *attention);
void tdbg_cuda_attention_scores(void *gpu, const struct tdbg_attention *attention, const float *qkv,
                                float *scores, void *workspace);
void tdbg_cuda_attention_scores_backward(void *gpu, const struct tdbg_attention *attention,
                                         const float *qkv, const float *dscores, float *dqkv,
                                         void *workspace);
void tdbg_cuda_attention_softmax_forward(void *gpu, const struct tdbg_attention *attention,
                                         const float *scores, float *probs);
void tdbg_cuda_attention_softmax_backward(void *gpu, const struct tdbg_attention *attention,
                                          const float *probs, const float *dprobs, float *dscores);
void tdbg_cuda_attention_context(void *gpu, const struct tdbg_attention *attention,
                                 const float *probs, const float *qkv, float *out, void *workspace);
void tdbg_cuda_attention_context_backward(void *gpu, const struct tdbg_attention *attention,
                                          const float *probs, const float *qkv,
                                          const float *dcontext, float *dprobs, float *dqkv,
                                          void *workspace);

#endif
