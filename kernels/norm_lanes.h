/* What the norms do to a run of elements: sums into the 32 lanes of reduce.h, element l of the run
 * into lane l mod 32, and the normalised element. For *_cpu.c only. */
#ifndef TDBG_KERNELS_NORM_LANES_H
#define TDBG_KERNELS_NORM_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/numerics.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

#define TDBG_NORM_INLINE static inline __attribute__((always_inline))

/* Asks for n floats that will be read soon, while there is something to compute. */
static inline void tdbg_norm_fetch(int64_t n, const float *x)
{
    for (int64_t i = 0; i < n; i += 16)
        __builtin_prefetch(x + i, 0, 2);
}

/* x normalised by the unrounded mean m + c and r = 1 / deviation. With m = c = +0 it is x * r. */
TDBG_NORM_INLINE float tdbg_norm_element(float x, float m, float c, float r)
{
    return ((x - m) - c) * r;
}

/* The n lanes that a full or a last tile of a run has. */
TDBG_NORM_INLINE void tdbg_norm_sum_tile(int n, const float *x, struct tdbg_sum_lanes *sum)
{
    for (int l = 0; l < n; l++)
        sum->lane[l] += x[l];
}

/* sum += x */
TDBG_NORM_INLINE void tdbg_norm_sum_run(int64_t n, const float *x, struct tdbg_sum_lanes *sum)
{
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES)
        tdbg_norm_sum_tile(TDBG_SUM_LANES, x + i, sum);
    tdbg_norm_sum_tile((int)(n - i), x + i, sum);
}

TDBG_NORM_INLINE void tdbg_norm_spread_tile(int n, const float *x, float m,
                                            struct tdbg_sum_lanes *sum,
                                            struct tdbg_sum_lanes *square)
{
    for (int l = 0; l < n; l++) {
        float d = x[l] - m;
        sum->lane[l] += d;
        square->lane[l] = TDBG_STRICT_FMA(d, d, square->lane[l]);
    }
}

/* sum += x - m, square = fma(x - m, x - m, square) */
TDBG_NORM_INLINE void tdbg_norm_spread_run(int64_t n, const float *x, float m,
                                           struct tdbg_sum_lanes *sum,
                                           struct tdbg_sum_lanes *square)
{
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES)
        tdbg_norm_spread_tile(TDBG_SUM_LANES, x + i, m, sum, square);
    tdbg_norm_spread_tile((int)(n - i), x + i, m, sum, square);
}

TDBG_NORM_INLINE void tdbg_norm_square_tile(int n, const float *x, struct tdbg_sum_lanes *square)
{
    for (int l = 0; l < n; l++)
        square->lane[l] = TDBG_STRICT_FMA(x[l], x[l], square->lane[l]);
}

/* square = fma(x, x, square) */
TDBG_NORM_INLINE void tdbg_norm_square_run(int64_t n, const float *x, struct tdbg_sum_lanes *square)
{
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES)
        tdbg_norm_square_tile(TDBG_SUM_LANES, x + i, square);
    tdbg_norm_square_tile((int)(n - i), x + i, square);
}

/* What a gradient's run reads: x and dy, and weight where g = dy * weight. */
struct tdbg_norm_run {
    const float *x, *dy, *weight;
    float m, c, r;
};

TDBG_NORM_INLINE void tdbg_norm_product_tile(int n, const struct tdbg_norm_run *run, int64_t i,
                                             bool scaled, struct tdbg_sum_lanes *sum,
                                             struct tdbg_sum_lanes *product)
{
    const float *x = run->x + i, *dy = run->dy + i, *weight = scaled ? run->weight + i : dy;
    for (int l = 0; l < n; l++) {
        float g = scaled ? dy[l] * weight[l] : dy[l];
        float h = tdbg_norm_element(x[l], run->m, run->c, run->r);
        sum->lane[l] += g;
        product->lane[l] = TDBG_STRICT_FMA(g, h, product->lane[l]);
    }
}

/* sum += g, product = fma(g, h, product) with g = dy * weight or, not scaled, dy, and h the
 * normalised x */
TDBG_NORM_INLINE void tdbg_norm_product_run(int64_t n, const struct tdbg_norm_run *from,
                                            bool scaled, struct tdbg_sum_lanes *sum,
                                            struct tdbg_sum_lanes *product)
{
    const struct tdbg_norm_run run = *from;
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES)
        tdbg_norm_product_tile(TDBG_SUM_LANES, &run, i, scaled, sum, product);
    tdbg_norm_product_tile((int)(n - i), &run, i, scaled, sum, product);
}

#endif
