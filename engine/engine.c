/* Life of an engine: memory planned once, taps, and the state that goes from step to step. The step
 * itself is in step.c. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_state.h"
#include "engine/sampler.h"
#include "kernels/numerics.h"

enum { FLAT_ALIGN_ELEMS = 16 };

static void read_config(struct tdbg_engine *e)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    const struct tdbg_data_shape *train = &e->graph->data[TDBG_SET_TRAIN];
    const struct tdbg_data_shape *test = &e->graph->data[TDBG_SET_EVAL];
    struct tdbg_engine_info *info = &e->info;
    info->seed = (uint64_t)tdbg_cfg_int(root, "seed");
    info->batch = tdbg_cfg_int(root, "data.batch");
    const bool drop_last = tdbg_sampler_drops_last(root);
    info->steps_per_epoch = tdbg_sampler_steps_per_epoch(train->count, info->batch, drop_last);
    const struct tdbg_cfg_node *steps = tdbg_cfg_find(root, "steps");
    info->total_steps = steps ? steps->i : tdbg_cfg_int(root, "epochs") * info->steps_per_epoch;
    int64_t lanes = tdbg_cfg_int(root, "engine.lanes");
    info->rank = e->source.rank;
    info->world_size = e->source.world_size;
    info->lanes = lanes > 0 ? (int32_t)lanes : info->world_size;
    info->n_lanes = e->source.has_all_lanes ? info->lanes : info->lanes / info->world_size;
    info->first_lane = e->source.has_all_lanes ? 0 : info->rank * info->n_lanes;
    e->has_others = e->source.ops->reduce_begin != NULL;
    info->accumulate = (int32_t)tdbg_cfg_int(root, "engine.accumulate");
    e->low_precision = strcmp(tdbg_cfg_string(root, "engine.precision"), "bf16") == 0;
    e->part_rows = tdbg_site_part_rows(info->batch, info->lanes, info->accumulate);
    e->eval_every = tdbg_cfg_int(root, "eval.every");
    int64_t batches = tdbg_cfg_int(root, "eval.batches");
    e->eval_samples = test->count;
    if (batches > 0 && batches < (test->count + info->batch - 1) / info->batch)
        e->eval_samples = batches * info->batch;
    e->optimizer = tdbg_optimizer_read(tdbg_cfg_find(root, "optimizer"));
    e->schedule = tdbg_schedule_read(tdbg_cfg_find(root, "schedule"), e->optimizer.lr,
                                     info->total_steps, info->steps_per_epoch);
    e->clip = tdbg_clip_read(root);
    e->loss_offset = e->graph->flat_elems;
    e->flat_elems = e->graph->flat_elems + FLAT_ALIGN_ELEMS;
}

static bool check_part_count(struct tdbg_engine *e)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    int64_t parts = (int64_t)e->info.lanes * e->info.accumulate;
    if (parts <= e->info.batch)
        return true;
    tdbg_config_report(e->config, tdbg_cfg_find(root, "data.batch"), NULL,
                       "a batch of %lld samples cannot be cut into %d lanes of %d micro-batches",
                       (long long)e->info.batch, (int)e->info.lanes, (int)e->info.accumulate);
    return false;
}

/* Each rank has a block of lanes that is a branch of the lane tree: only so a rank can fold its own
 * before the others' come, and the sum not hang on the number of ranks. */
static bool check_lanes(struct tdbg_engine *e)
{
    const struct tdbg_engine_info *info = &e->info;
    const int32_t lanes = info->lanes, ranks = info->world_size, each = lanes / ranks;
    const bool is_branch = each > 0 && (each & (each - 1)) == 0;
    if (ranks == 1 || (lanes % ranks == 0 && is_branch))
        return true;
    tdbg_config_report(e->config, tdbg_cfg_find(tdbg_config_root(e->config), "engine.lanes"),
                       "lanes have to be the ranks times 1, 2, 4, 8, ...; 0: one per rank",
                       "%d lanes cannot be shared out among %d ranks", (int)lanes, (int)ranks);
    return false;
}

/* Parameter groups, and what else of the optimizer's part hangs on more than its own keys. */
static void resolve_optimizer(struct tdbg_engine *e)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    const size_t n = (size_t)e->graph->n_params;
    const char **names = tdbg_arena_alloc(e->graph->arena, n * sizeof *names);
    for (size_t p = 0; p < n; p++)
        names[p] = e->graph->params[p].name;
    e->settings = tdbg_arena_alloc(e->graph->arena, n * sizeof *e->settings);
    tdbg_optimizer_resolve(e->config, root, &e->optimizer, names, e->graph->n_params, e->settings);
    tdbg_schedule_check_values(e->config, tdbg_cfg_find(root, "schedule"), &e->schedule);
}

