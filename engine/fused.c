/* What the engine does otherwise where the backend can do better than op by op in f32: activations
 * of 16 bits, and attention in one call. See engine_state.h. */
#include "engine/engine_state.h"
#include "engine/op_attention.h"

static bool graph_is_narrow(const struct tdbg_graph *g)
{
    bool narrow = tdbg_loss_is_narrow(&g->loss) && g->data[TDBG_SET_TRAIN].vocab > 0;
    for (int32_t i = 0; i < g->n_nodes; i++)
        narrow = narrow && g->nodes[i].op->is_narrow;
    return narrow;
}

/* Where the logits' rows are no multiple of 16 bytes, products over them take several times as long
 * as where they are. */
static void choose_stride(struct tdbg_engine *e)
{
    enum { MULTIPLE = 8 };
    struct tdbg_graph *g = e->graph;
    const struct tdbg_node *last = &g->nodes[g->n_nodes - 1];
    if (tdbg_engine_is_narrow(e) && last->op == &tdbg_op_linear && last->n_params == 1 &&
        g->loss.classes % MULTIPLE != 0 && tdbg_loss_takes_stride(&g->loss, e->ops))
        e->logits_stride = g->loss.classes + MULTIPLE - g->loss.classes % MULTIPLE;
    g->loss.stride = e->logits_stride;
}

void tdbg_engine_choose_ops(struct tdbg_engine *e)
{
    const struct tdbg_backend *bf16 = e->backend->bf16;
    const bool narrow = e->low_precision && bf16 && graph_is_narrow(e->graph);
    const size_t n = (size_t)e->graph->n_nodes;
    e->ops = narrow ? bf16 : e->backend;
    e->act_bytes = narrow ? sizeof(uint16_t) : sizeof(float);
    e->inside_of = tdbg_arena_alloc(e->graph->arena, n * sizeof *e->inside_of);
    choose_stride(e);
    tdbg_engine_choose_fused(e, false);
}

/* May a tap change what a node gives, or its gradient, in any step? */
static bool is_changed(const struct tdbg_engine *e, int32_t node)
{
    const int32_t parts = e->info.n_lanes * e->info.accumulate;
    uint8_t flags = 0;
    for (int32_t p = 0; p < parts; p++) {
        flags |= e->wanted[e->table.fwd[node] + p];
        if (e->graph->nodes[node].needs_grad)
            flags |= e->wanted[e->table.bwd[node] + p];
    }
    return flags & TDBG_WANT_CHANGE;
}

void tdbg_engine_choose_fused(struct tdbg_engine *e, bool has_taps)
{
    const struct tdbg_graph *g = e->graph;
    for (int32_t i = 0; i < g->n_nodes; i++)
        e->inside_of[i] = -1;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        if (!tdbg_attention_is_fusible(e->ops, g, i))
            continue;
        const int32_t probs = g->nodes[i].input[0], scores = g->nodes[probs].input[0];
        if (has_taps && (is_changed(e, probs) || is_changed(e, scores)))
            continue;
        e->inside_of[probs] = e->inside_of[scores] = i;
    }
}

static bool is_shown(const struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t node)
{
    return tdbg_engine_is_due(e, pass->step, e->table.fwd[node] + pass->part) ||
           (e->graph->nodes[node].needs_grad &&
            tdbg_engine_is_due(e, pass->step, e->table.bwd[node] + pass->part));
}

bool tdbg_engine_shows_inside(const struct tdbg_engine *e, const struct tdbg_pass *pass,
                              int32_t node)
{
    const int32_t probs = e->graph->nodes[node].input[0];
    return pass->training &&
           (is_shown(e, pass, probs) || is_shown(e, pass, e->graph->nodes[probs].input[0]));
}
