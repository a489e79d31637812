/* Strict double-precision functions for the host. See host_math.h. */
#include "kernels/host_math.h"

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

/* x rounded to an integer, |x| < 2^51: the addition leaves no bits behind the point. */
static double round_to_integer(double x)
{
    const double magic = 0x1.8p52;
    return (x + magic) - magic;
}

/* 2^n, a normal number */
static double power_of_two(int64_t n)
{
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ln 2 and pi / 2 in parts: all but the last have at most 33 bits, so that their products with an
 * integer below 2^20 are exact (Cody and Waite 1980). */
static const double ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;
static const double half_pi_hi = 0x1.921fb544p+0, half_pi_mid = 0x1.0b4611a6p-34,
                    half_pi_lo = 0x1.3198a2e037073p-69;

/* x = n ln 2 + r, |r| <= ln 2 / 2: the Taylor series of exp(r); the first term left out is below
 * 5e-18. */
double tdbg_host_exp(double x)
{
    const double n = round_to_integer(x * 0x1.71547652b82fep+0);
    const double r = (x - n * ln2_hi) - n * ln2_lo;
    double sum = 1;
    for (int i = 13; i > 0; i--)
        sum = 1 + sum * r / i;
    return sum * power_of_two((int64_t)n);
}

/* x = 2^n m, m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1): log m = 2 s (1 + s^2/3 + s^4/5 ...);
 * the first term left out is below 1e-18. */
double tdbg_host_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t n = (int64_t)(bits >> 52) - 1023;
    double m = x * power_of_two(-n);
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        n++;
    }
    const double s = (m - 1) / (m + 1), z = s * s;
    double sum = 0;
    for (int i = 23; i > 1; i -= 2)
        sum = z * (sum + 1.0 / i);
    return (double)n * ln2_hi + (2 * s + (2 * s * sum + (double)n * ln2_lo));
}

void tdbg_host_sin_cos(double x, double *sin, double *cos)
{
    const double n = round_to_integer(x * 0x1.45f306dc9c883p-1);
    const double r = ((x - n * half_pi_hi) - n * half_pi_mid) - n * half_pi_lo;
    const double s = r * evaluate(sin_terms, sizeof sin_terms / sizeof *sin_terms, r * r);
    const double c = evaluate(cos_terms, sizeof cos_terms / sizeof *cos_terms, r * r);
    const int64_t quadrant = (int64_t)n & 3;
    *sin = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cos = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}
