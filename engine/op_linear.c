/* linear: y = x W^T + b over the last dimension, W (out, in), b (out), as torch.nn.Linear. */
#include <math.h>

#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"out", TDBG_OPT_INT, "features", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Features of the output."},
    {"bias", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Add a learned bias."},
    {"init", TDBG_OPT_ENUM, "", 0, 0, "default|zeros", "\"default\"", 0,
     "Initial values; default is uniform in +-1/sqrt(in), as in PyTorch."},
};

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node,
                  const struct tdbg_shape *input)
{
    if (input->ndim != 1) {
        char text[128];
        tdbg_config_report(build->config, node->cfg, "put { op = \"flatten\"; } in front of it",
                           "linear '%s' wants samples of shape (features), not %s", node->name,
                           tdbg_shape_text(input, text, sizeof text));
        return false;
    }
    int64_t in = input->dims[0], out = tdbg_cfg_int(node->cfg, "out");
    if (in > TDBG_MAX_PARAM_ELEMS / out) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "linear '%s' would have a weight of %lld x %lld elements; at most 2^31 "
                           "are supported",
                           node->name, (long long)out, (long long)in);
        return false;
    }
    node->shape = (struct tdbg_shape){.ndim = 1, .dims = {out}};
    bool zeros = strcmp(tdbg_cfg_string(node->cfg, "init"), "zeros") == 0;
    /* kaiming_uniform(a = sqrt(5)) has the bound sqrt(6 / ((1 + 5) in)) = 1 / sqrt(in). */
    double bound = zeros ? 0 : 1 / sqrt((double)in);
    tdbg_graph_add_param(build, node, "weight", (struct tdbg_shape){2, {out, in}}, bound);
    if (tdbg_cfg_bool(node->cfg, "bias"))
        tdbg_graph_add_param(build, node, "bias", (struct tdbg_shape){1, {out}}, bound);
    return true;
}

static struct tdbg_gemm forward_product(const struct tdbg_node *node, int64_t rows)
{
    int64_t in = node->in_elems, out = node->elems;
    return (struct tdbg_gemm){
        .m = rows, .n = out, .k = in, .lda = in, .ldb = in, .trans_b = true, .ldc = out};
}

/* dW (out, in) = dy^T (out, rows) x (rows, in) */
static struct tdbg_gemm weight_product(const struct tdbg_node *node, int64_t rows)
{
    int64_t in = node->in_elems, out = node->elems;
    return (struct tdbg_gemm){
        .m = out, .n = in, .k = rows, .lda = out, .trans_a = true, .ldb = in, .ldc = in};
}

/* dx (rows, in) = dy (rows, out) W (out, in) */
static struct tdbg_gemm input_product(const struct tdbg_node *node, int64_t rows)
{
    int64_t in = node->in_elems, out = node->elems;
    return (struct tdbg_gemm){.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    const struct tdbg_gemm products[] = {forward_product(node, rows), weight_product(node, rows),
                                         input_product(node, rows)};
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        size_t bytes = backend->gemm_workspace_bytes(backend->context, &products[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void forward(const struct tdbg_op_run *run)
{
    struct tdbg_gemm y = forward_product(run->node, run->rows);
    y.a = run->x;
    y.b = run->param[0];
    y.c = run->y;
    y.bias = run->node->n_params > 1 ? run->param[1] : NULL;
    run->backend->gemm(run->backend->context, &y, run->workspace);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    struct tdbg_gemm dw = weight_product(run->node, run->rows);
    dw.a = run->dy;
    dw.b = run->x;
    dw.c = run->grad[0];
    be->gemm(be->context, &dw, run->workspace);
    if (run->node->n_params > 1)
        be->reduce_rows(be->context, run->rows, run->node->elems, run->dy, run->grad[1]);
    if (run->dx) {
        struct tdbg_gemm dx = input_product(run->node, run->rows);
        dx.a = run->dy;
        dx.b = run->param[0];
        dx.c = run->dx;
        be->gemm(be->context, &dx, run->workspace);
    }
}

const struct tdbg_op_class tdbg_op_linear = {
    .kind = {"linear", {options, sizeof options / sizeof options[0]}},
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
    .backward = backward,
};
