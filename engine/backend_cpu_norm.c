/* The CPU backend: batch, layer and RMS norm. See backend_cpu.h. */
#include "engine/backend_cpu.h"

static void cpu_row_norm_forward(void *context, const struct tdbg_row_norm *norm, const float *x,
                                 const float *weight, const float *bias, float *y, float *stats)
{
    tdbg_row_norm_forward(tdbg_backend_cpu_of(context), norm, x, weight, bias, y, stats);
}

static void cpu_row_norm_backward(void *context, const struct tdbg_row_norm *norm, const float *x,
                                  const float *weight, const float *stats, const float *dy,
                                  float *dx, float *dweight, float *dbias, void *workspace)
{
    tdbg_row_norm_backward(tdbg_backend_cpu_of(context), norm, x, weight, stats, dy, dx, dweight,
                           dbias, workspace);
}

static void cpu_batch_norm_forward(void *context, const struct tdbg_batch_norm *norm,
                                   const float *x, const float *weight, const float *bias,
                                   float momentum, float *running_mean, float *running_var,
                                   float *y, float *stats, void *workspace)
{
    tdbg_batch_norm_forward(tdbg_backend_cpu_of(context), norm, x, weight, bias, momentum,
                            running_mean, running_var, y, stats, workspace);
}

static void cpu_batch_norm_evaluate(void *context, const struct tdbg_batch_norm *norm,
                                    const float *x, const float *weight, const float *bias,
                                    const float *running_mean, const float *running_var, float *y,
                                    float *stats)
{
    tdbg_batch_norm_evaluate(tdbg_backend_cpu_of(context), norm, x, weight, bias, running_mean,
                             running_var, y, stats);
}

static void cpu_batch_norm_backward(void *context, const struct tdbg_batch_norm *norm,
                                    const float *x, const float *weight, const float *stats,
                                    const float *dy, float *dx, float *dweight, float *dbias,
                                    void *workspace)
{
    tdbg_batch_norm_backward(tdbg_backend_cpu_of(context), norm, x, weight, stats, dy, dx, dweight,
                             dbias, workspace);
}

static void cpu_batch_norm_blocks(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                  float *parts)
{
    tdbg_batch_norm_blocks(tdbg_backend_cpu_of(context), norm, x, parts);
}

static void cpu_batch_norm_sum(void *context, const struct tdbg_batch_norm *norm,
                               const float *parts, float *sum)
{
    tdbg_batch_norm_sum(tdbg_backend_cpu_of(context), norm, parts, sum);
}

static void cpu_batch_norm_spread(void *context, const struct tdbg_batch_norm *norm,
                                  const float *parts, const float *sum, int64_t count,
                                  float *spread)
{
    tdbg_batch_norm_spread(tdbg_backend_cpu_of(context), norm, parts, sum, count, spread);
}

static void cpu_batch_norm_finish(void *context, const struct tdbg_batch_norm *norm,
                                  const float *sum, const float *spread, int64_t count,
                                  float *stats)
{
    (void)context;
    tdbg_batch_norm_finish(norm, sum, spread, count, stats);
}

static void cpu_batch_norm_track(void *context, const struct tdbg_batch_norm *norm,
                                 const float *stats, const float *spread, int64_t count,
                                 float momentum, float *running_mean, float *running_var)
{
    (void)context;
    tdbg_batch_norm_track(norm, stats, spread, count, momentum, running_mean, running_var);
}

static void cpu_batch_norm_apply(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                 const float *stats, const float *weight, const float *bias,
                                 float *y)
{
    tdbg_batch_norm_apply(tdbg_backend_cpu_of(context), norm, x, stats, weight, bias, y);
}

static void cpu_batch_norm_sums(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                const float *stats, const float *dy, float *parts, float *sums)
{
    tdbg_batch_norm_sums(tdbg_backend_cpu_of(context), norm, x, stats, dy, parts, sums);
}

static void cpu_batch_norm_dx(void *context, const struct tdbg_batch_norm *norm, const float *x,
                              const float *stats, const float *weight, const float *dy,
                              const float *sums, int64_t count, float *dx)
{
    tdbg_batch_norm_dx(tdbg_backend_cpu_of(context), norm, x, stats, weight, dy, sums, count, dx);
}

void tdbg_backend_cpu_set_norm(struct tdbg_backend *table)
{
    table->row_norm_forward = cpu_row_norm_forward;
    table->row_norm_backward = cpu_row_norm_backward;
    table->batch_norm_forward = cpu_batch_norm_forward;
    table->batch_norm_evaluate = cpu_batch_norm_evaluate;
    table->batch_norm_backward = cpu_batch_norm_backward;
    table->batch_norm_blocks = cpu_batch_norm_blocks;
    table->batch_norm_sum = cpu_batch_norm_sum;
    table->batch_norm_spread = cpu_batch_norm_spread;
    table->batch_norm_finish = cpu_batch_norm_finish;
    table->batch_norm_track = cpu_batch_norm_track;
    table->batch_norm_apply = cpu_batch_norm_apply;
    table->batch_norm_sums = cpu_batch_norm_sums;
    table->batch_norm_dx = cpu_batch_norm_dx;
}
