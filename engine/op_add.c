/* add: y = x + x2, element by element; made by residual. */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct tdbg_shape *a = &node->in_shape[0], *b = &node->in_shape[1];
    if (!tdbg_shape_equal(a, b)) {
        char body[128], skip[128];
        tdbg_config_report(build->config, node->cfg,
                           "give it shortcut = ( ... ); with ops that change the shape as well",
                           "the body of '%s' gives %s, which cannot be added to %s", node->name,
                           tdbg_shape_text(a, body, sizeof body),
                           tdbg_shape_text(b, skip, sizeof skip));
        return false;
    }
    node->shape = *a;
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    run->backend->vector_sum(run->backend->context, run->rows * run->node->elems, run->x, run->x2,
                             run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const size_t bytes = (size_t)(run->rows * run->node->elems) * run->act_bytes;
    if (run->dx && run->dx != run->dy)
        run->backend->copy(run->backend->context, run->dx, run->dy, bytes);
    if (run->dx2)
        run->backend->copy(run->backend->context, run->dx2, run->dy, bytes);
}

const struct tdbg_op_class tdbg_op_add = {
    .kind = {"add", {NULL, 0}},
    .is_narrow = true,
    .unread = TDBG_OP_X | TDBG_OP_X2 | TDBG_OP_Y,
    .is_hidden = true,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
