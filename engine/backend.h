/* A device as a table of functions over an opaque context: memory, and one entry per op kernel.
 * The CPU's is backend_cpu*.c, a GPU's backend_cuda.c. No other header of the engine knows a
 * device.
 *
 * One thread at a time uses a backend. Another may go on with it; its first call is then one of
 * alloc, to_host, to_queue and to_device. */
#ifndef TDBG_ENGINE_BACKEND_H
#define TDBG_ENGINE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "kernels/activation.h"
#include "kernels/adadelta.h"
#include "kernels/adagrad.h"
#include "kernels/adam.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/batch_norm.h"
#include "kernels/conv2d.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/fast.h"
#include "kernels/gemm.h"
#include "kernels/lion.h"
#include "kernels/pointwise_loss.h"
#include "kernels/pool2d.h"
#include "kernels/position.h"
#include "kernels/ranges.h"
#include "kernels/rmsprop.h"
#include "kernels/row_norm.h"
#include "kernels/sgd.h"
#include "kernels/transform_image.h"

struct tdbg_backend {
    void *context;
    const char *name; /* "cpu", "cuda" */
    const char *isa;  /* instruction set in use, or the GPU's name; for people */
    int threads;
    int blas_version; /* of the library that multiplies, where it is not ours; 0: it is */
    bool on_host;     /* its memory is the host's: every pointer may be read and written */
    /* The same device where ops keep activations, their gradients and the parameters that they read
     * in bf16: what is float in the entries' arguments is 16 bits wide there then, see
     * kernels/bf16_entries.h. Other entries are as in this table. NULL: it has none. */
    const struct tdbg_backend *bf16;

    void (*destroy)(struct tdbg_backend *backend);
    /* Members of a JSON object, for the trace's environment. */
    void (*describe)(void *context, struct tdbg_json *json);
    /* Bytes of the device's memory that nobody has, and all of them; false: not known. */
    bool (*room)(void *context, int64_t *available, int64_t *total);

    /* digest (below) without waiting: the result for data as it is at this place in the order of
     * calls, kept under `slot` (>= 0, no two at a time alike) until digests_take, which waits for
     * it. NULL on devices that are never waited for. */
    enum tdbg_status (*digest_later)(void *context, const void *data, enum tdbg_dtype dtype,
                                     int64_t elems, int32_t slot, struct tdbg_err *err);
    /* digests, stats (n_slots): of slots 0 .. n_slots - 1, those that were asked for. */
    enum tdbg_status (*digests_take)(void *context, int32_t n_slots, uint64_t *digests,
                                     struct tdbg_stats *stats, struct tdbg_err *err);

    /* Tells that copies are going to be made to this memory of the host again and again; it stays
     * where it is until unpin. Both NULL where that makes no difference. */
    void (*pin)(void *context, void *host, size_t bytes);
    void (*unpin)(void *context, void *host);

    /* Tables of the host that kernels were given (those that "stay", below) are about to go. NULL
     * where the device has no copies of them. */
    void (*forget_tables)(void *context);

    /* Attention from qkv to context in one; lse (rows, heads, tokens): see
     * kernels/attention_fused.h. NULL where the device has no such. */
    bool (*attention_fused_takes)(void *context, const struct tdbg_attention *attention);
    size_t (*attention_fused_workspace_bytes)(void *context,
                                              const struct tdbg_attention *attention);
    void (*attention_fused_forward)(void *context, const struct tdbg_attention *attention,
                                    const float *qkv, float *out, float *lse);
    void (*attention_fused_backward)(void *context, const struct tdbg_attention *attention,
                                     const float *qkv, const float *out, const float *lse,
                                     const float *dout, float *dqkv, void *workspace);
    /* Cross-entropy over rows of logits that may be apart, and a copy of such: see kernels/fast.h.
     * NULL where the device has no such. */
    void (*fast_cross_entropy_forward)(void *context, const struct tdbg_logits *logits,
                                       float *loss);
    void (*fast_cross_entropy_backward)(void *context, const struct tdbg_logits *logits,
                                        float *dlogits);
    int64_t (*fast_count_correct)(void *context, const struct tdbg_logits *logits);
    void (*fast_copy_rows)(void *context, int64_t rows, int64_t cols, const float *from,
                           int64_t from_stride, float *to, int64_t to_stride);

