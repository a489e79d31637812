/* The lanes of a strict sum, and the levels above its blocks: what the kernels that sum over rows
 * share of the order that reduce.h defines. */
#ifndef TDBG_KERNELS_SUM_LANES_H
#define TDBG_KERNELS_SUM_LANES_H

#include <stdint.h>

#include "kernels/numerics.h"

struct tdbg_sum_lanes {
    float lane[TDBG_SUM_LANES];
};

static inline __attribute__((always_inline)) void tdbg_sum_lanes_halve(struct tdbg_sum_lanes *sum,
                                                                       int width)
{
    for (int l = 0; l < width; l++)
        sum->lane[l] += sum->lane[l + width];
}

/* Five calls and no loop: with constant widths the lanes stay in registers. */
static inline float tdbg_sum_lanes_fold(struct tdbg_sum_lanes *sum)
{
    _Static_assert(TDBG_SUM_LANES == 32, "the widths below");
    tdbg_sum_lanes_halve(sum, 16);
    tdbg_sum_lanes_halve(sum, 8);
    tdbg_sum_lanes_halve(sum, 4);
    tdbg_sum_lanes_halve(sum, 2);
    tdbg_sum_lanes_halve(sum, 1);
    return sum->lane[0];
}

/* The sum of block results as they come, at most TDBG_SUM_BLOCK^2 of them: what tdbg_reduce_sum
 * does with them in rounds. A level with a single term passes it on as it is, so the number of
 * levels may be fixed. Starts as {0}. */
struct tdbg_sum_tree {
    struct tdbg_sum_lanes blocks, upper;
    int64_t n_blocks;
};

static inline void tdbg_sum_tree_lift(struct tdbg_sum_tree *tree, int64_t upper_term)
{
    tree->upper.lane[upper_term % TDBG_SUM_LANES] += tdbg_sum_lanes_fold(&tree->blocks);
    tree->blocks = (struct tdbg_sum_lanes){{0}};
}

static inline void tdbg_sum_tree_add(struct tdbg_sum_tree *tree, float block)
{
    int64_t i = tree->n_blocks++;
    tree->blocks.lane[i % TDBG_SUM_LANES] += block;
    if (tree->n_blocks % TDBG_SUM_BLOCK == 0)
        tdbg_sum_tree_lift(tree, i / TDBG_SUM_BLOCK);
}

static inline float tdbg_sum_tree_finish(struct tdbg_sum_tree *tree)
{
    if (tree->n_blocks % TDBG_SUM_BLOCK != 0)
        tdbg_sum_tree_lift(tree, tree->n_blocks / TDBG_SUM_BLOCK);
    return tdbg_sum_lanes_fold(&tree->upper);
}

#endif
