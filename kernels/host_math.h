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

/* exp(x): relative error below 1e-15; +Inf and +0 beyond the range, NaN for NaN. */
double tdbg_host_exp(double x);

/* log(x): error below 1e-15 times max(1, |result|); -Inf at +-0, NaN below 0 and for NaN. */
double tdbg_host_log(double x);

/* x to the power y. A whole y: repeated squaring (and one division if y < 0). Else exp(y log(x)),
 * relative error below |y log(x)| * 1e-15; NaN for x < 0. */
double tdbg_host_pow(double x, double y);

/* cos(x) for |x| < 2^53, through cos_pi: absolute error below (1 + |x|) * 1e-15. NaN beyond. */
double tdbg_host_cos(double x);

/* sin(x) and cos(x), x in radians, |x| <= 1e6; absolute error below 1e-15; 0 and 1 exactly at 0. */
void tdbg_host_sin_cos(double x, double *sin, double *cos);

#endif
