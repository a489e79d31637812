/* The CPU backend: embeddings, positions and attention. See backend_cpu.h. */
#include "engine/backend_cpu.h"

static size_t cpu_embedding_workspace_bytes(void *context, const struct tdbg_embedding *embedding)
{
    (void)context;
    return tdbg_embedding_workspace_bytes(embedding);
}

static void cpu_embedding_forward(void *context, const struct tdbg_embedding *embedding,
                                  const float *table, float *y)
{
    tdbg_embedding_forward(tdbg_backend_cpu_of(context), embedding, table, y);
}

static void cpu_embedding_backward(void *context, const struct tdbg_embedding *embedding,
                                   const float *dy, float *dtable, void *workspace)
{
    tdbg_embedding_backward(tdbg_backend_cpu_of(context), embedding, dy, dtable, workspace);
}

static void cpu_position_add(void *context, int64_t rows, int64_t n, const float *x,
                             const float *table, float *y)
{
    tdbg_position_add(tdbg_backend_cpu_of(context), rows, n, x, table, y);
}

static void cpu_position_rotate(void *context, const struct tdbg_rotary *rotary, bool inverse,
                                const float *x, float *y)
{
    tdbg_position_rotate(tdbg_backend_cpu_of(context), rotary, inverse, x, y);
}

static size_t cpu_attention_workspace_bytes(void *context, const struct tdbg_attention *attention)
{
    return tdbg_attention_workspace_bytes(tdbg_backend_cpu_of(context), attention);
}

static void cpu_attention_scores(void *context, const struct tdbg_attention *attention,
                                 const float *qkv, float *scores, void *workspace)
{
    tdbg_attention_scores(tdbg_backend_cpu_of(context), attention, qkv, scores, workspace);
}

static void cpu_attention_scores_backward(void *context, const struct tdbg_attention *attention,
                                          const float *qkv, const float *dscores, float *dqkv,
                                          void *workspace)
{
    tdbg_attention_scores_backward(tdbg_backend_cpu_of(context), attention, qkv, dscores, dqkv,
                                   workspace);
}

static void cpu_attention_softmax_forward(void *context, const struct tdbg_attention *attention,
                                          const float *scores, float *probs)
{
    tdbg_attention_softmax_forward(tdbg_backend_cpu_of(context), attention, scores, probs);
}

static void cpu_attention_softmax_backward(void *context, const struct tdbg_attention *attention,
                                           const float *probs, const float *dprobs, float *dscores)
{
    tdbg_attention_softmax_backward(tdbg_backend_cpu_of(context), attention, probs, dprobs,
                                    dscores);
}

static void cpu_attention_context(void *context, const struct tdbg_attention *attention,
                                  const float *probs, const float *qkv, float *out, void *workspace)
{
    tdbg_attention_context(tdbg_backend_cpu_of(context), attention, probs, qkv, out, workspace);
}

static void cpu_attention_context_backward(void *context, const struct tdbg_attention *attention,
                                           const float *probs, const float *qkv,
                                           const float *dcontext, float *dprobs, float *dqkv,
                                           void *workspace)
{
    tdbg_attention_context_backward(tdbg_backend_cpu_of(context), attention, probs, qkv, dcontext,
                                    dprobs, dqkv, workspace);
}

void tdbg_backend_cpu_set_sequence(struct tdbg_backend *table)
{
    table->embedding_workspace_bytes = cpu_embedding_workspace_bytes;
    table->embedding_forward = cpu_embedding_forward;
    table->embedding_backward = cpu_embedding_backward;
    table->position_add = cpu_position_add;
    table->position_add_fixed = cpu_position_add;
    table->position_rotate = cpu_position_rotate;
    table->attention_workspace_bytes = cpu_attention_workspace_bytes;
    table->attention_scores = cpu_attention_scores;
    table->attention_scores_backward = cpu_attention_scores_backward;
    table->attention_softmax_forward = cpu_attention_softmax_forward;
    table->attention_softmax_backward = cpu_attention_softmax_backward;
    table->attention_context = cpu_attention_context;
    table->attention_context_backward = cpu_attention_context_backward;
}
