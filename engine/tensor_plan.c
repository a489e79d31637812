/* Walks through forward and backward as pass.c does, and gives out blocks. See tensor_plan.h. */
#include "engine/tensor_plan.h"

#include "engine/op.h"

/* A plan at work. */
struct work {
    const struct tdbg_graph *graph;
    struct tdbg_tensor_plan plan;
    bool *taken; /* (n_blocks) */
};

static struct work start(const struct tdbg_graph *g)
{
    const size_t n = (size_t)g->n_nodes;
    struct work w = {.graph = g, .taken = tdbg_arena_alloc(g->arena, n * sizeof *w.taken)};
    w.plan.block_elems = tdbg_arena_alloc(g->arena, n * sizeof *w.plan.block_elems);
    w.plan.block = tdbg_arena_alloc(g->arena, n * sizeof *w.plan.block);
    for (size_t i = 0; i < n; i++)
        w.plan.block[i] = -1;
    return w;
}

/* Whether block a suits a tensor better than block b, none of which is taken. */
static bool suits_better(int64_t elems, int64_t a, int64_t b)
{
    if ((a >= elems) != (b >= elems))
        return a >= elems;
    return a >= elems ? a <= b : a > b;
}

/* Gives node i's tensor the smallest free block that is large enough, of equals the one that was
 * made last; else the largest free one, which grows; else a new one. */
static void acquire(struct work *w, int32_t i)
{
    struct tdbg_tensor_plan *plan = &w->plan;
    const int64_t elems = w->graph->nodes[i].elems;
    int32_t best = -1;
    if (plan->block[i] >= 0)
        return;
    for (int32_t k = 0; k < plan->n_blocks; k++)
        if (!w->taken[k] &&
            (best < 0 || suits_better(elems, plan->block_elems[k], plan->block_elems[best])))
            best = k;
    if (best < 0) {
        best = plan->n_blocks++;
        plan->block_elems[best] = 0;
    }
    if (plan->block_elems[best] < elems)
        plan->block_elems[best] = elems;
    w->taken[best] = true;
    plan->block[i] = best;
}

/* The node whose output node i's is: itself, but for views; TDBG_NODE_INPUT_X. */
static int32_t origin(const struct tdbg_graph *g, int32_t i)
{
    while (i != TDBG_NODE_INPUT_X && g->nodes[i].op->is_view)
        i = g->nodes[i].input[0];
    return i;
}

/* last[i]: the last node that reads what node i gives, in forward or as a view; n_nodes: backward
 * or the loss reads it. */
static void find_last_readers(const struct tdbg_graph *g, int32_t *last)
{
    static const int flag[TDBG_MAX_NODE_INPUTS] = {TDBG_OP_X, TDBG_OP_X2};
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tdbg_node *node = &g->nodes[i];
        last[i] = node->op->unread & TDBG_OP_Y ? i : g->n_nodes;
        for (int32_t k = 0; k < node->n_inputs && !node->op->is_view; k++) {
            const int32_t from = origin(g, node->input[k]);
            const int32_t until = node->op->unread & flag[k] ? i : g->n_nodes;
            if (from != TDBG_NODE_INPUT_X && last[from] < until)
                last[from] = until;
        }
    }
    const int32_t logits = origin(g, g->n_nodes - 1);
    if (logits != TDBG_NODE_INPUT_X)
        last[logits] = g->n_nodes;
}

struct tdbg_tensor_plan tdbg_plan_activations(const struct tdbg_graph *g)
{
    struct work w = start(g);
    int32_t *last = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * sizeof *last);
    find_last_readers(g, last);
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const int32_t from = origin(g, i);
        if (from == i)
            acquire(&w, i);
        else if (from != TDBG_NODE_INPUT_X)
            w.plan.block[i] = w.plan.block[from];
        for (int32_t k = 0; k <= i; k++)
            if (last[k] == i && origin(g, k) == k)
                w.taken[w.plan.block[k]] = false;
    }
    return w.plan;
}

/* Does node i's gradient have the same bits as that of its input 0, which then can be in the same
 * place? So it is for views and sums, where nobody else reads the input. */
static bool shares_gradient(const struct tdbg_graph *g, int32_t i)
{
    const struct tdbg_node *node = &g->nodes[i];
    const int32_t from = node->input[0];
    return (node->op->is_view || node->op == &tdbg_op_add) && from != TDBG_NODE_INPUT_X &&
           g->nodes[from].needs_grad && g->nodes[from].n_readers == 1;
}

static int32_t gradient_origin(const struct tdbg_graph *g, int32_t i)
{
    while (shares_gradient(g, i))
        i = g->nodes[i].input[0];
    return i;
}

struct tdbg_tensor_plan tdbg_plan_gradients(const struct tdbg_graph *g)
{
    struct work w = start(g);
    for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
        const struct tdbg_node *node = &g->nodes[i];
        if (!node->needs_grad)
            continue;
        acquire(&w, gradient_origin(g, i)); /* the last node's, which the loss gives */
        for (int32_t k = 0; k < node->n_inputs; k++)
            if (node->input[k] != TDBG_NODE_INPUT_X && g->nodes[node->input[k]].needs_grad)
                acquire(&w, gradient_origin(g, node->input[k]));
        if (!shares_gradient(g, i))
            w.taken[w.plan.block[i]] = false;
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].needs_grad)
            w.plan.block[i] = w.plan.block[gradient_origin(g, i)];
    return w.plan;
}