static void group_params(struct tdbg_engine *e)
{
    const struct tdbg_graph *g = e->graph;
    const size_t n = (size_t)g->n_params;
    struct tdbg_range *params = tdbg_arena_alloc(g->arena, n * sizeof *params);
    struct tdbg_range *range = tdbg_arena_alloc(g->arena, n * sizeof *range);
    for (int32_t p = 0; p < g->n_params; p++)
        params[p] = (struct tdbg_range){.offset = g->params[p].offset, .elems = g->params[p].elems};
    e->groups = tdbg_arena_alloc(g->arena, n * sizeof *e->groups);
    e->n_groups = tdbg_optimizer_group(e->settings, params, g->n_params, range, e->groups);
}

static void list_items(struct tdbg_engine *e)
{
    struct tdbg_graph *g = e->graph;
    e->state_items = tdbg_state_items_list(g, &e->optimizer, e->info.first_lane, e->info.n_lanes,
                                           &e->info.n_items);
    e->items = tdbg_arena_alloc(g->arena, (size_t)e->info.n_items * sizeof *e->items);
    for (int32_t i = 0; i < e->info.n_items; i++) {
        const struct tdbg_shape *shape = tdbg_state_item_shape(g, &e->state_items[i]);
        e->items[i] = (struct tdbg_engine_item){.name = e->state_items[i].name,
                                                .dtype = TDBG_DTYPE_F32,
                                                .ndim = shape->ndim,
                                                .elems = tdbg_shape_elems(shape),
                                                .is_buffer = e->state_items[i].buffer >= 0};
        memcpy(e->items[i].dims, shape->dims, sizeof shape->dims);
    }
    for (int32_t p = 0; p < g->n_params; p++)
        e->info.param_elems += g->params[p].elems;
}

static bool samples_are_ours(const struct tdbg_data_shape *s)
{
    return s->vocab > 0 ? s->x_dtype == TDBG_DTYPE_I32
                        : s->x_dtype == TDBG_DTYPE_U8 || s->x_dtype == TDBG_DTYPE_F32;
}

static bool same_dims(int32_t a_ndim, const int64_t *a, int32_t b_ndim, const int64_t *b)
{
    return a_ndim == b_ndim && memcmp(a, b, (size_t)a_ndim * sizeof *a) == 0;
}

/* What comes out of a trace is nobody's promise. */
static enum tdbg_status check_data(const struct tdbg_data_shape shapes[TDBG_SET_COUNT],
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_data_shape *train = &shapes[TDBG_SET_TRAIN], *eval = &shapes[TDBG_SET_EVAL];
    TDBG_FAIL_IF(!samples_are_ours(train), UNSUPPORTED, "samples have to be u8, f32 or i32 tokens");
    TDBG_FAIL_IF(train->x_ndim < 1 || train->x_ndim > TDBG_MAX_SHAPE, UNSUPPORTED,
                 "samples have to have 1 to %d dimensions", TDBG_MAX_SHAPE);
    TDBG_FAIL_IF((train->y_dtype != TDBG_DTYPE_I64 && train->y_dtype != TDBG_DTYPE_F32) ||
                     train->y_ndim < 0 || train->y_ndim >= TDBG_MAX_SHAPE,
                 UNSUPPORTED, "targets have to be i64 or f32 of at most %d dimensions",
                 TDBG_MAX_SHAPE - 1);
    TDBG_FAIL_IF(eval->count > 0 &&
                     (eval->x_dtype != train->x_dtype || eval->y_dtype != train->y_dtype ||
                      !same_dims(eval->x_ndim, eval->x_dims, train->x_ndim, train->x_dims) ||
                      !same_dims(eval->y_ndim, eval->y_dims, train->y_ndim, train->y_dims)),
                 DATA, "the evaluation set has other shapes than the training set");
out:
    return st;
}

