/* What tells a sequence's positions apart: a table added to the samples, or rotated queries and
 * keys. The tables are computed once on the host in binary64 (host_math.h) and rounded once. */
#ifndef TDBG_KERNELS_POSITION_H
#define TDBG_KERNELS_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* Sinusoidal positions (Vaswani et al. 2017, section 3.5), table (tokens, dim):
 *     table[t][2i] = sin(t f), table[t][2i + 1] = cos(t f), f = exp(-(2i / dim) log(10000))
 * tokens at most 10^6. An odd dim ends with a sine. */
void tdbg_position_sinusoidal(int64_t tokens, int64_t dim, float *table);

/* y (rows, n) = x (rows, n) + table (n), n the elements of a sample. y may be x. */
void tdbg_position_add(const struct tdbg_cpu *cpu, int64_t rows, int64_t n, const float *x,
                       const float *table, float *y);

/* Rotary positions (Su et al. 2021). Of a head of `dim` elements, element i turns together with
 * element i + dim / 2 (the half-split order of Hugging Face's Llama, not the interleaved one):
 *     cos[t][i] = cos(t f), sin[t][i] = sin(t f), f = exp(-(2i / dim) log(base))
 * cos, sin (tokens, dim / 2); dim even; base > 0; tokens at most 10^6. */
void tdbg_position_rotary_table(int64_t tokens, int64_t dim, double base, float *cos, float *sin);

struct tdbg_rotary {
    int64_t rows, tokens;
    int64_t turned;         /* heads at the front of a token that are turned: queries and keys */
    int64_t kept;           /* heads behind them that are copied: values */
    int64_t dim;            /* elements of a head, even */
    const float *cos, *sin; /* (tokens, dim / 2) */
};

/* y, x (rows, tokens, turned + kept, dim); y may be x. With a = x[i], b = x[i + dim/2] of a turned
 * head, each product and sum in this form:
 *     y[i] = fma(-b, sin, a * cos)     y[i + dim/2] = fma(a, sin, b * cos)
 * inverse: the other way round, with -sin for sin. It is the backward pass, of gradients. */
void tdbg_position_rotate(const struct tdbg_cpu *cpu, const struct tdbg_rotary *rotary,
                          bool inverse, const float *x, float *y);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_position_add(void *gpu, int64_t rows, int64_t n, const float *x, const float *table,
                            float *y);
void tdbg_cuda_position_add_fixed(void *gpu, int64_t rows, int64_t n, const float *x,
                                  const float *table, float *y);
void tdbg_cuda_position_rotate(void *gpu, const struct tdbg_rotary *rotary, bool inverse,
                               const float *x, float *y);

#endif
