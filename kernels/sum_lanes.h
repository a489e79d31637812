/* The lanes of a strict sum, and the levels above its blocks: what the kernels that sum over rows
 * share of the order that reduce.h defines. */
#ifndef TDBG_KERNELS_SUM_LANES_H
#define TDBG_KERNELS_SUM_LANES_H

#include <stdint.h>
#include <string.h>

#include "kernels/numerics.h"

struct tdbg_sum_lanes {
    float lane[TDBG_SUM_LANES];
};

/* Four lanes, which every processor adds at once: from loops over single ones gcc makes a long row
 * of single additions. */
typedef float tdbg_sum_quad __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) tdbg_sum_quad tdbg_sum_quad_load(const float *lane)
{
    tdbg_sum_quad quad;
    memcpy(&quad, lane, sizeof quad);
    return quad;
}

/* All lanes +0, by the widest stores there are: = {{0}} becomes `rep stos`, which takes as long as
 * a short row, and narrow stores are not forwarded to wide loads. */
static inline __attribute__((always_inline)) void tdbg_sum_lanes_clear(struct tdbg_sum_lanes *sum)
{
    typedef float line __attribute__((vector_size(64)));
    const line zero = {0};
    memcpy(sum->lane, &zero, sizeof zero);
    memcpy(sum->lane + 16, &zero, sizeof zero);
}

/* lane[i] + lane[i + width] for width 16, 8, 4, 2, 1 */
static inline __attribute__((always_inline)) float
tdbg_sum_lanes_fold(const struct tdbg_sum_lanes *sum)
{
    _Static_assert(TDBG_SUM_LANES == 32, "the widths below");
    tdbg_sum_quad half[4];
    for (int q = 0; q < 4; q++)
        half[q] =
            tdbg_sum_quad_load(sum->lane + 4 * q) + tdbg_sum_quad_load(sum->lane + 4 * q + 16);
    const tdbg_sum_quad eighth = (half[0] + half[2]) + (half[1] + half[3]);
    return (eighth[0] + eighth[2]) + (eighth[1] + eighth[3]);
}

/* The sum of block results as they come, at most TDBG_SUM_BLOCK^2 of them (2^36 terms: more than
 * memory holds): what tdbg_reduce_sum does with them in rounds. A level with a single term passes
 * it on as it is, since a block's result is never -0; so the number of levels may be fixed. Starts
 * as {0}. */
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

/* The sum of one block, not yet canonical: x (n), n at most TDBG_SUM_BLOCK. */
static inline float tdbg_sum_lanes_block(int64_t n, const float *x)
{
    struct tdbg_sum_lanes sum = {{0}};
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES) {
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            sum.lane[l] += x[i + l];
    }
    for (int l = 0; l < n - i; l++)
        sum.lane[l] += x[i + l];
    return tdbg_sum_lanes_fold(&sum);
}

#endif
