/* engine.math = "fast" on a GPU: products go to cuBLAS, and where activations are bf16 they are in
 * memory, too, with attention in one; all else stays as it is. See kernels/blas.h and
 * kernels/bf16_entries.h.
 */
#include <stdlib.h>

#include "engine/backend.h"
#include "kernels/attention_fused.h"
#include "kernels/bf16_entries.h"
#include "kernels/blas.h"
#include "kernels/fast.h"
#include "kernels/gpu.h"

static bool fused_takes(void *context, const struct tdbg_attention *attention)
{
    const struct tdbg_gpu *gpu = context;
    return tdbg_cuda_attention_fused_takes(attention) &&
           tdbg_cuda_attention_fused_shared_bytes(attention) <= gpu->shared_bytes;
}

static size_t fused_workspace_bytes(void *context, const struct tdbg_attention *attention)
{
    (void)context;
    return tdbg_cuda_attention_fused_workspace_bytes(attention);
}

static void fused_forward(void *context, const struct tdbg_attention *attention, const float *qkv,
                          float *out, float *lse)
{
    tdbg_cuda_attention_fused_forward(context, attention, (const uint16_t *)(const void *)qkv,
                                      (uint16_t *)(void *)out, lse);
}

static void fused_backward(void *context, const struct tdbg_attention *attention, const float *qkv,
                           const float *out, const float *lse, const float *dout, float *dqkv,
                           void *workspace)
{
    tdbg_cuda_attention_fused_backward(context, attention, (const uint16_t *)(const void *)qkv,
                                       (const uint16_t *)(const void *)out, lse,
                                       (const uint16_t *)(const void *)dout,
                                       (uint16_t *)(void *)dqkv, workspace);
}

static void set_bf16_kernels(struct tdbg_backend *table)
{
#define SET(entry) table->entry = tdbg_cuda_bf16_##entry
    SET(attention_softmax_backward);
    SET(attention_softmax_forward);
    SET(count_correct);
    SET(cross_entropy_backward);
    SET(cross_entropy_forward);
    SET(cross_entropy_weighted_backward);
    SET(cross_entropy_weighted_forward);
    SET(dropout_apply);
    SET(embedding_backward);
    SET(embedding_forward);
    SET(position_add);
    SET(position_add_fixed);
    SET(position_rotate);
    SET(relu_backward);
    SET(relu_forward);
    SET(row_norm_forward);
    SET(scale);
    SET(vector_add);
    SET(vector_sum);
#undef SET
    table->activation_backward = tdbg_cuda_fast_activation_backward;
    table->activation_forward = tdbg_cuda_fast_activation_forward;
    table->reduce_rows = tdbg_cuda_fast_reduce_rows;
    table->row_norm_backward = tdbg_cuda_fast_row_norm_backward;
    table->fast_copy_rows = tdbg_cuda_fast_copy_rows;
    table->fast_count_correct = tdbg_cuda_fast_count_correct;
    table->fast_cross_entropy_backward = tdbg_cuda_fast_cross_entropy_backward;
    table->fast_cross_entropy_forward = tdbg_cuda_fast_cross_entropy_forward;
    table->gemm = tdbg_blas_bf16_gemm;
    table->attention_scores = tdbg_blas_bf16_attention_scores;
    table->attention_scores_backward = tdbg_blas_bf16_attention_scores_backward;
    table->attention_context = tdbg_blas_bf16_attention_context;
    table->attention_context_backward = tdbg_blas_bf16_attention_context_backward;
    table->attention_fused_takes = fused_takes;
    table->attention_fused_workspace_bytes = fused_workspace_bytes;
    table->attention_fused_forward = fused_forward;
    table->attention_fused_backward = fused_backward;
}

/* Products in TF32. */
static void set_f32_products(struct tdbg_backend *table)
{
    table->gemm_workspace_bytes = tdbg_blas_gemm_workspace_bytes;
    table->gemm = tdbg_blas_gemm;
    table->attention_workspace_bytes = tdbg_blas_attention_workspace_bytes;
    table->attention_scores = tdbg_blas_attention_scores;
    table->attention_scores_backward = tdbg_blas_attention_scores_backward;
    table->attention_context = tdbg_blas_attention_context;
    table->attention_context_backward = tdbg_blas_attention_context_backward;
}

enum { BF16_CAPABILITY = 80 }; /* code before that knows no tensor cores for bf16 */

enum tdbg_status tdbg_backend_cuda_make_fast(struct tdbg_backend *table, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (table->on_host)
        return TDBG_RAISE(err, DEVICE,
                          "engine.math = \"fast\" needs a GPU, and this run computes on the CPU\n"
                          "hint: engine.math = \"strict\" runs everywhere");
    struct tdbg_gpu *gpu = table->context;
    TDBG_TRY(tdbg_blas_open(gpu, err));
    table->blas_version = tdbg_blas_version(gpu->blas);
    set_f32_products(table);
    if (gpu->code < BF16_CAPABILITY)
        goto out;
    struct tdbg_backend *bf16 = malloc(sizeof *bf16);
    TDBG_FAIL_IF(!bf16, NO_MEMORY, "no memory for the CUDA backend");
    *bf16 = *table;
    set_bf16_kernels(bf16);
    table->bf16 = bf16;
out:
    return st;
}
