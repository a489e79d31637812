/* Adadelta on the CPU. Formula: adadelta.h. */
#include "kernels/adadelta.h"

#include <stdbool.h>

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* decayed is a constant at every call, so that the loop is free of branches. */
static inline __attribute__((always_inline)) void step(int64_t n, struct tdbg_adadelta a,
                                                       const float *grad, float *param,
                                                       float *square_avg, float *acc_delta,
                                                       bool decayed)
{
    for (int64_t i = 0; i < n; i++) {
        float p = param[i], u = acc_delta[i];
        float d = decayed ? TDBG_STRICT_FMA(a.weight_decay, p, grad[i]) : grad[i];
        float v = TDBG_STRICT_FMA(a.rho, square_avg[i], (a.one_minus_rho * d) * d);
        float x = __builtin_sqrtf(u + a.eps) / __builtin_sqrtf(v + a.eps) * d;
        u = TDBG_STRICT_FMA(a.rho, u, (a.one_minus_rho * x) * x);
        param[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-a.lr, x, p));
        square_avg[i] = tdbg_strict_canonical(v);
        acc_delta[i] = tdbg_strict_canonical(u);
    }
}

void TDBG_KERNEL(tdbg_adadelta_step)(int64_t n, const struct tdbg_adadelta *adadelta,
                                     const float *grad, float *param, float *square_avg,
                                     float *acc_delta)
{
    if (adadelta->weight_decay != 0)
        step(n, *adadelta, grad, param, square_avg, acc_delta, true);
    else
        step(n, *adadelta, grad, param, square_avg, acc_delta, false);
}

#ifdef TDBG_ISA_PORTABLE

struct adadelta_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_adadelta *adadelta;
    const float *grad;
    float *param, *square_avg, *acc_delta;
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct adadelta_job *job = ctx;
    job->table->adadelta_step(hi - lo, job->adadelta, job->grad + lo, job->param + lo,
                              job->square_avg + lo, job->acc_delta + lo);
}

void tdbg_adadelta_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adadelta *adadelta,
                        const float *grad, float *param, float *square_avg, float *acc_delta)
{
    struct adadelta_job job = {cpu->table, adadelta, grad, param, square_avg, acc_delta};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