    /* Before each step: is it whole, so that no tap changes a tensor in its middle or leaves it?
     * Then what is launched may be held back and repeated together (CUDA graphs). NULL where that
     * makes no difference. */
    void (*begin_step)(void *context, bool is_whole);
    /* Why that is not done although it should, for people; NULL: it is, or is not to be. Itself
     * NULL where there is no such thing. */
    const char *(*why_no_graphs)(void *context);

    /* Memory: 64-byte aligned, zeroed; NULL when there is none. */
    void *(*alloc)(void *context, size_t bytes);
    void (*free)(void *context, void *data);
    enum tdbg_status (*to_host)(void *context, void *host, const void *device, size_t bytes,
                                struct tdbg_err *err);
    /* The same into memory that another thread or process is going to read: *ticket 0: it is there;
     * else it will be, whatever becomes of the tensor, and is when copy number *ticket has been
     * reached. Numbers grow by one; queue_reached waits for that of `wait_for` (0: for none). */
    enum tdbg_status (*to_queue)(void *context, void *host, const void *device, size_t bytes,
                                 uint64_t *ticket, struct tdbg_err *err);
    enum tdbg_status (*queue_reached)(void *context, uint64_t wait_for, uint64_t *reached,
                                      struct tdbg_err *err);
    /* What is pinned stays as it is until the next to_host. */
    enum tdbg_status (*to_device)(void *context, void *device, const void *host, size_t bytes,
                                  struct tdbg_err *err);
    void (*copy)(void *context, void *to, const void *from, size_t bytes); /* both on the device */
    void (*fill_zero)(void *context, void *data, size_t bytes);

    enum tdbg_status (*digest)(void *context, const void *data, enum tdbg_dtype dtype,
                               int64_t elems, uint64_t *digest, struct tdbg_stats *stats,
                               struct tdbg_err *err);

