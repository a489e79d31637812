/* Building the graph from the config. See graph.h. */
#include "engine/graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/op.h"

static bool build_nodes(struct tdbg_graph_build *build)
{
    struct tdbg_graph *g = build->graph;
    const struct tdbg_cfg_node *model = tdbg_cfg_find(tdbg_config_root(build->config), "model");
    int32_t at = TDBG_NODE_INPUT_X;
    if (!tdbg_graph_add_list(build, model, "", &at))
        return false;
    if (g->n_params == 0) {
        tdbg_config_report(build->config, model, NULL, "the model has no parameters to train");
        return false;
    }
    struct tdbg_node *last = &g->nodes[g->n_nodes - 1];
    last->n_readers++; /* the loss */
    return tdbg_loss_set_shape(build->config, &g->loss, last->cfg, last->name, &last->shape,
                               g->data);
}

static bool build_transforms(struct tdbg_graph_build *build)
{
    struct tdbg_graph *g = build->graph;
    const struct tdbg_cfg_node *list =
        tdbg_cfg_find(tdbg_config_root(build->config), "data.transforms");
    const struct tdbg_cfg_node *pad =
        tdbg_cfg_find(tdbg_config_root(build->config), "data.tokens.pad");
    g->pad = pad ? (int32_t)pad->i : -1;
    if (pad && g->data[TDBG_SET_TRAIN].vocab == 0) {
        tdbg_config_report(build->config, pad, "data.inputs = \"tokens\"; makes them tokens",
                           "the samples are values, among which no token is padding");
        return false;
    }
    g->n_transforms = list->n_child;
    g->transforms = tdbg_arena_alloc(g->arena, (size_t)list->n_child * sizeof *g->transforms);
    g->input = g->sample;
    if (g->n_transforms > 0 && g->data[TDBG_SET_TRAIN].vocab > 0) {
        tdbg_config_report(build->config, list, "remove data.transforms",
                           "the samples are tokens, which no transform is for");
        return false;
    }
    for (int i = 0; i < list->n_child; i++) { /* later shapes would only repeat a complaint */
        if (!tdbg_transform_read(build->config, g->arena, list->child[i], i, &g->input,
                                 &g->transforms[i]))
            return false;
    }
    g->input_elems = tdbg_shape_elems(&g->input);
    return true;
}

enum tdbg_status tdbg_graph_create(struct tdbg_config *config,
                                   const struct tdbg_data_shape data[TDBG_SET_COUNT],
                                   struct tdbg_graph **out, struct tdbg_err *err)
{
    struct tdbg_arena *arena = tdbg_arena_create();
    if (!arena)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the graph");
    struct tdbg_graph *g = tdbg_arena_alloc(arena, sizeof *g);
    g->arena = arena;
    memcpy(g->data, data, sizeof g->data);
    const struct tdbg_data_shape *train = &data[TDBG_SET_TRAIN];
    TDBG_ASSERT(train->x_ndim <= TDBG_MAX_SHAPE);
    g->sample.ndim = train->x_ndim;
    memcpy(g->sample.dims, train->x_dims, (size_t)train->x_ndim * sizeof train->x_dims[0]);
    g->sample_elems = tdbg_shape_elems(&g->sample);
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    g->loss = tdbg_loss_read(tdbg_cfg_find(root, "loss"));
    struct tdbg_graph_build build = {.config = config, .graph = g};
    const bool fine = build_transforms(&build) && build_nodes(&build);
    if (fine)
        *out = g;
    else
        tdbg_graph_destroy(g);
    return TDBG_OK;
}

void tdbg_graph_destroy(struct tdbg_graph *graph)
{
    if (graph)
        tdbg_arena_destroy(graph->arena);
}

static void print_shape(struct tdbg_json *json, const char *key, const struct tdbg_shape *shape)
{
    tdbg_json_array_begin(json, key);
    for (int32_t d = 0; d < shape->ndim; d++)
        tdbg_json_int(json, NULL, shape->dims[d]);
    tdbg_json_array_end(json);
}

static void print_tensor(struct tdbg_json *json, const char *name, const struct tdbg_shape *shape)
{
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "name", name);
    print_shape(json, "shape", shape);
    tdbg_json_object_end(json);
}

static const char *node_name(const struct tdbg_graph *graph, int32_t at)
{
    return at == TDBG_NODE_INPUT_X ? "input/x" : graph->nodes[at].name;
}

void tdbg_graph_print_json(const struct tdbg_graph *graph, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, "transforms");
    for (int32_t i = 0; i < graph->n_transforms; i++)
        tdbg_json_string(json, NULL, tdbg_transform_kind(&graph->transforms[i]));
    tdbg_json_array_end(json);
    tdbg_json_array_begin(json, "ops");
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const struct tdbg_node *n = &graph->nodes[i];
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "name", n->name);
        tdbg_json_string(json, "op", n->op->kind.name);
        tdbg_json_string(json, "input", node_name(graph, n->input[0]));
        if (n->n_inputs > 1)
            tdbg_json_string(json, "input2", node_name(graph, n->input[1]));
        print_shape(json, "output_shape", &n->shape);
        tdbg_json_array_begin(json, "parameters");
        for (int32_t p = 0; p < n->n_params; p++)
            print_tensor(json, graph->params[n->param[p]].name, &graph->params[n->param[p]].shape);
        tdbg_json_array_end(json);
        if (n->n_buffers > 0) {
            tdbg_json_array_begin(json, "buffers");
            for (int32_t b = 0; b < n->n_buffers; b++)
                print_tensor(json, graph->buffers[n->buffer[b]].name,
                             &graph->buffers[n->buffer[b]].shape);
            tdbg_json_array_end(json);
        }
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_string(json, "loss", tdbg_loss_kind(&graph->loss));
    tdbg_json_string(json, "reduction", graph->loss.mean ? "mean" : "sum");
}
