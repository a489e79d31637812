/* The CPU backend: hands the backend table's calls to kernels/. */
#include "engine/backend.h"

#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "kernels/bf16.h"
#include "kernels/clip.h"
#include "kernels/cross_entropy.h"
#include "kernels/fused_digest.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "kernels/relu.h"
#include "kernels/softmax.h"
#include "kernels/transform.h"
#include "kernels/vector.h"

struct cpu_backend {
    struct tdbg_backend table; /* first, so that one pointer frees both */
    struct tdbg_cpu cpu;
};

static const struct tdbg_cpu *cpu_of(void *context)
{
    return &((struct cpu_backend *)context)->cpu;
}

static void *cpu_alloc(void *context, size_t bytes)
{
    (void)context;
    size_t rounded = (bytes + 63) / 64 * 64 + 64;
    if (rounded < bytes)
        return NULL;
    void *p = aligned_alloc(64, rounded);
    if (p)
        memset(p, 0, rounded);
    return p;
}

static void cpu_free(void *context, void *data)
{
    (void)context;
    free(data);
}

static enum tdbg_status cpu_transfer(void *context, void *to, const void *from, size_t bytes,
                                     struct tdbg_err *err)
{
    (void)context;
    (void)err;
    memcpy(to, from, bytes);
    return TDBG_OK;
}

enum { QUEUE_GRAIN_BYTES = 1 << 18 }; /* what a thread is worth waking for */

struct queue_job {
    char *to;
    const char *from;
};

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct queue_job *job = ctx;
    tdbg_copy_away(job->to + lo, job->from + lo, (size_t)(hi - lo));
}

static enum tdbg_status cpu_to_queue(void *context, void *to, const void *from, size_t bytes,
                                     struct tdbg_err *err)
{
    (void)err;
    struct queue_job job = {to, from};
    tdbg_parallel_for(cpu_of(context)->threads, (int64_t)bytes, QUEUE_GRAIN_BYTES, copy_range,
                      &job);
    return TDBG_OK;
}

static void cpu_copy(void *context, void *to, const void *from, size_t bytes)
{
    (void)context;
    memcpy(to, from, bytes);
}

static void cpu_fill_zero(void *context, void *data, size_t bytes)
{
    (void)context;
    memset(data, 0, bytes);
}

static enum tdbg_status cpu_digest(void *context, const void *data, enum tdbg_dtype dtype,
                                   int64_t elems, uint64_t *digest, struct tdbg_stats *stats,
                                   struct tdbg_err *err)
{
    (void)err;
    tdbg_digest_compute(cpu_of(context), data, dtype, elems, digest, stats);
    return TDBG_OK;
}

static size_t cpu_gemm_workspace_bytes(void *context, const struct tdbg_gemm *gemm)
{
    return tdbg_gemm_workspace_bytes(cpu_of(context), gemm);
}

static void cpu_gemm(void *context, const struct tdbg_gemm *gemm, void *workspace)
{
    tdbg_gemm_run(cpu_of(context), gemm, workspace);
}

static void cpu_reduce_rows(void *context, int64_t rows, int64_t cols, const float *x, float *out)
{
    tdbg_reduce_rows(cpu_of(context), rows, cols, x, out);
}

static void cpu_reduce_sum(void *context, int64_t n, const float *x, float *out, float *scratch)
{
    *out = tdbg_reduce_sum(cpu_of(context), n, x, scratch);
}

static void cpu_relu_forward(void *context, int64_t n, const float *x, float *y)
{
    tdbg_relu_forward(cpu_of(context), n, x, y);
}

static void cpu_relu_backward(void *context, int64_t n, const float *y, const float *dy, float *dx)
{
    tdbg_relu_backward(cpu_of(context), n, y, dy, dx);
}

static size_t cpu_conv2d_workspace_bytes(void *context, const struct tdbg_conv2d *conv)
{
    return tdbg_conv2d_workspace_bytes(cpu_of(context), conv);
}

