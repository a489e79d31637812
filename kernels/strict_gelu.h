/* erf, both forms of gelu, and the derivative of the first, from IEEE operations alone as
 * strict_math.h. Branch-free. Error bounds: docs/numerics.md, measured by tests/op/sweep_math.c. */
#ifndef TDBG_KERNELS_STRICT_GELU_H
#define TDBG_KERNELS_STRICT_GELU_H

#include "kernels/strict_exp.h"

/* erf(x). |x| < 0.92: x + x p(x^2), p minimax (relative error of 1 + p: 2^-30). Beyond: 1 -
 * exp(q(|x|)), q a minimax polynomial for log(erfc) on [0.9, 4] (its error moves erf by 2^-33);
 * from 3.95 on the result is 1. */
TDBG_HOST_DEVICE static inline float tdbg_strict_erff(float x)
{
    float t = tdbg_strict_abs(x);
    float s = TDBG_STRICT_MUL(x, x);
    float p = 0x1.4f1db2p-14f;
    p = TDBG_STRICT_FMA(p, s, -0x1.a5fb1p-11f);
    p = TDBG_STRICT_FMA(p, s, 0x1.54492p-8f);
    p = TDBG_STRICT_FMA(p, s, -0x1.b8011p-6f);
    p = TDBG_STRICT_FMA(p, s, 0x1.ce2d64p-4f);
    p = TDBG_STRICT_FMA(p, s, -0x1.81274p-2f);
    p = TDBG_STRICT_FMA(p, s, 0x1.06eba8p-3f);
    float near = TDBG_STRICT_FMA(t, p, t);

    float c = t > 3.95f ? 3.95f : t;
    float q = -0x1.5d6fa2p-16f;
    q = TDBG_STRICT_FMA(q, c, 0x1.c459dcp-12f);
    q = TDBG_STRICT_FMA(q, c, -0x1.106302p-8f);
    q = TDBG_STRICT_FMA(q, c, 0x1.9aec4ap-6f);
    q = TDBG_STRICT_FMA(q, c, -0x1.bb4586p-4f);
    q = TDBG_STRICT_FMA(q, c, -0x1.444d18p-1f);
    q = TDBG_STRICT_FMA(q, c, -0x1.212628p+0f);
    q = TDBG_STRICT_FMA(q, c, 0x1.62dcacp-13f);
    struct tdbg_strict_exp e = tdbg_strict_expm1_parts(q, 0.0f);
    float power = tdbg_strict_power2(e.n);
    float far = TDBG_STRICT_FMA(-power, e.e, TDBG_STRICT_SUB(1.0f, power));
    return tdbg_strict_canonical(tdbg_strict_copysign(t < 0.92f ? near : far, x));
}

/* exp(-t^2 / 2) for 0 <= t <= 15 */
TDBG_HOST_DEVICE static inline struct tdbg_strict_exp tdbg_strict_gauss(float t)
{
    float half = TDBG_STRICT_MUL(-0.5f, t);
    float square = TDBG_STRICT_MUL(half, t);
    return tdbg_strict_expm1_parts(square, TDBG_STRICT_FMA(half, t, -square));
}

