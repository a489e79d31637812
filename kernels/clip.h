/* Clipping gradients by value and by their global norm (torch.nn.utils.clip_grad_value_ and
 * clip_grad_norm_; Pascanu, Mikolov and Bengio 2013). */
#ifndef TDBG_KERNELS_CLIP_H
#define TDBG_KERNELS_CLIP_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/ranges.h"

/* Sum of x[i]^2 over x (n): blocks of TDBG_SUM_BLOCK terms; in a block virtual lane l of
 * TDBG_SUM_LANES does s = fma(x, x, s) over terms l, l+32, ... from +0, lanes are folded as
 * reduce.h says; block results are summed by the rule of reduce.h. scratch: at least
 * tdbg_reduce_scratch_elems(n) floats, may be NULL if that is 0. NaN is canonical. */
float tdbg_clip_square_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *scratch);

/* out[0] = sqrt(sum of squares (n) in ascending order from +0), the global norm of n tensors.
 * out[1] = the factor of the gradients, c = limit / (norm + 1e-6f), 1 where c > 1; a NaN norm gives
 * NaN, an infinite one +0, as in PyTorch. */
void tdbg_clip_norm(int64_t n, const float *squares, float limit, float out[2]);

/* x (n) = x * *factor, in place. NaN is canonical. */
void tdbg_clip_scale(const struct tdbg_cpu *cpu, int64_t n, const float *factor, float *x);

/* x (n) limited to [-limit, limit], in place. NaN stays (canonical). */
void tdbg_clip_value(const struct tdbg_cpu *cpu, int64_t n, float limit, float *x);

/* The same on a GPU, for all ranges of a flat buffer x: see gpu.h. out (ranges->n): each range's
 * sum; scratch (ranges->n_tiles). */
void tdbg_cuda_clip_square_sum(void *gpu, const struct tdbg_ranges *ranges, const float *x,
                               float *out, float *scratch);
void tdbg_cuda_clip_norm(void *gpu, int64_t n, const float *squares, float limit, float *out);
void tdbg_cuda_clip_scale(void *gpu, const struct tdbg_ranges *ranges, const float *factor,
                          float *x);
void tdbg_cuda_clip_value(void *gpu, const struct tdbg_ranges *ranges, float limit, float *x);

#endif
