/* Layer norm (Ba, Kiros and Hinton 2016) and RMS norm (Zhang and Sennrich 2019): every row of n
 * elements is normalised by itself, then scaled and shifted by column. Formulas as
 * torch.nn.LayerNorm and torch.nn.RMSNorm. One row x, S the sum in the order of reduce.h, where a
 * sum of products a * b is fused: lane = fma(a, b, lane):
 *
 *     layer norm                              RMS norm
 *     m = S(x_j) / n
 *     d_j = x_j - m;  e = S(d_j)
 *     c = e / n
 *     v = max(fma(-e, c, S(d_j * d_j)), 0) / n     v = S(x_j * x_j) / n
 *     r = 1 / sqrt(v + eps)                        r = 1 / sqrt(v + eps)
 *     h_j = ((x_j - m) - c) * r                    h_j = x_j * r
 *     y_j = fma(h_j, weight_j, bias_j)             y_j = h_j * weight_j
 *
 * y_j = h_j * weight_j without bias, y_j = h_j without weight. The mean is the unrounded pair m +
 * c: c is what m lost in rounding, so neither v nor h gets worse when the mean is large beside the
 * deviation (corrected two-pass; Chan, Golub and LeVeque 1983, eq. 1.7).
 *
 * Backward, with h_j as above:
 *
 *     g_j = dy_j * weight_j                        (dy_j without weight)
 *     a = S(g_j) / n                               (layer norm only)
 *     k = S(g_j * h_j) / n
 *     dx_j = r * fma(-h_j, k, g_j - a)             RMS norm: g_j in place of g_j - a
 *     dweight_j = sum over rows of dy_j * h_j;  dbias_j = sum over rows of dy_j
 *
 * Sums over rows, per column: slices of TDBG_K_SLICE rows; in a slice p = fma(dy_j, h_j, p) or
 * p = p + dy_j for ascending rows from p = +0; slices are added in ascending order from +0.
 *
 * max keeps NaN. A row with a NaN or (layer norm) an Inf or a sum beyond the floats has only NaN in
 * h; where only squares go beyond them, r is +0. RMS norm of a row with an Inf: r is +0, so that h
 * is NaN there and a zero elsewhere. Results are canonical. */
#ifndef TDBG_KERNELS_ROW_NORM_H
#define TDBG_KERNELS_ROW_NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_row_norm {
    int64_t rows, width; /* x, y, dy, dx are (rows, width); weight, bias and gradients (width) */
    float eps;
    bool centre; /* layer norm; false: RMS norm */
};

/* Floats that forward keeps for backward: m, c, r of each row, or only r. */
static inline int64_t tdbg_row_norm_stats_elems(const struct tdbg_row_norm *norm)
{
    return norm->rows * (norm->centre ? 3 : 1);
}

/* y = norm of x. weight and bias may be NULL, and are not read where there is no weight: a bias
 * needs a weight. stats: tdbg_row_norm_stats_elems() floats. */
void tdbg_row_norm_forward(const struct tdbg_cpu *cpu, const struct tdbg_row_norm *norm,
                           const float *x, const float *weight, const float *bias, float *y,
                           float *stats);

/* dx, dweight, dbias = gradients, each NULL where nobody needs it; x, weight and stats are those of
 * forward. Nothing may overlap. workspace: tdbg_row_norm_workspace_bytes() bytes. */
size_t tdbg_row_norm_workspace_bytes(const struct tdbg_row_norm *norm);
void tdbg_row_norm_backward(const struct tdbg_cpu *cpu, const struct tdbg_row_norm *norm,
                            const float *x, const float *weight, const float *stats,
                            const float *dy, float *dx, float *dweight, float *dbias,
                            void *workspace);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_row_norm_forward(void *gpu, const struct tdbg_row_norm *norm, const float *x,
                                const float *weight, const float *bias, float *y, float *stats);
void tdbg_cuda_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm, const float *x,
                                 const float *weight, const float *stats, const float *dy,
                                 float *dx, float *dweight, float *dbias, void *workspace);

#endif
