/* flatten: a sample of any shape as one row; the same memory with another shape. */
#include "engine/op.h"

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = (struct tdbg_shape){.ndim = 1, .dims = {node->in_elems[0]}};
    return true;
}

const struct tdbg_op_class tdbg_op_flatten = {
    .kind = {"flatten", {NULL, 0}},
    .is_narrow = true,
    .is_view = true,
    .shape = shape,
};
