/* The inner kernels that are compiled once per instruction set, and the table that holds them.
 *
 * Every *_cpu.c is compiled once per set, with the compiler flags of that set and with one of
 *     -DTDBG_ISA_PORTABLE=TDBG_ISA_PORTABLE
 *     -DTDBG_ISA_AVX2=TDBG_ISA_AVX2
 *     -DTDBG_ISA_AVX512=TDBG_ISA_AVX512
 * (defined as itself, because cpu.h has enumerators of these names); TDBG_KERNEL gives each copy
 * its own names. Inner kernels run in one thread on the range that they are given. The public
 * functions (relu.h and so on) stand at the end of the same files, in the portable copy only: they
 * call through cpu->table and split the work with parallel.h. To add a kernel: one row below. */
#ifndef TDBG_KERNELS_ISA_TABLE_H
#define TDBG_KERNELS_ISA_TABLE_H

#include <stdint.h>

#include "base/digest_block.h"
#include "base/site.h"
#include "kernels/adadelta.h"
#include "kernels/adagrad.h"
#include "kernels/adam.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/batch_norm.h"
#include "kernels/conv2d_isa.h"
#include "kernels/cpu.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/lion.h"
#include "kernels/pool2d.h"
#include "kernels/position.h"
#include "kernels/rmsprop.h"
#include "kernels/row_norm.h"
#include "kernels/sgd.h"
#include "kernels/transform_image.h"

