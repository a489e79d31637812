/* Adding nodes, parameters and buffers to a graph while it is built. See graph.h. */
#include <stdio.h>

#include "engine/graph.h"
#include "engine/op.h"

enum { ALIGN_ELEMS = 16 };

static int64_t padded(int64_t elems)
{
    return (elems + ALIGN_ELEMS - 1) / ALIGN_ELEMS * ALIGN_ELEMS;
}

/* Room for one more of n items in the arena, the old ones copied. */
static void *make_room(struct tdbg_arena *arena, void *items, size_t width, int32_t n,
                       int32_t *room)
{
    if (n < *room)
        return items;
    *room = *room > 0 ? *room * 2 : 16;
    void *grown = tdbg_arena_alloc(arena, (size_t)*room * width);
    if (n > 0)
        memcpy(grown, items, (size_t)n * width);
    return grown;
}

static const char *join(struct tdbg_graph *g, const struct tdbg_node *node, const char *suffix)
{
    return tdbg_arena_printf(g->arena, "%s.%s", node->name, suffix);
}

void tdbg_graph_add_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                          const char *suffix, const char *full_name, struct tdbg_shape shape,
                          struct tdbg_init init)
{
    struct tdbg_graph *g = build->graph;
    TDBG_ASSERT(node->n_params < TDBG_MAX_NODE_PARAMS);
    g->params = make_room(g->arena, g->params, sizeof *g->params, g->n_params, &build->params_room);
    struct tdbg_param *p = &g->params[g->n_params];
    *p = (struct tdbg_param){
        .name = full_name ? full_name : join(g, node, suffix),
        .shape = shape,
        .elems = tdbg_shape_elems(&shape),
        .offset = g->flat_elems,
        .init = init,
        .node = (int32_t)(node - g->nodes),
        .last_node = (int32_t)(node - g->nodes),
    };
    g->flat_elems += padded(p->elems);
    node->param[node->n_params++] = g->n_params++;
}

void tdbg_graph_add_buffer(struct tdbg_graph_build *build, struct tdbg_node *node,
                           const char *suffix, struct tdbg_shape shape, float initial, bool shared)
{
    struct tdbg_graph *g = build->graph;
    TDBG_ASSERT(node->n_buffers < TDBG_MAX_NODE_BUFFERS);
    g->buffers =
        make_room(g->arena, g->buffers, sizeof *g->buffers, g->n_buffers, &build->buffers_room);
    struct tdbg_graph_buffer *b = &g->buffers[g->n_buffers];
    *b = (struct tdbg_graph_buffer){
        .name = join(g, node, suffix),
        .shape = shape,
        .elems = tdbg_shape_elems(&shape),
        .offset = g->buffer_elems,
        .initial = initial,
        .shared = shared,
        .node = (int32_t)(node - g->nodes),
    };
    g->buffer_elems += padded(b->elems);
    node->buffer[node->n_buffers++] = g->n_buffers++;
}

static int32_t find_node(const struct tdbg_graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_nodes; i++) {
        if (strcmp(g->nodes[i].name, name) == 0)
            return i;
    }
    return -1;
}

const struct tdbg_param *tdbg_graph_find_param(const struct tdbg_graph *graph, const char *node)
{
    const int32_t at = find_node(graph, node);
    return at >= 0 && graph->nodes[at].n_params > 0 ? &graph->params[graph->nodes[at].param[0]]
                                                    : NULL;
}

bool tdbg_graph_share_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                            const char *owner, struct tdbg_shape shape)
{
    struct tdbg_graph *g = build->graph;
    const struct tdbg_param *p = tdbg_graph_find_param(g, owner);
    if (!p) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "'%s' wants the weight of '%s', but there is no earlier op of that name "
                           "with parameters",
                           node->name, owner);
        return false;
    }
    const int32_t index = (int32_t)(p - g->params);
    if (!tdbg_shape_equal(&p->shape, &shape)) {
        char have[128], want[128];
        tdbg_config_report(build->config, node->cfg, NULL,
                           "'%s' wants a weight of shape %s, but %s has %s", node->name,
                           tdbg_shape_text(&shape, want, sizeof want), p->name,
                           tdbg_shape_text(&p->shape, have, sizeof have));
        return false;
    }
    TDBG_ASSERT(node->n_params < TDBG_MAX_NODE_PARAMS);
    node->param[node->n_params++] = index;
    g->params[index].last_node = (int32_t)(node - g->nodes);
    return true;
}

const struct tdbg_shape *tdbg_graph_shape(const struct tdbg_graph *graph, int32_t at)
{
    return at == TDBG_NODE_INPUT_X ? &graph->input : &graph->nodes[at].shape;
}

