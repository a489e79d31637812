/* Edges of the dataflow, found by the sites' names, which docs/architecture.md lists by stage. */
#include "replay/dataflow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/op.h"

struct edges {
    const struct tdbg_graph *graph;
    const struct tdbg_site *sites;
    int32_t n_sites;
    const struct tdbg_site *of; /* whose inputs are wanted */
    int32_t *out;
    int n;
};

/* Is it of the same lane and micro-batch, as far as both have one? */
static bool same_part(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return (a->lane < 0 || b->lane < 0 || a->lane == b->lane) &&
           (a->micro < 0 || b->micro < 0 || a->micro == b->micro);
}

static void add(struct edges *e, int32_t id)
{
    for (int i = 0; i < e->n; i++) {
        if (e->out[i] == id)
            return;
    }
    if (e->n < TDBG_DATAFLOW_INPUTS && &e->sites[id] != e->of)
        e->out[e->n++] = id;
}

/* Sites of a stage whose tensor is `tensor`, or begins with "tensor." where `and_below`. */
static void add_tensor(struct edges *e, enum tdbg_stage stage, const char *tensor, bool and_below)
{
    const size_t n = strlen(tensor);
    for (int32_t i = 0; i < e->n_sites; i++) {
        const struct tdbg_site *s = &e->sites[i];
        if (s->stage != stage || !same_part(s, e->of))
            continue;
        const char *t = tdbg_site_tensor(s);
        if (strncmp(t, tensor, n) == 0 && (!t[n] || (and_below && t[n] == '.')))
            add(e, i);
    }
}

static void add_stage(struct edges *e, enum tdbg_stage stage)
{
    for (int32_t i = 0; i < e->n_sites; i++) {
        if (e->sites[i].stage == stage && same_part(&e->sites[i], e->of))
            add(e, i);
    }
}

static void add_node_output(struct edges *e, int32_t at)
{
    if (at == TDBG_NODE_INPUT_X)
        add_tensor(e, TDBG_STAGE_INPUT, "x", false);
    else
        add_tensor(e, TDBG_STAGE_FWD, e->graph->nodes[at].name, false);
}

/* What a node's forward and backward read besides gradients. */
static void add_node_inputs(struct edges *e, const struct tdbg_node *node)
{
    for (int32_t i = 0; i < node->n_inputs; i++)
        add_node_output(e, node->input[i]);
    for (int32_t i = 0; i < node->n_params; i++)
        add_tensor(e, TDBG_STAGE_STATE, e->graph->params[node->param[i]].name, false);
}

static const struct tdbg_node *find_node(const struct edges *e, const char *tensor, bool *is_fold)
{
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        const struct tdbg_node *node = &e->graph->nodes[i];
        const size_t n = strlen(node->name);
        *is_fold = false;
        if (strcmp(node->name, tensor) == 0)
            return node;
        /* "<node>.<fold>_in" or "_out": no node's name, but one node's begins it */
        *is_fold = strncmp(node->name, tensor, n) == 0 && tensor[n] == '.' &&
                   strchr(tensor + n + 1, '_') != NULL;
        if (*is_fold && node->op->folds)
            return node;
    }
    return NULL;
}

/* The gradient of a node's output comes from the backward of the nodes that read it. */
static void add_backward(struct edges *e, const struct tdbg_node *of)
{
    const int32_t index = (int32_t)(of - e->graph->nodes);
    bool is_read = false;
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        const struct tdbg_node *node = &e->graph->nodes[i];
        for (int32_t k = 0; k < node->n_inputs; k++) {
            if (node->input[k] != index)
                continue;
            is_read = true;
            add_tensor(e, TDBG_STAGE_BWD, node->name, true);
            add_node_inputs(e, node);
        }
    }
    if (!is_read) { /* the last one: the loss reads it */
        add_node_output(e, index);
        add_tensor(e, TDBG_STAGE_SAMPLES, "y", false);
    }
}

/* A parameter's gradient comes from the backward of its nodes. */
static void add_parameter(struct edges *e, const char *param)
{
    for (int32_t i = 0; i < e->graph->n_nodes; i++) {
        const struct tdbg_node *node = &e->graph->nodes[i];
        for (int32_t k = 0; k < node->n_params; k++) {
            if (strcmp(e->graph->params[node->param[k]].name, param) != 0)
                continue;
            add_tensor(e, TDBG_STAGE_BWD, node->name, false);
            add_node_inputs(e, node);
        }
    }
}

