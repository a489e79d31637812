/* Smooth activations, element by element. The functions and their error bounds: strict_exp.h,
 * strict_gelu.h, strict_wide.h and docs/numerics.md. */
#ifndef TDBG_KERNELS_ACTIVATION_H
#define TDBG_KERNELS_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

/*   GELU_ERF   y = x Phi(x)                                       dx = dy * gelu'(x)
 *   GELU_TANH  y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))  dx = dy * gelu'(x)
 *   SILU       y = x sigmoid(x)                                   dx = dy * silu'(x)
 *   TANH       y = tanh(x)                                        dx = dy * fma(-y, y, 1)
 *   SIGMOID    y = 1 / (1 + exp(-x))                              dx = dy * ((1 - y) * y)
 * Each y and each derivative is one function with at most 2 ULP of error, whatever its input; the
 * product with dy is rounded once more. */
enum tdbg_activation {
    TDBG_ACTIVATION_GELU_ERF,
    TDBG_ACTIVATION_GELU_TANH,
    TDBG_ACTIVATION_SILU,
    TDBG_ACTIVATION_TANH,
    TDBG_ACTIVATION_SIGMOID,
};

/* Does backward read the output (TANH, SIGMOID) instead of the input? */
static inline bool tdbg_activation_wants_output(enum tdbg_activation kind)
{
    return kind == TDBG_ACTIVATION_TANH || kind == TDBG_ACTIVATION_SIGMOID;
}

/* y (n) from x (n); y may be x. NaN gives the canonical NaN; gelu and silu of -Inf are -0, the
 * limit (PyTorch: NaN). */
void tdbg_activation_forward(const struct tdbg_cpu *cpu, enum tdbg_activation kind, int64_t n,
                             const float *x, float *y);

/* dx (n) = gradient; `at` (n) is x, or y where tdbg_activation_wants_output(). dx may be dy or
 * `at`. NaN results are canonical. */
void tdbg_activation_backward(const struct tdbg_cpu *cpu, enum tdbg_activation kind, int64_t n,
                              const float *at, const float *dy, float *dx);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n, const float *x,
                                  float *y);
void tdbg_cuda_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n, const float *at,
                                   const float *dy, float *dx);

#endif
