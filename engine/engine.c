/* Life of an engine: memory planned once, taps, and the state that goes from step to step. The step
 * itself is in step.c. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "engine/engine_state.h"
#include "kernels/numerics.h"

enum { FLAT_ALIGN_ELEMS = 16 };

/* A zeroed block on the device that destroy frees; says what it is for when there is no memory. */
static enum tdbg_status take(struct tdbg_engine *e, void *out, int64_t elems, size_t width,
                             const char *what, struct tdbg_err *err)
{
    size_t bytes = (size_t)elems * width;
    if (e->n_blocks == e->blocks_room) {
        int room = e->blocks_room ? e->blocks_room * 2 : 64;
        void **blocks = realloc(e->blocks, (size_t)room * sizeof *blocks);
        if (!blocks)
            return TDBG_RAISE(err, NO_MEMORY, "no memory for the engine");
        e->blocks = blocks;
        e->blocks_room = room;
    }
    void *p = e->backend->alloc(e->backend->context, bytes ? bytes : 1);
    if (!p)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %s: %.1f MiB on %s", what,
                          (double)bytes / 1048576, e->backend->name);
    e->blocks[e->n_blocks++] = p;
    memcpy(out, &p, sizeof p);
    return TDBG_OK;
}

/* Buffers that hold the fold: one per level of the lane tree and one for the lane at work. */
static int fold_buffers(int32_t lanes)
{
    int n = 1;
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
    e->n_flat_pool = fold_buffers(e->info.lanes);
    for (int i = 0; i < e->n_flat_pool; i++)
        TDBG_TRY(take(e, &e->flat_pool[i], n, sizeof(float), "lane gradients", err));
    if (e->info.accumulate > 1)
        TDBG_TRY(take(e, &e->micro_grad, n, sizeof(float), "micro-batch gradients", err));
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
    TDBG_TRY(take(e, &e->raw_y, n, sizeof(int64_t), "targets", err));
    TDBG_TRY(take(e, &e->target, n, sizeof(int32_t), "targets", err));
    e->host_x = malloc((size_t)n * sample_bytes);
    e->host_id = malloc((size_t)n * sizeof(int64_t));
    e->host_y = malloc((size_t)n * sizeof(int64_t));
    e->host_target = malloc((size_t)n * sizeof(int32_t));
    TDBG_FAIL_IF(!e->host_x || !e->host_id || !e->host_y || !e->host_target, NO_MEMORY,
                 "no memory for a batch of %lld samples", (long long)n);
out:
    return st;
}

/* A view has its input's memory; the gradient of its input is then its own gradient's memory. */
static enum tdbg_status take_activations(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_graph *g = e->graph;
    int32_t n_inputs = g->n_transforms > 0 ? g->n_transforms : 1;
    size_t pointer = sizeof(float *), nodes = (size_t)g->n_nodes;
    e->input = tdbg_arena_alloc(g->arena, (size_t)n_inputs * pointer);
    e->act = tdbg_arena_alloc(g->arena, nodes * pointer);
    e->dact = tdbg_arena_alloc(g->arena, nodes * pointer);
    for (int32_t i = 0; i < n_inputs; i++)
        TDBG_TRY(
            take(e, &e->input[i], e->part_rows * g->sample_elems, sizeof(float), "input/x", err));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tdbg_node *node = &g->nodes[i];
        int64_t n = e->part_rows * node->elems;
        if (!node->op->is_view) {
            TDBG_TRY(take(e, &e->act[i], n, sizeof(float), node->name, err));
            if (node->needs_grad)
                TDBG_TRY(take(e, &e->dact[i], n, sizeof(float), node->name, err));
        } else if (node->input < 0) {
            e->act[i] = e->input[n_inputs - 1];
        } else {
            e->act[i] = e->act[node->input];
            e->dact[i] = e->dact[node->input];
        }
    }
    TDBG_TRY(take(e, &e->loss_sample, e->part_rows, sizeof(float), "loss/sample", err));
    TDBG_TRY(take(e, &e->sum_scratch, e->part_rows, sizeof(float), "sums", err));
    TDBG_TRY(take(e, &e->scalar, SCALAR_COUNT, sizeof(float), "scalars", err));
out:
    return st;
}

