/* Attention in one piece on a GPU's tensor cores, for engine.math = "fast": the scores and
 * probabilities are nowhere in memory. Tensors lie as in attention.h, in bfloat16 (the bits of one
 * in a uint16_t), at multiples of 16 bytes. Needs compute capability 8.0.
 *
 * Products multiply bfloat16 exactly and add in f32, in an order that the GPU has; the softmax is
 * f32 with the GPU's exp2; probabilities and the scores' gradients are rounded to bfloat16 where a
 * product takes them. Nothing is added atomically: the same input gives the same bits on the same
 * kind of GPU, and nowhere else. NaN and infinities reach all that sees them, and may reach what is
 * less than 64 tokens from that; a NaN's bits are open. */
#ifndef TDBG_KERNELS_ATTENTION_FUSED_H
#define TDBG_KERNELS_ATTENTION_FUSED_H

#include "kernels/attention.h"

/* Whether the functions below take it: dim a multiple of 8 up to 128, scale > 0 and finite, no
 * lengths. */
bool tdbg_cuda_attention_fused_takes(const struct tdbg_attention *a);

/* Shared memory that their blocks have, of which a GPU may have less to give (struct tdbg_gpu). */
size_t tdbg_cuda_attention_fused_shared_bytes(const struct tdbg_attention *a);

/* out (rows, tokens, heads, dim) = sum_j p_ij v_j; lse (rows, heads, tokens) = log(sum_j exp(q_i .
 * k_j * scale)), over the keys j that query i sees. */
void tdbg_cuda_attention_fused_forward(void *gpu, const struct tdbg_attention *a,
                                       const uint16_t *qkv, uint16_t *out, float *lse);

size_t tdbg_cuda_attention_fused_workspace_bytes(const struct tdbg_attention *a);

/* dqkv (as qkv), all of it, from out and lse of the forward pass and dout (as out). workspace:
 * aligned to 16 bytes. dqkv may not be any of the others. */
void tdbg_cuda_attention_fused_backward(void *gpu, const struct tdbg_attention *a,
                                        const uint16_t *qkv, const uint16_t *out, const float *lse,
                                        const uint16_t *dout, uint16_t *dqkv, void *workspace);

#endif
