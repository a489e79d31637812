/* The lanes of a strict sum: what reduce_cpu.c and cross_entropy_cpu.c share of the order that
 * reduce.h defines. */
#ifndef TDBG_KERNELS_SUM_LANES_H
#define TDBG_KERNELS_SUM_LANES_H

#include "kernels/numerics.h"

struct tdbg_sum_lanes {
    float lane[TDBG_SUM_LANES];
};

static inline float tdbg_sum_lanes_fold(struct tdbg_sum_lanes *sum)
{
    for (int width = TDBG_SUM_LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            sum->lane[l] += sum->lane[l + width];
    }
    return sum->lane[0];
}

#endif
