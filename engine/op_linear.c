/* linear: y = x W^T + b over the last dimension, W (out, in), b (out), as torch.nn.Linear. */
#include <math.h>

#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"out", TDBG_OPT_INT, "features", 1, 1 << 24, NULL, NULL, 0,
     "Features of the output; with tie as many as the shared weight gives."},
    {"bias", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Add a learned bias."},
    TDBG_INIT_OPTIONS("default is uniform in +-1/sqrt(in)"),
    {"tie", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, 0,
     "Name of an earlier op, usually an embedding, whose weight (out, in) this op uses as its "
     "own."},
};

static void check(struct tdbg_config *config, const struct tdbg_cfg_node *cfg)
{
    if (!tdbg_cfg_find(cfg, "out") && !tdbg_cfg_find(cfg, "tie"))
        tdbg_config_report(config, cfg, "for example: out = 10;", "linear has no 'out'");
}

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct tdbg_linear *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    const struct tdbg_cfg_node *tie = tdbg_cfg_find(cfg, "tie"), *out = tdbg_cfg_find(cfg, "out");
    const struct tdbg_param *shared = tie ? tdbg_graph_find_param(build->graph, tie->s) : NULL;
    *s = (struct tdbg_linear){.out = out      ? out->i
                                     : shared ? shared->shape.dims[0]
                                              : 1,
                              .bias = tdbg_cfg_bool(cfg, "bias"),
                              .init = tdbg_init_read(cfg),
                              .tie = tie ? tie->s : NULL};
    return s;
}

static bool check_input(struct tdbg_graph_build *build, const struct tdbg_node *node)
{
    char text[128];
    const struct tdbg_shape *in = &node->in_shape[0];
    const int64_t features = in->ndim > 0 ? in->dims[in->ndim - 1] : 0;
    const struct tdbg_linear *s = node->settings;
    /* rows of a picture are hardly meant as the positions of a sequence */
    const bool picture = node->input[0] == TDBG_NODE_INPUT_X &&
                         build->graph->data[TDBG_SET_TRAIN].x_dtype == TDBG_DTYPE_U8;
    if (in->ndim == 1 || (in->ndim == 2 && !picture)) {
        if (features <= TDBG_MAX_PARAM_ELEMS / s->out)
            return true;
        tdbg_config_report(build->config, node->cfg, NULL,
                           "linear '%s' would have a weight of %lld x %lld elements; at most 2^31 "
                           "are supported",
                           node->name, (long long)s->out, (long long)features);
        return false;
    }
    tdbg_config_report(build->config, node->cfg, "put { op = \"flatten\"; } in front of it",
                       "linear '%s' wants samples of shape (features), not %s", node->name,
                       tdbg_shape_text(in, text, sizeof text));
    return false;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct tdbg_linear *s = node->settings;
    if (!check_input(build, node))
        return false;
    node->shape = node->in_shape[0];
    int64_t *last = &node->shape.dims[node->shape.ndim - 1];
    const int64_t in = *last;
    *last = s->out;
    /* kaiming_uniform(a = sqrt(5)) has the bound sqrt(6 / ((1 + 5) in)) = 1 / sqrt(in). */
    const struct tdbg_init standard = {.kind = TDBG_INIT_UNIFORM, .scale = 1 / sqrt((double)in)};
    const struct tdbg_init init = tdbg_init_weight(&s->init, in, s->out, standard);
    const bool is_standard =
        init.kind == standard.kind && init.scale == standard.scale && !s->zero_bias;
    const struct tdbg_shape weight = {2, {s->out, in}};
    if (!s->tie)
        tdbg_graph_add_param(build, node, "weight", s->weight_name, weight, init);
    else if (!tdbg_graph_share_param(build, node, s->tie, weight))
        return false;
    if (s->bias) /* any other choice is one for weights, beside which biases begin with zero */
        tdbg_graph_add_param(build, node, "bias", s->bias_name, (struct tdbg_shape){1, {s->out}},
                             is_standard ? standard : (struct tdbg_init){.kind = TDBG_INIT_ZEROS});
    return true;
}

/* Features in and out, and rows of the product: one per sample and position. */
struct sizes {
    int64_t in, out, rows;
};

static struct sizes sizes_of(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_shape *in = &node->in_shape[0];
    const int64_t features = in->dims[in->ndim - 1];
    return (struct sizes){.in = features,
                          .out = node->shape.dims[node->shape.ndim - 1],
                          .rows = rows * (features > 0 ? node->in_elems[0] / features : 0)};
}

static struct tdbg_gemm forward_product(struct sizes s)
{
    return (struct tdbg_gemm){.m = s.rows,
                              .n = s.out,
                              .k = s.in,
                              .lda = s.in,
                              .ldb = s.in,
                              .trans_b = true,
                              .ldc = s.out};
}

/* dW (out, in) = dy^T (out, rows) x (rows, in) */
static struct tdbg_gemm weight_product(struct sizes s)
{
    return (struct tdbg_gemm){.m = s.out,
                              .n = s.in,
                              .k = s.rows,
                              .lda = s.out,
                              .trans_a = true,
                              .ldb = s.in,
                              .ldc = s.in,
                              .is_gradient = true};
}

/* dx (rows, in) = dy (rows, out) W (out, in) */
static struct tdbg_gemm input_product(struct sizes s)
{
    return (struct tdbg_gemm){
        .m = s.rows, .n = s.in, .k = s.out, .lda = s.out, .ldb = s.in, .ldc = s.in};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    const struct sizes s = sizes_of(node, rows);
    const struct tdbg_gemm products[] = {forward_product(s), weight_product(s), input_product(s)};
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        size_t bytes = backend->gemm_workspace_bytes(backend->context, &products[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* The stride of y and dy. */
static int64_t y_stride(const struct tdbg_op_run *run, struct sizes s)
{
    return run->y_stride > 0 ? run->y_stride : s.out;
}

static void forward(const struct tdbg_op_run *run)
{
    const struct sizes s = sizes_of(run->node, run->rows);
    struct tdbg_gemm y = forward_product(s);
    y.ldc = y_stride(run, s);
    y.writes_gaps = run->y_stride > 0;
    y.a = run->x;
    y.b = run->param[0];
    y.c = run->y;
    y.bias = run->node->n_params > 1 ? run->param[1] : NULL;
    run->backend->gemm(run->backend->context, &y, run->workspace);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct sizes s = sizes_of(run->node, run->rows);
    struct tdbg_gemm dw = weight_product(s);
    dw.a = run->dy;
    dw.lda = y_stride(run, s);
    dw.reads_gaps = run->y_stride > 0;
    dw.b = run->x;
    dw.c = run->grad[0];
    be->gemm(be->context, &dw, run->workspace);
    if (run->node->n_params > 1)
        be->reduce_rows(be->context, s.rows, s.out, run->dy, run->grad[1]);
    if (run->dx) {
        struct tdbg_gemm dx = input_product(s);
        dx.a = run->dy;
        dx.lda = y_stride(run, s);
        dx.reads_gaps = run->y_stride > 0;
        dx.b = run->param[0];
        dx.c = run->dx;
        be->gemm(be->context, &dx, run->workspace);
    }
}

const struct tdbg_op_class tdbg_op_linear = {
    .kind = {"linear", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .check = check,
    .read = read_settings,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
    .backward = backward,
};
