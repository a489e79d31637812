/* Functions that add up too many roundings in binary32, or that have a zero beside which everything
 * cancels: the derivatives of silu and of the tanh form of gelu. They are computed in binary64
 * and rounded once at the end: add, subtract, multiply and divide alone, no fma, because not every
 * instruction set has one. Branch-free. nvcc has -fmad=false. Error bounds: docs/numerics.md,
 * measured by tests/op/sweep_math.c. */
#ifndef TDBG_KERNELS_STRICT_WIDE_H
#define TDBG_KERNELS_STRICT_WIDE_H

#include "kernels/strict_exp.h"

/* exp(x) = (1 + m) power, power = 2^n, n = round(x / ln 2) */
struct tdbg_strict_wide_exp {
    double m, power;
};

/* |x| <= 300. m has a small relative error (2^-34, the polynomial of tdbg_strict_expf): where n = 0
 * it is exp(x) - 1, whatever x. */
TDBG_HOST_DEVICE static inline struct tdbg_strict_wide_exp tdbg_strict_exp_wide(double x)
{
    const double round_magic = 0x1.8p52;
    double t = x * 0x1.71547652b82fep+0 + round_magic;
    double n = t - round_magic;
    double r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
    double q = 0x1.a1b8f6p-13;
    q = q * r + 0x1.6d9762p-10;
    q = q * r + 0x1.11107cp-7;
    q = q * r + 0x1.55548p-5;
    q = q * r + 0x1.555556p-3;
    q = q * r + 0.5;
    struct tdbg_strict_wide_exp e;
    e.m = r + (r * r) * q;
    uint64_t bits;
#ifdef __CUDA_ARCH__
    bits = (uint64_t)__double_as_longlong(t);
    e.power = __longlong_as_double((long long)((bits + 1023) << 52));
#else
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52; /* n stands in the low bits of t */
    memcpy(&e.power, &bits, sizeof bits);
#endif
    return e;
}

/* |x|, but at most `limit`; NaN stays. */
TDBG_HOST_DEVICE static inline double tdbg_strict_wide_abs(float x, float limit)
{
    float t = tdbg_strict_abs(x);
    return (double)(t > limit ? limit : t);
}

/* below if x has a minus sign (-0 too), else above; rounded to float */
TDBG_HOST_DEVICE static inline float tdbg_strict_by_sign(float x, double below, double above)
{
    float b = (float)below, a = (float)above;
    return tdbg_strict_canonical((int32_t)tdbg_strict_bits(x) < 0 ? b : a);
}

/* silu'(x). With t = |x| and E = exp(-t), d = E (1 + E - t) / (1 + E)^2 is silu'(-t), and silu'(t)
 * = 1 - d. The zero of 1 + E - t is z = 1.2784...; E is taken as E(z) exp(-(t - z)), so that 1 + E
 * - t = (E - E(z)) - (t - z), E - E(z) = E(z) (exp(-(t - z)) - 1), and nothing cancels at z. */
TDBG_HOST_DEVICE static inline float tdbg_strict_silu_derivative(float x)
{
    double delta = tdbg_strict_wide_abs(x, 128.0f) - 0x1.474973c84120bp+0;
    struct tdbg_strict_wide_exp e = tdbg_strict_exp_wide(-delta);
    double scaled = e.m * e.power;
    double top = 0x1.1d25cf210482ep-2 * (scaled + (e.power - 1.0)) - delta;
    double full = 0x1.1d25cf210482ep-2 * (scaled + e.power);
    double d = full * top / ((1.0 + full) * (1.0 + full));
    return tdbg_strict_by_sign(x, d, 1.0 - d);
}

/* The derivative of gelu(x) = x / (1 + exp(-v)), v = A x + B x^3, A = sqrt(8/pi), B = 0.044715 A.
 * With t = |x|, E = exp(-v(t)), w = t v'(t) = A t + 3 B t^3: d = E (1 + E - w) / (1 + E)^2 is the
 * derivative at -t, and 1 - d that at t. The zero of 1 + E - w, 0.7524..., is treated as in
 * tdbg_strict_silu_derivative. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_tanh_derivative(float x)
{
    const double a = 0x1.9884533d43651p+0, b = 0x1.2444f2a4d8b4bp-4;
    double t = tdbg_strict_wide_abs(x, 12.0f);
    double cubic = b * (t * t);
    struct tdbg_strict_wide_exp e = tdbg_strict_exp_wide(0x1.3b2cf738f9ffep+0 - t * (a + cubic));
    double scaled = e.m * e.power;
    double top = 0x1.2af64e9c485eep-2 * (scaled + (e.power - 1.0)) -
                 (t * (a + 3.0 * cubic) - 0x1.4abd93a71217bp+0);
    double full = 0x1.2af64e9c485eep-2 * (scaled + e.power);
    double d = full * top / ((1.0 + full) * (1.0 + full));
    return tdbg_strict_by_sign(x, d, 1.0 - d);
}

#endif
