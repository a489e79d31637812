/* All memory of an engine, taken once when it is created. See engine_state.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "engine/engine_state.h"
#include "engine/tensor_plan.h"

/* Stands for every block after the first that there was no memory for. Nobody reads or writes it:
 * what follows is only counted, so that the message can say how much all of it is. */
static max_align_t no_block;

static void free_blocks(struct tdbg_engine *e)
{
    for (int i = 0; i < e->n_blocks; i++)
        e->backend->free(e->backend->context, e->blocks[i]);
    e->n_blocks = 0;
}

/* A zeroed block on the device that destroy frees, or, when memory has run out, no_block. */
static enum tdbg_status take(struct tdbg_engine *e, void *out, int64_t elems, size_t width,
                             const char *what, struct tdbg_err *err)
{
    size_t bytes = (size_t)elems * width;
    void *p = &no_block;
    e->taken_bytes += (int64_t)bytes;
    if (e->n_blocks == e->blocks_room) {
        int room = e->blocks_room ? e->blocks_room * 2 : 64;
        void **blocks = realloc(e->blocks, (size_t)room * sizeof *blocks);
        if (!blocks)
            return TDBG_RAISE(err, NO_MEMORY, "no memory for the engine");
        e->blocks = blocks;
        e->blocks_room = room;
    }
    if (!e->lacking) {
        p = e->backend->alloc(e->backend->context, bytes ? bytes : 1);
        if (p)
            e->blocks[e->n_blocks++] = p;
    }
    if (!p) {
        e->lacking = what;
        e->lacking_bytes = (int64_t)bytes;
        p = &no_block;
    }
    memcpy(out, &p, sizeof p);
    return TDBG_OK;
}

/* Buffers that hold the fold: one per level of the lane tree and one for the lane at work. Lanes
 * that run together have one each. */
static int32_t fold_buffers(int32_t lanes, bool together)
{
    int32_t n = 1;
    if (together)
        return lanes;
    while ((INT32_C(1) << (n - 1)) < lanes)
        n++;
    return n;
}

static enum tdbg_status take_flat(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n = e->flat_elems;
    TDBG_TRY(take(e, &e->param, n, sizeof(float), "parameters", err));
    TDBG_TRY(take(e, &e->grad, n, sizeof(float), "gradients", err));
    for (int s = 0; s < e->optimizer.n_states; s++)
        TDBG_TRY(take(e, &e->optim[s], n, sizeof(float), "optimizer state", err));
    e->n_flat_pool = fold_buffers(e->info.n_lanes, e->n_slots > 1);
    e->flat_pool = tdbg_arena_alloc(e->graph->arena, (size_t)e->n_flat_pool * sizeof *e->flat_pool);
    for (int i = 0; i < e->n_flat_pool; i++)
        TDBG_TRY(take(e, &e->flat_pool[i], n, sizeof(float), "lane gradients", err));
    if (e->has_others)
        TDBG_TRY(take(e, &e->reduced, n, sizeof(float), "reduced gradients", err));
    e->param_low = e->param;
    if (e->low_precision)
        TDBG_TRY(take(e, &e->param_low, n, e->act_bytes, "rounded parameters", err));
    int64_t shared = 0;
    for (int32_t p = 0; p < e->graph->n_params; p++) {
        const struct tdbg_param *param = &e->graph->params[p];
        if (param->node != param->last_node && param->elems > shared)
            shared = param->elems;
    }
    TDBG_TRY(take(e, &e->shared_grad, shared, sizeof(float), "gradients", err));
    TDBG_TRY(take(e, &e->buffer, e->graph->buffer_elems * e->info.n_lanes, sizeof(float),
                  "running statistics", err));
out:
    return st;
}

