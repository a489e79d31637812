/* The CPU backend: clipping of gradients and the optimizers' steps, range by range. See
 * backend_cpu.h. */
#include "engine/backend_cpu.h"

#include "kernels/clip.h"

/* A range of a flat buffer; NULL where this configuration has no such buffer. */
static float *in(const struct tdbg_range *range, float *buffer)
{
    return buffer ? buffer + range->offset : NULL;
}

static const struct tdbg_range *end_of(const struct tdbg_ranges *ranges)
{
    return ranges->range + ranges->n;
}

static void cpu_clip_square_sum(void *context, const struct tdbg_ranges *ranges, const float *x,
                                float *out, float *scratch)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        *out++ = tdbg_clip_square_sum(tdbg_backend_cpu_of(context), range->elems, x + range->offset,
                                      scratch);
}

static void cpu_clip_norm(void *context, int64_t n, const float *squares, float limit, float *out)
{
    (void)context;
    tdbg_clip_norm(n, squares, limit, out);
}

static void cpu_clip_scale(void *context, const struct tdbg_ranges *ranges, const float *factor,
                           float *x)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_clip_scale(tdbg_backend_cpu_of(context), range->elems, factor, in(range, x));
}

static void cpu_clip_value(void *context, const struct tdbg_ranges *ranges, float limit, float *x)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_clip_value(tdbg_backend_cpu_of(context), range->elems, limit, in(range, x));
}

static void cpu_sgd(void *context, const struct tdbg_ranges *ranges, const struct tdbg_sgd *sgd,
                    const float *grad, float *param, float *momentum_buffer)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_sgd_step(tdbg_backend_cpu_of(context), range->elems, sgd, grad + range->offset,
                      in(range, param), in(range, momentum_buffer));
}

static void cpu_adam(void *context, const struct tdbg_ranges *ranges, const struct tdbg_adam *adam,
                     const float *grad, float *param, float *exp_avg, float *exp_avg_sq)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_adam_step(tdbg_backend_cpu_of(context), range->elems, adam, grad + range->offset,
                       in(range, param), in(range, exp_avg), in(range, exp_avg_sq));
}

static void cpu_adamw(void *context, const struct tdbg_ranges *ranges,
                      const struct tdbg_adamw *adamw, const float *grad, float *param,
                      float *exp_avg, float *exp_avg_sq)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_adamw_step(tdbg_backend_cpu_of(context), range->elems, adamw, grad + range->offset,
                        in(range, param), in(range, exp_avg), in(range, exp_avg_sq));
}

static void cpu_adadelta(void *context, const struct tdbg_ranges *ranges,
                         const struct tdbg_adadelta *adadelta, const float *grad, float *param,
                         float *square_avg, float *acc_delta)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_adadelta_step(tdbg_backend_cpu_of(context), range->elems, adadelta,
                           grad + range->offset, in(range, param), in(range, square_avg),
                           in(range, acc_delta));
}

static void cpu_adagrad(void *context, const struct tdbg_ranges *ranges,
                        const struct tdbg_adagrad *adagrad, const float *grad, float *param,
                        float *sum)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_adagrad_step(tdbg_backend_cpu_of(context), range->elems, adagrad, grad + range->offset,
                          in(range, param), in(range, sum));
}

static void cpu_rmsprop(void *context, const struct tdbg_ranges *ranges,
                        const struct tdbg_rmsprop *rmsprop, const float *grad, float *param,
                        const struct tdbg_rmsprop_state *state)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++) {
        const struct tdbg_rmsprop_state here = {
            .square_avg = in(range, state->square_avg),
            .momentum_buffer = in(range, state->momentum_buffer),
            .grad_avg = in(range, state->grad_avg),
        };
        tdbg_rmsprop_step(tdbg_backend_cpu_of(context), range->elems, rmsprop, grad + range->offset,
                          in(range, param), &here);
    }
}

static void cpu_lion(void *context, const struct tdbg_ranges *ranges, const struct tdbg_lion *lion,
                     const float *grad, float *param, float *exp_avg)
{
    for (const struct tdbg_range *range = ranges->range; range < end_of(ranges); range++)
        tdbg_lion_step(tdbg_backend_cpu_of(context), range->elems, lion, grad + range->offset,
                       in(range, param), in(range, exp_avg));
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