static enum tdbg_status take_workspace(struct tdbg_engine *e, struct tdbg_err *err)
{
    size_t most = 0;
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        const struct tdbg_node *node = &e->graph->nodes[i];
        if (!node->op->workspace_bytes)
            continue;
        /* A product of fewer rows may be split in another way: ask for both ends. */
        size_t full = node->op->workspace_bytes(e->backend, node, e->part_rows);
        size_t one = node->op->workspace_bytes(e->backend, node, 1);
        most = full > most ? full : most;
        most = one > most ? one : most;
    }
    return take(e, &e->workspace, (int64_t)most, 1, "workspace", err);
}

static void read_config(struct tdbg_engine *e)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    const struct tdbg_data_shape *train = &e->graph->data[TDBG_SET_TRAIN];
    const struct tdbg_data_shape *test = &e->graph->data[TDBG_SET_EVAL];
    struct tdbg_engine_info *info = &e->info;
    info->seed = (uint64_t)tdbg_cfg_int(root, "seed");
    info->batch = tdbg_cfg_int(root, "data.batch");
    bool drop_last = tdbg_cfg_bool(root, "data.drop_last");
    info->steps_per_epoch =
        drop_last ? train->count / info->batch : (train->count + info->batch - 1) / info->batch;
    const struct tdbg_cfg_node *steps = tdbg_cfg_find(root, "steps");
    info->total_steps = steps ? steps->i : tdbg_cfg_int(root, "epochs") * info->steps_per_epoch;
    int64_t lanes = tdbg_cfg_int(root, "engine.lanes");
    info->lanes = lanes > 0 ? (int32_t)lanes : 1;
    info->accumulate = (int32_t)tdbg_cfg_int(root, "engine.accumulate");
    e->part_rows = tdbg_site_part_rows(info->batch, info->lanes, info->accumulate);
    e->eval_every = tdbg_cfg_int(root, "eval.every");
    int64_t batches = tdbg_cfg_int(root, "eval.batches");
    e->eval_samples = test->count;
    if (batches > 0 && batches < (test->count + info->batch - 1) / info->batch)
        e->eval_samples = batches * info->batch;
    e->optimizer = tdbg_optimizer_read(tdbg_cfg_find(root, "optimizer"));
    e->schedule =
        tdbg_schedule_read(tdbg_cfg_find(root, "schedule"), e->optimizer.lr, info->total_steps);
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

static void list_items(struct tdbg_engine *e)
{
    struct tdbg_graph *g = e->graph;
    e->state_items = tdbg_state_items_list(g, &e->optimizer, &e->info.n_items);
    e->items = tdbg_arena_alloc(g->arena, (size_t)e->info.n_items * sizeof *e->items);
    for (int32_t i = 0; i < e->info.n_items; i++) {
        const struct tdbg_param *p = &g->params[e->state_items[i].param];
        e->items[i] = (struct tdbg_engine_item){.name = e->state_items[i].name,
                                                .dtype = TDBG_DTYPE_F32,
                                                .ndim = p->shape.ndim,
                                                .elems = p->elems};
        memcpy(e->items[i].dims, p->shape.dims, sizeof p->shape.dims);
    }
    for (int32_t p = 0; p < g->n_params; p++)
        e->info.param_elems += g->params[p].elems;
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
    TDBG_TRY(source.ops->describe(source.self, shapes, err));
    TDBG_FAIL_IF(shapes[TDBG_SET_TRAIN].x_dtype != TDBG_DTYPE_U8 ||
                     shapes[TDBG_SET_TRAIN].y_dtype != TDBG_DTYPE_I64 ||
                     shapes[TDBG_SET_TRAIN].y_ndim != 0,
                 UNSUPPORTED, "samples have to be u8 with one class index each");
    TDBG_TRY(tdbg_graph_create(config, shapes, &e->graph, err));
    if (!e->graph)
        goto out;
    read_config(e);
    if (!check_part_count(e))
        goto out;
    list_items(e);
    e->table = tdbg_site_table_build(e->graph, &e->optimizer, e->state_items, e->info.n_items,
                                     e->info.batch, e->info.lanes, e->info.accumulate);
    e->wanted = tdbg_arena_alloc(e->graph->arena, (size_t)e->table.n_sites * sizeof *e->wanted);
    TDBG_TRY(take_flat(e, err));
    TDBG_TRY(take_batch(e, err));
    TDBG_TRY(take_activations(e, err));
    TDBG_TRY(take_workspace(e, err));
    *out = e;
    return TDBG_OK;
out:
    tdbg_engine_destroy(e);
    return st;
}

