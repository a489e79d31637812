/* global_avg_pool: the mean of each channel, (channels, height, width) to (channels), as
 * torch.nn.AdaptiveAvgPool2d(1) and flatten. */
#include "engine/op_window.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    int64_t image[3];
    if (!tdbg_window_image(build, node, image))
        return false;
    node->shape = (struct tdbg_shape){1, {image[0]}};
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    const int64_t channels = run->node->elems;
    run->backend->global_avg_pool_forward(run->backend->context, run->rows * channels,
                                          run->node->in_elems[0] / channels, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const int64_t channels = run->node->elems;
    if (run->dx)
        run->backend->global_avg_pool_backward(run->backend->context, run->rows * channels,
                                               run->node->in_elems[0] / channels, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_global_avg_pool = {
    .kind = {"global_avg_pool", {NULL, 0}},
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