static void cpu_conv2d_forward(void *context, const struct tdbg_conv2d *conv, const float *x,
                               const float *weight, const float *bias, float *y, void *workspace)
{
    tdbg_conv2d_forward(cpu_of(context), conv, x, weight, bias, y, workspace);
}

static void cpu_conv2d_backward_input(void *context, const struct tdbg_conv2d *conv,
                                      const float *dy, const float *weight, float *dx,
                                      void *workspace)
{
    tdbg_conv2d_backward_input(cpu_of(context), conv, dy, weight, dx, workspace);
}

static void cpu_conv2d_backward_weight(void *context, const struct tdbg_conv2d *conv,
                                       const float *x, const float *dy, float *dweight,
                                       void *workspace)
{
    tdbg_conv2d_backward_weight(cpu_of(context), conv, x, dy, dweight, workspace);
}

static void cpu_conv2d_backward_bias(void *context, const struct tdbg_conv2d *conv, const float *dy,
                                     float *dbias)
{
    tdbg_conv2d_backward_bias(cpu_of(context), conv, dy, dbias);
}

static void cpu_max_pool2d_forward(void *context, const struct tdbg_pool2d *pool, const float *x,
                                   float *y, int32_t *index)
{
    tdbg_max_pool2d_forward(cpu_of(context), pool, x, y, index);
}

static void cpu_max_pool2d_backward(void *context, const struct tdbg_pool2d *pool,
                                    const int32_t *index, const float *dy, float *dx)
{
    tdbg_max_pool2d_backward(cpu_of(context), pool, index, dy, dx);
}

static void cpu_avg_pool2d_forward(void *context, const struct tdbg_pool2d *pool, const float *x,
                                   float *y)
{
    tdbg_avg_pool2d_forward(cpu_of(context), pool, x, y);
}

static void cpu_avg_pool2d_backward(void *context, const struct tdbg_pool2d *pool, const float *dy,
                                    float *dx)
{
    tdbg_avg_pool2d_backward(cpu_of(context), pool, dy, dx);
}

static void cpu_global_avg_pool_forward(void *context, int64_t planes, int64_t elems,
                                        const float *x, float *y)
{
    tdbg_global_avg_pool_forward(cpu_of(context), planes, elems, x, y);
}

static void cpu_global_avg_pool_backward(void *context, int64_t planes, int64_t elems,
                                         const float *dy, float *dx)
{
    tdbg_global_avg_pool_backward(cpu_of(context), planes, elems, dy, dx);
}

static void cpu_position_add(void *context, int64_t rows, int64_t n, const float *x,
                             const float *table, float *y)
{
    tdbg_position_add(cpu_of(context), rows, n, x, table, y);
}

static void cpu_position_rotate(void *context, const struct tdbg_rotary *rotary, bool inverse,
                                const float *x, float *y)
{
    tdbg_position_rotate(cpu_of(context), rotary, inverse, x, y);
}

static size_t cpu_embedding_workspace_bytes(void *context, const struct tdbg_embedding *embedding)
{
    (void)context;
    return tdbg_embedding_workspace_bytes(embedding);
}

static void cpu_embedding_forward(void *context, const struct tdbg_embedding *embedding,
                                  const float *table, float *y)
{
    tdbg_embedding_forward(cpu_of(context), embedding, table, y);
}

static void cpu_embedding_backward(void *context, const struct tdbg_embedding *embedding,
                                   const float *dy, float *dtable, void *workspace)
{
    tdbg_embedding_backward(cpu_of(context), embedding, dy, dtable, workspace);
}

static size_t cpu_attention_workspace_bytes(void *context, const struct tdbg_attention *attention)
{
    return tdbg_attention_workspace_bytes(cpu_of(context), attention);
}

static void cpu_attention_scores(void *context, const struct tdbg_attention *attention,
                                 const float *qkv, float *scores, void *workspace)
{
    tdbg_attention_scores(cpu_of(context), attention, qkv, scores, workspace);
}

