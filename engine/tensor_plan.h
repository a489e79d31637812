/* Which tensors of a pass share memory. What nobody will read again makes room for what comes
 * next, so that fewer bytes pass through the caches. */
#ifndef TDBG_ENGINE_TENSOR_PLAN_H
#define TDBG_ENGINE_TENSOR_PLAN_H

#include "engine/graph.h"

struct tdbg_tensor_plan {
    int64_t *block_elems; /* (n_blocks): per sample */
    int32_t n_blocks;
    int32_t *block; /* (n_nodes): where a node's tensor lies; -1: it is input/x, or has no tensor */
};

/* What nodes give: kept from their forward to the last one that reads it, or to their backward
 * where that reads it (tdbg_op_class.unread). A view's is its input's. In the graph's arena. */
struct tdbg_tensor_plan tdbg_plan_activations(const struct tdbg_graph *graph);

/* Gradients of what nodes give: from the backward of the last reader to the node's own. Where a
 * node's gradient is its input's as well (views and sums), both are in one place. */
struct tdbg_tensor_plan tdbg_plan_gradients(const struct tdbg_graph *graph);

#endif