/* v = t / (t + 3) as the unrounded sum result + *lo, 0 <= t <= 15; lo from 1 / (t + 3) = (1 - v) /
 * 3. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_map(float t, float *lo)
{
    float d = TDBG_STRICT_ADD(t, 3.0f);
    float d_lo = TDBG_STRICT_SUB(t, TDBG_STRICT_ADD(d, -3.0f));
    float v = TDBG_STRICT_DIV(t, d);
    float lost = TDBG_STRICT_FMA(-v, d_lo, TDBG_STRICT_FMA(-v, d, t));
    *lo = TDBG_STRICT_MUL(lost, TDBG_STRICT_FMA(v, -0x1.555556p-2f, 0x1.555556p-2f));
    return v;
}

/* gelu(x) = x Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016). With t = |x|, v = t
 * / (t + 3), u = 2 v - 1: t (1 - Phi(t)) = v exp(-t^2 / 2) S(u), S a minimax polynomial on 0 <= t
 * <= 15 (relative error 2^-28). gelu(t) = t - t (1 - Phi(t)), gelu(-t) = -t (1 - Phi(t)).
 * gelu(-Inf) = -0, the limit. What v, u and the product lost in rounding is put back. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_erff(float x)
{
    float v_lo, t = tdbg_strict_abs(x);
    t = t > 15.0f ? 15.0f : t; /* the tail rounds to 0 there */
    struct tdbg_strict_exp e = tdbg_strict_gauss(t);
    float v = tdbg_strict_gelu_map(t, &v_lo);
    float u = TDBG_STRICT_FMA(2.0f, v, -1.0f);
    float u_lo = TDBG_STRICT_FMA(2.0f, v, TDBG_STRICT_SUB(-1.0f, u));
    u_lo = TDBG_STRICT_FMA(2.0f, v_lo, u_lo);
    float s = 0x1.bbc658p-15f;
    s = TDBG_STRICT_FMA(s, u, 0x1.0c3dd2p-13f);
    s = TDBG_STRICT_FMA(s, u, -0x1.00668ap-12f);
    s = TDBG_STRICT_FMA(s, u, -0x1.0dae7ap-10f);
    s = TDBG_STRICT_FMA(s, u, 0x1.0cd3d8p-10f);
    s = TDBG_STRICT_FMA(s, u, 0x1.c8a43ap-8f);
    s = TDBG_STRICT_FMA(s, u, -0x1.56d838p-7f);
    s = TDBG_STRICT_FMA(s, u, -0x1.832c8cp-5f);
    s = TDBG_STRICT_FMA(s, u, 0x1.d71388p-3f);
    s = TDBG_STRICT_FMA(s, u, -0x1.04c72ap-1f);
    s = TDBG_STRICT_FMA(s, u, 0x1.754a76p-1f);
    /* S'(u) by its first terms, and what the constant term of S lost */
    float s_lo = TDBG_STRICT_FMA(-0x1.226168p-3f, u, 0x1.d71388p-2f);
    s_lo = TDBG_STRICT_FMA(s_lo, u, -0x1.04c72ap-1f);
    s_lo = TDBG_STRICT_FMA(s_lo, u_lo, -0x1.cb5216p-26f);
    float m = TDBG_STRICT_MUL(v, s);
    float m_lo = TDBG_STRICT_FMA(v_lo, s, TDBG_STRICT_FMA(v, s, -m));
    m_lo = TDBG_STRICT_FMA(v, s_lo, m_lo);
    m_lo = TDBG_STRICT_FMA(m, e.e_lo, TDBG_STRICT_FMA(m_lo, e.e, m_lo));
    float tail = tdbg_strict_scale(TDBG_STRICT_ADD(m, TDBG_STRICT_FMA(m, e.e, m_lo)), e.n);
    float y = (int32_t)tdbg_strict_bits(x) < 0 ? -tail : TDBG_STRICT_SUB(x, tail);
    return tdbg_strict_canonical(x != x ? x : y);
}

