/* What max_pool2d and avg_pool2d share. */
#ifndef TDBG_ENGINE_OP_POOL2D_H
#define TDBG_ENGINE_OP_POOL2D_H

#include "engine/op_window.h"

struct tdbg_pool_settings {
    struct tdbg_window window;
    bool include_pad; /* avg_pool2d */
};

/* Sets the node's shape: the input's with another height and width. False after a diagnostic. */
bool tdbg_pool_shape(struct tdbg_graph_build *build, struct tdbg_node *node);

struct tdbg_pool2d tdbg_pool_of(const struct tdbg_node *node, int64_t rows);

#endif
