/* Lion on the CPU. Formula: lion.h. */
#include "kernels/lion.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_lion_step)(int64_t n, const struct tdbg_lion *lion, const float *grad,
                                 float *param, float *exp_avg)
{
    const struct tdbg_lion a = *lion;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i], m = exp_avg[i];
        float c = TDBG_STRICT_FMA(a.beta1, m, a.one_minus_beta1 * g);
        float sign = c > 0 ? 1.0f : c; /* what is neither above nor below zero stays itself */
        sign = c < 0 ? -1.0f : sign;
        float p = TDBG_STRICT_FMA(-a.lr, sign, param[i] * a.decay);
        param[i] = tdbg_strict_canonical(p);
        exp_avg[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(a.beta2, m, a.one_minus_beta2 * g));
    }
}

#ifdef TDBG_ISA_PORTABLE

struct lion_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_lion *lion;
    const float *grad;
    float *param, *exp_avg;
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct lion_job *job = ctx;
    job->table->lion_step(hi - lo, job->lion, job->grad + lo, job->param + lo, job->exp_avg + lo);
}

void tdbg_lion_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_lion *lion,
                    const float *grad, float *param, float *exp_avg)
{
    struct lion_job job = {cpu->table, lion, grad, param, exp_avg};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