static enum tdbg_status take_batch(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n = e->info.batch;
    size_t sample_bytes =
        (size_t)e->graph->sample_elems * tdbg_dtype_bytes(e->graph->data[TDBG_SET_TRAIN].x_dtype);
    TDBG_TRY(take(e, &e->raw_x, n, sample_bytes, "samples", err));
    TDBG_TRY(take(e, &e->raw_id, n, sizeof(int64_t), "sample ids", err));
    const size_t targets = (size_t)e->graph->loss.targets;
    const size_t y_bytes = targets * tdbg_dtype_bytes(e->graph->data[TDBG_SET_TRAIN].y_dtype);
    TDBG_TRY(take(e, &e->raw_y, n, y_bytes, "targets", err));
    TDBG_TRY(take(e, &e->target, n, targets * sizeof(float), "targets", err));
    if (e->graph->pad >= 0) {
        TDBG_TRY(take(e, &e->length, n, sizeof *e->length, "lengths", err));
        e->host_length = calloc((size_t)n, sizeof *e->host_length);
        TDBG_FAIL_IF(!e->host_length, NO_MEMORY, "no memory for lengths");
    }
    if (e->n_dropped > 0) {
        TDBG_TRY(take(e, &e->weight, n, sizeof *e->weight, "weights of samples", err));
        e->host_weight = calloc((size_t)n, sizeof *e->host_weight);
        TDBG_FAIL_IF(!e->host_weight, NO_MEMORY, "no memory for weights of samples");
    }
    e->host_x = malloc((size_t)n * sample_bytes);
    e->host_id = malloc((size_t)n * sizeof(int64_t));
    e->host_y = malloc((size_t)n * y_bytes);
    e->host_target = malloc((size_t)n * targets * sizeof(float));
    TDBG_FAIL_IF(!e->host_x || !e->host_id || !e->host_y || !e->host_target, NO_MEMORY,
                 "no memory for a batch of %lld samples", (long long)n);
out:
    return st;
}

/* The blocks of a plan, and in them a place for each node's tensor; `input` where it has none. */
static enum tdbg_status take_plan(struct tdbg_engine *e, const struct tdbg_tensor_plan *plan,
                                  const char *what, float *input, float **place,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_graph *g = e->graph;
    float **block = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * sizeof *block);
    const int32_t last = g->n_nodes - 1, logits = plan->block[last];
    for (int32_t i = 0; i < plan->n_blocks; i++) {
        const int64_t apart = i == logits ? tdbg_engine_act_elems(e, last) : 0;
        const int64_t elems = plan->block_elems[i] > apart ? plan->block_elems[i] : apart;
        TDBG_TRY(take(e, &block[i], e->part_rows * elems, e->act_bytes, what, err));
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        place[i] = plan->block[i] >= 0 ? block[plan->block[i]] : input;
out:
    return st;
}

static enum tdbg_status take_nodes(struct tdbg_engine *e, struct tdbg_slot *slot,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    float *input = slot->input[g->n_transforms > 0 ? g->n_transforms - 1 : 0];
    const struct tdbg_tensor_plan act = tdbg_plan_activations(g), dact = tdbg_plan_gradients(g);
    TDBG_TRY(take_plan(e, &act, "activations", input, slot->act, err));
    TDBG_TRY(take_plan(e, &dact, "gradients", NULL, slot->dact, err));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tdbg_node *node = &g->nodes[i];
        if (node->op->saved_elems)
            TDBG_TRY(take(e, &slot->saved[i], node->op->saved_elems(node, e->part_rows),
                          sizeof(float), node->name, err));
    }
out:
    return st;
}

static enum tdbg_status take_input(struct tdbg_engine *e, struct tdbg_slot *slot,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const int32_t n = g->n_transforms > 0 ? g->n_transforms : 1;
    const bool tokens = g->data[TDBG_SET_TRAIN].vocab > 0;
    slot->input = tdbg_arena_alloc(g->arena, (size_t)n * sizeof *slot->input);
    if (tokens)
        return take(e, &slot->index, e->part_rows * g->sample_elems, sizeof *slot->index, "input/x",
                    err);
    for (int32_t i = 0; i < n; i++) {
        const int64_t elems =
            g->n_transforms > 0 ? tdbg_shape_elems(&g->transforms[i].out) : g->sample_elems;
        TDBG_TRY(take(e, &slot->input[i], e->part_rows * elems, sizeof(float), "input/x", err));
    }
out:
    return st;
}

/* Elements of the largest fold of a part; 0: the graph has none. */
static int64_t most_fold_elems(const struct tdbg_graph *g)
{
    int64_t most = 0;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        int32_t n;
        const struct tdbg_op_fold *folds = tdbg_op_folds(&g->nodes[i], &n);
        TDBG_ASSERT(n <= TDBG_MAX_NODE_FOLDS);
        for (int32_t k = 0; k < n; k++) {
            const struct tdbg_shape shape = folds[k].shape(&g->nodes[i]);
            most = tdbg_shape_elems(&shape) > most ? tdbg_shape_elems(&shape) : most;
        }
    }
    return most;
}