static void cpu_attention_scores_backward(void *context, const struct tdbg_attention *attention,
                                          const float *qkv, const float *dscores, float *dqkv,
                                          void *workspace)
{
    tdbg_attention_scores_backward(cpu_of(context), attention, qkv, dscores, dqkv, workspace);
}

static void cpu_attention_softmax_forward(void *context, const struct tdbg_attention *attention,
                                          const float *scores, float *probs)
{
    tdbg_attention_softmax_forward(cpu_of(context), attention, scores, probs);
}

static void cpu_attention_softmax_backward(void *context, const struct tdbg_attention *attention,
                                           const float *probs, const float *dprobs, float *dscores)
{
    tdbg_attention_softmax_backward(cpu_of(context), attention, probs, dprobs, dscores);
}

static void cpu_attention_context(void *context, const struct tdbg_attention *attention,
                                  const float *probs, const float *qkv, float *out, void *workspace)
{
    tdbg_attention_context(cpu_of(context), attention, probs, qkv, out, workspace);
}

static void cpu_attention_context_backward(void *context, const struct tdbg_attention *attention,
                                           const float *probs, const float *qkv,
                                           const float *dcontext, float *dprobs, float *dqkv,
                                           void *workspace)
{
    tdbg_attention_context_backward(cpu_of(context), attention, probs, qkv, dcontext, dprobs, dqkv,
                                    workspace);
}

static void cpu_activation_forward(void *context, enum tdbg_activation kind, int64_t n,
                                   const float *x, float *y)
{
    tdbg_activation_forward(cpu_of(context), kind, n, x, y);
}

static void cpu_activation_backward(void *context, enum tdbg_activation kind, int64_t n,
                                    const float *at, const float *dy, float *dx)
{
    tdbg_activation_backward(cpu_of(context), kind, n, at, dy, dx);
}

static void cpu_softmax_forward(void *context, int64_t rows, int64_t cols, const float *x, float *y)
{
    tdbg_softmax_forward(cpu_of(context), rows, cols, x, y);
}

static void cpu_softmax_backward(void *context, int64_t rows, int64_t cols, const float *y,
                                 const float *dy, float *dx)
{
    tdbg_softmax_backward(cpu_of(context), rows, cols, y, dy, dx);
}

static void cpu_dropout_apply(void *context, const struct tdbg_dropout *dropout, int64_t rows,
                              int64_t elems, const float *x, float *y)
{
    tdbg_dropout_apply(cpu_of(context), dropout, rows, elems, x, y);
}

static void cpu_cross_entropy_forward(void *context, int64_t rows, int64_t classes,
                                      const float *logits, const int32_t *targets,
                                      int32_t ignore_index, float *loss)
{
    tdbg_cross_entropy_forward(cpu_of(context), rows, classes, logits, targets, ignore_index, loss);
}

static void cpu_cross_entropy_backward(void *context, int64_t rows, int64_t classes,
                                       const float *logits, const int32_t *targets,
                                       int32_t ignore_index, float *dlogits)
{
    tdbg_cross_entropy_backward(cpu_of(context), rows, classes, logits, targets, ignore_index,
                                dlogits);
}

static int64_t cpu_count_correct(void *context, int64_t rows, int64_t classes, const float *logits,
                                 const int32_t *targets, int32_t ignore_index)
{
    return tdbg_cross_entropy_count_correct(cpu_of(context), rows, classes, logits, targets,
                                            ignore_index);
}

static void cpu_cross_entropy_weighted_forward(void *context, const struct tdbg_cross_entropy *how,
                                               int64_t rows, int64_t classes, const float *logits,
                                               const int32_t *targets, int32_t ignore_index,
                                               float *loss)
{
    tdbg_cross_entropy_weighted_forward(cpu_of(context), how, rows, classes, logits, targets,
                                        ignore_index, loss);
}

