/* What is made of one exponential, from IEEE operations alone as strict_math.h: tanh, sigmoid,
 * silu, softplus, log1p; and the pieces of exp that strict_gelu.h shares. Branch-free. Error
 * bounds: docs/numerics.md, measured by tests/op/sweep_math.c. */
#ifndef TDBG_KERNELS_STRICT_EXP_H
#define TDBG_KERNELS_STRICT_EXP_H

#include "kernels/strict_math.h"

/* x / y and x - y with one rounding; see strict_math.h. */
#if defined(__CUDA_ARCH__)
#define TDBG_STRICT_DIV(a, b) __fdiv_rn((a), (b))
#else
#define TDBG_STRICT_DIV(a, b) ((a) / (b))
#endif
#define TDBG_STRICT_SUB(a, b) TDBG_STRICT_ADD((a), -(b))

TDBG_HOST_DEVICE static inline float tdbg_strict_abs(float x)
{
    return tdbg_strict_float(tdbg_strict_bits(x) & 0x7fffffffu);
}

/* |x| with the sign of `sign` */
TDBG_HOST_DEVICE static inline float tdbg_strict_copysign(float x, float sign)
{
    return tdbg_strict_float((tdbg_strict_bits(x) & 0x7fffffffu) |
                             (tdbg_strict_bits(sign) & 0x80000000u));
}

/* exp(x) = (1 + e + e_lo) 2^n, e + e_lo an unrounded sum with a small *relative* error: where n = 0
 * it is exp(x) - 1, and exactly x for tiny x. */
struct tdbg_strict_exp {
    float e, e_lo;
    int32_t n;
};

/* Of x = hi + lo, |hi| <= 128, |lo| far below. n = round(hi / ln 2), r = x - n ln 2, |r| <= 0.347,
 * and then the polynomial of tdbg_strict_expf. */
TDBG_HOST_DEVICE static inline struct tdbg_strict_exp tdbg_strict_expm1_parts(float hi, float lo)
{
    const float round_magic = 0x1.8p23f;
    struct tdbg_strict_exp y;
    float t = TDBG_STRICT_FMA(hi, 0x1.715476p+0f, round_magic);
    float rounded = TDBG_STRICT_ADD(t, -round_magic);
    y.n = (int32_t)(tdbg_strict_bits(t) - 0x4b400000u);
    float r_hi = TDBG_STRICT_FMA(rounded, -TDBG_STRICT_LN2_HI, hi); /* exact */
    float cut = TDBG_STRICT_FMA(rounded, -TDBG_STRICT_LN2_LO, lo);
    float r = TDBG_STRICT_ADD(r_hi, cut);
    float r_lo = TDBG_STRICT_ADD(TDBG_STRICT_SUB(r_hi, r), cut);

    float q = 0x1.a1b8f6p-13f;
    q = TDBG_STRICT_FMA(q, r, 0x1.6d9762p-10f);
    q = TDBG_STRICT_FMA(q, r, 0x1.11107cp-7f);
    q = TDBG_STRICT_FMA(q, r, 0x1.55548p-5f);
    q = TDBG_STRICT_FMA(q, r, 0x1.555556p-3f);
    q = TDBG_STRICT_FMA(q, r, 0.5f);
    float square = TDBG_STRICT_MUL(r, r);
    y.e = TDBG_STRICT_FMA(square, q, r);
    y.e_lo = TDBG_STRICT_ADD(TDBG_STRICT_FMA(square, q, TDBG_STRICT_SUB(r, y.e)), r_lo);
    return y;
}

/* 2^n for -126 <= n <= 127 */
TDBG_HOST_DEVICE static inline float tdbg_strict_power2(int32_t n)
{
    return tdbg_strict_float(((uint32_t)n + 127u) << 23);
}

/* y 2^n for -250 < n < 250. In two factors, the first product exact for normal y: one rounding. */
TDBG_HOST_DEVICE static inline float tdbg_strict_scale(float y, int32_t n)
{
    uint32_t half = ((uint32_t)n + 1024u) / 2 - 512u; /* unsigned: for a NaN n is anything */
    return TDBG_STRICT_MUL(TDBG_STRICT_MUL(y, tdbg_strict_power2((int32_t)half)),
                           tdbg_strict_power2((int32_t)((uint32_t)n - half)));
}

