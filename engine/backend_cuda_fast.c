/* engine.math = "fast" on a GPU: products go to cuBLAS, all else stays as it is. See
 * kernels/blas.h.
 */
#include "engine/backend.h"
#include "kernels/blas.h"
#include "kernels/gpu.h"

enum tdbg_status tdbg_backend_cuda_make_fast(struct tdbg_backend *table, struct tdbg_err *err)
{
    if (table->on_host)
        return TDBG_RAISE(err, DEVICE,
                          "engine.math = \"fast\" needs a GPU, and this run computes on the CPU\n"
                          "hint: engine.math = \"strict\" runs everywhere");
    struct tdbg_gpu *gpu = table->context;
    const enum tdbg_status st = tdbg_blas_open(gpu, err);
    if (st != TDBG_OK)
        return st;
    table->blas_version = tdbg_blas_version(gpu->blas);
    table->gemm_workspace_bytes = tdbg_blas_gemm_workspace_bytes;
    table->gemm = tdbg_blas_gemm;
    table->attention_workspace_bytes = tdbg_blas_attention_workspace_bytes;
    table->attention_scores = tdbg_blas_attention_scores;
    table->attention_scores_backward = tdbg_blas_attention_scores_backward;
    table->attention_context = tdbg_blas_attention_context;
    table->attention_context_backward = tdbg_blas_attention_context_backward;
    return TDBG_OK;
}
