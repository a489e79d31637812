/* Adam on the CPU. Formula: adam.h. */
#include "kernels/adam.h"

#include <stdbool.h>

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* decayed is a constant at every call, so that the loop is free of branches. */
static inline __attribute__((always_inline)) void step(int64_t n, struct tdbg_adam a,
                                                       const float *grad, float *param,
                                                       float *exp_avg, float *exp_avg_sq,
                                                       bool decayed)
{
    for (int64_t i = 0; i < n; i++) {
        float p = param[i];
        float d = decayed ? TDBG_STRICT_FMA(a.weight_decay, p, grad[i]) : grad[i];
        float m = TDBG_STRICT_FMA(a.beta1, exp_avg[i], a.one_minus_beta1 * d);
        float v = TDBG_STRICT_FMA(a.beta2, exp_avg_sq[i], (a.one_minus_beta2 * d) * d);
        float denominator = __builtin_sqrtf(v) / a.bias2_sqrt + a.eps;
        param[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-a.step_size, m / denominator, p));
        exp_avg[i] = tdbg_strict_canonical(m);
        exp_avg_sq[i] = tdbg_strict_canonical(v);
    }
}

void TDBG_KERNEL(tdbg_adam_step)(int64_t n, const struct tdbg_adam *adam, const float *grad,
                                 float *param, float *exp_avg, float *exp_avg_sq)
{
    if (adam->weight_decay != 0)
        step(n, *adam, grad, param, exp_avg, exp_avg_sq, true);
    else
        step(n, *adam, grad, param, exp_avg, exp_avg_sq, false);
}

#ifdef TDBG_ISA_PORTABLE

struct adam_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_adam *adam;
    const float *grad;
    float *param, *exp_avg, *exp_avg_sq;
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct adam_job *job = ctx;
    job->table->adam_step(hi - lo, job->adam, job->grad + lo, job->param + lo, job->exp_avg + lo,
                          job->exp_avg_sq + lo);
}

void tdbg_adam_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adam *adam,
                    const float *grad, float *param, float *exp_avg, float *exp_avg_sq)
{
    struct adam_job job = {cpu->table, adam, grad, param, exp_avg, exp_avg_sq};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