    /* Kernels: arguments and numerics as in the headers of kernels/. */
    size_t (*gemm_workspace_bytes)(void *context, const struct tdbg_gemm *gemm);
    void (*gemm)(void *context, const struct tdbg_gemm *gemm, void *workspace);
    void (*reduce_rows)(void *context, int64_t rows, int64_t cols, const float *x, float *out);
    void (*reduce_sum)(void *context, int64_t n, const float *x, float *out, float *scratch);
    void (*relu_forward)(void *context, int64_t n, const float *x, float *y);
    void (*relu_backward)(void *context, int64_t n, const float *y, const float *dy, float *dx);
    size_t (*conv2d_workspace_bytes)(void *context, const struct tdbg_conv2d *conv);
    void (*conv2d_forward)(void *context, const struct tdbg_conv2d *conv, const float *x,
                           const float *weight, const float *bias, float *y, void *workspace);
    void (*conv2d_backward_input)(void *context, const struct tdbg_conv2d *conv, const float *dy,
                                  const float *weight, float *dx, void *workspace);
    void (*conv2d_backward_weight)(void *context, const struct tdbg_conv2d *conv, const float *x,
                                   const float *dy, float *dweight, void *workspace);
    void (*conv2d_backward_bias)(void *context, const struct tdbg_conv2d *conv, const float *dy,
                                 float *dbias);
    void (*max_pool2d_forward)(void *context, const struct tdbg_pool2d *pool, const float *x,
                               float *y, int32_t *index);
    void (*max_pool2d_backward)(void *context, const struct tdbg_pool2d *pool, const int32_t *index,
                                const float *dy, float *dx);
    void (*avg_pool2d_forward)(void *context, const struct tdbg_pool2d *pool, const float *x,
                               float *y);
    void (*avg_pool2d_backward)(void *context, const struct tdbg_pool2d *pool, const float *dy,
                                float *dx);
    void (*global_avg_pool_forward)(void *context, int64_t planes, int64_t elems, const float *x,
                                    float *y);
    void (*global_avg_pool_backward)(void *context, int64_t planes, int64_t elems, const float *dy,
                                     float *dx);
    /* The table is a parameter, or with _fixed, as rotary->cos and sin, the host's; those stay. */
    void (*position_add)(void *context, int64_t rows, int64_t n, const float *x, const float *table,
                         float *y);
    void (*position_add_fixed)(void *context, int64_t rows, int64_t n, const float *x,
                               const float *table, float *y);
    void (*position_rotate)(void *context, const struct tdbg_rotary *rotary, bool inverse,
                            const float *x, float *y);
    size_t (*embedding_workspace_bytes)(void *context, const struct tdbg_embedding *embedding);
    void (*embedding_forward)(void *context, const struct tdbg_embedding *embedding,
                              const float *table, float *y);
    void (*embedding_backward)(void *context, const struct tdbg_embedding *embedding,
                               const float *dy, float *dtable, void *workspace);
    size_t (*attention_workspace_bytes)(void *context, const struct tdbg_attention *attention);
    void (*attention_scores)(void *context, const struct tdbg_attention *attention,
                             const float *qkv, float *scores, void *workspace);
    void (*attention_scores_backward)(void *context, const struct tdbg_attention *attention,
                                      const float *qkv, const float *dscores, float *dqkv,
                                      void *workspace);
    void (*attention_softmax_forward)(void *context, const struct tdbg_attention *attention,
                                      const float *scores, float *probs);
    void (*attention_softmax_backward)(void *context, const struct tdbg_attention *attention,
                                       const float *probs, const float *dprobs, float *dscores);
    void (*attention_context)(void *context, const struct tdbg_attention *attention,
                              const float *probs, const float *qkv, float *out, void *workspace);
    void (*attention_context_backward)(void *context, const struct tdbg_attention *attention,
                                       const float *probs, const float *qkv, const float *dcontext,
                                       float *dprobs, float *dqkv, void *workspace);
    void (*activation_forward)(void *context, enum tdbg_activation kind, int64_t n, const float *x,
                               float *y);
    void (*activation_backward)(void *context, enum tdbg_activation kind, int64_t n,
                                const float *at, const float *dy, float *dx);
    void (*softmax_forward)(void *context, int64_t rows, int64_t cols, const float *x, float *y);
    void (*softmax_backward)(void *context, int64_t rows, int64_t cols, const float *y,
                             const float *dy, float *dx);
    void (*dropout_apply)(void *context, const struct tdbg_dropout *dropout, int64_t rows,
                          int64_t elems, const float *x, float *y);
    void (*cross_entropy_forward)(void *context, int64_t rows, int64_t classes, const float *logits,
                                  const int32_t *targets, int32_t ignore_index, float *loss);
    void (*cross_entropy_backward)(void *context, int64_t rows, int64_t classes,
                                   const float *logits, const int32_t *targets,
                                   int32_t ignore_index, float *dlogits);
    int64_t (*count_correct)(void *context, int64_t rows, int64_t classes, const float *logits,
                             const int32_t *targets, int32_t ignore_index);
    void (*cross_entropy_weighted_forward)(void *context, const struct tdbg_cross_entropy *how,
                                           int64_t rows, int64_t classes, const float *logits,
                                           const int32_t *targets, int32_t ignore_index,
                                           float *loss);
    void (*cross_entropy_weighted_backward)(void *context, const struct tdbg_cross_entropy *how,
                                            int64_t rows, int64_t classes, const float *logits,
                                            const int32_t *targets, int32_t ignore_index,
                                            float *dlogits);
    void (*target_weights)(void *context, int64_t n, const int32_t *targets, int32_t ignore_index,
                           const float *weights, float *weight);
    void (*pointwise_loss_forward)(void *context, enum tdbg_pointwise_loss kind, float beta,
                                   int64_t rows, int64_t cols, const float *x, const float *target,
                                   float *loss);
    void (*pointwise_loss_backward)(void *context, enum tdbg_pointwise_loss kind, float beta,
                                    int64_t n, const float *x, const float *target, float *dx);
    int64_t (*pointwise_count_correct)(void *context, int64_t n, const float *x,
                                       const float *target);
    void (*sum_rows)(void *context, int64_t rows, int64_t cols, const float *x, float *out);
    /* Clipping and the optimizers' steps (below): `ranges` says which elements of the flat buffers
     * take part; its table stays. Square sums: out (ranges->n), scratch
     * (tdbg_clip_scratch_elems()). */
    void (*clip_square_sum)(void *context, const struct tdbg_ranges *ranges, const float *x,
                            float *out, float *scratch);
    void (*clip_norm)(void *context, int64_t n, const float *squares, float limit, float *out);
    void (*clip_scale)(void *context, const struct tdbg_ranges *ranges, const float *factor,
                       float *x);
    void (*clip_value)(void *context, const struct tdbg_ranges *ranges, float limit, float *x);
    void (*row_norm_forward)(void *context, const struct tdbg_row_norm *norm, const float *x,
                             const float *weight, const float *bias, float *y, float *stats);
    void (*row_norm_backward)(void *context, const struct tdbg_row_norm *norm, const float *x,
                              const float *weight, const float *stats, const float *dy, float *dx,
                              float *dweight, float *dbias, void *workspace);
    void (*batch_norm_forward)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                               const float *weight, const float *bias, float momentum,
                               float *running_mean, float *running_var, float *y, float *stats,
                               void *workspace);
    void (*batch_norm_evaluate)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                const float *weight, const float *bias, const float *running_mean,
                                const float *running_var, float *y, float *stats);
    void (*batch_norm_backward)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                                const float *weight, const float *stats, const float *dy, float *dx,
                                float *dweight, float *dbias, void *workspace);
    /* The stages of a batch norm, for sums over lanes between them. */
    void (*batch_norm_blocks)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                              float *parts);
    void (*batch_norm_sum)(void *context, const struct tdbg_batch_norm *norm, const float *parts,
                           float *sum);
    void (*batch_norm_spread)(void *context, const struct tdbg_batch_norm *norm, const float *parts,
                              const float *sum, int64_t count, float *spread);
    void (*batch_norm_finish)(void *context, const struct tdbg_batch_norm *norm, const float *sum,
                              const float *spread, int64_t count, float *stats);
    void (*batch_norm_track)(void *context, const struct tdbg_batch_norm *norm, const float *stats,
                             const float *spread, int64_t count, float momentum,
                             float *running_mean, float *running_var);
    void (*batch_norm_apply)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                             const float *stats, const float *weight, const float *bias, float *y);
    void (*batch_norm_sums)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                            const float *stats, const float *dy, float *parts, float *sums);
    void (*batch_norm_dx)(void *context, const struct tdbg_batch_norm *norm, const float *x,
                          const float *stats, const float *weight, const float *dy,
                          const float *sums, int64_t count, float *dx);
    void (*vector_add)(void *context, int64_t n, float *dst, const float *src);
    void (*vector_sum)(void *context, int64_t n, const float *x, const float *x2, float *y);
    void (*transpose)(void *context, int64_t n, int64_t rows, int64_t cols, const float *x,
                      float *y);
    void (*vector_divide)(void *context, int64_t n, const float *src, float divisor, float *dst);
    void (*bf16_round)(void *context, int64_t n, const float *x, float *y);
    void (*bf16_pack)(void *context, int64_t n, const float *x, uint16_t *y);
    void (*bf16_unpack)(void *context, int64_t n, const uint16_t *x, float *y);
    void (*u8_to_f32)(void *context, int64_t n, const uint8_t *x, float *y);
    void (*scale)(void *context, int64_t n, const float *x, float by, float *y);
    void (*normalize)(void *context, int64_t outer, int64_t channels, int64_t inner, const float *x,
                      const float *mean, const float *std, float *y);
    void (*resize)(void *context, const struct tdbg_resize *resize, const float *x, float *y);
    void (*channels)(void *context, const struct tdbg_channels *channels, const float *x, float *y);
    void (*crop)(void *context, const struct tdbg_crop *crop, const float *x, float *y);
    void (*flip)(void *context, const struct tdbg_flip *flip, const float *x, float *y);
    void (*sgd)(void *context, const struct tdbg_ranges *ranges, const struct tdbg_sgd *sgd,
                const float *grad, float *param, float *momentum_buffer);
    void (*adam)(void *context, const struct tdbg_ranges *ranges, const struct tdbg_adam *adam,
                 const float *grad, float *param, float *exp_avg, float *exp_avg_sq);
    void (*adadelta)(void *context, const struct tdbg_ranges *ranges,
                     const struct tdbg_adadelta *adadelta, const float *grad, float *param,
                     float *square_avg, float *acc_delta);
    void (*adagrad)(void *context, const struct tdbg_ranges *ranges,
                    const struct tdbg_adagrad *adagrad, const float *grad, float *param,
                    float *sum);
    void (*rmsprop)(void *context, const struct tdbg_ranges *ranges,
                    const struct tdbg_rmsprop *rmsprop, const float *grad, float *param,
                    const struct tdbg_rmsprop_state *state);
    void (*lion)(void *context, const struct tdbg_ranges *ranges, const struct tdbg_lion *lion,
                 const float *grad, float *param, float *exp_avg);
    void (*adamw)(void *context, const struct tdbg_ranges *ranges, const struct tdbg_adamw *adamw,
                  const float *grad, float *param, float *exp_avg, float *exp_avg_sq);
};

