/* Strict double-precision functions for the host. See host_math.h. */
#include "kernels/host_math.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Taylor coefficients of cos and sin in z = angle^2, highest first. On angles up to pi/4 the first
 * term left out is below 4e-18. */
static const double cos_terms[] = {
    1.0 / 20922789888000.0,
    -1.0 / 87178291200.0,
    1.0 / 479001600.0,
    -1.0 / 3628800.0,
    1.0 / 40320.0,
    -1.0 / 720.0,
    1.0 / 24.0,
    -1.0 / 2.0,
    1.0,
};
static const double sin_terms[] = {
    1.0 / 355687428096000.0,
    -1.0 / 1307674368000.0,
    1.0 / 6227020800.0,
    -1.0 / 39916800.0,
    1.0 / 362880.0,
    -1.0 / 5040.0,
    1.0 / 120.0,
    -1.0 / 6.0,
    1.0,
};

static double evaluate(const double *terms, size_t n, double z)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * z + terms[i];
    return sum;
}

double tdbg_host_cos_pi(double x)
{
    const double pi = 0x1.921fb54442d18p+1;
    if (x > 0.5)
        return -tdbg_host_cos_pi(1 - x); /* 1 - x and 0.5 - x are exact here (Sterbenz) */
    if (x <= 0.25) {
        double angle = pi * x;
        return evaluate(cos_terms, sizeof cos_terms / sizeof *cos_terms, angle * angle);
    }
    double angle = pi * (0.5 - x);
    return angle * evaluate(sin_terms, sizeof sin_terms / sizeof *sin_terms, angle * angle);
}

double tdbg_host_pow_int(double x, int64_t n)
{
    double result = 1;
    for (double power = x; n > 0; n /= 2) {
        if (n % 2)
            result *= power;
        power *= power;
    }
    return result;
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t to_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ln 2 in two parts; the high one has 33 bits, so that its product with an exponent is exact. */
static const double ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;

/* Taylor coefficients of exp, highest first: on |r| <= ln 2 / 2 the first term left out is 4e-18.
 */
static const double exp_terms[] = {
    1.0 / 6227020800.0,
    1.0 / 479001600.0,
    1.0 / 39916800.0,
    1.0 / 3628800.0,
    1.0 / 362880.0,
    1.0 / 40320.0,
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
};

double tdbg_host_exp(double x)
{
    if (x != x || x > 709.8)
        return x != x ? x : (double)INFINITY;
    if (x < -745.2)
        return 0;
    const double magic = 0x1.8p52; /* adding it rounds to an integer */
    double n = (x * 0x1.71547652b82fep+0 + magic) - magic;
    double r = (x - n * ln2_hi) - n * ln2_lo;
    double y = evaluate(exp_terms, sizeof exp_terms / sizeof *exp_terms, r);
    int64_t exponent = (int64_t)n, half = exponent / 2; /* two factors, both normal */
    return y * from_bits((uint64_t)(half + 1023) << 52) *
           from_bits((uint64_t)(exponent - half + 1023) << 52);
}

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1): log m = 2 (s + s^3/3 + ...). */
double tdbg_host_log(double x)
{
    if (!(x > 0) || x > 0x1.fffffffffffffp+1023)
        return x == 0 ? -(double)INFINITY : x < 0 ? (double)NAN : x;
    int64_t k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits = to_bits(x);
    k += (int64_t)(bits >> 52) - 1023;
    double m = from_bits((bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff0000000000000));
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    double f = m - 1, s = f / (m + 1), z = s * s, sum = 0; /* |s| < 0.1716: z^12 / 25 < 2e-20 */
    for (int i = 23; i >= 3; i -= 2)
        sum = (sum + 1.0 / i) * z;
    /* 2 s + 2 s sum, with 2 s = f - s f, so that the large term is exact */
    double e = (double)k;
    return e * ln2_hi + (f - (s * f - (2 * s * sum + e * ln2_lo)));
}

double tdbg_host_pow(double x, double y)
{
    const double whole = 0x1p53;
    if (y > -whole && y < whole && y == (double)(int64_t)y) {
        int64_t n = (int64_t)y;
        return n < 0 ? 1 / tdbg_host_pow_int(x, -n) : tdbg_host_pow_int(x, n);
    }
    if (x == 0)
        return y > 0 ? 0 : y < 0 ? (double)INFINITY : y;
    return tdbg_host_exp(y * tdbg_host_log(x));
}

double tdbg_host_cos(double x)
{
    double turns = (x < 0 ? -x : x) / 0x1.921fb54442d18p+2; /* of 2 pi */
    if (!(turns < 0x1p50))
        return (double)NAN;
    turns -= (double)(int64_t)turns;
    return tdbg_host_cos_pi(turns > 0.5 ? 2 - 2 * turns : 2 * turns);
}

/* pi / 2 in parts: all but the last have at most 33 bits, so that their products with an integer
 * below 2^20 are exact (Cody and Waite 1980). */
static const double half_pi_hi = 0x1.921fb544p+0, half_pi_mid = 0x1.0b4611a6p-34,
                    half_pi_lo = 0x1.3198a2e037073p-69;

void tdbg_host_sin_cos(double x, double *sin, double *cos)
{
    const double magic = 0x1.8p52; /* adding it rounds to an integer */
    const double n = (x * 0x1.45f306dc9c883p-1 + magic) - magic;
    const double r = ((x - n * half_pi_hi) - n * half_pi_mid) - n * half_pi_lo;
    const double s = r * evaluate(sin_terms, sizeof sin_terms / sizeof *sin_terms, r * r);
    const double c = evaluate(cos_terms, sizeof cos_terms / sizeof *cos_terms, r * r);
    const int64_t quadrant = (int64_t)n & 3;
    *sin = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cos = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}
