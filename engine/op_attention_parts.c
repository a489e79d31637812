/* The pieces between the products with weights: see op_attention.c, and kernels/attention.h for
 * what they compute. */
#include "engine/op_attention.h"

void tdbg_attention_add_rotary(struct tdbg_arena *arena, struct tdbg_attention_settings *settings,
                               double base)
{
    const struct tdbg_attention *a = &settings->attention;
    const size_t bytes = (size_t)(a->tokens * a->dim / 2) * sizeof(float);
    float *cos = tdbg_arena_alloc(arena, bytes), *sin = tdbg_arena_alloc(arena, bytes);
    tdbg_position_rotary_table(a->tokens, a->dim, base, cos, sin);
    settings->cos = cos;
    settings->sin = sin;
}

static struct tdbg_attention attention_of(const struct tdbg_node *node, int64_t rows)
{
    struct tdbg_attention a = ((const struct tdbg_attention_settings *)node->settings)->attention;
    a.rows = rows;
    return a;
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    const struct tdbg_attention a = attention_of(node, rows);
    return backend->attention_workspace_bytes(backend->context, &a);
}

/* ---- rotary ---- */

static bool same_shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

static void rotate(const struct tdbg_op_run *run, bool inverse, const float *x, float *y)
{
    const struct tdbg_attention_settings *s = run->node->settings;
    const struct tdbg_attention *a = &s->attention;
    const struct tdbg_rotary rotary = {.rows = run->rows,
                                       .tokens = a->tokens,
                                       .turned = a->heads + a->kv_heads,
                                       .kept = a->kv_heads,
                                       .dim = a->dim,
                                       .cos = s->cos,
                                       .sin = s->sin};
    run->backend->position_rotate(run->backend->context, &rotary, inverse, x, y);
}

static void rotary_forward(const struct tdbg_op_run *run)
{
    rotate(run, false, run->x, run->y);
}

static void rotary_backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        rotate(run, true, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_attn_rotary = {
    .kind = {"attn_rotary", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .is_hidden = true,
    .shape = same_shape,
    .forward = rotary_forward,
    .backward = rotary_backward,
};

/* ---- scores ---- */

static bool scores_shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct tdbg_attention a = attention_of(node, 1);
    (void)build;
    node->shape = (struct tdbg_shape){3, {a.heads, a.tokens, a.tokens}};
    return true;
}

static void scores_forward(const struct tdbg_op_run *run)
{
    const struct tdbg_attention a = attention_of(run->node, run->rows);
    run->backend->attention_scores(run->backend->context, &a, run->x, run->y, run->workspace);
}

static void scores_backward(const struct tdbg_op_run *run)
{
    const struct tdbg_attention a = attention_of(run->node, run->rows);
    if (run->dx)
        run->backend->attention_scores_backward(run->backend->context, &a, run->x, run->dy, run->dx,
                                                run->workspace);
}

const struct tdbg_op_class tdbg_op_attn_scores = {
    .kind = {"attn_scores", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .is_hidden = true,
    .shape = scores_shape,
    .workspace_bytes = workspace_bytes,
    .forward = scores_forward,
    .backward = scores_backward,
};

/* ---- probabilities ---- */

/* Padding is the softmax's matter: what it gives nothing to is +0 in all that follows. */
static struct tdbg_attention masked_attention(const struct tdbg_op_run *run)
{
    const struct tdbg_attention_settings *s = run->node->settings;
    struct tdbg_attention a = attention_of(run->node, run->rows);
    a.lengths = s->masks_padding ? run->lengths : NULL;
    return a;
}

static void softmax_forward(const struct tdbg_op_run *run)
{
    const struct tdbg_attention a = masked_attention(run);
    run->backend->attention_softmax_forward(run->backend->context, &a, run->x, run->y);
}

static void softmax_backward(const struct tdbg_op_run *run)
{
    const struct tdbg_attention a = masked_attention(run);
    if (run->dx)
        run->backend->attention_softmax_backward(run->backend->context, &a, run->y, run->dy,
                                                 run->dx);
}

const struct tdbg_op_class tdbg_op_attn_softmax = {
    .kind = {"attn_softmax", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_X,
    .is_hidden = true,
    .shape = same_shape,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

/* ---- context: inputs are the probabilities and qkv ---- */

static bool context_shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct tdbg_attention a = attention_of(node, 1);
    (void)build;
    node->shape = (struct tdbg_shape){2, {a.tokens, a.heads * a.dim}};
    return true;
}

static size_t context_workspace_bytes(const struct tdbg_backend *backend,
                                      const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_attention a = attention_of(node, rows);
    const size_t parts = workspace_bytes(backend, node, rows);
    const size_t fused = backend->attention_fused_workspace_bytes
                             ? backend->attention_fused_workspace_bytes(backend->context, &a)
                             : 0;
    return parts > fused ? parts : fused;
}

/* Logarithms of the sums of a fused call. */
static int64_t context_saved_elems(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_attention a = attention_of(node, rows);
    return a.rows * a.heads * a.tokens;
}

static void context_forward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct tdbg_attention a = attention_of(run->node, run->rows);
    if (run->fused)
        be->attention_fused_forward(be->context, &a, run->x2, run->y, run->saved);
    else
        be->attention_context(be->context, &a, run->x, run->x2, run->y, run->workspace);
}

static void context_backward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct tdbg_attention a = attention_of(run->node, run->rows);
    if (run->fused && run->dx2)
        be->attention_fused_backward(be->context, &a, run->x2, run->y, run->saved, run->dy,
                                     run->dx2, run->workspace);
    if (!run->fused || run->dx)
        be->attention_context_backward(be->context, &a, run->x, run->x2, run->dy, run->dx,
                                       run->fused ? NULL : run->dx2, run->workspace);
}

bool tdbg_attention_is_fusible(const struct tdbg_backend *be, const struct tdbg_graph *g, int32_t i)
{
    const struct tdbg_node *node = &g->nodes[i];
    if (!be->attention_fused_takes || node->op != &tdbg_op_attn_context || node->input[0] < 0 ||
        g->nodes[node->input[0]].op != &tdbg_op_attn_softmax)
        return false;
    const struct tdbg_node *probs = &g->nodes[node->input[0]];
    const struct tdbg_node *scores = &g->nodes[probs->input[0]];
    const struct tdbg_attention_settings *s = node->settings;
    return scores->input[0] == node->input[1] && !s->masks_padding &&
           be->attention_fused_takes(be->context, &s->attention);
}

const struct tdbg_op_class tdbg_op_attn_context = {
    .kind = {"attn_context", {NULL, 0}},
    .is_narrow = true,
    .is_hidden = true,
    .shape = context_shape,
    .workspace_bytes = context_workspace_bytes,
    .saved_elems = context_saved_elems,
    .forward = context_forward,
    .backward = context_backward,
};