static void cpu_cross_entropy_weighted_backward(void *context, const struct tdbg_cross_entropy *how,
                                                int64_t rows, int64_t classes, const float *logits,
                                                const int32_t *targets, int32_t ignore_index,
                                                float *dlogits)
{
    tdbg_cross_entropy_weighted_backward(cpu_of(context), how, rows, classes, logits, targets,
                                         ignore_index, dlogits);
}

static void cpu_target_weights(void *context, int64_t n, const int32_t *targets,
                               int32_t ignore_index, const float *weights, float *weight)
{
    tdbg_cross_entropy_target_weights(cpu_of(context), n, targets, ignore_index, weights, weight);
}

static void cpu_pointwise_loss_forward(void *context, enum tdbg_pointwise_loss kind, float beta,
                                       int64_t rows, int64_t cols, const float *x,
                                       const float *target, float *loss)
{
    tdbg_pointwise_loss_forward(cpu_of(context), kind, beta, rows, cols, x, target, loss);
}

static void cpu_pointwise_loss_backward(void *context, enum tdbg_pointwise_loss kind, float beta,
                                        int64_t n, const float *x, const float *target, float *dx)
{
    tdbg_pointwise_loss_backward(cpu_of(context), kind, beta, n, x, target, dx);
}

static int64_t cpu_pointwise_count_correct(void *context, int64_t n, const float *x,
                                           const float *target)
{
    return tdbg_pointwise_loss_count_correct(cpu_of(context), n, x, target);
}

static void cpu_sum_rows(void *context, int64_t rows, int64_t cols, const float *x, float *out)
{
    tdbg_pointwise_loss_sum_rows(cpu_of(context), rows, cols, x, out);
}

static void cpu_clip_square_sum(void *context, int64_t n, const float *x, float *out,
                                float *scratch)
{
    *out = tdbg_clip_square_sum(cpu_of(context), n, x, scratch);
}

static void cpu_clip_norm(void *context, int64_t n, const float *squares, float limit, float *out)
{
    (void)context;
    tdbg_clip_norm(n, squares, limit, out);
}

static void cpu_clip_scale(void *context, int64_t n, const float *factor, float *x)
{
    tdbg_clip_scale(cpu_of(context), n, factor, x);
}

static void cpu_clip_value(void *context, int64_t n, float limit, float *x)
{
    tdbg_clip_value(cpu_of(context), n, limit, x);
}

static void cpu_row_norm_forward(void *context, const struct tdbg_row_norm *norm, const float *x,
                                 const float *weight, const float *bias, float *y, float *stats)
{
    tdbg_row_norm_forward(cpu_of(context), norm, x, weight, bias, y, stats);
}

static void cpu_row_norm_backward(void *context, const struct tdbg_row_norm *norm, const float *x,
                                  const float *weight, const float *stats, const float *dy,
                                  float *dx, float *dweight, float *dbias, void *workspace)
{
    tdbg_row_norm_backward(cpu_of(context), norm, x, weight, stats, dy, dx, dweight, dbias,
                           workspace);
}

static void cpu_batch_norm_forward(void *context, const struct tdbg_batch_norm *norm,
                                   const float *x, const float *weight, const float *bias,
                                   float momentum, float *running_mean, float *running_var,
                                   float *y, float *stats, void *workspace)
{
    tdbg_batch_norm_forward(cpu_of(context), norm, x, weight, bias, momentum, running_mean,
                            running_var, y, stats, workspace);
}

static void cpu_batch_norm_evaluate(void *context, const struct tdbg_batch_norm *norm,
                                    const float *x, const float *weight, const float *bias,
                                    const float *running_mean, const float *running_var, float *y,
                                    float *stats)
{
    tdbg_batch_norm_evaluate(cpu_of(context), norm, x, weight, bias, running_mean, running_var, y,
                             stats);
}