/* X(result, name, arguments) */
#define TDBG_KERNEL_LIST(X)                                                                        \
    X(void, relu_forward, (int64_t n, const float *x, float *y))                                   \
    X(void, relu_backward, (int64_t n, const float *y, const float *dy, float *dx))                \
    X(void, gelu_erf_forward, (int64_t n, const float *x, float *y))                               \
    X(void, gelu_erf_backward, (int64_t n, const float *x, const float *dy, float *dx))            \
    X(void, gelu_tanh_forward, (int64_t n, const float *x, float *y))                              \
    X(void, gelu_tanh_backward, (int64_t n, const float *x, const float *dy, float *dx))           \
    X(void, silu_forward, (int64_t n, const float *x, float *y))                                   \
    X(void, silu_backward, (int64_t n, const float *x, const float *dy, float *dx))                \
    X(void, tanh_forward, (int64_t n, const float *x, float *y))                                   \
    X(void, tanh_backward, (int64_t n, const float *y, const float *dy, float *dx))                \
    X(void, sigmoid_forward, (int64_t n, const float *x, float *y))                                \
    X(void, sigmoid_backward, (int64_t n, const float *y, const float *dy, float *dx))             \
    X(void, softmax_forward, (int64_t rows, int64_t cols, const float *x, float *y))               \
    X(void, softmax_backward,                                                                      \
      (int64_t rows, int64_t cols, const float *y, const float *dy, float *dx))                    \
    /* chunks lo..hi-1 of TDBG_DROPOUT_CHUNK elements, ceil(elems / chunk) in a row */             \
    X(void, dropout_apply,                                                                         \
      (const struct tdbg_dropout *dropout, int64_t elems, int64_t lo, int64_t hi, const float *x,  \
       float *y))                                                                                  \
    X(void, vector_add, (int64_t n, float *dst, const float *src))                                 \
    X(void, vector_sum, (int64_t n, const float *x, const float *x2, float *y))                    \
    X(void, vector_transpose,                                                                      \
      (int64_t rows, int64_t cols, int64_t lo, int64_t hi, const float *x, float *y))              \
    X(void, vector_divide, (int64_t n, const float *src, float divisor, float *dst))               \
    X(void, bf16_round, (int64_t n, const float *x, float *y))                                     \
    X(void, bf16_pack, (int64_t n, const float *x, uint16_t *y))                                   \
    X(void, bf16_unpack, (int64_t n, const uint16_t *x, float *y))                                 \
    X(void, transform_u8_to_f32, (int64_t n, const uint8_t *x, float *y))                          \
    X(void, transform_scale, (int64_t n, const float *x, float by, float *y))                      \
    /* elements lo..hi-1 of the flat (outer, channels, inner) tensor */                            \
    X(void, transform_normalize,                                                                   \
      (int64_t lo, int64_t hi, int64_t channels, int64_t inner, const float *x, const float *mean, \
       const float *std, float *y))                                                                \
    /* rows lo..hi-1 of the output; of channels planes */                                          \
    X(void, transform_resize,                                                                      \
      (int64_t lo, int64_t hi, const struct tdbg_resize *resize, const float *x, float *y))        \
    X(void, transform_channels,                                                                    \
      (int64_t lo, int64_t hi, const struct tdbg_channels *channels, const float *x, float *y))    \
    X(void, transform_crop,                                                                        \
      (int64_t lo, int64_t hi, const struct tdbg_crop *crop, const float *x, float *y))            \
    X(void, transform_flip,                                                                        \
      (int64_t lo, int64_t hi, const struct tdbg_flip *flip, const float *x, float *y))            \
    /* out[b] = sum of block b of x (n) for b in lo..hi-1 */                                       \
    X(void, reduce_blocks, (int64_t n, int64_t lo, int64_t hi, const float *x, float *out))        \
    /* columns lo..hi-1 */                                                                         \
    X(void, reduce_rows,                                                                           \
      (int64_t rows, int64_t cols, int64_t lo, int64_t hi, const float *x, float *out))            \
    /* positions lo..hi-1; columns col..end-1 of the tokens first..last-1 */                       \
    X(void, embedding_gather,                                                                      \
      (const struct tdbg_embedding *e, int64_t lo, int64_t hi, const float *table, float *y))      \
    X(void, embedding_sum,                                                                         \
      (const struct tdbg_embedding *e, int64_t col, int64_t end, int64_t first, int64_t last,      \
       const int32_t *start, const int32_t *order, const float *dy, float *dtable))                \
    X(void, position_add, (int64_t n, const float *x, const float *table, float *y))               \
    X(void, position_rotate,                                                                       \
      (const struct tdbg_rotary *rotary, int64_t lo, int64_t hi, float sign, const float *x,       \
       float *y))                                                                                  \
    X(void, attention_finish,                                                                      \
      (int64_t rows, int64_t keep, int64_t cols, int64_t width, float scale, int64_t ld,           \
       float *c))                                                                                  \
    X(void, attention_softmax,                                                                     \
      (const struct tdbg_attention *a, int64_t lo, int64_t hi, const float *scores, float *probs)) \
    X(void, attention_softmax_back,                                                                \
      (const struct tdbg_attention *a, int64_t lo, int64_t hi, const float *probs,                 \
       const float *dprobs, float *dscores))                                                       \
    X(void, cross_entropy_forward,                                                                 \
      (int64_t rows, int64_t classes, const float *logits, const int32_t *targets,                 \
       int32_t ignore_index, float *loss))                                                         \
    X(void, cross_entropy_backward,                                                                \
      (int64_t rows, int64_t classes, const float *logits, const int32_t *targets,                 \
       int32_t ignore_index, float *dlogits))                                                      \
    X(void, conv_gather, (const struct tdbg_conv_gather *gather))                                  \
    X(void, conv_copy, (const struct tdbg_conv_copy *copy))                                        \
    X(void, conv_interleave, (const struct tdbg_conv_interleave *interleave))                      \
    X(void, conv_direct, (const struct tdbg_conv_direct *direct))                                  \
    X(void, conv_lanes, (const struct tdbg_conv_lanes *lanes))                                     \
    /* out[c] = sum over x[:][c][:], x (samples, planes, elems), for c in lo..hi-1 */              \
    X(void, conv_sum_planes,                                                                       \
      (int64_t samples, int64_t planes, int64_t elems, int64_t lo, int64_t hi, const float *x,     \
       float *out))                                                                                \
    /* planes lo..hi-1 */                                                                          \
    X(void, max_pool2d_forward,                                                                    \
      (const struct tdbg_pool2d *pool, int64_t lo, int64_t hi, const float *x, float *y,           \
       int32_t *index))                                                                            \
    X(void, max_pool2d_backward,                                                                   \
      (const struct tdbg_pool2d *pool, int64_t lo, int64_t hi, const int32_t *index,               \
       const float *dy, float *dx))                                                                \
    X(void, avg_pool2d_forward,                                                                    \
      (const struct tdbg_pool2d *pool, int64_t lo, int64_t hi, const float *x, float *y))          \
    X(void, avg_pool2d_backward,                                                                   \
      (const struct tdbg_pool2d *pool, int64_t lo, int64_t hi, const float *dy, float *dx))        \
    X(void, global_avg_pool_forward,                                                               \
      (int64_t elems, int64_t lo, int64_t hi, const float *x, float *y))                           \
    X(void, global_avg_pool_backward,                                                              \
      (int64_t elems, int64_t lo, int64_t hi, const float *dy, float *dx))                         \
    X(void, cross_entropy_weighted_forward,                                                        \
      (const struct tdbg_cross_entropy *how, int64_t rows, int64_t classes, const float *logits,   \
       const int32_t *targets, int32_t ignore_index, float *loss))                                 \
    X(void, cross_entropy_weighted_backward,                                                       \
      (const struct tdbg_cross_entropy *how, int64_t rows, int64_t classes, const float *logits,   \
       const int32_t *targets, int32_t ignore_index, float *dlogits))                              \
    X(void, pointwise_loss_forward,                                                                \
      (int kind, float beta, int64_t rows, int64_t cols, const float *x, const float *target,      \
       float *loss))                                                                               \
    X(void, pointwise_loss_backward,                                                               \
      (int kind, float beta, int64_t n, const float *x, const float *target, float *dx))           \
    X(void, pointwise_loss_sum_rows, (int64_t rows, int64_t cols, const float *x, float *out))     \
    X(void, clip_square_blocks, (int64_t n, int64_t lo, int64_t hi, const float *x, float *out))   \
    X(void, clip_scale, (int64_t n, float factor, float *x))                                       \
    X(void, clip_value, (int64_t n, float limit, float *x))                                        \
    X(void, adam_step,                                                                             \
      (int64_t n, const struct tdbg_adam *adam, const float *grad, float *param, float *exp_avg,   \
       float *exp_avg_sq))                                                                         \
    X(void, adadelta_step,                                                                         \
      (int64_t n, const struct tdbg_adadelta *adadelta, const float *grad, float *param,           \
       float *square_avg, float *acc_delta))                                                       \
    X(void, adagrad_step,                                                                          \
      (int64_t n, const struct tdbg_adagrad *adagrad, const float *grad, float *param,             \
       float *sum))                                                                                \
    X(void, rmsprop_step,                                                                          \
      (int64_t n, const struct tdbg_rmsprop *rmsprop, const float *grad, float *param,             \
       float *square_avg, float *buffer, float *grad_avg))                                         \
    X(void, lion_step,                                                                             \
      (int64_t n, const struct tdbg_lion *lion, const float *grad, float *param, float *exp_avg))  \
    /* units or, without sums, strips lo..hi-1 of batch_norm_blocks.h */                           \
    X(void, batch_norm_blocks,                                                                     \
      (const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi, const float *x, float *parts))  \
    X(void, batch_norm_apply,                                                                      \
      (const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi, const float *x,                 \
       const float *stats, const float *weight, const float *bias, float *y))                      \
    X(void, batch_norm_sums,                                                                       \
      (const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi, const float *x,                 \
       const float *stats, const float *dy, float *parts))                                         \
    X(void, batch_norm_dx,                                                                         \
      (const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi, const float *x,                 \
       const float *stats, const float *weight, const float *dy, const float *sums, int64_t count, \
       float *dx))                                                                                 \
    /* rows lo..hi-1 */                                                                            \
    X(void, row_norm_forward,                                                                      \
      (const struct tdbg_row_norm *norm, int64_t lo, int64_t hi, const float *x,                   \
       const float *weight, const float *bias, float *y, float *stats))                            \
    /* rows lo..hi-1, whose terms are added to sum_h and sum_dy (width), both or neither NULL */   \
    X(void, row_norm_backward,                                                                     \
      (const struct tdbg_row_norm *norm, int64_t lo, int64_t hi, const float *x,                   \
       const float *weight, const float *stats, const float *dy, float *dx, float *sum_h,          \
       float *sum_dy))                                                                             \
    /* the same sums alone: columns lo..hi-1 of rows first..end-1 */                               \
    X(void, row_norm_columns,                                                                      \
      (const struct tdbg_row_norm *norm, int64_t first, int64_t end, int64_t lo, int64_t hi,       \
       const float *x, const float *stats, const float *dy, float *sum_h, float *sum_dy))          \
    X(void, sgd_step,                                                                              \
      (int64_t n, const struct tdbg_sgd *sgd, const float *grad, float *param, float *buffer))     \
    X(void, adamw_step,                                                                            \
      (int64_t n, const struct tdbg_adamw *adamw, const float *grad, float *param, float *exp_avg, \
       float *exp_avg_sq))                                                                         \
    /* base/digest_block.h */                                                                      \
    X(void, digest_block,                                                                          \
      (const void *data, enum tdbg_dtype dtype, int64_t first, int64_t n, int want,                \
       struct tdbg_digest_part *out))                                                              \
    /* the strict functions over arrays; y may be x */                                             \
    X(void, math_exp, (int64_t n, const float *x, float *y))                                       \
    X(void, math_log, (int64_t n, const float *x, float *y))                                       \
    X(void, math_log1p, (int64_t n, const float *x, float *y))                                     \
    X(void, math_softplus, (int64_t n, const float *x, float *y))                                  \
    X(void, math_erf, (int64_t n, const float *x, float *y))                                       \
    X(void, math_sin, (int64_t n, const float *x, float *y))                                       \
    X(void, math_cos, (int64_t n, const float *x, float *y))

struct tdbg_isa_table {
#define TDBG_KERNEL_SLOT(result, name, arguments) result(*name) arguments;
    TDBG_KERNEL_LIST(TDBG_KERNEL_SLOT)
#undef TDBG_KERNEL_SLOT
};

#if defined(TDBG_ISA_AVX512)
#define TDBG_KERNEL(name) name##_avx512
#elif defined(TDBG_ISA_AVX2)
#define TDBG_KERNEL(name) name##_avx2
#elif defined(TDBG_ISA_PORTABLE)
#define TDBG_KERNEL(name) name##_portable
#endif

#ifdef TDBG_KERNEL
#define TDBG_KERNEL_PROTOTYPE(result, name, arguments) result TDBG_KERNEL(tdbg_##name) arguments;
TDBG_KERNEL_LIST(TDBG_KERNEL_PROTOTYPE)
#undef TDBG_KERNEL_PROTOTYPE
#endif

/* Only the portable one exists where the processor is not x86-64. */
extern const struct tdbg_isa_table tdbg_isa_table_portable;
extern const struct tdbg_isa_table tdbg_isa_table_avx2;
extern const struct tdbg_isa_table tdbg_isa_table_avx512;

#endif