/* tanh(x) = q = -m / (2 + m), m = exp(-2 |x|) - 1, with the sign of x; from |x| = 10 on it is 1.
 * What the quotient and its denominator lost in rounding is put back, with 1 / (2 + m) = (1 + q)
 * / 2. */
TDBG_HOST_DEVICE static inline float tdbg_strict_tanhf(float x)
{
    float t = tdbg_strict_abs(x);
    t = t > 10.0f ? 10.0f : t;
    struct tdbg_strict_exp y = tdbg_strict_expm1_parts(TDBG_STRICT_MUL(-2.0f, t), 0.0f);
    float power = tdbg_strict_power2(y.n);
    float m = TDBG_STRICT_FMA(power, y.e, TDBG_STRICT_ADD(power, -1.0f));
    float below = TDBG_STRICT_ADD(2.0f, m);
    float below_lo = TDBG_STRICT_SUB(m, TDBG_STRICT_ADD(below, -2.0f));
    float q = TDBG_STRICT_DIV(-m, below);
    float lost = TDBG_STRICT_FMA(-q, below_lo, TDBG_STRICT_FMA(-q, below, -m));
    q = TDBG_STRICT_FMA(lost, TDBG_STRICT_FMA(0.5f, q, 0.5f), q);
    return tdbg_strict_canonical(tdbg_strict_copysign(q, x));
}

/* With E = (1 + e) 2^n <= 1: E / (1 + E) 2^-n if x has a minus sign, else 1 / (1 + E); as c (1 + f)
 * with c = 1 / (1 + E) rounded, and what was lost on the way in f. */
TDBG_HOST_DEVICE static inline float tdbg_strict_logistic(float x, struct tdbg_strict_exp y)
{
    float full = tdbg_strict_scale(TDBG_STRICT_ADD(1.0f, y.e), y.n);
    float below = TDBG_STRICT_ADD(1.0f, full);
    float below_lo = TDBG_STRICT_SUB(full, TDBG_STRICT_ADD(below, -1.0f));
    float c = TDBG_STRICT_DIV(1.0f, below);
    float lost = TDBG_STRICT_FMA(-c, below_lo, TDBG_STRICT_FMA(-c, below, 1.0f));
    float with_e = TDBG_STRICT_ADD(y.e, TDBG_STRICT_ADD(y.e_lo, lost));
    return TDBG_STRICT_FMA(c, (int32_t)tdbg_strict_bits(x) < 0 ? with_e : lost, c);
}

/* sigmoid(x) = 1 / (1 + E) for x >= 0 and E / (1 + E) for x < 0, E = exp(-|x|). */
TDBG_HOST_DEVICE static inline float tdbg_strict_sigmoidf(float x)
{
    float t = tdbg_strict_abs(x);
    t = t > 104.0f ? 104.0f : t; /* E rounds to 0 there */
    struct tdbg_strict_exp e = tdbg_strict_expm1_parts(-t, 0.0f);
    float y = tdbg_strict_logistic(x, e);
    return tdbg_strict_canonical((int32_t)tdbg_strict_bits(x) < 0 ? tdbg_strict_scale(y, e.n) : y);
}

/* silu(x) = x sigmoid(x). silu(-Inf) = -0, the limit. */
TDBG_HOST_DEVICE static inline float tdbg_strict_siluf(float x)
{
    float t = tdbg_strict_abs(x);
    float c = t > 110.0f ? 110.0f : t; /* c exp(-c) rounds to 0 there */
    struct tdbg_strict_exp e = tdbg_strict_expm1_parts(-c, 0.0f);
    float y = tdbg_strict_logistic(x, e);
    float below = -tdbg_strict_scale(TDBG_STRICT_MUL(c, y), e.n);
    return tdbg_strict_canonical((int32_t)tdbg_strict_bits(x) < 0 ? below : TDBG_STRICT_MUL(t, y));
}