static void cpu_batch_norm_backward(void *context, const struct tdbg_batch_norm *norm,
                                    const float *x, const float *weight, const float *stats,
                                    const float *dy, float *dx, float *dweight, float *dbias,
                                    void *workspace)
{
    tdbg_batch_norm_backward(cpu_of(context), norm, x, weight, stats, dy, dx, dweight, dbias,
                             workspace);
}

static void cpu_batch_norm_blocks(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                  float *parts)
{
    tdbg_batch_norm_blocks(cpu_of(context), norm, x, parts);
}

static void cpu_batch_norm_sum(void *context, const struct tdbg_batch_norm *norm,
                               const float *parts, float *sum)
{
    tdbg_batch_norm_sum(cpu_of(context), norm, parts, sum);
}

static void cpu_batch_norm_spread(void *context, const struct tdbg_batch_norm *norm,
                                  const float *parts, const float *sum, int64_t count,
                                  float *spread)
{
    tdbg_batch_norm_spread(cpu_of(context), norm, parts, sum, count, spread);
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
    tdbg_batch_norm_apply(cpu_of(context), norm, x, stats, weight, bias, y);
}

static void cpu_batch_norm_sums(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                const float *stats, const float *dy, float *parts, float *sums)
{
    tdbg_batch_norm_sums(cpu_of(context), norm, x, stats, dy, parts, sums);
}

static void cpu_batch_norm_dx(void *context, const struct tdbg_batch_norm *norm, const float *x,
                              const float *stats, const float *weight, const float *dy,
                              const float *sums, int64_t count, float *dx)
{
    tdbg_batch_norm_dx(cpu_of(context), norm, x, stats, weight, dy, sums, count, dx);
}

static void cpu_vector_add(void *context, int64_t n, float *dst, const float *src)
{
    tdbg_vector_add(cpu_of(context), n, dst, src);
}

static void cpu_vector_sum(void *context, int64_t n, const float *x, const float *x2, float *y)
{
    tdbg_vector_sum(cpu_of(context), n, x, x2, y);
}

static void cpu_transpose(void *context, int64_t n, int64_t rows, int64_t cols, const float *x,
                          float *y)
{
    tdbg_vector_transpose(cpu_of(context), n, rows, cols, x, y);
}

static void cpu_vector_divide(void *context, int64_t n, const float *src, float divisor, float *dst)
{
    tdbg_vector_divide(cpu_of(context), n, src, divisor, dst);
}

static void cpu_bf16_round(void *context, int64_t n, const float *x, float *y)
{
    tdbg_bf16_round(cpu_of(context), n, x, y);
}

static void cpu_bf16_pack(void *context, int64_t n, const float *x, uint16_t *y)
{
    tdbg_bf16_pack(cpu_of(context), n, x, y);
}

static void cpu_bf16_unpack(void *context, int64_t n, const uint16_t *x, float *y)
{
    tdbg_bf16_unpack(cpu_of(context), n, x, y);
}

static void cpu_u8_to_f32(void *context, int64_t n, const uint8_t *x, float *y)
{
    tdbg_transform_u8_to_f32(cpu_of(context), n, x, y);
}

static void cpu_scale(void *context, int64_t n, const float *x, float by, float *y)
{
    tdbg_transform_scale(cpu_of(context), n, x, by, y);
}

static void cpu_normalize(void *context, int64_t outer, int64_t channels, int64_t inner,
                          const float *x, const float *mean, const float *std, float *y)
{
    tdbg_transform_normalize(cpu_of(context), outer, channels, inner, x, mean, std, y);
}

static void cpu_resize(void *context, const struct tdbg_resize *resize, const float *x, float *y)
{
    tdbg_transform_resize(cpu_of(context), resize, x, y);
}

static void cpu_channels(void *context, const struct tdbg_channels *channels, const float *x,
                         float *y)
{
    tdbg_transform_channels(cpu_of(context), channels, x, y);
}

static void cpu_crop(void *context, const struct tdbg_crop *crop, const float *x, float *y)
{
    tdbg_transform_crop(cpu_of(context), crop, x, y);
}

