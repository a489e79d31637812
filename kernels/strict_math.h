/* exp and log in single precision from IEEE add, multiply and fma alone, so that every compiler,
 * processor and GPU gives the same bits. Branch-free, so that loops over them are vectorised. Both
 * cc and nvcc compile this file. Error bounds (docs/numerics.md) are measured over all 2^32 floats
 * by tests/op/sweep_math.c. */
#ifndef TDBG_KERNELS_STRICT_MATH_H
#define TDBG_KERNELS_STRICT_MATH_H

#include <stdint.h>
#include <string.h>

#include "base/host_device.h"

/* One rounding each, never contracted: cc has -ffp-contract=off, nvcc the intrinsics. */
#if defined(__CUDA_ARCH__)
#define TDBG_STRICT_FMA(a, b, c) __fmaf_rn((a), (b), (c))
#define TDBG_STRICT_ADD(a, b)    __fadd_rn((a), (b))
#define TDBG_STRICT_MUL(a, b)    __fmul_rn((a), (b))
#define TDBG_STRICT_DIV(a, b)    __fdiv_rn((a), (b))
#define TDBG_STRICT_SQRT(a)      __fsqrt_rn(a)
#else
#ifdef __CUDACC__ /* host code: fmaf() is exact, and callable from functions for both sides */
#define TDBG_STRICT_FMA(a, b, c) fmaf((a), (b), (c))
#else
#include "kernels/fma_portable.h"
#define TDBG_STRICT_FMA(a, b, c) tdbg_strict_fma((a), (b), (c))
#endif
#define TDBG_STRICT_ADD(a, b) ((a) + (b))
#define TDBG_STRICT_MUL(a, b) ((a) * (b))
#define TDBG_STRICT_DIV(a, b) ((a) / (b))
#define TDBG_STRICT_SQRT(a)   __builtin_sqrtf(a)
#endif

TDBG_HOST_DEVICE static inline uint32_t tdbg_strict_bits(float x)
{
#ifdef __CUDA_ARCH__
    return __float_as_uint(x);
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
#endif
}

TDBG_HOST_DEVICE static inline float tdbg_strict_float(uint32_t u)
{
#ifdef __CUDA_ARCH__
    return __uint_as_float(u);
#else
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
#endif
}

/* x, but 0x7fc00000 for every NaN. In integers: a compiler may take `x != x ? NAN : x` for x. */
TDBG_HOST_DEVICE static inline float tdbg_strict_canonical(float x)
{
    uint32_t u = tdbg_strict_bits(x);
    return tdbg_strict_float((int32_t)(u & 0x7fffffffu) > 0x7f800000 ? 0x7fc00000u : u);
}

/* ln 2 in two parts; the high one has 15 bits, so that its product with an exponent is exact. */
#define TDBG_STRICT_LN2_HI 0x1.62e4p-1f
#define TDBG_STRICT_LN2_LO 0x1.7f7d1cp-20f

/* exp(c) = p 2^exponent for -104 <= c <= 89, p returned. With n = round(c / ln 2) and r = c - n ln
 * 2, |r| <= 0.347 (Cody and Waite 1980), p = 1 + r + r^2 q(r); q is a minimax polynomial (relative
 * error 2^-34). 1 + r is kept as an unrounded sum of two floats, so that the last addition alone
 * decides the error. */
TDBG_HOST_DEVICE static inline float tdbg_strict_exp_parts(float c, int32_t *exponent)
{
    const float round_magic = 0x1.8p23f; /* adding it leaves the rounded integer in the low bits */
    float t = TDBG_STRICT_FMA(c, 0x1.715476p+0f, round_magic);
    float n = TDBG_STRICT_ADD(t, -round_magic);
    *exponent = (int32_t)(tdbg_strict_bits(t) - 0x4b400000u);
    float r_hi = TDBG_STRICT_FMA(n, -TDBG_STRICT_LN2_HI, c); /* exact */
    float cut = TDBG_STRICT_MUL(n, TDBG_STRICT_LN2_LO);
    float r = TDBG_STRICT_ADD(r_hi, -cut);
    float r_lo = TDBG_STRICT_ADD(TDBG_STRICT_ADD(r_hi, -r), -cut); /* what r lost */

    float q = 0x1.a1b8f6p-13f;
    q = TDBG_STRICT_FMA(q, r, 0x1.6d9762p-10f);
    q = TDBG_STRICT_FMA(q, r, 0x1.11107cp-7f);
    q = TDBG_STRICT_FMA(q, r, 0x1.55548p-5f);
    q = TDBG_STRICT_FMA(q, r, 0x1.555556p-3f);
    q = TDBG_STRICT_FMA(q, r, 0.5f);
    float sum = TDBG_STRICT_ADD(1.0f, r);
    float sum_lo = TDBG_STRICT_ADD(TDBG_STRICT_ADD(TDBG_STRICT_ADD(1.0f, -sum), r), r_lo);
    return TDBG_STRICT_ADD(sum, TDBG_STRICT_FMA(TDBG_STRICT_MUL(r, r), q, sum_lo));
}