enum tdbg_status tdbg_engine_create(struct tdbg_config *config, const struct tdbg_backend *backend,
                                    struct tdbg_source source, struct tdbg_engine **out,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_data_shape shapes[TDBG_SET_COUNT];
    struct tdbg_engine *e = calloc(1, sizeof *e);
    TDBG_FAIL_IF(!e, NO_MEMORY, "no memory for the engine");
    *out = NULL;
    e->config = config;
    e->backend = backend;
    e->source = source;
    TDBG_ASSERT(source.world_size >= 1 && source.rank >= 0 && source.rank < source.world_size);
    TDBG_FAIL_IF(source.world_size > 1 && !source.ops->reduce_begin && !source.has_all_lanes,
                 UNSUPPORTED, "one rank of %d cannot be run without what the others contribute",
                 (int)source.world_size);
    TDBG_TRY(source.ops->describe(source.self, shapes, err));
    TDBG_TRY(check_data(shapes, err));
    TDBG_TRY(tdbg_graph_create(config, shapes, &e->graph, err));
    if (!e->graph)
        goto out;
    read_config(e);
    TDBG_FAIL_IF(e->info.steps_per_epoch < 1, DATA, "the training set does not fill one batch");
    if (!check_lanes(e) || !check_part_count(e) || !tdbg_engine_read_dropped(e))
        goto out;
    resolve_optimizer(e);
    if (tdbg_config_n_diagnostics(config) > 0)
        goto out;
    group_params(e);
    list_items(e);
    const struct tdbg_site_cut cut = {.batch = e->info.batch,
                                      .lanes = e->info.lanes,
                                      .first_lane = e->info.first_lane,
                                      .n_lanes = e->info.n_lanes,
                                      .accumulate = e->info.accumulate,
                                      .weighs = e->n_dropped > 0};
    e->table = tdbg_site_table_build(e->graph, &e->optimizer, e->state_items, e->info.n_items, &cut,
                                     e->low_precision ? TDBG_DTYPE_BF16 : TDBG_DTYPE_F32, &e->clip,
                                     e->settings);
    tdbg_engine_plan_reductions(e);
    e->wanted = tdbg_arena_alloc(e->graph->arena, (size_t)e->table.n_sites * sizeof *e->wanted);
    tdbg_engine_choose_ops(e);
    TDBG_TRY(tdbg_engine_take_memory(e, err));
    *out = e;
    return TDBG_OK;
out:
    tdbg_engine_destroy(e);
    return st;
}

static void free_travel(struct tdbg_engine *e)
{
    if (e->host_sums && e->host_reduced) { /* else they are not pinned */
        tdbg_backend_unpin(e->backend, e->host_sums);
        tdbg_backend_unpin(e->backend, e->host_reduced);
    }
    free(e->host_sums);
    free(e->host_reduced);
}

void tdbg_engine_destroy(struct tdbg_engine *e)
{
    if (!e)
        return;
    if (e->backend->forget_tables) /* they are the graph's */
        e->backend->forget_tables(e->backend->context);
    for (int i = 0; i < e->n_blocks; i++)
        e->backend->free(e->backend->context, e->blocks[i]);
    for (int i = 0; i < TDBG_MAX_TAPS; i++)
        free(e->wants[i]);
    free(e->blocks);
    free(e->host_x);
    free(e->host_id);
    free(e->host_y);
    free(e->host_target);
    free(e->host_length);
    free(e->host_weight);
    free_travel(e);
    tdbg_graph_destroy(e->graph);
    free(e);
}

enum tdbg_status tdbg_engine_set_taps(struct tdbg_engine *e, const struct tdbg_tap *taps, int n,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(n >= 0 && n <= TDBG_MAX_TAPS);
    e->n_taps = n;
    e->overlaps = true;
    e->is_disturbed = false;
    memset(e->wanted, 0, (size_t)e->table.n_sites * sizeof *e->wanted);
    for (int i = 0; i < n; i++) {
        free(e->wants[i]);
        e->wants[i] = calloc((size_t)e->table.n_sites, sizeof *e->wants[i]);
        TDBG_FAIL_IF(!e->wants[i], NO_MEMORY, "no memory for a tap's plan");
        e->taps[i] = taps[i];
        TDBG_TRY(
            taps[i].ops->plan(taps[i].self, e->table.sites, e->table.n_sites, e->wants[i], err));
        for (int32_t s = 0; s < e->table.n_sites; s++) {
            const uint8_t flags = e->wants[i][s].flags;
            e->wanted[s] |= flags;
            if (flags & (TDBG_WANT_CHANGE | TDBG_WANT_STOP))
                e->is_disturbed = true;
            if (e->table.sites[s].stage == TDBG_STAGE_REDUCE_IN &&
                (flags & (TDBG_WANT_CHANGE | TDBG_WANT_STOP)))
                e->overlaps = false;
        }
    }
    tdbg_engine_choose_fused(e, true);
out:
    return st;
}