void tdbg_engine_destroy(struct tdbg_engine *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->n_blocks; i++)
        e->backend->free(e->backend->context, e->blocks[i]);
    for (int i = 0; i < TDBG_MAX_TAPS; i++)
        free(e->wants[i]);
    free(e->blocks);
    free(e->host_x);
    free(e->host_id);
    free(e->host_y);
    free(e->host_target);
    tdbg_graph_destroy(e->graph);
    free(e);
}

enum tdbg_status tdbg_engine_set_taps(struct tdbg_engine *e, const struct tdbg_tap *taps, int n,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(n >= 0 && n <= TDBG_MAX_TAPS);
    e->n_taps = n;
    memset(e->wanted, 0, (size_t)e->table.n_sites * sizeof *e->wanted);
    for (int i = 0; i < n; i++) {
        free(e->wants[i]);
        e->wants[i] = calloc((size_t)e->table.n_sites, sizeof *e->wants[i]);
        TDBG_FAIL_IF(!e->wants[i], NO_MEMORY, "no memory for a tap's plan");
        e->taps[i] = taps[i];
        TDBG_TRY(
            taps[i].ops->plan(taps[i].self, e->table.sites, e->table.n_sites, e->wants[i], err));
        for (int32_t s = 0; s < e->table.n_sites; s++)
            e->wanted[s] |= e->wants[i][s].flags;
    }
out:
    return st;
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

int32_t tdbg_engine_numerics_version(void)
{
    return TDBG_NUMERICS_VERSION;
}

void tdbg_engine_print_graph(const struct tdbg_engine *engine, struct tdbg_json *json)
{
    tdbg_graph_print_json(engine->graph, json);
}

static float *item_data(const struct tdbg_engine *e, int32_t i)
{
    const struct tdbg_state_item *item = &e->state_items[i];
    return (item->state < 0 ? e->param : e->optim[item->state]) +
           e->graph->params[item->param].offset;
}

enum tdbg_status tdbg_engine_get_item(const struct tdbg_engine *e, int32_t i, void *host,
                                      struct tdbg_err *err)
{
    return e->backend->to_host(e->backend->context, host, item_data(e, i),
                               (size_t)e->items[i].elems * sizeof(float), err);
}

enum tdbg_status tdbg_engine_set_item(struct tdbg_engine *e, int32_t i, const void *host,
                                      struct tdbg_err *err)
{
    return e->backend->to_device(e->backend->context, item_data(e, i), host,
                                 (size_t)e->items[i].elems * sizeof(float), err);
}

/* Uniform in +-bound, element i from word i of the parameter's own stream. */
static void fill_uniform(float *out, int64_t n, uint64_t seed, const struct tdbg_param *p)
{
    uint64_t key = tdbg_philox_key(seed, TDBG_RANDOM_INIT, tdbg_philox_hash_name(p->name));
    float low = (float)-p->init_bound, width = (float)(2 * p->init_bound);
    for (int64_t i = 0; i < n; i += 4) {
        struct tdbg_philox_block b = tdbg_philox(key, (uint64_t)i / 4, 0);
        for (int64_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = tdbg_philox_uniform(b.word[j]) * width + low;
    }
}

enum tdbg_status tdbg_engine_init_state(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t flat_bytes = (size_t)e->flat_elems * sizeof(float);
    float *host = calloc((size_t)e->flat_elems, sizeof(float));
    TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for the initial parameters");
    for (int32_t p = 0; p < e->graph->n_params; p++) {
        const struct tdbg_param *param = &e->graph->params[p];
        if (param->init_bound > 0)
            fill_uniform(host + param->offset, param->elems, e->info.seed, param);
    }
    TDBG_TRY(e->backend->to_device(e->backend->context, e->param, host, flat_bytes, err));
    for (int s = 0; s < e->optimizer.n_states; s++)
        e->backend->fill_zero(e->backend->context, e->optim[s], flat_bytes);
out:
    free(host);
    return st;
}
