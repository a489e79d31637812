/* Strict double-precision functions for the host. See host_math.h. */
#include "kernels/host_math.h"

#include <stddef.h>

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