/* log(1 + x) for finite x > -1. As tdbg_strict_logf of u = 1 + x; what u lost is c, log(1 + x) =
 * log(u) + c/u. Where k = 0, f = x instead of u - 1: nothing is lost. */
TDBG_HOST_DEVICE static inline float tdbg_strict_log1p_core(float x)
{
    const uint32_t sqrt_half = 0x3f3504f3u;
    float u = TDBG_STRICT_ADD(1.0f, x);
    float c_small = TDBG_STRICT_SUB(x, TDBG_STRICT_ADD(u, -1.0f));
    float c_large = TDBG_STRICT_SUB(1.0f, TDBG_STRICT_SUB(u, x));
    float lost = TDBG_STRICT_DIV(x > 1.0f ? c_large : c_small, u);
    uint32_t bits = tdbg_strict_bits(u) - sqrt_half;
    int32_t k = (int32_t)bits >> 23;
    float f = TDBG_STRICT_ADD(tdbg_strict_float((bits & 0x7fffffu) + sqrt_half), -1.0f);
    f = k == 0 ? x : f;
    lost = k == 0 ? 0.0f : lost;
    float e = (float)k;

    float q = 0x1.146992p-4f;
    q = TDBG_STRICT_FMA(q, f, -0x1.de5386p-4f);
    q = TDBG_STRICT_FMA(q, f, 0x1.e6f55ap-4f);
    q = TDBG_STRICT_FMA(q, f, -0x1.fc1ec2p-4f);
    q = TDBG_STRICT_FMA(q, f, 0x1.2336e2p-3f);
    q = TDBG_STRICT_FMA(q, f, -0x1.555c5ep-3f);
    q = TDBG_STRICT_FMA(q, f, 0x1.99a4bcp-3f);
    q = TDBG_STRICT_FMA(q, f, -0x1.000006p-2f);
    q = TDBG_STRICT_FMA(q, f, 0x1.555548p-2f);

    float half_f = TDBG_STRICT_MUL(0.5f, f);
    float square = TDBG_STRICT_MUL(half_f, f);
    float square_lo = TDBG_STRICT_FMA(half_f, f, -square);
    float s = TDBG_STRICT_SUB(f, square);
    float s_lo = TDBG_STRICT_SUB(TDBG_STRICT_SUB(f, s), square);
    float e_hi = TDBG_STRICT_MUL(e, TDBG_STRICT_LN2_HI);
    float sum = TDBG_STRICT_ADD(e_hi, s);
    float sum_lo = TDBG_STRICT_SUB(s, TDBG_STRICT_SUB(sum, e_hi));
    float small = TDBG_STRICT_ADD(TDBG_STRICT_SUB(s_lo, square_lo), lost);
    small = TDBG_STRICT_FMA(TDBG_STRICT_MUL(TDBG_STRICT_MUL(f, f), f), q, small);
    small = TDBG_STRICT_FMA(e, TDBG_STRICT_LN2_LO, small);
    return TDBG_STRICT_ADD(sum, TDBG_STRICT_ADD(sum_lo, small));
}

/* log(1 + x): -Inf at -1, NaN below, +-0 at +-0. */
TDBG_HOST_DEVICE static inline float tdbg_strict_log1pf(float x)
{
    uint32_t bits = tdbg_strict_bits(tdbg_strict_log1p_core(x));
    bits = tdbg_strict_bits(x) == 0x7f800000u ? 0x7f800000u : bits;
    bits = x == -1.0f ? 0xff800000u : bits;
    bits = x < -1.0f ? 0x7fc00000u : bits;
    bits = x == 0 ? tdbg_strict_bits(x) : bits;
    return tdbg_strict_canonical(x != x ? x : tdbg_strict_float(bits));
}

/* softplus(x) = log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)). The loss of a logit x with target y
 * in 0..1 (binary cross-entropy) is softplus(x) - x y. */
TDBG_HOST_DEVICE static inline float tdbg_strict_softplusf(float x)
{
    float e = tdbg_strict_expf(-tdbg_strict_abs(x));
    return tdbg_strict_canonical(TDBG_STRICT_ADD(x < 0 ? 0.0f : x, tdbg_strict_log1p_core(e)));
}

#endif