static enum tdbg_status take_slot(struct tdbg_engine *e, struct tdbg_slot *slot,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const size_t pointer = sizeof(float *), nodes = (size_t)g->n_nodes;
    const int64_t fold_elems = most_fold_elems(g);
    slot->act = tdbg_arena_alloc(g->arena, nodes * pointer);
    slot->dact = tdbg_arena_alloc(g->arena, nodes * pointer);
    slot->saved = tdbg_arena_alloc(g->arena, nodes * pointer);
    slot->grad_from = tdbg_arena_alloc(g->arena, nodes * sizeof *slot->grad_from);
    TDBG_TRY(take_input(e, slot, err));
    TDBG_TRY(take_nodes(e, slot, err));
    TDBG_TRY(take(e, &slot->loss_sample, e->part_rows, sizeof(float), "loss/sample", err));
    if (e->info.accumulate > 1)
        TDBG_TRY(
            take(e, &slot->micro_grad, e->flat_elems, sizeof(float), "micro-batch gradients", err));
    TDBG_TRY(take(e, &slot->sum, fold_elems, sizeof(float), "sums over lanes", err));
    TDBG_TRY(take(e, &slot->folded, fold_elems, sizeof(float), "sums over lanes", err));
out:
    return st;
}

/* Lanes run together where an op folds sums of theirs in the middle of the graph. */
static void choose_slots(struct tdbg_engine *e)
{
    struct tdbg_arena *arena = e->graph->arena;
    e->has_folds = most_fold_elems(e->graph) > 0;
    e->n_slots = e->has_folds ? e->info.n_lanes : 1;
    const size_t n = (size_t)e->n_slots;
    e->slots = tdbg_arena_alloc(arena, n * sizeof *e->slots);
    e->passes = tdbg_arena_alloc(arena, n * sizeof *e->passes);
    e->fold_lane = tdbg_arena_alloc(arena, n * sizeof *e->fold_lane);
    e->part_grad = tdbg_arena_alloc(arena, n * sizeof *e->part_grad);
}

static enum tdbg_status take_activations(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const bool bytes = g->data[TDBG_SET_TRAIN].x_dtype == TDBG_DTYPE_U8;
    int64_t most = g->sample_elems, most_shared = 0;
    for (int32_t i = 0; i < g->n_transforms; i++) {
        const int64_t elems = tdbg_shape_elems(&g->transforms[i].out);
        most = elems > most ? elems : most;
    }
    for (int32_t s = 0; s < e->n_slots; s++)
        TDBG_TRY(take_slot(e, &e->slots[s], err));
    TDBG_TRY(take(e, &e->fold_spare, most_fold_elems(g), sizeof(float), "sums over ranks", err));
    if (bytes && g->n_transforms > 0)
        TDBG_TRY(
            take(e, &e->raw_f32, e->part_rows * g->sample_elems, sizeof(float), "samples", err));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tdbg_node *node = &g->nodes[i];
        most = node->elems > most ? node->elems : most;
        if (node->n_readers > 1 && node->elems > most_shared)
            most_shared = node->elems;
    }
    TDBG_TRY(take(e, &e->more_grad, e->part_rows * most_shared, e->act_bytes, "gradients", err));
    if (e->low_precision && (!tdbg_engine_is_narrow(e) || e->logits_stride > 0))
        TDBG_TRY(take(e, &e->packed, e->part_rows * most, sizeof *e->packed, "bf16 values", err));
    TDBG_TRY(take(e, &e->sum_scratch, e->part_rows, sizeof(float), "sums", err));
    TDBG_TRY(take(e, &e->scalar, SCALAR_COUNT, sizeof(float), "scalars", err));
out:
    return st;
}

static enum tdbg_status take_loss(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_loss *loss = &e->graph->loss;
    float *weights;
    TDBG_TRY(take(e, &e->loss_workspace, tdbg_loss_workspace_elems(loss, e->part_rows),
                  sizeof(float), "losses", err));
    TDBG_TRY(take(e, &weights, tdbg_loss_n_weights(loss), sizeof *weights, "class weights", err));
    if (!e->lacking)
        TDBG_TRY(tdbg_loss_place_weights(loss, e->backend, weights, err));
out:
    return st;
}

