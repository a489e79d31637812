/* See run_spec.h. */
#include "recorder/run_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/version.h"
#include "recorder/go_on.h"

enum tdbg_status tdbg_recorder_make_uuid(uint8_t uuid[TDBG_UUID_BYTES], struct tdbg_err *err)
{
    if (getrandom(uuid, TDBG_UUID_BYTES, 0) != TDBG_UUID_BYTES)
        return TDBG_RAISE(err, IO, "no random bytes for the run's uuid");
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return TDBG_OK;
}

static void describe_samples(const struct tdbg_data_shape *shape, struct tdbg_samples_spec *out)
{
    *out = (struct tdbg_samples_spec){.x_dtype = shape->x_dtype,
                                      .x_ndim = shape->x_ndim,
                                      .y_dtype = shape->y_dtype,
                                      .y_ndim = shape->y_ndim,
                                      .total = shape->count,
                                      .classes = shape->classes,
                                      .vocab = shape->vocab};
    memcpy(out->x_dims, shape->x_dims, sizeof out->x_dims);
    memcpy(out->y_dims, shape->y_dims, sizeof out->y_dims);
}

/* Config without `inject`, graph and seeds as the trace keeps them. */
static enum tdbg_status describe_run(struct tdbg_config *config, const struct tdbg_engine *engine,
                                     struct tdbg_run_spec *out, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_engine_info *e = tdbg_engine_info(engine);
    struct tdbg_run_info *info = &out->spec.info;
    size_t graph_bytes = 0;
    FILE *graph = open_memstream(&out->graph, &graph_bytes);
    if (!graph)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to describe the graph");
    struct tdbg_json json;
    tdbg_json_init(&json, graph, false);
    tdbg_engine_print_graph(engine, &json);
    fclose(graph);
    out->config = tdbg_config_print(root, false);
    if (!out->config || !out->graph)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to describe the run");
    info->tdbg_version = TDBG_VERSION;
    info->numerics_version = tdbg_engine_numerics_version();
    info->rank = e->rank;
    info->world_size = e->world_size;
    info->lanes = e->lanes;
    info->accumulate = e->accumulate;
    info->batch = e->batch;
    info->planned_steps = e->total_steps;
    info->seed = e->seed;
    info->preset = tdbg_cfg_string(root, "record.preset");
    info->config = out->config;
    info->config_source = tdbg_config_source_text(config);
    info->graph = out->graph;
    return TDBG_OK;
}

/* Keyframe items are the engine's items, in the order of the state sites. */
static struct tdbg_keyframe_item *list_items(const struct tdbg_engine *engine, int32_t *n)
{
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, n);
    struct tdbg_keyframe_item *out = calloc((size_t)*n, sizeof *out);
    for (int32_t i = 0; out && i < *n; i++) {
        out[i] = (struct tdbg_keyframe_item){
            .name = items[i].name, .dtype = items[i].dtype, .ndim = items[i].ndim};
        memcpy(out[i].dims, items[i].dims, sizeof out[i].dims);
    }
    return out;
}

/* What the engine does not know of the run. */
static enum tdbg_status describe_origin(const struct tdbg_recorder_run *run,
                                        struct tdbg_run_spec *out, struct tdbg_err *err)
{
    struct tdbg_trace_spec *spec = &out->spec;
    enum tdbg_status st = TDBG_OK;
    memcpy(spec->info.uuid, run->uuid, sizeof spec->info.uuid);
    spec->info.inject = run->inject;
    spec->info.config_path = run->config_path;
    spec->info.environment = run->environment;
    spec->info.dataset = run->dataset;
    if (run->vocabulary)
        spec->vocabulary = *run->vocabulary;
    if (run->parent) {
        memcpy(spec->info.parent_uuid, run->parent->uuid, sizeof spec->info.parent_uuid);
        TDBG_TRY(tdbg_recorder_begin_chains(spec, run->parent, out->chain, err));
        spec->chain_before = out->chain;
    }
out:
    return st;
}

enum tdbg_status tdbg_run_spec_make(struct tdbg_config *config, const struct tdbg_engine *engine,
                                    const struct tdbg_data_shape *shapes,
                                    const struct tdbg_recorder_run *run, struct tdbg_run_spec *out,
                                    struct tdbg_err *err)
{
    struct tdbg_trace_spec *spec = &out->spec;
    enum tdbg_status st = TDBG_OK;
    spec->items = out->items = list_items(engine, &spec->n_items);
    TDBG_FAIL_IF(!out->items, NO_MEMORY, "no memory for the list of keyframe items");
    TDBG_TRY(describe_run(config, engine, out, err));
    TDBG_TRY(describe_origin(run, out, err));
    describe_samples(&shapes[TDBG_SET_TRAIN], &spec->samples[TDBG_SAMPLES_TRAIN]);
    describe_samples(&shapes[TDBG_SET_EVAL], &spec->samples[TDBG_SAMPLES_EVAL]);
out:
    return st;
}

void tdbg_run_spec_free(struct tdbg_run_spec *described)
{
    free(described->items);
    free(described->config);
    free(described->graph);
}