/* How a run computes; changes no bit but where it says so. */
struct tdbg_backend_choice {
    const char *device; /* "cpu"; "cuda"; "auto": cuda where there is a GPU that works */
    const char *isa;    /* of the CPU: "auto" or a name of kernels/cpu.h */
    int threads;        /* of the CPU; 0: all */
    int32_t number;     /* of the rank on its machine: ranks share GPUs evenly */
    bool fast;          /* engine.math = "fast": this one does change bits, and needs a GPU */
};

/* Opens the device of a choice. passed_over (may be NULL): why "auto" left out a GPU that seems to
 * be there, else untouched. TDBG_DEVICE where "cuda" is not to be had, TDBG_USAGE for another name.
 * Processes are started before this. Destroy with tdbg_backend_destroy(). */
enum tdbg_status tdbg_backend_open(const struct tdbg_backend_choice *choice,
                                   struct tdbg_backend **out, struct tdbg_err *passed_over,
                                   struct tdbg_err *err);
void tdbg_backend_destroy(struct tdbg_backend *backend); /* NULL is fine */

/* NVIDIA GPUs that this build can ask for; 0 where there is none or no driver. TDBG_DEVICE where
 * the driver does not work. */
enum tdbg_status tdbg_backend_cuda_count(int *n, struct tdbg_err *err);

