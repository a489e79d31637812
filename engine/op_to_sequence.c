/* to_sequence: an image (channels, height, width) as a sequence (height * width, channels), row by
 * row: behind a convolution whose stride is its kernel, the patches of a vision transformer. */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    char text[128];
    const struct tdbg_shape *in = &node->in_shape[0];
    if (in->ndim != 3) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "to_sequence '%s' wants (channels, height, width), not %s", node->name,
                           tdbg_shape_text(in, text, sizeof text));
        return false;
    }
    node->shape = (struct tdbg_shape){2, {in->dims[1] * in->dims[2], in->dims[0]}};
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    const int64_t positions = run->node->shape.dims[0], channels = run->node->shape.dims[1];
    run->backend->transpose(run->backend->context, run->rows, channels, positions, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const int64_t positions = run->node->shape.dims[0], channels = run->node->shape.dims[1];
    if (run->dx)
        run->backend->transpose(run->backend->context, run->rows, positions, channels, run->dy,
                                run->dx);
}

const struct tdbg_op_class tdbg_op_to_sequence = {
    .kind = {"to_sequence", {NULL, 0}},
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
