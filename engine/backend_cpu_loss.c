/* The CPU backend: losses, and how many answers are right. See backend_cpu.h. */
#include "engine/backend_cpu.h"

#include "kernels/cross_entropy.h"

static void cpu_cross_entropy_forward(void *context, int64_t rows, int64_t classes,
                                      const float *logits, const int32_t *targets,
                                      int32_t ignore_index, float *loss)
{
    tdbg_cross_entropy_forward(tdbg_backend_cpu_of(context), rows, classes, logits, targets,
                               ignore_index, loss);
}

static void cpu_cross_entropy_backward(void *context, int64_t rows, int64_t classes,
                                       const float *logits, const int32_t *targets,
                                       int32_t ignore_index, float *dlogits)
{
    tdbg_cross_entropy_backward(tdbg_backend_cpu_of(context), rows, classes, logits, targets,
                                ignore_index, dlogits);
}

static int64_t cpu_count_correct(void *context, int64_t rows, int64_t classes, const float *logits,
                                 const int32_t *targets, int32_t ignore_index)
{
    return tdbg_cross_entropy_count_correct(tdbg_backend_cpu_of(context), rows, classes, logits,
                                            targets, ignore_index);
}

static void cpu_cross_entropy_weighted_forward(void *context, const struct tdbg_cross_entropy *how,
                                               int64_t rows, int64_t classes, const float *logits,
                                               const int32_t *targets, int32_t ignore_index,
                                               float *loss)
{
    tdbg_cross_entropy_weighted_forward(tdbg_backend_cpu_of(context), how, rows, classes, logits,
                                        targets, ignore_index, loss);
}

static void cpu_cross_entropy_weighted_backward(void *context, const struct tdbg_cross_entropy *how,
                                                int64_t rows, int64_t classes, const float *logits,
                                                const int32_t *targets, int32_t ignore_index,
                                                float *dlogits)
{
    tdbg_cross_entropy_weighted_backward(tdbg_backend_cpu_of(context), how, rows, classes, logits,
                                         targets, ignore_index, dlogits);
}

static void cpu_target_weights(void *context, int64_t n, const int32_t *targets,
                               int32_t ignore_index, const float *weights, float *weight)
{
    tdbg_cross_entropy_target_weights(tdbg_backend_cpu_of(context), n, targets, ignore_index,
                                      weights, weight);
}

static void cpu_pointwise_loss_forward(void *context, enum tdbg_pointwise_loss kind, float beta,
                                       int64_t rows, int64_t cols, const float *x,
                                       const float *target, float *loss)
{
    tdbg_pointwise_loss_forward(tdbg_backend_cpu_of(context), kind, beta, rows, cols, x, target,
                                loss);
}

static void cpu_pointwise_loss_backward(void *context, enum tdbg_pointwise_loss kind, float beta,
                                        int64_t n, const float *x, const float *target, float *dx)
{
    tdbg_pointwise_loss_backward(tdbg_backend_cpu_of(context), kind, beta, n, x, target, dx);
}

static int64_t cpu_pointwise_count_correct(void *context, int64_t n, const float *x,
                                           const float *target)
{
    return tdbg_pointwise_loss_count_correct(tdbg_backend_cpu_of(context), n, x, target);
}

static void cpu_sum_rows(void *context, int64_t rows, int64_t cols, const float *x, float *out)
{
    tdbg_pointwise_loss_sum_rows(tdbg_backend_cpu_of(context), rows, cols, x, out);
}

void tdbg_backend_cpu_set_loss(struct tdbg_backend *table)
{
    table->cross_entropy_forward = cpu_cross_entropy_forward;
    table->cross_entropy_backward = cpu_cross_entropy_backward;
    table->count_correct = cpu_count_correct;
    table->cross_entropy_weighted_forward = cpu_cross_entropy_weighted_forward;
    table->cross_entropy_weighted_backward = cpu_cross_entropy_weighted_backward;
    table->target_weights = cpu_target_weights;
    table->pointwise_loss_forward = cpu_pointwise_loss_forward;
    table->pointwise_loss_backward = cpu_pointwise_loss_backward;
    table->pointwise_count_correct = cpu_pointwise_count_correct;
    table->sum_rows = cpu_sum_rows;
}
