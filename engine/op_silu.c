/* silu: y = x sigmoid(x), element by element, as torch.nn.SiLU. */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    run->backend->activation_forward(run->backend->context, TDBG_ACTIVATION_SILU,
                                     run->rows * run->node->elems, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        run->backend->activation_backward(run->backend->context, TDBG_ACTIVATION_SILU,
                                          run->rows * run->node->elems, run->x, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_silu = {
    .kind = {"silu", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
