/* Forward and backward of parts: a lane's micro-batch, or a slice of the evaluation set. Parts run
 * alone, or the lanes of a micro-batch together (see struct tdbg_slot).
 *
 * Gradients run from the last node to the first. A node that several others read gets the sum of
 * what they give, added in the order in which they run backward: the highest node first. */
#include "engine/engine_state.h"

static enum tdbg_status show(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t site,
                             const void *data, int64_t elems, int32_t same_as, struct tdbg_err *err)
{
    if (!pass->training)
        return TDBG_OK;
    return tdbg_engine_show(e, pass->step, site + pass->part, data, elems,
                            same_as < 0 ? -1 : same_as + pass->part, err);
}

/* The same for what ops give: in low precision taps see the 16-bit values. */
static enum tdbg_status show_activation(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                        int32_t site, float *data, int64_t elems, int32_t same_as,
                                        struct tdbg_err *err)
{
    const struct tdbg_backend *be = e->backend;
    if (!e->low_precision || tdbg_engine_is_narrow(e) || !pass->training ||
        !tdbg_engine_is_due(e, pass->step, site + pass->part))
        return show(e, pass, site, data, elems, same_as, err);
    be->bf16_pack(be->context, elems, data, e->packed);
    enum tdbg_status st = show(e, pass, site, e->packed, elems, same_as, err);
    if (e->wanted[site + pass->part] & TDBG_WANT_CHANGE)
        be->bf16_unpack(be->context, elems, e->packed, data);
    return st;
}

/* The same for a node's output or its gradient; other rows than taps see are apart. */
static enum tdbg_status show_node(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t node,
                                  int32_t site, float *data, int32_t same_as, struct tdbg_err *err)
{
    const struct tdbg_graph *g = e->graph;
    const int64_t samples = pass->hi - pass->lo, elems = samples * g->nodes[node].elems;
    const bool apart = tdbg_engine_act_elems(e, node) != g->nodes[node].elems;
    if (!apart)
        return show_activation(e, pass, site, data, elems, same_as, err);
    if (!pass->training || !tdbg_engine_is_due(e, pass->step, site + pass->part))
        return TDBG_OK;
    const int64_t rows = samples * g->loss.targets, cols = g->loss.classes;
    float *together = (float *)(void *)e->packed;
    e->ops->fast_copy_rows(e->ops->context, rows, cols, data, e->logits_stride, together, cols);
    const enum tdbg_status st = show(e, pass, site, together, elems, same_as, err);
    if (e->wanted[site + pass->part] & TDBG_WANT_CHANGE)
        e->ops->fast_copy_rows(e->ops->context, rows, cols, together, cols, data, e->logits_stride);
    return st;
}

static void round_floats(struct tdbg_engine *e, float *data, int64_t elems)
{
    if (e->low_precision)
        e->backend->bf16_round(e->backend->context, elems, data, data);
}

/* Of activations, which are rounded already where there are only 16 bits for them. */
static void round_values(struct tdbg_engine *e, float *data, int64_t elems)
{
    if (!tdbg_engine_is_narrow(e))
        round_floats(e, data, elems);
}

void tdbg_engine_round_params(struct tdbg_engine *e)
{
    const struct tdbg_backend *be = e->backend;
    if (tdbg_engine_is_narrow(e))
        be->bf16_pack(be->context, e->flat_elems, e->param, (uint16_t *)(void *)e->param_low);
    else if (e->low_precision)
        be->bf16_round(be->context, e->flat_elems, e->param, e->param_low);
}

/* Tokens as they are: upload.c has checked that each is one. */
static enum tdbg_status run_tokens(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const int64_t elems = g->sample_elems, n = (pass->hi - pass->lo) * elems;
    e->backend->copy(e->backend->context, pass->slot->index,
                     (const int32_t *)(const void *)e->raw_x + pass->lo * elems,
                     (size_t)n * sizeof *pass->slot->index);
    TDBG_TRY(show(e, pass, e->table.input[0], pass->slot->index, n, -1, err));
    if (g->pad >= 0)
        TDBG_TRY(
            show(e, pass, e->table.length, e->length + pass->lo, pass->hi - pass->lo, -1, err));
out:
    return st;
}

