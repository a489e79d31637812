/* The order in which lanes are folded, over numbers that are all there. A step folds lanes as they
 * come (step.c), in the same order. */
#ifndef TDBG_ENGINE_LANE_TREE_H
#define TDBG_ENGINE_LANE_TREE_H

#include "engine/backend.h"

/* branch[0] (n) = the fold of all branches (n_branches, n): neighbours are added, then neighbours
 * of the sums, and so on; what has no neighbour goes up as it is. The other branches are undefined
 * afterwards. */
static inline void tdbg_lane_tree_fold(const struct tdbg_backend *backend, int64_t n,
                                       int32_t n_branches, float *const *branch)
{
    for (int32_t width = 1; width < n_branches; width *= 2) {
        for (int32_t i = 0; i + width < n_branches; i += 2 * width)
            backend->vector_add(backend->context, n, branch[i], branch[i + width]);
    }
}

#endif