/* Connects a new node, and says when it reads token numbers and cannot, or the other way round. */
static bool connect(struct tdbg_graph_build *build, struct tdbg_node *node, const int32_t *input,
                    int32_t n_inputs)
{
    struct tdbg_graph *g = build->graph;
    node->n_inputs = n_inputs;
    for (int32_t i = 0; i < n_inputs; i++) {
        const int32_t from = input[i];
        const bool tokens = from == TDBG_NODE_INPUT_X && g->data[TDBG_SET_TRAIN].vocab > 0;
        if (tokens != node->op->takes_index) {
            tdbg_config_report(
                build->config, node->cfg,
                tokens ? "begin with { op = \"embedding\"; dim = ...; }" : NULL,
                tokens ? "%s '%s' wants numbers, but the samples are tokens"
                       : "%s '%s' wants tokens, but the samples or the op before give numbers",
                node->op->kind.name, node->name);
            return false;
        }
        node->input[i] = from;
        node->in_shape[i] = *tdbg_graph_shape(g, from);
        node->in_elems[i] = tdbg_shape_elems(&node->in_shape[i]);
        if (from >= 0) {
            g->nodes[from].n_readers++;
            g->nodes[from].last_reader = g->n_nodes;
            node->needs_grad |= g->nodes[from].needs_grad;
        }
    }
    return true;
}

int32_t tdbg_graph_add_node(struct tdbg_graph_build *build, const struct tdbg_op_class *op,
                            const char *name, const struct tdbg_cfg_node *cfg, const void *settings,
                            const int32_t *input, int32_t n_inputs)
{
    struct tdbg_graph *g = build->graph;
    TDBG_ASSERT(n_inputs <= TDBG_MAX_NODE_INPUTS);
    if (g->n_nodes == TDBG_MAX_NODES || strlen(name) > TDBG_MAX_SITE_NAME / 2) {
        tdbg_config_report(
            build->config, cfg, NULL,
            g->n_nodes == TDBG_MAX_NODES
                ? "the model has more than %d ops"
                : "the op's name with those of its blocks is longer than %d characters",
            g->n_nodes == TDBG_MAX_NODES ? (int)TDBG_MAX_NODES : (int)TDBG_MAX_SITE_NAME / 2);
        return -1;
    }
    if (find_node(g, name) >= 0) {
        tdbg_config_report(build->config, cfg, "give one of them another name",
                           "two ops are called '%s'", name);
        return -1;
    }
    g->nodes = make_room(g->arena, g->nodes, sizeof *g->nodes, g->n_nodes, &build->nodes_room);
    struct tdbg_node *node = &g->nodes[g->n_nodes];
    *node = (struct tdbg_node){
        .op = op, .name = name, .cfg = cfg, .settings = settings, .last_reader = -1};
    if (!connect(build, node, input, n_inputs) || !op->shape(build, node))
        return -1;
    node->elems = tdbg_shape_elems(&node->shape);
    node->needs_grad |= node->n_params > 0;
    return g->n_nodes++;
}

/* "relu2" for the second unnamed relu of a list: names are stable when other kinds come and go. */
static const char *item_name(struct tdbg_graph *g, const struct tdbg_cfg_node *list, int index,
                             const char *prefix)
{
    const struct tdbg_cfg_node *item = list->child[index], *name = tdbg_cfg_find(item, "name");
    if (name)
        return tdbg_arena_printf(g->arena, "%s%s", prefix, name->s);
    const char *kind = tdbg_cfg_string(item, "op");
    int number = 1;
    for (int i = 0; i < index; i++)
        number += strcmp(tdbg_cfg_string(list->child[i], "op"), kind) == 0;
    return tdbg_arena_printf(g->arena, "%s%s%d", prefix, kind, number);
}

bool tdbg_graph_add_list(struct tdbg_graph_build *build, const struct tdbg_cfg_node *list,
                         const char *prefix, int32_t *at)
{
    for (int i = 0; i < list->n_child; i++) {
        const struct tdbg_cfg_node *item = list->child[i];
        const struct tdbg_op_class *op = tdbg_op_find(tdbg_cfg_string(item, "op"));
        const char *name = item_name(build->graph, list, i, prefix);
        if (op->expand) {
            if (!op->expand(build, item, name, at))
                return false;
            continue;
        }
        const void *settings = op->read ? op->read(build, item) : NULL;
        *at = tdbg_graph_add_node(build, op, name, item, settings, at, 1);
        if (*at < 0) /* later shapes would only repeat the complaint */
            return false;
    }
    return true;
}