/* The backend of NVIDIA GPU number `device`; the same bits. TDBG_DEVICE where this build, or this
 * machine, has none. */
enum tdbg_status tdbg_backend_cuda_create(int device, struct tdbg_backend **out,
                                          struct tdbg_err *err);
/* Another backend of the same GPU, whose calls are in an order of their own. */
enum tdbg_status tdbg_backend_cuda_same_gpu(const struct tdbg_backend *backend,
                                            struct tdbg_backend **out, struct tdbg_err *err);
void tdbg_backend_cuda_destroy(struct tdbg_backend *backend); /* NULL is fine */

/* engine.math = "fast": products by cuBLAS in TF32, whose bits nothing else repeats. TDBG_DEVICE
 * where there is no such library. */
enum tdbg_status tdbg_backend_cuda_make_fast(struct tdbg_backend *table, struct tdbg_err *err);

/* The CPU backend: isa "auto" or a name of kernels/cpu.h, threads 0 = all. Destroy with
 * tdbg_backend_cpu_destroy(). */
enum tdbg_status tdbg_backend_cpu_create(const char *isa, int threads, struct tdbg_backend **out,
                                         struct tdbg_err *err);
void tdbg_backend_cpu_destroy(struct tdbg_backend *backend); /* NULL is fine */

#endif