/* Raw samples to input/x: as f32 first, then every transform with a buffer of its own. */
static enum tdbg_status run_transforms(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                       struct tdbg_err *err)
{
    const struct tdbg_graph *g = e->graph;
    const struct tdbg_backend *be = e->backend;
    const bool bytes = g->data[TDBG_SET_TRAIN].x_dtype == TDBG_DTYPE_U8;
    const int64_t elems = g->sample_elems, rows = pass->hi - pass->lo, n = rows * elems;
    float *const *input = pass->slot->input;
    enum tdbg_status st = TDBG_OK;
    if (g->data[TDBG_SET_TRAIN].vocab > 0)
        return run_tokens(e, pass, err);
    float *first = g->n_transforms > 0 ? e->raw_f32 : input[0];
    const float *x = bytes ? first : (const float *)(const void *)e->raw_x + pass->lo * elems;
    if (bytes)
        be->u8_to_f32(be->context, n, e->raw_x + pass->lo * elems, first);
    else if (g->n_transforms == 0)
        be->copy(be->context, first, x, (size_t)n * sizeof *first);
    if (g->n_transforms == 0) {
        round_values(e, first, n);
        TDBG_TRY(show_activation(e, pass, e->table.input[0], first, n, -1, err));
    }
    struct tdbg_transform_run run = {.backend = be,
                                     .rows = rows,
                                     .x = x,
                                     .ids = e->raw_id + pass->lo,
                                     .seed = e->info.seed,
                                     .epoch = pass->step / e->info.steps_per_epoch,
                                     .training = pass->training};
    for (int32_t i = 0; i < g->n_transforms; i++) {
        const int64_t n_out = rows * tdbg_shape_elems(&g->transforms[i].out);
        run.y = input[i];
        tdbg_transform_apply(&g->transforms[i], &run);
        round_values(e, input[i], n_out);
        TDBG_TRY(show_activation(e, pass, e->table.input[i], input[i], n_out, -1, err));
        run.x = input[i];
    }
out:
    return st;
}

static int32_t last_input(const struct tdbg_graph *g)
{
    return g->n_transforms > 0 ? g->n_transforms - 1 : 0;
}

static const float *read_node(const struct tdbg_engine *e, const struct tdbg_slot *slot, int32_t at)
{
    return at == TDBG_NODE_INPUT_X ? slot->input[last_input(e->graph)] : slot->act[at];
}

void tdbg_engine_fill_call(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t i,
                           float *flat_grad, struct tdbg_call *call)
{
    const struct tdbg_graph *g = e->graph;
    const struct tdbg_node *node = &g->nodes[i];
    const struct tdbg_slot *slot = pass->slot;
    for (int32_t k = 0; k < node->n_params; k++) {
        const struct tdbg_param *p = &g->params[node->param[k]];
        call->param[k] = tdbg_engine_at(e, e->param_low, p->offset);
        call->grad[k] = !flat_grad          ? NULL
                        : p->last_node == i ? flat_grad + p->offset
                                            : e->shared_grad;
    }
    for (int32_t k = 0; k < node->n_buffers; k++) {
        const struct tdbg_graph_buffer *b = &g->buffers[node->buffer[k]];
        const int32_t lane = b->shared ? 0 : pass->lane - e->info.first_lane;
        call->buffer[k] = e->buffer + lane * g->buffer_elems + b->offset;
    }
    const bool index = node->op->takes_index;
    call->run = (struct tdbg_op_run){
        .backend = e->ops,
        .act_bytes = e->act_bytes,
        .node = node,
        .rows = pass->hi - pass->lo,
        .x = index ? NULL : read_node(e, slot, node->input[0]),
        .x2 = node->n_inputs > 1 ? read_node(e, slot, node->input[1]) : NULL,
        .index = index ? slot->index : NULL,
        .lengths = e->length ? e->length + pass->lo : NULL,
        .y = slot->act[i],
        .y_stride = i == g->n_nodes - 1 ? e->logits_stride : 0,
        .param = call->param,
        .grad = call->grad,
        .buffer = call->buffer,
        .saved = slot->saved[i],
        .workspace = e->workspace,
        .training = pass->training,
        .seed = e->info.seed,
        .step = pass->step,
        .first_sample = pass->lo,
        .all_rows = pass->all_rows,
        .leads = pass->slot == e->slots,
        .fused = node->n_inputs > 1 && node->input[0] >= 0 && e->inside_of[node->input[0]] == i};
}

