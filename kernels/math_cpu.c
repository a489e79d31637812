/* The strict functions over arrays: what the sweep of tests/op/sweep_math.c runs on every
 * instruction set. The functions themselves are in strict_math.h and the other strict_*.h. */
#include "kernels/isa_table.h"
#include "kernels/strict_gelu.h"
#include "kernels/strict_sin.h"

#define MATH_KERNEL(name, function)                                                                \
    void TDBG_KERNEL(tdbg_math_##name)(int64_t n, const float *x, float *y)                        \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = function(x[i]);                                                                 \
    }

MATH_KERNEL(exp, tdbg_strict_expf)
MATH_KERNEL(log, tdbg_strict_logf)
MATH_KERNEL(log1p, tdbg_strict_log1pf)
MATH_KERNEL(softplus, tdbg_strict_softplusf)
MATH_KERNEL(erf, tdbg_strict_erff)
MATH_KERNEL(sin, tdbg_strict_sinf)
MATH_KERNEL(cos, tdbg_strict_cosf)
