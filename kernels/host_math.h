/* Strict double-precision functions for what is computed once per step or run on the host:
 * schedules, bias corrections and tables of positions. Only IEEE add, multiply, divide and sqrt (no
 * fma, no libm), so every machine gives the same bits. */
#ifndef TDBG_KERNELS_HOST_MATH_H
#define TDBG_KERNELS_HOST_MATH_H

#include <stdint.h>

/* cos(pi * x) for x in [0, 1]; absolute error below 1e-15; exactly 1, 0 and -1 at 0, 0.5 and 1. */
double tdbg_host_cos_pi(double x);

/* x to the power n >= 0 by repeated squaring, from the lowest bit of n. */
double tdbg_host_pow_int(double x, int64_t n);

/* exp(x) for |x| <= 700, and log(x) for normal x > 0: relative error below 1e-15 (of log: or an
 * absolute one below 1e-16). exp(0) = 1 and log(1) = 0 exactly. */
double tdbg_host_exp(double x);
double tdbg_host_log(double x);

/* sin(x) and cos(x), x in radians, |x| <= 1e6; absolute error below 1e-15; 0 and 1 exactly at 0. */
void tdbg_host_sin_cos(double x, double *sin, double *cos);

#endif
