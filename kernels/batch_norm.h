/* Batch norm (Ioffe and Szegedy 2015), as torch.nn.BatchNorm1d and 2d: x (samples, channels, inner)
 * is normalised by channel, over samples and inner (1 for features, L, or H * W).
 *
 * Blocks. A channel's elements are cut into blocks of at most TDBG_SUM_BLOCK: of a whole number of
 * samples, at most TDBG_K_SLICE, when one has no more than that many elements, else a sample's
 * elements are cut at multiples of TDBG_SUM_BLOCK. Blocks are numbered by sample, then by element.
 * In a block, element p of a sample (counted from the block's first) goes to lane p mod 32; a lane
 * adds sample by sample, in a sample in ascending order, from +0; then lanes are folded as in
 * reduce.h. B below is this sum over a block, where a sum of products a * b is fused:
 * lane = fma(a, b, lane). T is the sum over blocks: slices of TDBG_K_SLICE blocks; in a slice the
 * blocks are added in ascending order from +0; slices are added in ascending order from +0.
 *
 *     block b of n_b elements:                      parts
 *         m_b = B(x) / n_b;  d = x - m_b;  e = B(d)
 *         c_b = e / n_b
 *         q_b = max(fma(-e, c_b, B(d * d)), 0)
 *     sum = T(n_b * m_b), fused                     sum over samples: folded over lanes
 *     m = sum / count
 *     t_b = (m_b - m) + c_b;  u_b = n_b * t_b
 *     spread1 = T(u_b)                              sums over samples: folded over lanes
 *     spread2 = T(fma(u_b, t_b, q_b))
 *     c = spread1 / count
 *     s = max(fma(-spread1, c, spread2), 0)
 *     r = 1 / sqrt(s / count + eps)
 *     h = ((x - m) - c) * r
 *     y = fma(h, weight, bias)                      h * weight without bias, h without weight
 *
 * max keeps NaN. The mean is the unrounded pair m + c, and every block is centred by itself
 * (corrected two-pass and pairwise updating; Chan, Golub and LeVeque 1983), so nothing cancels when
 * the mean is large beside the deviation; x is read from memory twice.
 *
 *     running_mean = fma(momentum, m + c, (1 - momentum) * running_mean)
 *     running_var  = fma(momentum, s / (count - 1), (1 - momentum) * running_var)
 *
 * A single element has no unbiased variance (torch refuses it): its divisor is 1, so that it counts
 * as +0. Evaluation: m = running_mean, c = +0, r = 1 / sqrt(running_var + eps).
 *
 * Backward, with h as above:
 *
 *     dbias = T(B(dy));  dweight = T(B(dy * h))     sums over samples: folded over lanes
 *     a = dbias / count;  k = dweight / count
 *     dx = (weight * r) * fma(-h, k, dy - a)        r alone without weight
 *
 * A channel with a NaN, an Inf or a sum beyond the floats is NaN as a whole; if only the squares go
 * beyond them, r is +0. All results are canonical.
 *
 * The stages are functions of their own, so that a synchronised batch norm can fold the sums marked
 * above over lanes, with the count of all lanes, between them. tdbg_batch_norm_forward and
 * _backward run the stages for one part. */
#ifndef TDBG_KERNELS_BATCH_NORM_H
#define TDBG_KERNELS_BATCH_NORM_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_batch_norm {
    int64_t samples, channels, inner; /* all >= 1, but see below */
    float eps;
};

/* Floats that the stages keep: parts, and statistics (3, channels): m, c, r. */
int64_t tdbg_batch_norm_parts_elems(const struct tdbg_batch_norm *norm);
static inline int64_t tdbg_batch_norm_stats_elems(const struct tdbg_batch_norm *norm)
{
    return 3 * norm->channels;
}