static void add_of_node(struct edges *e, const char *tensor)
{
    bool is_fold = false;
    const struct tdbg_node *node = find_node(e, tensor, &is_fold);
    if (!node)
        return;
    if (e->of->stage == TDBG_STAGE_FWD)
        add_node_inputs(e, node);
    else if (is_fold)
        add_tensor(e, TDBG_STAGE_BWD, node->name, false);
    else
        add_backward(e, node);
}

static void add_loss(struct edges *e, const char *tensor)
{
    if (strcmp(tensor, "sample") == 0) {
        add_node_output(e, e->graph->n_nodes - 1);
        add_tensor(e, TDBG_STAGE_SAMPLES, "y", false);
    } else if (strcmp(tensor, "sum") == 0) {
        add_tensor(e, TDBG_STAGE_LOSS, "sample", false);
    } else {
        add_tensor(e, TDBG_STAGE_REDUCE_OUT, "loss", false);
        add_tensor(e, TDBG_STAGE_REDUCE_OUT, "divisor", false);
    }
}

/* The gradient that the optimizer sees. */
static void add_gradient(struct edges *e, const char *param)
{
    const int before = e->n;
    add_tensor(e, TDBG_STAGE_CLIP, param, false);
    if (e->n == before)
        add_tensor(e, TDBG_STAGE_GRAD, param, false);
}

/* optim/<parameter>.<state>: the parameter's name is what a state or a gradient has. */
static void add_optimizer(struct edges *e, const char *tensor)
{
    char param[TDBG_MAX_SITE_NAME + 1];
    snprintf(param, sizeof param, "%s", tensor);
    char *dot = strrchr(param, '.');
    if (dot)
        *dot = '\0';
    add_tensor(e, TDBG_STAGE_HYPER, "lr", false);
    add_tensor(e, TDBG_STAGE_STATE, tensor, false);
    add_tensor(e, TDBG_STAGE_STATE, param, false);
    add_gradient(e, param);
}

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int tdbg_dataflow_inputs(const struct tdbg_graph *graph, const struct tdbg_site *sites,
                         int32_t n_sites, int32_t site, int32_t *out)
{
    struct edges e = {graph, sites, n_sites, &sites[site], out, 0};
    const char *tensor = tdbg_site_tensor(e.of);
    switch (e.of->stage) {
    case TDBG_STAGE_INPUT:
        add_tensor(&e, TDBG_STAGE_SAMPLES, "x", false);
        break;
    case TDBG_STAGE_FWD:
    case TDBG_STAGE_BWD:
        add_of_node(&e, tensor);
        break;
    case TDBG_STAGE_LOSS:
        add_loss(&e, tensor);
        break;
    case TDBG_STAGE_REDUCE_IN:
        if (strcmp(tensor, "loss") == 0)
            add_tensor(&e, TDBG_STAGE_LOSS, "sum", false);
        else
            add_parameter(&e, tensor);
        break;
    case TDBG_STAGE_REDUCE_OUT:
        add_tensor(&e, TDBG_STAGE_REDUCE_IN, tensor, false);
        break;
    case TDBG_STAGE_GRAD:
        add_tensor(&e, TDBG_STAGE_REDUCE_OUT, tensor, false);
        add_tensor(&e, TDBG_STAGE_REDUCE_OUT, "divisor", false);
        break;
    case TDBG_STAGE_CLIP:
        if (strcmp(tensor, "norm") == 0)
            add_stage(&e, TDBG_STAGE_GRAD);
        else
            add_tensor(&e, TDBG_STAGE_GRAD, tensor, false);
        if (strcmp(tensor, "norm") != 0)
            add_tensor(&e, TDBG_STAGE_CLIP, "norm", false);
        break;
    case TDBG_STAGE_OPTIM:
        add_optimizer(&e, tensor);
        break;
    case TDBG_STAGE_PARAM:
        add_tensor(&e, TDBG_STAGE_HYPER, "lr", false);
        add_tensor(&e, TDBG_STAGE_STATE, tensor, false);
        add_tensor(&e, TDBG_STAGE_OPTIM, tensor, true);
        add_gradient(&e, tensor);
        break;
    default: /* what comes from outside, and the evaluation */
        break;
    }
    qsort(out, (size_t)e.n, sizeof *out, ascending);
    return e.n;
}
