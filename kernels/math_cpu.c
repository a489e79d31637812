/* The strict exp and log over arrays: what the sweep of tests/op/sweep_math.c runs on every
 * instruction set. The functions themselves are in strict_math.h. */
#include "kernels/isa_table.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_math_exp)(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_expf(x[i]);
}

void TDBG_KERNEL(tdbg_math_log)(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_logf(x[i]);
}