/* Forward in stages. sum (channels), spread (2, channels). */
void tdbg_batch_norm_blocks(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                            const float *x, float *parts);
void tdbg_batch_norm_sum(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                         const float *parts, float *sum);
void tdbg_batch_norm_spread(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                            const float *parts, const float *sum, int64_t count, float *spread);
void tdbg_batch_norm_finish(const struct tdbg_batch_norm *norm, const float *sum,
                            const float *spread, int64_t count, float *stats);
/* After finish: running (channels each) = updated. */
void tdbg_batch_norm_track(const struct tdbg_batch_norm *norm, const float *stats,
                           const float *spread, int64_t count, float momentum, float *running_mean,
                           float *running_var);
/* Evaluation: stats from running statistics. */
void tdbg_batch_norm_recall(const struct tdbg_batch_norm *norm, const float *running_mean,
                            const float *running_var, float *stats);
/* y = x normalised by stats; weight and bias (channels) may be NULL, a bias needs a weight. y may
 * be x. */
void tdbg_batch_norm_apply(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                           const float *x, const float *stats, const float *weight,
                           const float *bias, float *y);

/* Backward in stages. sums (2, channels): dbias, dweight. dx may be dy. */
void tdbg_batch_norm_sums(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                          const float *x, const float *stats, const float *dy, float *parts,
                          float *sums);
void tdbg_batch_norm_dx(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                        const float *x, const float *stats, const float *weight, const float *dy,
                        const float *sums, int64_t count, float *dx);

/* All stages of one part, by its own statistics. workspace: tdbg_batch_norm_workspace_bytes().
 * Forward: stats is an output; running_mean and running_var (channels) are updated, or both NULL.
 * Backward: dx, dweight and dbias (channels) may be NULL each. A part without samples leaves
 * everything as it is, and its gradients are +0. */
size_t tdbg_batch_norm_workspace_bytes(const struct tdbg_batch_norm *norm);
void tdbg_batch_norm_forward(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                             const float *x, const float *weight, const float *bias, float momentum,
                             float *running_mean, float *running_var, float *y, float *stats,
                             void *workspace);
/* Evaluation by running statistics; stats is scratch. */
void tdbg_batch_norm_evaluate(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                              const float *x, const float *weight, const float *bias,
                              const float *running_mean, const float *running_var, float *y,
                              float *stats);
void tdbg_batch_norm_backward(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                              const float *x, const float *weight, const float *stats,
                              const float *dy, float *dx, float *dweight, float *dbias,
                              void *workspace);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_batch_norm_blocks(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                                 float *parts);
void tdbg_cuda_batch_norm_sum(void *gpu, const struct tdbg_batch_norm *norm, const float *parts,
                              float *sum);
void tdbg_cuda_batch_norm_spread(void *gpu, const struct tdbg_batch_norm *norm, const float *parts,
                                 const float *sum, int64_t count, float *spread);
void tdbg_cuda_batch_norm_finish(void *gpu, const struct tdbg_batch_norm *norm, const float *sum,
                                 const float *spread, int64_t count, float *stats);
void tdbg_cuda_batch_norm_track(void *gpu, const struct tdbg_batch_norm *norm, const float *stats,
                                const float *spread, int64_t count, float momentum,
                                float *running_mean, float *running_var);
void tdbg_cuda_batch_norm_apply(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                                const float *stats, const float *weight, const float *bias,
                                float *y);
void tdbg_cuda_batch_norm_sums(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                               const float *stats, const float *dy, float *parts, float *sums);
void tdbg_cuda_batch_norm_dx(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                             const float *stats, const float *weight, const float *dy,
                             const float *sums, int64_t count, float *dx);
void tdbg_cuda_batch_norm_forward(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                                  const float *weight, const float *bias, float momentum,
                                  float *running_mean, float *running_var, float *y, float *stats,
                                  void *workspace);
void tdbg_cuda_batch_norm_evaluate(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                                   const float *weight, const float *bias,
                                   const float *running_mean, const float *running_var, float *y,
                                   float *stats);
void tdbg_cuda_batch_norm_backward(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                                   const float *weight, const float *stats, const float *dy,
                                   float *dx, float *dweight, float *dbias, void *workspace);

#endif
