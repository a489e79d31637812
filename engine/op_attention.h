/* What the pieces of attention share: op_attention.c puts them together. */
#ifndef TDBG_ENGINE_OP_ATTENTION_H
#define TDBG_ENGINE_OP_ATTENTION_H

#include "engine/op.h"

struct tdbg_attention_settings {
    struct tdbg_attention attention; /* without rows and lengths */
    bool masks_padding;              /* of the samples, whose tokens are this sequence's */
    const float *cos, *sin;          /* (tokens, dim / 2), or NULL: no rotary positions */
};

/* Computes the tables of settings->attention in the arena. */
void tdbg_attention_add_rotary(struct tdbg_arena *arena, struct tdbg_attention_settings *settings,
                               double base);

/* Is node i of a graph a context whose input 0 comes from its input 1 by scores and probabilities
 * alone, and does the backend compute all three in one? */
bool tdbg_attention_is_fusible(const struct tdbg_backend *backend, const struct tdbg_graph *graph,
                               int32_t i);

/* qkv (T, (H + 2 Hkv) dim) -> the same; -> scores (H, T, T) -> probabilities; with qkv -> (T, H
 * dim). Settings of all: struct tdbg_attention_settings. */
extern const struct tdbg_op_class tdbg_op_attn_rotary, tdbg_op_attn_scores, tdbg_op_attn_softmax,
    tdbg_op_attn_context;

#endif
