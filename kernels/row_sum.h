/* The strict sum of reduce.h over terms that are computed on the way, in one thread: for losses,
 * where the terms of a row are never stored. */
#ifndef TDBG_KERNELS_ROW_SUM_H
#define TDBG_KERNELS_ROW_SUM_H

#include <stdint.h>

#include "kernels/numerics.h"
#include "kernels/sum_lanes.h"

/* Sum of term(ctx, 0..n-1). Called with a constant `term`, it is inlined and vectorised. */
static inline __attribute__((always_inline)) float
tdbg_row_sum(int64_t n, float (*term)(const void *ctx, int64_t i), const void *ctx)
{
    struct tdbg_sum_tree tree;
    const int is_long = n > TDBG_SUM_BLOCK;
    if (is_long)
        tree = (struct tdbg_sum_tree){.n_blocks = 0};
    for (int64_t first = 0; first < n; first += TDBG_SUM_BLOCK) {
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + TDBG_SUM_BLOCK;
        struct tdbg_sum_lanes sum = {{0}};
        int64_t i = first;
        for (; i + TDBG_SUM_LANES <= end; i += TDBG_SUM_LANES) {
            for (int l = 0; l < TDBG_SUM_LANES; l++)
                sum.lane[l] += term(ctx, i + l);
        }
        for (int l = 0; l < end - i; l++)
            sum.lane[l] += term(ctx, i + l);
        const float block = tdbg_sum_lanes_fold(&sum);
        if (!is_long)
            return block;
        tdbg_sum_tree_add(&tree, block);
    }
    return is_long ? tdbg_sum_tree_finish(&tree) : 0;
}

#endif
