/* Stochastic gradient descent on the CPU. Formula: sgd.h. */
#include "kernels/sgd.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

enum sgd_form { SGD_PLAIN, SGD_MOMENTUM, SGD_NESTEROV };

/* decayed and form are constants at every call, so that each loop is free of branches. */
static inline __attribute__((always_inline)) void step(int64_t n, const struct tdbg_sgd *sgd,
                                                       const float *grad, float *param,
                                                       float *buffer, bool decayed,
                                                       enum sgd_form form)
{
    const float minus_lr = -sgd->lr, momentum = sgd->momentum, decay = sgd->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        float p = param[i];
        float d = decayed ? TDBG_STRICT_FMA(decay, p, grad[i]) : grad[i];
        if (form != SGD_PLAIN) {
            float b = TDBG_STRICT_FMA(momentum, buffer[i], d);
            buffer[i] = tdbg_strict_canonical(b);
            d = form == SGD_NESTEROV ? TDBG_STRICT_FMA(momentum, b, d) : b;
        }
        param[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(minus_lr, d, p));
    }
}

void TDBG_KERNEL(tdbg_sgd_step)(int64_t n, const struct tdbg_sgd *sgd, const float *grad,
                                float *param, float *buffer)
{
    const bool decayed = sgd->weight_decay != 0;
    if (sgd->momentum == 0 && decayed)
        step(n, sgd, grad, param, buffer, true, SGD_PLAIN);
    else if (sgd->momentum == 0)
        step(n, sgd, grad, param, buffer, false, SGD_PLAIN);
    else if (sgd->nesterov && decayed)
        step(n, sgd, grad, param, buffer, true, SGD_NESTEROV);
    else if (sgd->nesterov)
        step(n, sgd, grad, param, buffer, false, SGD_NESTEROV);
    else if (decayed)
        step(n, sgd, grad, param, buffer, true, SGD_MOMENTUM);
    else
        step(n, sgd, grad, param, buffer, false, SGD_MOMENTUM);
}

#ifdef TDBG_ISA_PORTABLE

struct sgd_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_sgd *sgd;
    const float *grad;
    float *param, *buffer; /* buffer may be NULL */
};

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct sgd_job *job = ctx;
    float *buffer = job->buffer ? job->buffer + lo : NULL;
    job->table->sgd_step(hi - lo, job->sgd, job->grad + lo, job->param + lo, buffer);
}

void tdbg_sgd_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_sgd *sgd,
                   const float *grad, float *param, float *momentum_buffer)
{
    struct sgd_job job = {cpu->table, sgd, grad, param, momentum_buffer};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
