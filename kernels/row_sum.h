/* The strict sum of reduce.h over terms that are computed on the way, in one thread: for losses,
 * where the terms of a row are never stored. */
#ifndef TDBG_KERNELS_ROW_SUM_H
#define TDBG_KERNELS_ROW_SUM_H

#include <stdint.h>

#include "kernels/numerics.h"
#include "kernels/sum_lanes.h"

/* 4096^5 terms: more than memory holds. */
enum { TDBG_ROW_SUM_LEVELS = 5 };

/* Results of finished blocks, by level: level 0 adds blocks of terms, level 1 blocks of those. */
struct tdbg_row_sum_level {
    struct tdbg_sum_lanes lanes;
    int64_t count;
};

static inline void tdbg_row_sum_push(struct tdbg_row_sum_level *level, float block)
{
    for (int i = 0; i < TDBG_ROW_SUM_LEVELS; i++, level++) {
        level->lanes.lane[level->count % TDBG_SUM_LANES] += block;
        if (++level->count < TDBG_SUM_BLOCK)
            return;
        block = tdbg_sum_lanes_fold(&level->lanes);
        *level = (struct tdbg_row_sum_level){.count = 0};
    }
}

/* Sum of term(ctx, 0..n-1). Called with a constant `term`, it is inlined and vectorised. A level
 * that holds one result gives just this one: a result is never -0, so adding +0 changes nothing. */
static inline __attribute__((always_inline)) float
tdbg_row_sum(int64_t n, float (*term)(const void *ctx, int64_t i), const void *ctx)
{
    struct tdbg_row_sum_level level[TDBG_ROW_SUM_LEVELS];
    const int is_long = n > TDBG_SUM_BLOCK;
    for (int k = 0; is_long && k < TDBG_ROW_SUM_LEVELS; k++)
        level[k] = (struct tdbg_row_sum_level){.count = 0};
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
        tdbg_row_sum_push(level, block);
    }
    float total = 0;
    for (int k = 0; is_long && k < TDBG_ROW_SUM_LEVELS; k++) {
        if (level[k].count == 0)
            continue;
        total = tdbg_sum_lanes_fold(&level[k].lanes);
        for (int up = k + 1; up < TDBG_ROW_SUM_LEVELS; up++) {
            if (level[up].count > 0) {
                tdbg_row_sum_push(level + up, total);
                break;
            }
        }
    }
    return total;
}

#endif