static void cpu_flip(void *context, const struct tdbg_flip *flip, const float *x, float *y)
{
    tdbg_transform_flip(cpu_of(context), flip, x, y);
}

static void cpu_sgd(void *context, int64_t n, const struct tdbg_sgd *sgd, const float *grad,
                    float *param, float *momentum_buffer)
{
    tdbg_sgd_step(cpu_of(context), n, sgd, grad, param, momentum_buffer);
}

static void cpu_adam(void *context, int64_t n, const struct tdbg_adam *adam, const float *grad,
                     float *param, float *exp_avg, float *exp_avg_sq)
{
    tdbg_adam_step(cpu_of(context), n, adam, grad, param, exp_avg, exp_avg_sq);
}

static void cpu_adadelta(void *context, int64_t n, const struct tdbg_adadelta *adadelta,
                         const float *grad, float *param, float *square_avg, float *acc_delta)
{
    tdbg_adadelta_step(cpu_of(context), n, adadelta, grad, param, square_avg, acc_delta);
}

static void cpu_adagrad(void *context, int64_t n, const struct tdbg_adagrad *adagrad,
                        const float *grad, float *param, float *sum)
{
    tdbg_adagrad_step(cpu_of(context), n, adagrad, grad, param, sum);
}

static void cpu_rmsprop(void *context, int64_t n, const struct tdbg_rmsprop *rmsprop,
                        const float *grad, float *param, const struct tdbg_rmsprop_state *state)
{
    tdbg_rmsprop_step(cpu_of(context), n, rmsprop, grad, param, state);
}

static void cpu_lion(void *context, int64_t n, const struct tdbg_lion *lion, const float *grad,
                     float *param, float *exp_avg)
{
    tdbg_lion_step(cpu_of(context), n, lion, grad, param, exp_avg);
}

static void cpu_adamw(void *context, int64_t n, const struct tdbg_adamw *adamw, const float *grad,
                      float *param, float *exp_avg, float *exp_avg_sq)
{
    tdbg_adamw_step(cpu_of(context), n, adamw, grad, param, exp_avg, exp_avg_sq);
}