static enum tdbg_status run_node(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t i,
                                 struct tdbg_err *err)
{
    const struct tdbg_graph *g = e->graph;
    const struct tdbg_node *node = &g->nodes[i];
    float *y = pass->slot->act[i];
    int32_t same_as = -1;
    if (node->op->is_view) {
        const int32_t from = node->input[0];
        same_as = from == TDBG_NODE_INPUT_X ? e->table.input[last_input(g)] : e->table.fwd[from];
    } else if (e->inside_of[i] < 0 || tdbg_engine_shows_inside(e, pass, e->inside_of[i])) {
        struct tdbg_call call;
        tdbg_engine_fill_call(e, pass, i, NULL, &call);
        node->op->forward(&call.run);
        round_values(e, y, (pass->hi - pass->lo) * node->elems);
    }
    return show_node(e, pass, i, e->table.fwd[i], y, same_as, err);
}

static enum tdbg_status run_loss(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                 struct tdbg_err *err)
{
    const struct tdbg_graph *g = e->graph;
    const int64_t rows = pass->hi - pass->lo;
    const struct tdbg_slot *slot = pass->slot;
    tdbg_loss_forward(&g->loss, e->ops, rows, slot->act[g->n_nodes - 1],
                      tdbg_engine_targets(e, pass->lo), slot->loss_sample, e->loss_workspace);
    tdbg_engine_apply_weights(e, pass, e->backend, slot->loss_sample, 1);
    return show(e, pass, e->table.loss_sample, slot->loss_sample, rows, -1, err);
}

enum tdbg_status tdbg_engine_forward(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t n,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t p = 0; p < n; p++) {
        TDBG_TRY(run_transforms(e, &pass[p], err));
        TDBG_TRY(tdbg_engine_show_weights(e, &pass[p], err));
    }
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        TDBG_TRY(tdbg_engine_run_folds(e, pass, n, i, false, err));
        for (int32_t p = 0; p < n; p++)
            TDBG_TRY(run_node(e, &pass[p], i, err));
    }
    for (int32_t p = 0; p < n; p++)
        TDBG_TRY(run_loss(e, &pass[p], err));
out:
    return st;
}

/* Where an input's gradient is at the moment. */
enum { GRAD_NONE = -2, GRAD_OWN = -1 /* >= 0: the same bits as that node's gradient */ };

/* Where a node's backward puts the gradient of its input: its place if it is the first to give one,
 * else a spare block that is added afterwards. NULL: nobody needs it. */
static float *place_gradient(struct tdbg_engine *e, const struct tdbg_slot *slot, int32_t from)
{
    if (from == TDBG_NODE_INPUT_X || !e->graph->nodes[from].needs_grad)
        return NULL;
    return slot->grad_from[from] == GRAD_NONE ? slot->dact[from] : e->more_grad;
}

/* After a node's backward: rounds what it gave, and adds it to what others gave before. */
static void settle_gradient(struct tdbg_engine *e, const struct tdbg_slot *slot, int32_t i,
                            int32_t from, float *given, int64_t rows)
{
    if (!given)
        return;
    const int64_t n = rows * e->graph->nodes[from].elems;
    if (given == slot->dact[i]) {
        slot->grad_from[from] = i;
        return;
    }
    round_values(e, given, n);
    if (slot->grad_from[from] != GRAD_NONE) {
        e->ops->vector_add(e->ops->context, n, slot->dact[from], given);
        round_values(e, slot->dact[from], n);
    }
    slot->grad_from[from] = GRAD_OWN;
}

/* Backward of the ops that only hand their gradient on. */
static void pass_view_back(struct tdbg_engine *e, const struct tdbg_slot *slot, int32_t i,
                           int64_t rows)
{
    const struct tdbg_backend *be = e->backend;
    const int32_t from = e->graph->nodes[i].input[0];
    float *dx = place_gradient(e, slot, from);
    if (dx && dx != slot->dact[i])
        be->copy(be->context, dx, slot->dact[i],
                 (size_t)(rows * e->graph->nodes[i].elems) * e->act_bytes);
    settle_gradient(e, slot, i, from, dx, rows);
}

