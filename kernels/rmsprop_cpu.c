/* RMSprop on the CPU. Formula: rmsprop.h. */
#include "kernels/rmsprop.h"

#include <stddef.h>

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* decayed, centered and moving are constants at every call, so that each loop is free of branches.
 */
static inline __attribute__((always_inline)) void
step(int64_t n, struct tdbg_rmsprop a, const float *grad, float *param, float *square_avg,
     float *buffer, float *grad_avg, bool decayed, bool centered, bool moving)
{
    for (int64_t i = 0; i < n; i++) {
        float p = param[i];
        float d = decayed ? TDBG_STRICT_FMA(a.weight_decay, p, grad[i]) : grad[i];
        float v = TDBG_STRICT_FMA(a.alpha, square_avg[i], (a.one_minus_alpha * d) * d);
        float variance = v;
        if (centered) {
            float mean = TDBG_STRICT_FMA(a.alpha, grad_avg[i], a.one_minus_alpha * d);
            grad_avg[i] = tdbg_strict_canonical(mean);
            variance = TDBG_STRICT_FMA(-mean, mean, v);
        }
        float x = d / (__builtin_sqrtf(variance) + a.eps);
        if (moving) {
            x = TDBG_STRICT_FMA(a.momentum, buffer[i], x);
            buffer[i] = tdbg_strict_canonical(x);
        }
        square_avg[i] = tdbg_strict_canonical(v);
        param[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-a.lr, x, p));
    }
}

static inline __attribute__((always_inline)) void step_decayed(int64_t n, struct tdbg_rmsprop a,
                                                               const float *grad, float *param,
                                                               float *square_avg, float *buffer,
                                                               float *grad_avg, bool decayed)
{
    if (a.centered && a.momentum != 0)
        step(n, a, grad, param, square_avg, buffer, grad_avg, decayed, true, true);
    else if (a.centered)
        step(n, a, grad, param, square_avg, buffer, grad_avg, decayed, true, false);
    else if (a.momentum != 0)
        step(n, a, grad, param, square_avg, buffer, grad_avg, decayed, false, true);
    else
        step(n, a, grad, param, square_avg, buffer, grad_avg, decayed, false, false);
}

void TDBG_KERNEL(tdbg_rmsprop_step)(int64_t n, const struct tdbg_rmsprop *rmsprop,
                                    const float *grad, float *param, float *square_avg,
                                    float *buffer, float *grad_avg)
{
    if (rmsprop->weight_decay != 0)
        step_decayed(n, *rmsprop, grad, param, square_avg, buffer, grad_avg, true);
    else
        step_decayed(n, *rmsprop, grad, param, square_avg, buffer, grad_avg, false);
}

#ifdef TDBG_ISA_PORTABLE

struct rmsprop_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_rmsprop *rmsprop;
    const float *grad;
    float *param;
    const struct tdbg_rmsprop_state *state;
};

static float *at(float *x, int64_t i)
{
    return x ? x + i : NULL;
}

static void step_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct rmsprop_job *job = ctx;
    const struct tdbg_rmsprop_state *s = job->state;
    job->table->rmsprop_step(hi - lo, job->rmsprop, job->grad + lo, job->param + lo,
                             s->square_avg + lo, at(s->momentum_buffer, lo), at(s->grad_avg, lo));
}

void tdbg_rmsprop_step(const struct tdbg_cpu *cpu, int64_t n, const struct tdbg_rmsprop *rmsprop,
                       const float *grad, float *param, const struct tdbg_rmsprop_state *state)
{
    struct rmsprop_job job = {cpu->table, rmsprop, grad, param, state};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, step_range, &job);
}

#endif
