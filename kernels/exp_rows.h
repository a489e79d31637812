/* exp(x - max) over rows and their strict sums: what cross_entropy_cpu.c and softmax_cpu.c share.
 * The order of the sums is that of reduce.h. */
#ifndef TDBG_KERNELS_EXP_ROWS_H
#define TDBG_KERNELS_EXP_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/numerics.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

/* TDBG_SUM_LANES logits from x, of which n exist; the others are -Inf, whose exp is +0 and changes
 * neither a sum nor a maximum. */
static inline const float *tdbg_exp_load_tile(int64_t n, const float *x, float tile[TDBG_SUM_LANES])
{
    if (n >= TDBG_SUM_LANES)
        return x;
    for (int l = 0; l < TDBG_SUM_LANES; l++)
        tile[l] = (-__builtin_inff());
    for (int l = 0; l < n; l++)
        tile[l] = x[l];
    return tile;
}

/* Largest element, NaN skipped (any NaN shows in the sum of the exponentials); -Inf if none. Which
 * zero wins among +-0 does not matter: exp and log give the same for both. */
static inline float tdbg_exp_find_max(int64_t n, const float *x)
{
    float lane[TDBG_SUM_LANES], tile[TDBG_SUM_LANES];
    for (int l = 0; l < TDBG_SUM_LANES; l++)
        lane[l] = (-__builtin_inff());
    for (int64_t i = 0; i < n; i += TDBG_SUM_LANES) {
        const float *v = tdbg_exp_load_tile(n - i, x + i, tile);
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            lane[l] = v[l] > lane[l] ? v[l] : lane[l];
    }
    for (int width = TDBG_SUM_LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] = lane[l + width] > lane[l] ? lane[l + width] : lane[l];
    }
    return lane[0];
}

/* Sum of exp(x - max) over one block of at most TDBG_SUM_BLOCK elements. The exponentials are also
 * stored in e, unless that is NULL. */
static inline float tdbg_exp_sum_block(int64_t n, const float *x, float max, float *e)
{
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    float tile[TDBG_SUM_LANES], value[TDBG_SUM_LANES];
    for (int64_t i = 0; i < n; i += TDBG_SUM_LANES) {
        const float *v = tdbg_exp_load_tile(n - i, x + i, tile);
        for (int l = 0; l < TDBG_SUM_LANES; l++) {
            value[l] = tdbg_strict_expf(v[l] - max);
            sum.lane[l] += value[l];
        }
        for (int l = 0; e && l < TDBG_SUM_LANES && l < n - i; l++)
            e[i + l] = value[l];
    }
    return tdbg_sum_lanes_fold(&sum);
}

/* The same over any length: a span of TDBG_SUM_BLOCK^k elements is a sum of TDBG_SUM_BLOCK spans.
 */
static inline float tdbg_exp_sum_span(int64_t n, const float *x, float max, float *e, int64_t span)
{
    if (span == TDBG_SUM_BLOCK)
        return tdbg_exp_sum_block(n, x, max, e);
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    const int64_t part = span / TDBG_SUM_BLOCK;
    for (int64_t i = 0, term = 0; i < n; i += part, term++) {
        int64_t terms = n - i < part ? n - i : part;
        sum.lane[term % TDBG_SUM_LANES] +=
            tdbg_exp_sum_span(terms, x + i, max, e ? e + i : NULL, part);
    }
    return tdbg_sum_lanes_fold(&sum);
}

static inline float tdbg_exp_sum(int64_t n, const float *x, float max, float *e)
{
    int64_t span = TDBG_SUM_BLOCK;
    while (span < n)
        span *= TDBG_SUM_BLOCK;
    return tdbg_exp_sum_span(n, x, max, e, span);
}

/* Rows of at most TDBG_SUM_LANES classes, the same values computed for TDBG_EXP_GROUP rows side by
 * side: a row has one term in each lane, and lanes without one are +0, which changes nothing. */
enum { TDBG_EXP_GROUP = 16 };

struct tdbg_exp_group {
    float value[TDBG_SUM_LANES]
               [TDBG_EXP_GROUP]; /* (classes, rows): logits, then their exponentials */
    float max[TDBG_EXP_GROUP], sum[TDBG_EXP_GROUP];
};

static inline void tdbg_exp_load_group(int64_t rows, int64_t classes, const float *logits,
                                       struct tdbg_exp_group *g)
{
    for (int64_t j = 0; j < classes; j++) {
        for (int64_t r = 0; r < rows; r++)
            g->value[j][r] = logits[r * classes + j];
        for (int64_t r = rows; r < TDBG_EXP_GROUP; r++)
            g->value[j][r] = 0;
    }
    for (int r = 0; r < TDBG_EXP_GROUP; r++)
        g->max[r] = (-__builtin_inff());
    for (int64_t j = 0; j < classes; j++) {
        for (int r = 0; r < TDBG_EXP_GROUP; r++)
            g->max[r] = g->value[j][r] > g->max[r] ? g->value[j][r] : g->max[r];
    }
}

static inline void tdbg_exp_sum_group(int64_t classes, struct tdbg_exp_group *g)
{
    float lane[TDBG_SUM_LANES][TDBG_EXP_GROUP];
    for (int64_t j = 0; j < classes; j++) {
        for (int r = 0; r < TDBG_EXP_GROUP; r++)
            lane[j][r] = g->value[j][r] = tdbg_strict_expf(g->value[j][r] - g->max[r]);
    }
    for (int64_t width = TDBG_SUM_LANES / 2, filled = classes; width > 0; width /= 2) {
        for (int64_t l = 0; l + width < filled; l++) {
            for (int r = 0; r < TDBG_EXP_GROUP; r++)
                lane[l][r] += lane[l + width][r];
        }
        filled = filled < width ? filled : width;
    }
    memcpy(g->sum, lane[0], sizeof g->sum);
}

/* The exponentials of up to TDBG_EXP_GROUP rows into d (rows, classes), and their sums. */
static inline void tdbg_exp_rows(int64_t rows, int64_t classes, const float *logits, float *d,
                                 float *sum)
{
    if (classes > TDBG_SUM_LANES) {
        for (int64_t r = 0; r < rows; r++) {
            const float *x = logits + r * classes;
            sum[r] = tdbg_exp_sum(classes, x, tdbg_exp_find_max(classes, x), d + r * classes);
        }
        return;
    }
    struct tdbg_exp_group g;
    tdbg_exp_load_group(rows, classes, logits, &g);
    tdbg_exp_sum_group(classes, &g);
    memcpy(sum, g.sum, sizeof g.sum);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < classes; j++)
            d[r * classes + j] = g.value[j][r];
    }
}

#endif
