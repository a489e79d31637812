/* sin and cos in single precision from IEEE operations and integers, the same bits with every
 * compiler, processor and GPU. Not branch-free: arguments beyond 2^17 take another way. Error
 * bounds: docs/numerics.md, measured by tests/op/sweep_math.c. */
#ifndef TDBG_KERNELS_STRICT_SIN_H
#define TDBG_KERNELS_STRICT_SIN_H

#include "kernels/strict_exp.h"

/* x = quadrant pi/2 + hi + lo, |hi| <= pi/4 and a little */
struct tdbg_strict_angle {
    float hi, lo;
    uint32_t quadrant; /* its two low bits count */
};

/* |x| <= 2^17: pi/2 in three parts (Cody and Waite 1980). r is exact. */
TDBG_HOST_DEVICE static inline struct tdbg_strict_angle tdbg_strict_reduce_small(float x)
{
    const float round_magic = 0x1.8p23f;
    float t = TDBG_STRICT_FMA(x, 0x1.45f306p-1f, round_magic);
    float k = TDBG_STRICT_ADD(t, -round_magic);
    float r = TDBG_STRICT_FMA(-k, 0x1.921fb6p+0f, x);
    float p = TDBG_STRICT_MUL(k, 0x1.777a5cp-25f);
    float p_lo = TDBG_STRICT_FMA(k, 0x1.777a5cp-25f, -p);
    struct tdbg_strict_angle angle;
    angle.hi = TDBG_STRICT_ADD(r, p); /* and what that loses: Knuth's TwoSum */
    float from_p = TDBG_STRICT_SUB(angle.hi, r);
    float from_r = TDBG_STRICT_SUB(angle.hi, from_p);
    angle.lo = TDBG_STRICT_ADD(TDBG_STRICT_SUB(r, from_r), TDBG_STRICT_SUB(p, from_p));
    angle.lo = TDBG_STRICT_FMA(k, 0x1.ee59dap-50f, TDBG_STRICT_ADD(angle.lo, p_lo));
    angle.quadrant = tdbg_strict_bits(t);
    return angle;
}

/* 32 bits of 2/pi; `at` counts from 32 zero bits ahead of the point, at most 198. */
TDBG_HOST_DEVICE static inline uint32_t tdbg_strict_two_over_pi(uint32_t at)
{
    const uint32_t word[8] = {0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
                              0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu};
    uint64_t pair = (uint64_t)word[at / 32] << 32 | word[at / 32 + 1];
    return (uint32_t)(pair >> (32 - at % 32));
}

/* 2^17 <= |x| < Inf (Payne and Hanek 1983). |x| = m 2^e, m of 24 bits, e in -6..104. Of 2/pi the
 * first e - 2 bits give multiples of 4; the 96 bits behind them, w, give m w 2^-94 modulo 4: two
 * bits of quadrant, and a fraction of which 62 bits are kept. Its product with pi/2 is taken in
 * binary64. */
TDBG_HOST_DEVICE static inline struct tdbg_strict_angle tdbg_strict_reduce_large(float x)
{
    uint32_t bits = tdbg_strict_bits(x);
    uint64_t m = (bits & 0x7fffffu) | 0x800000u;
    uint32_t at = (bits >> 23 & 0xff) - 150 - 2 + 32;
    uint64_t high = m * tdbg_strict_two_over_pi(at), middle = m * tdbg_strict_two_over_pi(at + 32);
    uint64_t low = m * tdbg_strict_two_over_pi(at + 64);
    uint64_t turn = (high << 32) + middle + (low >> 32); /* modulo 2^64, which is 4 quadrants */
    uint32_t quadrant = (uint32_t)((turn + (UINT64_C(1) << 61)) >> 62);
    int64_t fraction = (int64_t)(turn - ((uint64_t)quadrant << 62));
    double r = (double)fraction * 0x1.921fb54442d18p-62;
    int negative = (int32_t)bits < 0;
    r = negative ? -r : r;
    struct tdbg_strict_angle angle;
    angle.hi = (float)r;
    angle.lo = (float)(r - (double)angle.hi);
    angle.quadrant = negative ? 0u - quadrant : quadrant;
    return angle;
}

/* sin (shift 0) or cos (shift 1) of an angle. The polynomials are minimax on [-pi/4, pi/4]: sin r =
 * r + r^3 p(r^2) (relative error 2^-32), cos r = 1 - r^2/2 + r^4 q(r^2) (2^-32). */
TDBG_HOST_DEVICE static inline float tdbg_strict_sin_angle(struct tdbg_strict_angle a,
                                                           uint32_t shift)
{
    float s = TDBG_STRICT_MUL(a.hi, a.hi);
    float p = 0x1.7ccf16p-19f;
    p = TDBG_STRICT_FMA(p, s, -0x1.a05ba8p-13f);
    p = TDBG_STRICT_FMA(p, s, 0x1.111176p-7f);
    p = TDBG_STRICT_FMA(p, s, -0x1.555556p-3f);
    float sine = TDBG_STRICT_FMA(TDBG_STRICT_MUL(s, a.hi), p, a.lo);
    sine = TDBG_STRICT_ADD(a.hi, sine);
    float q = 0x1.99e816p-16f;
    q = TDBG_STRICT_FMA(q, s, -0x1.6c0c28p-10f);
    q = TDBG_STRICT_FMA(q, s, 0x1.55554ap-5f);
    q = TDBG_STRICT_FMA(q, s, -0.5f);
    float cosine = TDBG_STRICT_FMA(s, q, 1.0f);
    uint32_t quadrant = a.quadrant + shift;
    float y = quadrant & 1 ? cosine : sine;
    return tdbg_strict_float(tdbg_strict_bits(y) ^ (quadrant & 2) << 30);
}

TDBG_HOST_DEVICE static inline struct tdbg_strict_angle tdbg_strict_reduce_angle(float x)
{
    return tdbg_strict_abs(x) <= 0x1p17f ? tdbg_strict_reduce_small(x)
                                         : tdbg_strict_reduce_large(x);
}

/* sin(x) and cos(x) for every finite x, reduced exactly; NaN for +-Inf and NaN. sin(+-0) = +-0. */
TDBG_HOST_DEVICE static inline float tdbg_strict_sinf(float x)
{
    float y = tdbg_strict_sin_angle(tdbg_strict_reduce_angle(x), 0);
    y = x == 0 ? x : y;
    return tdbg_strict_canonical(tdbg_strict_abs(x) < __builtin_inff() ? y : x - x);
}

TDBG_HOST_DEVICE static inline float tdbg_strict_cosf(float x)
{
    float y = tdbg_strict_sin_angle(tdbg_strict_reduce_angle(x), 1);
    return tdbg_strict_canonical(tdbg_strict_abs(x) < __builtin_inff() ? y : x - x);
}

#endif
