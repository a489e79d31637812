/* Fused multiply-add for code that is compiled without a hardware one. tdbg_strict_fma() is what
 * strict kernels call: the instruction where the compiler may use it, else an exact emulation that
 * has no branch, so that loops over it are vectorised. */
#ifndef TDBG_KERNELS_FMA_PORTABLE_H
#define TDBG_KERNELS_FMA_PORTABLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* a * b + c with one rounding: the bits of fmaf(), except for the payload of a NaN.
 *
 * The product of two floats is exact in double. Adding c rounds once to double; that sum is then
 * rounded to odd (its last bit is set if it is not exact; Boldo and Melquiond, "Emulation of FMA
 * and correctly rounded sums", 2008), after which rounding it again to float, with 29 bits fewer,
 * gives the correctly rounded result, denormal results included. The error of the addition is
 * Knuth's TwoSum. It is NaN if the sum is Inf or NaN; the comparisons below are false then. */
static inline float tdbg_fma_emulated(float a, float b, float c)
{
    double product = (double)a * (double)b;
    double addend = (double)c;
    double sum = product + addend;
    double added = sum - product;
    double error = (product - (sum - added)) + (addend - added);

    double size = error < 0.0 ? -error : error;
    double inexact = size > 0.0 ? 1.0 : 0.0;

    uint64_t sum_bits, error_bits, move;
    memcpy(&sum_bits, &sum, sizeof sum_bits);
    memcpy(&error_bits, &error, sizeof error_bits);
    memcpy(&move, &inexact, sizeof move);
    move >>= 52; /* bit 0 tells 1.0 from 0.0; as a bool it would keep gcc from vectorising */
    move &= 1;
    move = ~sum_bits & move;                         /* inexact, and the last bit is even */
    uint64_t inward = (sum_bits ^ error_bits) >> 63; /* 1: the exact sum is nearer to zero */
    sum_bits += move - ((move & inward) << 1);
    memcpy(&sum, &sum_bits, sizeof sum);
    return (float)sum;
}

static inline float tdbg_strict_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return fmaf(a, b, c);
#else
    return tdbg_fma_emulated(a, b, c);
#endif
}

#endif
