/* Building the graph from the config. See graph.h. */
#include "engine/graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/op.h"

enum { PARAMS_PER_NODE = 2, ALIGN_ELEMS = 16 };

void tdbg_graph_add_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                          const char *suffix, struct tdbg_shape shape, double init_bound)
{
    struct tdbg_graph *g = build->graph;
    TDBG_ASSERT(g->n_params < build->params_room);
    struct tdbg_param *p = &g->params[g->n_params];
    *p = (struct tdbg_param){
        .name = tdbg_arena_printf(g->arena, "%s.%s", node->name, suffix),
        .shape = shape,
        .elems = tdbg_shape_elems(&shape),
        .offset = g->flat_elems,
        .init_bound = init_bound,
        .node = (int32_t)(node - g->nodes),
    };
    if (node->n_params == 0)
        node->first_param = g->n_params;
    node->n_params++;
    g->n_params++;
    g->flat_elems += (p->elems + ALIGN_ELEMS - 1) / ALIGN_ELEMS * ALIGN_ELEMS;
}

/* "relu2" for the second unnamed relu: names are stable when other kinds come and go. */
static const char *default_name(struct tdbg_graph *g, const struct tdbg_op_class *op,
                                int32_t before)
{
    int number = 1;
    for (int32_t i = 0; i < before; i++)
        number += g->nodes[i].op == op;
    return tdbg_arena_printf(g->arena, "%s%d", op->kind.name, number);
}

static bool name_is_new(struct tdbg_graph_build *build, const struct tdbg_node *node, int32_t index)
{
    for (int32_t i = 0; i < index; i++) {
        if (strcmp(build->graph->nodes[i].name, node->name) != 0)
            continue;
        tdbg_config_report(build->config, node->cfg, "give one of them another name",
                           "two ops are called '%s'", node->name);
        return false;
    }
    return true;
}

static bool build_node(struct tdbg_graph_build *build, int32_t index, struct tdbg_shape *shape)
{
    struct tdbg_graph *g = build->graph;
    struct tdbg_node *node = &g->nodes[index];
    const struct tdbg_cfg_node *name = tdbg_cfg_find(node->cfg, "name");
    node->op = tdbg_op_find(tdbg_cfg_string(node->cfg, "op"));
    node->name = name ? name->s : default_name(g, node->op, index);
    node->input = index - 1;
    node->in_elems = tdbg_shape_elems(shape);
    if (!name_is_new(build, node, index) || !node->op->shape(build, node, shape))
        return false;
    node->elems = tdbg_shape_elems(&node->shape);
    node->needs_grad = node->n_params > 0 || (index > 0 && g->nodes[index - 1].needs_grad);
    *shape = node->shape;
    return true;
}

static bool build_nodes(struct tdbg_graph_build *build)
{
    struct tdbg_graph *g = build->graph;
    const struct tdbg_cfg_node *model = tdbg_cfg_find(tdbg_config_root(build->config), "model");
    g->n_nodes = model->n_child;
    g->nodes = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * sizeof *g->nodes);
    build->params_room = g->n_nodes * PARAMS_PER_NODE;
    g->params = tdbg_arena_alloc(g->arena, (size_t)build->params_room * sizeof *g->params);
    struct tdbg_shape shape = g->sample;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        g->nodes[i].cfg = model->child[i];
        if (!build_node(build, i, &shape)) /* later shapes would only repeat the complaint */
            return false;
    }
    const struct tdbg_node *last = &g->nodes[g->n_nodes - 1];
    if (g->n_params == 0) {
        tdbg_config_report(build->config, model, NULL, "the model has no parameters to train");
        return false;
    }
    g->classes = last->elems;
    int64_t need = g->data[TDBG_SET_TRAIN].classes > g->data[TDBG_SET_EVAL].classes
                       ? g->data[TDBG_SET_TRAIN].classes
                       : g->data[TDBG_SET_EVAL].classes;
    if (last->shape.ndim != 1 || g->classes < need) {
        char text[128];
        tdbg_config_report(build->config, last->cfg, NULL,
                           "the last op '%s' gives %s, but cross_entropy over these labels wants "
                           "one row of at least %lld logits",
                           last->name, tdbg_shape_text(&last->shape, text, sizeof text),
                           (long long)need);
        return false;
    }
    return true;
}

static bool build_transforms(struct tdbg_graph_build *build)
{
    struct tdbg_graph *g = build->graph;
    const struct tdbg_cfg_node *list =
        tdbg_cfg_find(tdbg_config_root(build->config), "data.transforms");
    g->n_transforms = list->n_child;
    g->transforms = tdbg_arena_alloc(g->arena, (size_t)list->n_child * sizeof *g->transforms);
    bool fine = true;
    for (int i = 0; i < list->n_child; i++)
        fine &= tdbg_transform_read(build->config, g->arena, list->child[i], &g->sample,
                                    &g->transforms[i]);
    return fine;
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
    g->loss_mean = strcmp(tdbg_cfg_string(root, "loss.reduction"), "mean") == 0;
    struct tdbg_graph_build build = {.config = config, .graph = g};
    bool fine = build_transforms(&build);
    fine &= build_nodes(&build);
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

void tdbg_graph_print_json(const struct tdbg_graph *graph, struct tdbg_json *json)
{
    tdbg_json_object_begin(json, NULL);
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
        tdbg_json_string(json, "input", n->input < 0 ? "input/x" : graph->nodes[n->input].name);
        print_shape(json, "output_shape", &n->shape);
        tdbg_json_array_begin(json, "parameters");
        for (int32_t p = n->first_param; p < n->first_param + n->n_params; p++) {
            tdbg_json_object_begin(json, NULL);
            tdbg_json_string(json, "name", graph->params[p].name);
            print_shape(json, "shape", &graph->params[p].shape);
            tdbg_json_object_end(json);
        }
        tdbg_json_array_end(json);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_string(json, "loss", "cross_entropy");
    tdbg_json_string(json, "reduction", graph->loss_mean ? "mean" : "sum");
    tdbg_json_object_end(json);
}
