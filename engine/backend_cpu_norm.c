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

void tdbg_backend_cpu_set_norm(struct tdbg_backend *table)
{
    table->row_norm_forward = cpu_row_norm_forward;
    table->row_norm_backward = cpu_row_norm_backward;
    table->batch_norm_forward = cpu_batch_norm_forward;
    table->batch_norm_evaluate = cpu_batch_norm_evaluate;
    table->batch_norm_backward = cpu_batch_norm_backward;
}
