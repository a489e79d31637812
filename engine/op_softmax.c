/* softmax over the last dimension: y = exp(x) / sum(exp(x)). */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

/* Length of a row, and the number of rows in all samples. */
static int64_t cols_of(const struct tdbg_node *node)
{
    const struct tdbg_shape *s = &node->shape;
    return s->ndim > 0 ? s->dims[s->ndim - 1] : 1;
}

static int64_t rows_of(const struct tdbg_op_run *run)
{
    const int64_t cols = cols_of(run->node);
    return cols > 0 ? run->rows * run->node->elems / cols : 0;
}

static void forward(const struct tdbg_op_run *run)
{
    run->backend->softmax_forward(run->backend->context, rows_of(run), cols_of(run->node), run->x,
                                  run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        run->backend->softmax_backward(run->backend->context, rows_of(run), cols_of(run->node),
                                       run->y, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_softmax = {
    .kind = {"softmax", {NULL, 0}},
    .unread = TDBG_OP_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
