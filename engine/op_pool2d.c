/* Shapes of pooling: see op_pool2d.h. */
#include "engine/op_pool2d.h"

bool tdbg_pool_shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct tdbg_pool_settings *s = node->settings;
    const struct tdbg_window *w = &s->window;
    int64_t image[3], out[2];
    if (!tdbg_window_image(build, node, image))
        return false;
    if (w->padding[0] > w->kernel[0] / 2 || w->padding[1] > w->kernel[1] / 2) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "%s '%s' has more padding than half of its kernel: windows would lie "
                           "outside of the image",
                           node->op->kind.name, node->name);
        return false;
    }
    if (!tdbg_window_outputs(build, node, w, image, out))
        return false;
    node->shape = node->in_shape[0];
    node->shape.dims[node->shape.ndim - 2] = out[0];
    node->shape.dims[node->shape.ndim - 1] = out[1];
    return true;
}

struct tdbg_pool2d tdbg_pool_of(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_pool_settings *s = node->settings;
    const struct tdbg_window *w = &s->window;
    const struct tdbg_shape *in = &node->in_shape[0];
    return (struct tdbg_pool2d){
        .planes = rows * (in->ndim == 3 ? in->dims[0] : 1),
        .height = in->dims[in->ndim - 2],
        .width = in->dims[in->ndim - 1],
        .kernel = {w->kernel[0], w->kernel[1]},
        .stride = {w->stride[0], w->stride[1]},
        .padding = {w->padding[0], w->padding[1]},
        .include_pad = s->include_pad,
    };
}