const char *tdbg_engine_why_no_graphs(const struct tdbg_engine *engine)
{
    const struct tdbg_backend *be = engine->backend;
    return be->why_no_graphs ? be->why_no_graphs(be->context) : NULL;
}

bool tdbg_engine_is_on_host(const struct tdbg_engine *engine)
{
    return engine->backend->on_host;
}

const struct tdbg_engine_info *tdbg_engine_info(const struct tdbg_engine *engine)
{
    return &engine->info;
}

const struct tdbg_site *tdbg_engine_sites(const struct tdbg_engine *engine, int32_t *n_sites)
{
    *n_sites = engine->table.n_sites;
    return engine->table.sites;
}

const struct tdbg_engine_item *tdbg_engine_items(const struct tdbg_engine *engine, int32_t *n)
{
    *n = engine->info.n_items;
    return engine->items;
}

int64_t tdbg_engine_most_item_elems(const struct tdbg_engine *engine)
{
    int64_t most = 1;
    for (int32_t i = 0; i < engine->info.n_items; i++)
        most = engine->items[i].elems > most ? engine->items[i].elems : most;
    return most;
}

int32_t tdbg_engine_numerics_version(void)
{
    return TDBG_NUMERICS_VERSION;
}

const struct tdbg_graph *tdbg_engine_graph(const struct tdbg_engine *engine)
{
    return engine->graph;
}

void tdbg_engine_print_graph(const struct tdbg_engine *engine, struct tdbg_json *json)
{
    tdbg_json_object_begin(json, NULL);
    tdbg_graph_print_json(engine->graph, json);
    tdbg_engine_print_reductions(engine, json);
    tdbg_json_object_end(json);
}

float *tdbg_engine_item_data(const struct tdbg_engine *e, int32_t i)
{
    const struct tdbg_state_item *item = &e->state_items[i];
    const struct tdbg_graph *g = e->graph;
    if (item->buffer >= 0)
        return e->buffer +
               (item->lane < 0 ? 0 : item->lane - e->info.first_lane) * g->buffer_elems +
               g->buffers[item->buffer].offset;
    return (item->state < 0 ? e->param : e->optim[item->state]) + g->params[item->param].offset;
}

enum tdbg_status tdbg_engine_get_item(const struct tdbg_engine *e, int32_t i, void *host,
                                      struct tdbg_err *err)
{
    return e->backend->to_host(e->backend->context, host, tdbg_engine_item_data(e, i),
                               (size_t)e->items[i].elems * sizeof(float), err);
}

enum tdbg_status tdbg_engine_set_item(struct tdbg_engine *e, int32_t i, const void *host,
                                      struct tdbg_err *err)
{
    return e->backend->to_device(e->backend->context, tdbg_engine_item_data(e, i), host,
                                 (size_t)e->items[i].elems * sizeof(float), err);
}

static enum tdbg_status init_buffers(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    const int64_t n = g->buffer_elems * e->info.n_lanes;
    float *host = calloc((size_t)n + 1, sizeof(float));
    TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for the initial buffers");
    for (int32_t lane = 0; lane < e->info.n_lanes; lane++) {
        for (int32_t b = 0; b < g->n_buffers; b++) {
            for (int64_t i = 0; i < g->buffers[b].elems; i++)
                host[lane * g->buffer_elems + g->buffers[b].offset + i] = g->buffers[b].initial;
        }
    }
    TDBG_TRY(e->backend->to_device(e->backend->context, e->buffer, host, (size_t)n * sizeof(float),
                                   err));
out:
    free(host);
    return st;
}

enum tdbg_status tdbg_engine_init_state(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t flat_bytes = (size_t)e->flat_elems * sizeof(float);
    float *host = calloc((size_t)e->flat_elems, sizeof(float));
    TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for the initial parameters");
    for (int32_t p = 0; p < e->graph->n_params; p++) {
        const struct tdbg_param *param = &e->graph->params[p];
        tdbg_init_fill(&param->init, e->info.seed, param->name, param->elems, host + param->offset);
    }
    TDBG_TRY(e->backend->to_device(e->backend->context, e->param, host, flat_bytes, err));
    for (int s = 0; s < e->optimizer.n_states; s++) {
        for (int64_t i = 0; i < e->flat_elems; i++)
            host[i] = tdbg_optimizer_state_initial(&e->optimizer, s);
        TDBG_TRY(e->backend->to_device(e->backend->context, e->optim[s], host, flat_bytes, err));
    }
    TDBG_TRY(init_buffers(e, err));
out:
    free(host);
    return st;
}
