/* The CPU backend: clipping of gradients and the optimizers' steps. See backend_cpu.h. */
#include "engine/backend_cpu.h"

#include "kernels/clip.h"

static void cpu_clip_square_sum(void *context, int64_t n, const float *x, float *out,
                                float *scratch)
{
    *out = tdbg_clip_square_sum(tdbg_backend_cpu_of(context), n, x, scratch);
}

static void cpu_clip_norm(void *context, int64_t n, const float *squares, float limit, float *out)
{
    (void)context;
    tdbg_clip_norm(n, squares, limit, out);
}

static void cpu_clip_scale(void *context, int64_t n, const float *factor, float *x)
{
    tdbg_clip_scale(tdbg_backend_cpu_of(context), n, factor, x);
}

static void cpu_clip_value(void *context, int64_t n, float limit, float *x)
{
    tdbg_clip_value(tdbg_backend_cpu_of(context), n, limit, x);
}

static void cpu_sgd(void *context, int64_t n, const struct tdbg_sgd *sgd, const float *grad,
                    float *param, float *momentum_buffer)
{
    tdbg_sgd_step(tdbg_backend_cpu_of(context), n, sgd, grad, param, momentum_buffer);
}

static void cpu_adam(void *context, int64_t n, const struct tdbg_adam *adam, const float *grad,
                     float *param, float *exp_avg, float *exp_avg_sq)
{
    tdbg_adam_step(tdbg_backend_cpu_of(context), n, adam, grad, param, exp_avg, exp_avg_sq);
}

static void cpu_adamw(void *context, int64_t n, const struct tdbg_adamw *adamw, const float *grad,
                      float *param, float *exp_avg, float *exp_avg_sq)
{
    tdbg_adamw_step(tdbg_backend_cpu_of(context), n, adamw, grad, param, exp_avg, exp_avg_sq);
}

static void cpu_adadelta(void *context, int64_t n, const struct tdbg_adadelta *adadelta,
                         const float *grad, float *param, float *square_avg, float *acc_delta)
{
    tdbg_adadelta_step(tdbg_backend_cpu_of(context), n, adadelta, grad, param, square_avg,
                       acc_delta);
}

static void cpu_adagrad(void *context, int64_t n, const struct tdbg_adagrad *adagrad,
                        const float *grad, float *param, float *sum)
{
    tdbg_adagrad_step(tdbg_backend_cpu_of(context), n, adagrad, grad, param, sum);
}

static void cpu_rmsprop(void *context, int64_t n, const struct tdbg_rmsprop *rmsprop,
                        const float *grad, float *param, const struct tdbg_rmsprop_state *state)
{
    tdbg_rmsprop_step(tdbg_backend_cpu_of(context), n, rmsprop, grad, param, state);
}

static void cpu_lion(void *context, int64_t n, const struct tdbg_lion *lion, const float *grad,
                     float *param, float *exp_avg)
{
    tdbg_lion_step(tdbg_backend_cpu_of(context), n, lion, grad, param, exp_avg);
}

void tdbg_backend_cpu_set_optimizer(struct tdbg_backend *table)
{
    table->clip_square_sum = cpu_clip_square_sum;
    table->clip_norm = cpu_clip_norm;
    table->clip_scale = cpu_clip_scale;
    table->clip_value = cpu_clip_value;
    table->sgd = cpu_sgd;
    table->adam = cpu_adam;
    table->adamw = cpu_adamw;
    table->adadelta = cpu_adadelta;
    table->adagrad = cpu_adagrad;
    table->rmsprop = cpu_rmsprop;
    table->lion = cpu_lion;
}