static const struct tdbg_backend cpu_table = {
    .name = "cpu",
    .alloc = cpu_alloc,
    .free = cpu_free,
    .to_host = cpu_transfer,
    .to_queue = cpu_to_queue,
    .to_device = cpu_transfer,
    .copy = cpu_copy,
    .fill_zero = cpu_fill_zero,
    .digest = cpu_digest,
    .gemm_workspace_bytes = cpu_gemm_workspace_bytes,
    .gemm = cpu_gemm,
    .reduce_rows = cpu_reduce_rows,
    .reduce_sum = cpu_reduce_sum,
    .relu_forward = cpu_relu_forward,
    .relu_backward = cpu_relu_backward,
    .conv2d_workspace_bytes = cpu_conv2d_workspace_bytes,
    .conv2d_forward = cpu_conv2d_forward,
    .conv2d_backward_input = cpu_conv2d_backward_input,
    .conv2d_backward_weight = cpu_conv2d_backward_weight,
    .conv2d_backward_bias = cpu_conv2d_backward_bias,
    .max_pool2d_forward = cpu_max_pool2d_forward,
    .max_pool2d_backward = cpu_max_pool2d_backward,
    .avg_pool2d_forward = cpu_avg_pool2d_forward,
    .avg_pool2d_backward = cpu_avg_pool2d_backward,
    .global_avg_pool_forward = cpu_global_avg_pool_forward,
    .global_avg_pool_backward = cpu_global_avg_pool_backward,
    .position_add = cpu_position_add,
    .position_rotate = cpu_position_rotate,
    .embedding_workspace_bytes = cpu_embedding_workspace_bytes,
    .embedding_forward = cpu_embedding_forward,
    .embedding_backward = cpu_embedding_backward,
    .attention_workspace_bytes = cpu_attention_workspace_bytes,
    .attention_scores = cpu_attention_scores,
    .attention_scores_backward = cpu_attention_scores_backward,
    .attention_softmax_forward = cpu_attention_softmax_forward,
    .attention_softmax_backward = cpu_attention_softmax_backward,
    .attention_context = cpu_attention_context,
    .attention_context_backward = cpu_attention_context_backward,
    .activation_forward = cpu_activation_forward,
    .activation_backward = cpu_activation_backward,
    .softmax_forward = cpu_softmax_forward,
    .softmax_backward = cpu_softmax_backward,
    .dropout_apply = cpu_dropout_apply,
    .cross_entropy_forward = cpu_cross_entropy_forward,
    .cross_entropy_backward = cpu_cross_entropy_backward,
    .count_correct = cpu_count_correct,
    .cross_entropy_weighted_forward = cpu_cross_entropy_weighted_forward,
    .cross_entropy_weighted_backward = cpu_cross_entropy_weighted_backward,
    .target_weights = cpu_target_weights,
    .pointwise_loss_forward = cpu_pointwise_loss_forward,
    .pointwise_loss_backward = cpu_pointwise_loss_backward,
    .pointwise_count_correct = cpu_pointwise_count_correct,
    .sum_rows = cpu_sum_rows,
    .clip_square_sum = cpu_clip_square_sum,
    .clip_norm = cpu_clip_norm,
    .clip_scale = cpu_clip_scale,
    .clip_value = cpu_clip_value,
    .row_norm_forward = cpu_row_norm_forward,
    .row_norm_backward = cpu_row_norm_backward,
    .batch_norm_forward = cpu_batch_norm_forward,
    .batch_norm_evaluate = cpu_batch_norm_evaluate,
    .batch_norm_backward = cpu_batch_norm_backward,
    .batch_norm_blocks = cpu_batch_norm_blocks,
    .batch_norm_sum = cpu_batch_norm_sum,
    .batch_norm_spread = cpu_batch_norm_spread,
    .batch_norm_finish = cpu_batch_norm_finish,
    .batch_norm_track = cpu_batch_norm_track,
    .batch_norm_apply = cpu_batch_norm_apply,
    .batch_norm_sums = cpu_batch_norm_sums,
    .batch_norm_dx = cpu_batch_norm_dx,
    .vector_add = cpu_vector_add,
    .vector_sum = cpu_vector_sum,
    .transpose = cpu_transpose,
    .bf16_round = cpu_bf16_round,
    .bf16_pack = cpu_bf16_pack,
    .bf16_unpack = cpu_bf16_unpack,
    .vector_divide = cpu_vector_divide,
    .u8_to_f32 = cpu_u8_to_f32,
    .scale = cpu_scale,
    .normalize = cpu_normalize,
    .resize = cpu_resize,
    .channels = cpu_channels,
    .crop = cpu_crop,
    .flip = cpu_flip,
    .sgd = cpu_sgd,
    .adam = cpu_adam,
    .adadelta = cpu_adadelta,
    .adagrad = cpu_adagrad,
    .rmsprop = cpu_rmsprop,
    .lion = cpu_lion,
    .adamw = cpu_adamw,
};

enum tdbg_status tdbg_backend_cpu_create(const char *isa, int threads, struct tdbg_backend **out,
                                         struct tdbg_err *err)
{
    struct tdbg_cpu cpu;
    enum tdbg_status st = tdbg_cpu_init(&cpu, isa, threads, err);
    if (st != TDBG_OK)
        return st;
    struct cpu_backend *b = calloc(1, sizeof *b);
    if (!b)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the CPU backend");
    b->cpu = cpu;
    b->table = cpu_table;
    b->table.context = b;
    b->table.isa = tdbg_isa_text(cpu.isa);
    b->table.threads = cpu.threads;
    *out = &b->table;
    return TDBG_OK;
}

void tdbg_backend_cpu_destroy(struct tdbg_backend *backend)
{
    free(backend);
}