/* exp(x): overflow gives +Inf, exp(-Inf) is +0, NaN is canonical. */
TDBG_HOST_DEVICE static inline float tdbg_strict_expf(float x)
{
    /* Beyond these the result is +Inf and +0 anyway; a NaN passes through both. */
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.0f ? -104.0f : c;
    int32_t exponent;
    float p = tdbg_strict_exp_parts(c, &exponent);

    /* 2^n in two factors, both normal: the second product alone may round (to a denormal).
     * Unsigned, because for a NaN the exponent is anything. */
    uint32_t half = ((uint32_t)exponent + 1024u) / 2 - 512u;
    float scale1 = tdbg_strict_float((half + 127u) << 23);
    float scale2 = tdbg_strict_float(((uint32_t)exponent - half + 127u) << 23);
    float y = TDBG_STRICT_MUL(TDBG_STRICT_MUL(p, scale1), scale2);
    return tdbg_strict_canonical(y);
}

/* The same bits as tdbg_strict_expf with fewer steps, for -87 <= x <= 88 alone. */
TDBG_HOST_DEVICE static inline float tdbg_strict_expf_near(float x)
{
    int32_t exponent;
    float p = tdbg_strict_exp_parts(x, &exponent);
    return TDBG_STRICT_MUL(p, tdbg_strict_float((uint32_t)(exponent + 127) << 23));
}

/* log(x). With x = 2^k m, m in [sqrt(1/2), sqrt(2)) and f = m - 1, the result is
 * k ln 2 + f - f^2/2 + f^3 q(f); q is a minimax polynomial (relative error 2^-30 of the result).
 * The large terms are kept as unrounded sums of two floats. log(+-0) = -Inf, log(+Inf) = +Inf,
 * log of anything negative and of NaN is the canonical NaN. */
TDBG_HOST_DEVICE static inline float tdbg_strict_logf(float x)
{
    const uint32_t sqrt_half = 0x3f3504f3u; /* bits of sqrt(1/2) */
    int denormal = x < 0x1p-126f;
    float normal = denormal ? TDBG_STRICT_MUL(x, 0x1p23f) : x;
    uint32_t u = tdbg_strict_bits(normal) - sqrt_half;
    int32_t k = (int32_t)u >> 23; /* arithmetic shift in gcc, clang and nvcc */
    float f = TDBG_STRICT_ADD(tdbg_strict_float((u & 0x7fffffu) + sqrt_half), -1.0f); /* exact */
    float e = (float)(k - (denormal ? 23 : 0));

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
    float square = TDBG_STRICT_MUL(half_f, f);             /* f^2/2, rounded */
    float square_lo = TDBG_STRICT_FMA(half_f, f, -square); /* and what it lost */
    float s = TDBG_STRICT_ADD(f, -square);                 /* f - f^2/2, rounded */
    float s_lo = TDBG_STRICT_ADD(TDBG_STRICT_ADD(f, -s), -square);
    float e_hi = TDBG_STRICT_MUL(e, TDBG_STRICT_LN2_HI); /* exact */
    float sum = TDBG_STRICT_ADD(e_hi, s);
    float sum_lo = TDBG_STRICT_ADD(s, -TDBG_STRICT_ADD(sum, -e_hi));

    float small = TDBG_STRICT_ADD(s_lo, -square_lo);
    small = TDBG_STRICT_FMA(TDBG_STRICT_MUL(TDBG_STRICT_MUL(f, f), f), q, small);
    small = TDBG_STRICT_FMA(e, TDBG_STRICT_LN2_LO, small);
    float y = TDBG_STRICT_ADD(sum, TDBG_STRICT_ADD(sum_lo, small));

    uint32_t bits = tdbg_strict_bits(y);
    bits = tdbg_strict_bits(x) == 0x7f800000u ? 0x7f800000u : bits; /* +Inf */
    bits = x == 0 ? 0xff800000u : bits;
    bits = x < 0 ? 0x7fc00000u : bits;
    return tdbg_strict_canonical(x != x ? x : tdbg_strict_float(bits));
}

#endif
