/* Strict double-precision functions for what is computed once per step on the host: schedules and
 * bias corrections. Only IEEE add, multiply, divide and sqrt (no fma, no libm), so every machine
 * gives the same bits. */
#ifndef TDBG_KERNELS_HOST_MATH_H
#define TDBG_KERNELS_HOST_MATH_H

#include <stdint.h>

/* cos(pi * x) for x in [0, 1]; absolute error below 1e-15; exactly 1, 0 and -1 at 0, 0.5 and 1. */
double tdbg_host_cos_pi(double x);

/* x to the power n >= 0 by repeated squaring, from the lowest bit of n. */
double tdbg_host_pow_int(double x, int64_t n);

#endif
