/* conv2d: cross-correlation over (channels, height, width), as torch.nn.Conv2d; weight
 * (out, in / groups, kernel height, kernel width), bias (out). */
#include <math.h>

#include "engine/op_window.h"

static const struct tdbg_option options[] = {
    {"out", TDBG_OPT_INT, "channels", 1, 1 << 20, NULL, NULL, TDBG_OPT_REQUIRED,
     "Channels of the output."},
    TDBG_WINDOW_KERNEL,
    TDBG_WINDOW_STRIDE("1", ""),
    TDBG_WINDOW_PADDING("zeros"),
    {"dilation", TDBG_OPT_INT_OR_PAIR, "pixels", 1, TDBG_MAX_WINDOW, NULL, "1", 0,
     "Distance between neighbouring elements of the kernel."},
    {"groups", TDBG_OPT_INT, "", 1, 1 << 20, NULL, "1", 0,
     "Groups of channels that do not mix; as many as channels: depthwise."},
    {"bias", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Add a learned bias per channel."},
    TDBG_INIT_OPTIONS("default is uniform in +-1/sqrt(in / groups * kernel area)"),
};

struct settings {
    int64_t out, groups;
    bool bias;
    struct tdbg_init_choice init;
    struct tdbg_window window;
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct settings){.out = tdbg_cfg_int(cfg, "out"),
                           .groups = tdbg_cfg_int(cfg, "groups"),
                           .bias = tdbg_cfg_bool(cfg, "bias"),
                           .init = tdbg_init_read(cfg),
                           .window = tdbg_window_read(cfg)};
    return s;
}

static bool check_channels(struct tdbg_graph_build *build, const struct tdbg_node *node, int64_t in)
{
    const struct settings *s = node->settings;
    const int64_t area = s->window.kernel[0] * s->window.kernel[1];
    if (in % s->groups != 0 || s->out % s->groups != 0) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "conv2d '%s' cannot cut %lld channels into %lld, and %lld outputs into "
                           "as many groups: groups has to divide both",
                           node->name, (long long)in, (long long)s->groups, (long long)s->out);
        return false;
    }
    if (in / s->groups > TDBG_MAX_PARAM_ELEMS / s->out / area) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "conv2d '%s' would have a weight of %lld x %lld x %lld x %lld elements; "
                           "at most 2^31 are supported",
                           node->name, (long long)s->out, (long long)(in / s->groups),
                           (long long)s->window.kernel[0], (long long)s->window.kernel[1]);
        return false;
    }
    return true;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct settings *s = node->settings;
    const int64_t *kernel = s->window.kernel, area = kernel[0] * kernel[1];
    int64_t image[3], out[2];
    if (!tdbg_window_image(build, node, image) || !check_channels(build, node, image[0]) ||
        !tdbg_window_outputs(build, node, &s->window, image, out))
        return false;
    node->shape = (struct tdbg_shape){3, {s->out, out[0], out[1]}};
    const int64_t in = image[0] / s->groups;
    /* as in op_linear.c */
    const struct tdbg_init standard = {.kind = TDBG_INIT_UNIFORM,
                                       .scale = 1 / sqrt((double)(in * area))};
    const struct tdbg_init init = tdbg_init_weight(&s->init, in * area, s->out * area, standard);
    const bool is_standard = init.kind == standard.kind && init.scale == standard.scale;
    tdbg_graph_add_param(build, node, "weight", NULL,
                         (struct tdbg_shape){4, {s->out, in, kernel[0], kernel[1]}}, init);
    if (s->bias)
        tdbg_graph_add_param(build, node, "bias", NULL, (struct tdbg_shape){1, {s->out}},
                             is_standard ? standard : (struct tdbg_init){.kind = TDBG_INIT_ZEROS});
    return true;
}

static struct tdbg_conv2d conv_of(const struct tdbg_node *node, int64_t rows)
{
    const struct settings *s = node->settings;
    const struct tdbg_window *w = &s->window;
    const struct tdbg_shape *in = &node->in_shape[0];
    return (struct tdbg_conv2d){
        .samples = rows,
        .in = in->ndim == 3 ? in->dims[0] : 1,
        .height = in->dims[in->ndim - 2],
        .width = in->dims[in->ndim - 1],
        .out = s->out,
        .groups = s->groups,
        .kernel = {w->kernel[0], w->kernel[1]},
        .stride = {w->stride[0], w->stride[1]},
        .padding = {w->padding[0], w->padding[1]},
        .dilation = {w->dilation[0], w->dilation[1]},
    };
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    const struct tdbg_conv2d conv = conv_of(node, rows);
    return backend->conv2d_workspace_bytes(backend->context, &conv);
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_conv2d conv = conv_of(run->node, run->rows);
    const float *bias = run->node->n_params > 1 ? run->param[1] : NULL;
    run->backend->conv2d_forward(run->backend->context, &conv, run->x, run->param[0], bias, run->y,
                                 run->workspace);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct tdbg_conv2d conv = conv_of(run->node, run->rows);
    be->conv2d_backward_weight(be->context, &conv, run->x, run->dy, run->grad[0], run->workspace);
    if (run->node->n_params > 1)
        be->conv2d_backward_bias(be->context, &conv, run->dy, run->grad[1]);
    if (run->dx)
        be->conv2d_backward_input(be->context, &conv, run->dy, run->param[0], run->dx,
                                  run->workspace);
}

const struct tdbg_op_class tdbg_op_conv2d = {
    .kind = {"conv2d", {options, sizeof options / sizeof options[0]}},
    .unread = TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
    .backward = backward,
};
