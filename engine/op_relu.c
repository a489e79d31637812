/* relu: y = max(x, 0), element by element. */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    run->backend->relu_forward(run->backend->context, run->rows * run->node->elems, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        run->backend->relu_backward(run->backend->context, run->rows * run->node->elems, run->y,
                                    run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_relu = {
    .kind = {"relu", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