/* Gradients are clipped in the order in which backward makes them. */
static enum tdbg_status take_clip(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const size_t n_params = (size_t)g->n_params;
    struct tdbg_range *range = tdbg_arena_alloc(g->arena, n_params * sizeof *range);
    int32_t n = 0;
    e->clip_param = tdbg_arena_alloc(g->arena, n_params * sizeof *e->clip_param);
    for (int32_t p = g->n_params - 1; p >= 0; p--) {
        if (e->settings[p].frozen)
            continue;
        range[n] = (struct tdbg_range){.offset = g->params[p].offset, .elems = g->params[p].elems};
        e->clip_param[n++] = p;
    }
    e->clip_ranges = tdbg_ranges_of(range, n);
    TDBG_TRY(take(e, &e->clip_norm, 2, sizeof(float), "clipping", err));
    TDBG_TRY(take(e, &e->clip_squares, n, sizeof(float), "clipping", err));
    TDBG_TRY(take(e, &e->clip_scratch, tdbg_clip_scratch_elems(&e->clip_ranges), sizeof(float),
                  "clipping", err));
out:
    return st;
}

/* Between the device and the other ranks. */
static enum tdbg_status take_travel(struct tdbg_engine *e, struct tdbg_err *err)
{
    const int64_t fold = most_fold_elems(e->graph);
    const int64_t once = fold > e->eval_reduction.elems ? fold : e->eval_reduction.elems;
    const size_t n = (size_t)(e->flat_elems + once);
    if (!e->has_others || e->backend->on_host || e->source.reduces_on_device)
        return TDBG_OK;
    e->host_sums = calloc(n, sizeof *e->host_sums);
    e->host_reduced = calloc(n, sizeof *e->host_reduced);
    if (!e->host_sums || !e->host_reduced)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the gradients of other ranks");
    tdbg_backend_pin(e->backend, e->host_sums, n * sizeof *e->host_sums);
    tdbg_backend_pin(e->backend, e->host_reduced, n * sizeof *e->host_reduced);
    return TDBG_OK;
}

static enum tdbg_status take_workspace(struct tdbg_engine *e, struct tdbg_err *err)
{
    size_t most = 0;
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        const struct tdbg_node *node = &e->graph->nodes[i];
        if (!node->op->workspace_bytes)
            continue;
        /* A product of fewer rows may be split in another way, and need more. */
        for (int64_t rows = 1; rows <= e->part_rows; rows++) {
            size_t bytes = node->op->workspace_bytes(e->ops, node, rows);
            most = bytes > most ? bytes : most;
        }
    }
    return take(e, &e->workspace, (int64_t)most, 1, "workspace", err);
}

/* What ran out, what all of it needs, and what there is once the engine has let go of its part. */
static enum tdbg_status tell_lack(struct tdbg_engine *e, struct tdbg_err *err)
{
    static const char hint[] = "hint: a smaller data.batch needs less; so does engine.accumulate, "
                               "which runs a batch in parts";
    char block[32], all[32], left[32], total[32];
    int64_t available, installed;
    free_blocks(e);
    tdbg_convert_bytes_text(e->lacking_bytes, block, sizeof block);
    tdbg_convert_bytes_text(e->taken_bytes, all, sizeof all);
    if (!e->backend->room(e->backend->context, &available, &installed))
        return TDBG_RAISE(err, NO_MEMORY,
                          "no memory on %s for %s (%s): the run needs %s in all\n%s",
                          e->backend->name, e->lacking, block, all, hint);
    return TDBG_RAISE(err, NO_MEMORY,
                      "no memory on %s (%s) for %s (%s): the run needs %s in all, and %s of %s are "
                      "free\n%s",
                      e->backend->name, e->backend->isa, e->lacking, block, all,
                      tdbg_convert_bytes_text(available, left, sizeof left),
                      tdbg_convert_bytes_text(installed, total, sizeof total), hint);
}

enum tdbg_status tdbg_engine_take_memory(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    choose_slots(e);
    TDBG_TRY(take_flat(e, err));
    TDBG_TRY(take_batch(e, err));
    TDBG_TRY(take_activations(e, err));
    TDBG_TRY(take_loss(e, err));
    TDBG_TRY(take_clip(e, err));
    TDBG_TRY(take_travel(e, err));
    TDBG_TRY(take_workspace(e, err));
    if (e->lacking)
        TDBG_TRY(tell_lack(e, err));
out:
    return st;
}
