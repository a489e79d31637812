/* Running a case. See op_runner.h. */
#include "op_runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "engine/engine_options.h"

enum { SEED = 20240607 };

static void *take(int64_t elems, size_t width)
{
    size_t bytes = ((size_t)elems * width / 64 + 2) * 64;
    void *p = aligned_alloc(64, bytes);
    memset(p, 0x5a, bytes); /* rubbish that whoever gives a result has to overwrite */
    return p;
}

/* Uniform in [low, low + width). */
static void fill(float *out, int64_t n, uint64_t stream, float low, float width)
{
    const uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, stream);
    for (int64_t i = 0; i < n; i++)
        out[i] = tdbg_philox_uniform(tdbg_philox(key, (uint64_t)i, 0).word[0]) * width + low;
}

static struct tdbg_config *read_config(const struct op_case *c)
{
    struct tdbg_err err = {0};
    struct tdbg_config *config = NULL;
    char *text = NULL;
    /* a view and a product behind the case, so that there is something to train */
    if (asprintf(
            &text,
            "steps = 1; data = { kind = \"idx\"; batch = 1; train = { images = \"a\"; labels = "
            "\"b\"; }; }; model = ( %s, { op = \"flatten\"; name = \"end1\"; }, { op = "
            "\"linear\"; name = \"end2\"; out = 1; } ); optimizer = { kind = \"sgd\"; lr = "
            "0.1; };",
            c->model) < 0)
        fail_msg("no memory");
    if (tdbg_config_parse(text, c->name, NULL, 0, &config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    const struct tdbg_option_table none = {0};
    tdbg_engine_check_options(config, &none, 0);
    if (tdbg_config_result(config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    free(text);
    return config;
}

struct op_setup op_setup_make(const struct op_case *c)
{
    struct op_setup s = {.c = c, .config = read_config(c)};
    struct tdbg_err err = {0};
    struct tdbg_data_shape data[TDBG_SET_COUNT] = {0};
    data[0] = (struct tdbg_data_shape){.x_dtype = c->vocab > 0 ? TDBG_DTYPE_I32 : TDBG_DTYPE_F32,
                                       .x_ndim = c->ndim,
                                       .y_dtype = TDBG_DTYPE_I64,
                                       .count = c->rows,
                                       .vocab = c->vocab};
    memcpy(data[0].x_dims, c->dims, (size_t)c->ndim * sizeof c->dims[0]);
    assert_int_equal(tdbg_graph_create(s.config, data, &s.graph, &err), TDBG_OK);
    if (tdbg_config_result(s.config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    s.n_nodes = s.graph->n_nodes - 2;
    while (s.n_params < s.graph->n_params && s.graph->params[s.n_params].node < s.n_nodes)
        s.n_params++;
    s.n_buffers = s.graph->n_buffers;
    s.x_elems = c->rows * s.graph->sample_elems;
    s.y_elems = c->rows * s.graph->nodes[s.n_nodes - 1].elems;
    s.x = take(s.x_elems, sizeof(float));
    s.dy = take(s.y_elems, sizeof(float));
    s.param = take(s.graph->flat_elems, sizeof(float));
    s.buffer = take(s.graph->buffer_elems, sizeof(float));
    fill(s.x, s.x_elems, 1, -2, 4);
    fill(s.dy, s.y_elems, 2, -1, 2);
    fill(s.param, s.graph->flat_elems, 3, -0.5f, 1);
    fill(s.buffer, s.graph->buffer_elems, 4, 0.5f, 1);
    if (c->vocab > 0) {
        uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, 5), counter = 0;
        s.index = take(s.x_elems, sizeof *s.index);
        for (int64_t i = 0; i < s.x_elems; i++)
            s.index[i] = (int32_t)tdbg_philox_below(key, &counter, (uint64_t)c->vocab);
    }
    return s;
}

void op_setup_free(struct op_setup *s)
{
    free(s->x);
    free(s->dy);
    free(s->param);
    free(s->buffer);
    free(s->index);
    tdbg_graph_destroy(s->graph);
    tdbg_config_destroy(s->config);
}

/* A run at work: a place for what each node gives and gets. All but `s` is on the device. */
struct work {
    const struct op_setup *s;
    const struct tdbg_backend *backend;
    struct op_result r;
    float *x, *dy, *all_param;
    int32_t *index;
    float **act, **dact, **saved;
    float *spare, *spare_param; /* what a node gives, before it is added */
    const float *param[TDBG_MAX_NODE_PARAMS];
    float *grad[TDBG_MAX_NODE_PARAMS], *buffer[TDBG_MAX_NODE_BUFFERS];
};

/* A block on the device: a copy of `from`, or rubbish that whoever gives a result overwrites. */
static void *place(const struct work *w, const void *from, int64_t elems, size_t width)
{
    const size_t bytes = (size_t)elems * width;
    struct tdbg_err err = {0};
    void *host = take(elems, width), *p = w->backend->alloc(w->backend->context, bytes);
    assert_non_null(p);
    if (from)
        memcpy(host, from, bytes);
    if (w->backend->to_device(w->backend->context, p, host, bytes, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    free(host);
    return p;
}

static float *place_floats(const struct work *w, const float *from, int64_t n)
{
    return place(w, from, n, sizeof(float));
}

static float *place_zeros(const struct work *w, int64_t n)
{
    float *p = place_floats(w, NULL, n);
    w->backend->fill_zero(w->backend->context, p, (size_t)n * sizeof(float));
    return p;
}

static void drop(const struct work *w, void *p)
{
    if (p)
        w->backend->free(w->backend->context, p);
}

/* n floats of the device, which is freed, on the host. */
static float *bring(const struct work *w, float *device, int64_t n)
{
    struct tdbg_err err = {0};
    float *host = take(n, sizeof(float));
    if (w->backend->to_host(w->backend->context, host, device, (size_t)n * sizeof(float), &err) !=
        TDBG_OK)
        fail_msg("%s", err.message);
    drop(w, device);
    return host;
}

static float *act_of(const struct work *w, int32_t at)
{
    return at == TDBG_NODE_INPUT_X ? w->x : w->act[at];
}

static struct tdbg_op_run describe(struct work *w, int32_t i)
{
    const struct op_setup *s = w->s;
    const struct tdbg_graph *g = s->graph;
    const struct tdbg_node *node = &g->nodes[i];
    for (int32_t k = 0; k < node->n_params; k++)
        w->param[k] = w->all_param + g->params[node->param[k]].offset;
    for (int32_t k = 0; k < node->n_buffers; k++)
        w->buffer[k] = w->r.buffer + g->buffers[node->buffer[k]].offset;
    return (struct tdbg_op_run){.backend = w->backend,
                                .act_bytes = sizeof(float),
                                .node = node,
                                .rows = s->c->rows,
                                .x = node->op->takes_index ? NULL : act_of(w, node->input[0]),
                                .x2 = node->n_inputs > 1 ? act_of(w, node->input[1]) : NULL,
                                .index = node->op->takes_index ? w->index : NULL,
                                .y = w->act[i],
                                .param = w->param,
                                .grad = w->grad,
                                .buffer = w->buffer,
                                .saved = w->saved[i],
                                .training = !s->c->evaluates,
                                .seed = SEED,
                                .step = 3,
                                .first_sample = 2};
}

static void *take_workspace(const struct work *w, const struct tdbg_node *node)
{
    size_t bytes =
        node->op->workspace_bytes ? node->op->workspace_bytes(w->backend, node, w->s->c->rows) : 0;
    return place(w, NULL, (int64_t)bytes, 1);
}

static void run_forward(struct work *w)
{
    const struct tdbg_graph *g = w->s->graph;
    for (int32_t i = 0; i < w->s->n_nodes; i++) {
        const struct tdbg_node *node = &g->nodes[i];
        const int64_t n = w->s->c->rows * node->elems;
        w->act[i] = place_floats(w, NULL, n);
        w->saved[i] = node->op->saved_elems
                          ? place_floats(w, NULL, node->op->saved_elems(node, w->s->c->rows))
                          : NULL;
        if (node->op->is_view) {
            w->backend->copy(w->backend->context, w->act[i], act_of(w, node->input[0]),
                             (size_t)n * sizeof(float));
            continue;
        }
        struct tdbg_op_run run = describe(w, i);
        run.workspace = take_workspace(w, node);
        node->op->forward(&run);
        drop(w, run.workspace);
    }
}

/* Adds what a node gave to its input to what others gave before it. */
static void add_gradient(struct work *w, int32_t i, int k, const float *given)
{
    const struct tdbg_node *node = &w->s->graph->nodes[i];
    const int32_t from = node->input[k];
    float *to = from == TDBG_NODE_INPUT_X ? w->r.dx : w->dact[from];
    w->backend->vector_add(w->backend->context, w->s->c->rows * node->in_elems[k], to, given);
}

static void run_node_back(struct work *w, int32_t i)
{
    const struct tdbg_graph *g = w->s->graph;
    const struct tdbg_node *node = &g->nodes[i];
    if (node->op->is_view) {
        add_gradient(w, i, 0, w->dact[i]);
        return;
    }
    struct tdbg_op_run run = describe(w, i);
    float *dx = place_floats(w, NULL, w->s->c->rows * node->in_elems[0]);
    float *dx2 = place_floats(w, NULL, w->s->c->rows * node->in_elems[1]);
    for (int32_t k = 0; k < node->n_params; k++)
        w->grad[k] = place_floats(w, NULL, g->params[node->param[k]].elems);
    run.workspace = take_workspace(w, node);
    tdbg_op_hide_unread(&run);
    run.dy = w->dact[i];
    run.dx = node->op->takes_index ? NULL : dx;
    run.dx2 = node->n_inputs > 1 ? dx2 : NULL;
    node->op->backward(&run);
    if (run.dx)
        add_gradient(w, i, 0, dx);
    if (run.dx2)
        add_gradient(w, i, 1, dx2);
    for (int32_t k = 0; k < node->n_params; k++) {
        const struct tdbg_param *p = &g->params[node->param[k]];
        w->backend->vector_add(w->backend->context, p->elems, w->r.grad + p->offset, w->grad[k]);
        drop(w, w->grad[k]);
    }
    drop(w, run.workspace);
    drop(w, dx);
    drop(w, dx2);
}

struct op_result op_run(const struct op_setup *s, const struct tdbg_backend *backend)
{
    const struct tdbg_graph *g = s->graph;
    const size_t pointers = (size_t)s->n_nodes * sizeof(float *);
    struct work w = {.s = s,
                     .backend = backend,
                     .act = malloc(pointers),
                     .dact = malloc(pointers),
                     .saved = malloc(pointers)};
    w.x = place_floats(&w, s->x, s->x_elems);
    w.dy = place_floats(&w, s->dy, s->y_elems);
    w.all_param = place_floats(&w, s->param, g->flat_elems);
    w.index = s->index ? place(&w, s->index, s->x_elems, sizeof *s->index) : NULL;
    w.r = (struct op_result){.dx = place_zeros(&w, s->x_elems),
                             .grad = place_zeros(&w, g->flat_elems),
                             .buffer = place_floats(&w, s->buffer, g->buffer_elems)};
    run_forward(&w);
    w.r.y = place_floats(&w, NULL, s->y_elems);
    backend->copy(backend->context, w.r.y, w.act[s->n_nodes - 1],
                  (size_t)s->y_elems * sizeof(float));
    for (int32_t i = 0; i < s->n_nodes; i++)
        w.dact[i] = place_zeros(&w, s->c->rows * g->nodes[i].elems);
    backend->copy(backend->context, w.dact[s->n_nodes - 1], w.dy,
                  (size_t)s->y_elems * sizeof(float));
    for (int32_t i = s->n_nodes - 1; i >= 0 && !s->c->evaluates; i--)
        run_node_back(&w, i);
    for (int32_t i = 0; i < s->n_nodes; i++) {
        drop(&w, w.act[i]);
        drop(&w, w.dact[i]);
        drop(&w, w.saved[i]);
    }
    drop(&w, w.x);
    drop(&w, w.dy);
    drop(&w, w.all_param);
    drop(&w, w.index);
    free(w.act);
    free(w.dact);
    free(w.saved);
    if (backend->forget_tables) /* the next graph may have others at the same place */
        backend->forget_tables(backend->context);
    return (struct op_result){.y = bring(&w, w.r.y, s->y_elems),
                              .dx = bring(&w, w.r.dx, s->x_elems),
                              .grad = bring(&w, w.r.grad, g->flat_elems),
                              .buffer = bring(&w, w.r.buffer, g->buffer_elems)};
}

void op_result_free(struct op_result *r)
{
    free(r->y);
    free(r->dx);
    free(r->grad);
    free(r->buffer);
}
