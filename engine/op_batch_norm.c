/* batch_norm: samples (C), (C, L) or (C, H, W) normalised by channel, as torch.nn.BatchNorm1d and
 * 2d. Training takes the statistics of one part, a lane's micro-batch, by itself; running
 * statistics are each lane's own. */
#include "engine/op.h"
#include "kernels/batch_norm.h"

struct batch_norm {
    float eps, momentum;
    bool affine, track;
};

static const struct tdbg_option options[] = {
    {"eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, "1e-5", 0, "Added to the variance."},
    {"momentum", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.1", 0,
     "Weight of a micro-batch's statistics in the running ones."},
    {"affine", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Multiply by a learned weight and add a learned bias."},
    {"track_running_stats", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Evaluate by running statistics; false: by those of the evaluated samples."},
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct batch_norm *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct batch_norm){.eps = (float)tdbg_cfg_float(cfg, "eps"),
                             .momentum = (float)tdbg_cfg_float(cfg, "momentum"),
                             .affine = tdbg_cfg_bool(cfg, "affine"),
                             .track = tdbg_cfg_bool(cfg, "track_running_stats")};
    return s;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct batch_norm *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    if (in->ndim < 1 || in->ndim > 3) {
        char text[128];
        tdbg_config_report(build->config, node->cfg, NULL,
                           "batch_norm '%s' wants samples of shape (C), (C, L) or (C, H, W), not "
                           "%s",
                           node->name, tdbg_shape_text(in, text, sizeof text));
        return false;
    }
    node->shape = *in;
    const struct tdbg_shape channels = {1, {in->dims[0]}};
    if (s->affine) {
        tdbg_graph_add_param(build, node, "weight", NULL, channels,
                             (struct tdbg_init){TDBG_INIT_ONES, 0});
        tdbg_graph_add_param(build, node, "bias", NULL, channels,
                             (struct tdbg_init){TDBG_INIT_ZEROS, 0});
    }
    if (s->track) {
        tdbg_graph_add_buffer(build, node, "running_mean", channels, 0);
        tdbg_graph_add_buffer(build, node, "running_var", channels, 1);
    }
    return true;
}

static struct tdbg_batch_norm norm_of(const struct tdbg_node *node, int64_t samples)
{
    const struct batch_norm *s = node->settings;
    const int64_t channels = node->in_shape[0].dims[0];
    return (struct tdbg_batch_norm){samples, channels,
                                    channels > 0 ? node->in_elems[0] / channels : 0, s->eps};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    (void)backend;
    const struct tdbg_batch_norm norm = norm_of(node, rows);
    return tdbg_batch_norm_workspace_bytes(&norm);
}

static int64_t saved_elems(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_batch_norm norm = norm_of(node, rows);
    return tdbg_batch_norm_stats_elems(&norm);
}

static void forward(const struct tdbg_op_run *run)
{
    const struct batch_norm *s = run->node->settings;
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const float *weight = s->affine ? run->param[0] : NULL,
                *bias = s->affine ? run->param[1] : NULL;
    float *mean = s->track ? run->buffer[0] : NULL, *var = s->track ? run->buffer[1] : NULL;
    if (s->track && !run->training)
        be->batch_norm_evaluate(be->context, &norm, run->x, weight, bias, mean, var, run->y,
                                run->saved);
    else
        be->batch_norm_forward(be->context, &norm, run->x, weight, bias, s->momentum, mean, var,
                               run->y, run->saved, run->workspace);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct batch_norm *s = run->node->settings;
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    run->backend->batch_norm_backward(
        run->backend->context, &norm, run->x, s->affine ? run->param[0] : NULL, run->saved, run->dy,
        run->dx, s->affine ? run->grad[0] : NULL, s->affine ? run->grad[1] : NULL, run->workspace);
}

const struct tdbg_op_class tdbg_op_batch_norm = {
    .kind = {"batch_norm", {options, sizeof options / sizeof options[0]}},
    .unread = TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .saved_elems = saved_elems,
    .forward = forward,
    .backward = backward,
};