/* gelu'(x) = Phi(x) + x phi(x). With t = |x|, d = exp(-t^2 / 2) (z - t) K(u) is gelu'(-t), and
 * gelu'(t) = 1 - d; z = 0.7517... is the zero, K a minimax polynomial on 0 <= t <= 15 (relative
 * error 2^-27). As above. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_erf_derivative(float x)
{
    float v_lo, t = tdbg_strict_abs(x);
    t = t > 15.0f ? 15.0f : t;
    struct tdbg_strict_exp e = tdbg_strict_gauss(t);
    float v = tdbg_strict_gelu_map(t, &v_lo);
    float u = TDBG_STRICT_FMA(2.0f, v, -1.0f);
    float u_lo = TDBG_STRICT_FMA(2.0f, v, TDBG_STRICT_SUB(-1.0f, u));
    u_lo = TDBG_STRICT_FMA(2.0f, v_lo, u_lo);
    float k = 0x1.b62486p-17f;
    k = TDBG_STRICT_FMA(k, u, 0x1.9befd4p-18f);
    k = TDBG_STRICT_FMA(k, u, -0x1.06f2c8p-13f);
    k = TDBG_STRICT_FMA(k, u, -0x1.8e5e6ap-14f);
    k = TDBG_STRICT_FMA(k, u, 0x1.1ec1fep-10f);
    k = TDBG_STRICT_FMA(k, u, 0x1.ad07fep-13f);
    k = TDBG_STRICT_FMA(k, u, -0x1.cd3324p-7f);
    k = TDBG_STRICT_FMA(k, u, 0x1.b70efep-5f);
    k = TDBG_STRICT_FMA(k, u, -0x1.eb6b5ap-4f);
    k = TDBG_STRICT_FMA(k, u, 0x1.e9c6dep-2f);
    float k_lo = TDBG_STRICT_FMA(0x1.b70efep-4f, u, -0x1.eb6b5ap-4f);
    const float z = 0x1.80ead2p-1f;
    float a = TDBG_STRICT_SUB(z, t), near = TDBG_STRICT_SUB(TDBG_STRICT_SUB(z, a), t);
    float a_lo = t > 1.0f ? TDBG_STRICT_SUB(z, TDBG_STRICT_ADD(a, t)) : near;
    float to_zero = TDBG_STRICT_ADD(a, -0x1.a03fd4p-27f);
    a_lo = TDBG_STRICT_ADD(a_lo, TDBG_STRICT_ADD(TDBG_STRICT_SUB(a, to_zero), -0x1.a03fd4p-27f));
    float m = TDBG_STRICT_MUL(to_zero, k);
    float m_lo = TDBG_STRICT_FMA(to_zero, k, -m);
    m_lo = TDBG_STRICT_FMA(a_lo, k, m_lo);
    m_lo = TDBG_STRICT_FMA(TDBG_STRICT_MUL(to_zero, u_lo), k_lo, m_lo);
    m_lo = TDBG_STRICT_FMA(m, e.e_lo, TDBG_STRICT_FMA(m_lo, e.e, m_lo));
    float d = tdbg_strict_scale(TDBG_STRICT_ADD(m, TDBG_STRICT_FMA(m, e.e, m_lo)), e.n);
    float y = (int32_t)tdbg_strict_bits(x) < 0 ? d : TDBG_STRICT_SUB(1.0f, d);
    return tdbg_strict_canonical(y);
}

/* sqrt(8/pi) in two parts, the first short, and 0.044715 sqrt(8/pi) */
#define TDBG_STRICT_GELU_A    0x1.988p+0f
#define TDBG_STRICT_GELU_A_LO 0x1.14cf5p-14f
#define TDBG_STRICT_GELU_B    0x1.2444f2p-4f
#define TDBG_STRICT_GELU_B_LO 0x1.49b16ap-29f

/* v = sqrt(8/pi) (t + 0.044715 t^3) for 0 <= t <= 11 as the unrounded sum result + *lo. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_cubic(float t, float *lo)
{
    float square = TDBG_STRICT_MUL(t, t);
    float square_lo = TDBG_STRICT_FMA(t, t, -square);
    float w = TDBG_STRICT_FMA(TDBG_STRICT_GELU_B, square, TDBG_STRICT_GELU_A);
    /* A - w is exact, so that this is what w lost */
    float w_lo =
        TDBG_STRICT_FMA(TDBG_STRICT_GELU_B, square, TDBG_STRICT_SUB(TDBG_STRICT_GELU_A, w));
    w_lo = TDBG_STRICT_ADD(w_lo, TDBG_STRICT_GELU_A_LO);
    w_lo = TDBG_STRICT_FMA(TDBG_STRICT_GELU_B_LO, square, w_lo);
    w_lo = TDBG_STRICT_FMA(TDBG_STRICT_GELU_B, square_lo, w_lo);
    float v = TDBG_STRICT_MUL(t, w);
    *lo = TDBG_STRICT_FMA(t, w_lo, TDBG_STRICT_FMA(t, w, -v));
    return v;
}

/* gelu(x) = x/2 (1 + tanh(v/2)) = x / (1 + exp(-v)), v = sqrt(8/pi) (x + 0.044715 x^3); as silu
 * with E = exp(-v(|x|)). gelu(-Inf) = -0, the limit. */
TDBG_HOST_DEVICE static inline float tdbg_strict_gelu_tanhf(float x)
{
    float v_lo, t = tdbg_strict_abs(x);
    float c = t > 11.0f ? 11.0f : t; /* c exp(-v(c)) rounds to 0 there */
    float v = tdbg_strict_gelu_cubic(c, &v_lo);
    struct tdbg_strict_exp e = tdbg_strict_expm1_parts(-v, -v_lo);
    float y = tdbg_strict_logistic(x, e);
    float below = -tdbg_strict_scale(TDBG_STRICT_MUL(c, y), e.n);
    return tdbg_strict_canonical((int32_t)tdbg_strict_bits(x) < 0 ? below : TDBG_STRICT_MUL(t, y));
}

#endif
