/* AdamW on the CPU. Formula: adamw.h. */
#include "kernels/adamw.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_adamw_step)(int64_t n, const struct tdbg_adamw *adamw, const float *grad,
                                  float *param, float *exp_avg, float *exp_avg_sq)
{
    const struct tdbg_adamw a = *adamw;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i];
        float p = param[i] * a.decay;
        float m = TDBG_STRICT_FMA(a.beta1, exp_avg[i], a.one_minus_beta1 * g);
        float v = TDBG_STRICT_FMA(a.beta2, exp_avg_sq[i], (a.one_minus_beta2 * g) * g);
        float denominator = __builtin_sqrtf(v) / a.bias2_sqrt + a.eps;
        p = TDBG_STRICT_FMA(-a.step_size, m / denominator, p);
        param[i] = tdbg_strict_canonical(p);
        exp_avg[i] = tdbg_strict_canonical(m);
        exp_avg_sq[i] = tdbg_strict_canonical(v);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct adamw_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_adamw *adamw;
    const float *grad;
    float *param, *exp_avg, *exp_avg_sq;
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct adamw_job *job = ctx;
    job->table->adamw_step(hi - lo, job->adamw, job->grad + lo, job->param + lo, job->exp_avg + lo,
                           job->exp_avg_sq + lo);
}

void tdbg_adamw_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adamw *adamw,
                     const float *grad, float *param, float *exp_avg, float *exp_avg_sq)
{
    struct adamw_job job = {cpu->table, adamw, grad, param, exp_avg, exp_avg_sq};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
