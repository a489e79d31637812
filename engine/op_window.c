/* Windows over images: see op_window.h. */
#include "engine/op_window.h"

struct tdbg_window tdbg_window_read(const struct tdbg_cfg_node *cfg)
{
    struct tdbg_window w = {.dilation = {1, 1}};
    tdbg_cfg_pair(cfg, "kernel", w.kernel);
    memcpy(w.stride, w.kernel, sizeof w.stride);
    tdbg_cfg_pair(cfg, "stride", w.stride);
    tdbg_cfg_pair(cfg, "padding", w.padding);
    tdbg_cfg_pair(cfg, "dilation", w.dilation);
    return w;
}

bool tdbg_window_image(struct tdbg_graph_build *build, const struct tdbg_node *node,
                       int64_t image[3])
{
    const struct tdbg_shape *in = &node->in_shape[0];
    char text[128];
    if (in->ndim == 2 || in->ndim == 3) {
        image[0] = in->ndim == 3 ? in->dims[0] : 1;
        image[1] = in->dims[in->ndim - 2];
        image[2] = in->dims[in->ndim - 1];
        return true;
    }
    tdbg_config_report(build->config, node->cfg,
                       in->ndim == 1 ? "ops on images stand in front of flatten and linear" : NULL,
                       "%s '%s' wants samples of shape (channels, height, width), not %s",
                       node->op->kind.name, node->name, tdbg_shape_text(in, text, sizeof text));
    return false;
}

bool tdbg_window_outputs(struct tdbg_graph_build *build, const struct tdbg_node *node,
                         const struct tdbg_window *w, const int64_t image[3], int64_t out[2])
{
    static const char *const axis_text[] = {"high", "wide"};
    for (int axis = 0; axis < 2; axis++) {
        const int64_t padded = image[1 + axis] + 2 * w->padding[axis];
        const int64_t span = w->dilation[axis] * (w->kernel[axis] - 1) + 1;
        if (span > padded) {
            tdbg_config_report(build->config, node->cfg, NULL,
                               "the window of %s '%s' is %lld pixels %s, but the image with its "
                               "padding is only %lld",
                               node->op->kind.name, node->name, (long long)span, axis_text[axis],
                               (long long)padded);
            return false;
        }
        out[axis] = (padded - span) / w->stride[axis] + 1;
    }
    return true;
}