static void settle_params(struct tdbg_engine *e, int32_t i, const struct tdbg_call *call,
                          float *flat_grad)
{
    const struct tdbg_node *node = &e->graph->nodes[i];
    for (int32_t k = 0; k < node->n_params; k++) {
        const struct tdbg_param *p = &e->graph->params[node->param[k]];
        round_floats(e, call->grad[k], p->elems);
        if (p->last_node != i) /* shared: the last node that reads it ran backward before */
            e->backend->vector_add(e->backend->context, p->elems, flat_grad + p->offset,
                                   call->grad[k]);
    }
}

/* A node inside of another's call that reads what the other reads too: that call gives the gradient
 * of it whole. */
static bool leaves_gradient_to_other(const struct tdbg_engine *e, int32_t i)
{
    const int32_t from = e->graph->nodes[i].input[0];
    return e->inside_of[i] >= 0 && (from == TDBG_NODE_INPUT_X || e->inside_of[from] < 0);
}

static void run_node_back(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t i,
                          float *flat_grad)
{
    const struct tdbg_node *node = &e->graph->nodes[i];
    const struct tdbg_slot *slot = pass->slot;
    const int64_t rows = pass->hi - pass->lo;
    if (node->op->is_view) {
        pass_view_back(e, slot, i, rows);
        return;
    }
    struct tdbg_call call;
    const bool seen = e->inside_of[i] < 0 || tdbg_engine_shows_inside(e, pass, e->inside_of[i]);
    if (!seen || leaves_gradient_to_other(e, i))
        return;
    tdbg_engine_fill_call(e, pass, i, flat_grad, &call);
    tdbg_op_hide_unread(&call.run);
    call.run.dy = slot->dact[i];
    if (!call.run.fused || tdbg_engine_shows_inside(e, pass, i))
        call.run.dx = place_gradient(e, slot, node->input[0]);
    if (node->n_inputs > 1)
        call.run.dx2 = place_gradient(e, slot, node->input[1]);
    node->op->backward(&call.run);
    settle_gradient(e, slot, i, node->input[0], call.run.dx, rows);
    if (node->n_inputs > 1)
        settle_gradient(e, slot, i, node->input[1], call.run.dx2, rows);
    settle_params(e, i, &call, flat_grad);
}

static void run_loss_back(struct tdbg_engine *e, const struct tdbg_pass *pass)
{
    const struct tdbg_graph *g = e->graph;
    const struct tdbg_slot *slot = pass->slot;
    const int32_t last = g->n_nodes - 1;
    const int64_t rows = pass->hi - pass->lo;
    for (int32_t i = 0; i <= last; i++)
        slot->grad_from[i] = GRAD_NONE;
    tdbg_loss_backward(&g->loss, e->ops, rows, slot->act[last], tdbg_engine_targets(e, pass->lo),
                       slot->dact[last]);
    tdbg_engine_apply_weights(e, pass, e->ops, slot->dact[last], tdbg_engine_act_elems(e, last));
    round_values(e, slot->dact[last], rows * g->nodes[last].elems);
    slot->grad_from[last] = GRAD_OWN;
}

/* The gradient of node i's output, which is whole before the node runs backward. */
static enum tdbg_status show_gradient(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                      int32_t i, struct tdbg_err *err)
{
    const int32_t same = pass->slot->grad_from[i];
    return show_node(e, pass, i, e->table.bwd[i], pass->slot->dact[i],
                     same >= 0 ? e->table.bwd[same] : -1, err);
}

enum tdbg_status tdbg_engine_backward(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                      int32_t n, float *const *flat_grad, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t p = 0; p < n; p++)
        run_loss_back(e, &pass[p]);
    for (int32_t i = e->graph->n_nodes - 1; i >= 0; i--) {
        if (!e->graph->nodes[i].needs_grad)
            continue;
        for (int32_t p = 0; p < n; p++)
            TDBG_TRY(show_gradient(e, &pass[p], i, err));
        TDBG_TRY(tdbg_engine_run_folds(e, pass, n, i, true, err));
        for (int32_t p = 0; p < n; p++)
            run_node_back(e, &pass[p], i, flat_grad[p]);
        if (pass->reduces)
            TDBG_TRY(tdbg_engine_start_reductions(e, pass->step, i, err));
    }
out:
    return st;
}
