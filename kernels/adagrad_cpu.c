/* Adagrad on the CPU. Formula: adagrad.h. */
#include "kernels/adagrad.h"

#include <stdbool.h>

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* decayed is a constant at every call, so that the loop is free of branches. */
static inline __attribute__((always_inline)) void
step(int64_t n, struct tdbg_adagrad a, const float *grad, float *param, float *sum, bool decayed)
{
    for (int64_t i = 0; i < n; i++) {
        float p = param[i];
        float d = decayed ? TDBG_STRICT_FMA(a.weight_decay, p, grad[i]) : grad[i];
        float s = TDBG_STRICT_FMA(d, d, sum[i]);
        float change = d / (__builtin_sqrtf(s) + a.eps);
        param[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-a.lr, change, p));
        sum[i] = tdbg_strict_canonical(s);
    }
}

void TDBG_KERNEL(tdbg_adagrad_step)(int64_t n, const struct tdbg_adagrad *adagrad,
                                    const float *grad, float *param, float *sum)
{
    if (adagrad->weight_decay != 0)
        step(n, *adagrad, grad, param, sum, true);
    else
        step(n, *adagrad, grad, param, sum, false);
}

#ifdef TDBG_ISA_PORTABLE

struct adagrad_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_adagrad *adagrad;
    const float *grad;
    float *param, *sum;
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct adagrad_job *job = ctx;
    job->table->adagrad_step(hi - lo, job->adagrad, job->grad + lo, job->param + lo, job->sum + lo);
}

void tdbg_adagrad_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_adagrad *adagrad,
                       const float *grad, float *param, float *sum)
{
    struct adagrad_job job = {cpu->table, adagrad, grad, param, sum};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
