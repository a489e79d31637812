/* layer_norm and rms_norm: every sample, or every position of a sequence, is normalised by itself
 * over its last dimensions, as torch.nn.LayerNorm and torch.nn.RMSNorm. */
#include "engine/op.h"
#include "kernels/row_norm.h"

struct row_norm {
    int64_t dims; /* how many last dimensions a row has */
    float eps;
    bool affine, bias, centre;
};

#define DIMS_OPTION                                                                                \
    {                                                                                              \
        "dims", TDBG_OPT_INT, "dimensions", 1, TDBG_MAX_SHAPE, NULL, "1", 0,                       \
            "How many of the last dimensions are normalised together; torch's normalized_shape "   \
            "has as many."                                                                         \
    }

static const struct tdbg_option layer_options[] = {
    DIMS_OPTION,
    {"eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, "1e-5", 0, "Added to the variance."},
    {"affine", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Multiply by a learned weight."},
    {"bias", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "With affine: add a learned bias."},
};
static const struct tdbg_option rms_options[] = {
    DIMS_OPTION,
    {"eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, "1.1920929e-7", 0,
     "Added to the mean of the squares; the default is 2^-23, as in PyTorch."},
    {"affine", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Multiply by a learned weight."},
};

static struct row_norm *read_common(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct row_norm *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct row_norm){.dims = tdbg_cfg_int(cfg, "dims"),
                           .eps = (float)tdbg_cfg_float(cfg, "eps"),
                           .affine = tdbg_cfg_bool(cfg, "affine")};
    return s;
}

static const void *read_layer(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct row_norm *s = read_common(build, cfg);
    s->centre = true;
    s->bias = s->affine && tdbg_cfg_bool(cfg, "bias");
    return s;
}

static const void *read_rms(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    return read_common(build, cfg);
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct row_norm *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    if (s->dims > in->ndim) {
        char text[128];
        tdbg_config_report(build->config, node->cfg, NULL,
                           "'%s' normalises over %lld dimensions, but its samples have shape %s",
                           node->name, (long long)s->dims, tdbg_shape_text(in, text, sizeof text));
        return false;
    }
    node->shape = *in;
    struct tdbg_shape row = {.ndim = (int32_t)s->dims};
    for (int32_t d = 0; d < row.ndim; d++)
        row.dims[d] = in->dims[in->ndim - row.ndim + d];
    if (s->affine)
        tdbg_graph_add_param(build, node, "weight", NULL, row,
                             (struct tdbg_init){.kind = TDBG_INIT_ONES});
    if (s->bias)
        tdbg_graph_add_param(build, node, "bias", NULL, row,
                             (struct tdbg_init){.kind = TDBG_INIT_ZEROS});
    return true;
}

static struct tdbg_row_norm norm_of(const struct tdbg_node *node, int64_t samples)
{
    const struct row_norm *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    int64_t width = 1;
    for (int64_t d = in->ndim - s->dims; d < in->ndim; d++)
        width *= in->dims[d];
    return (struct tdbg_row_norm){.rows = width > 0 ? samples * node->in_elems[0] / width : 0,
                                  .width = width,
                                  .eps = s->eps,
                                  .centre = s->centre};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    (void)backend;
    const struct tdbg_row_norm norm = norm_of(node, rows);
    return tdbg_row_norm_workspace_bytes(&norm);
}

static int64_t saved_elems(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_row_norm norm = norm_of(node, rows);
    return tdbg_row_norm_stats_elems(&norm);
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_row_norm norm = norm_of(run->node, run->rows);
    const int32_t n = run->node->n_params;
    run->backend->row_norm_forward(run->backend->context, &norm, run->x,
                                   n > 0 ? run->param[0] : NULL, n > 1 ? run->param[1] : NULL,
                                   run->y, run->saved);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_row_norm norm = norm_of(run->node, run->rows);
    const int32_t n = run->node->n_params;
    run->backend->row_norm_backward(
        run->backend->context, &norm, run->x, n > 0 ? run->param[0] : NULL, run->saved, run->dy,
        run->dx, n > 0 ? run->grad[0] : NULL, n > 1 ? run->grad[1] : NULL, run->workspace);
}

const struct tdbg_op_class tdbg_op_layer_norm = {
    .kind = {"layer_norm", {layer_options, sizeof layer_options / sizeof layer_options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .read = read_layer,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .saved_elems = saved_elems,
    .forward = forward,
    .backward = backward,
};

const struct tdbg_op_class tdbg_op_rms_norm = {
    .kind = {"rms_norm", {rms_options, sizeof rms_options / sizeof rms_options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .read = read_rms,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .saved_elems = saved_elems,
    .forward = forward,
    .backward = backward,
};
