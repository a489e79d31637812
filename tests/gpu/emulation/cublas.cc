/* cuBLAS on emulated GPUs. See cublas_v2.h and product.h. */
#include "cublas_v2.h"

#include "device_memory.h"
#include "libraries.h"
#include "product.h"

namespace
{
enum { VERSION = 130000, WORKSPACE_ALIGNMENT = 256 };
const char who[] = "cuBLAS";
} // namespace

struct cublasContext {
    int device;
    cudaStream_t stream;
    bool has_workspace;
};

static void check_handle(cublasHandle_t handle)
{
    if (!handle || handle->device != tdbg_emulated_device())
        tdbg_emulated_refuse_product(who, "no handle, or one of another device");
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = new cublasContext{tdbg_emulated_device(), NULL, false};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

/* A workspace that was set is forgotten, as by the library. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    check_handle(handle);
    handle->stream = stream;
    handle->has_workspace = false;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    const std::lock_guard<std::recursive_mutex> only(tdbg_emulated_lock());
    check_handle(handle);
    if ((size_t)workspace % WORKSPACE_ALIGNMENT != 0 || !tdbg_emulated_is_block(workspace, bytes))
        return CUBLAS_STATUS_INVALID_VALUE;
    handle->has_workspace = true;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t)
{
    check_handle(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version)
{
    check_handle(handle);
    *version = VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa,
                                          cublasOperation_t transb, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType a_type,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType b_type, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType c_type, int ldc,
                                          long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t)
{
    check_handle(handle);
    if (!handle->has_workspace)
        tdbg_emulated_refuse_product(who, "its workspace is its own: bits that hang on it");
    if (m < 0 || n < 0 || k < 0 || batch < 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a_type != CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const bool turns_a = transa == CUBLAS_OP_T, turns_b = transb == CUBLAS_OP_T;
    const tdbg_emulated_product p = {{a, a_type, turns_a ? k : m, turns_a ? m : k, lda, stride_a},
                                     {b, b_type, turns_b ? n : k, turns_b ? k : n, ldb, stride_b},
                                     {c, c_type, m, n, ldc, stride_c},
                                     transa,
                                     transb,
                                     batch,
                                     *(const float *)alpha,
                                     *(const float *)beta,
                                     NULL};
    tdbg_emulated_put_product(p, handle->stream, who);
    return CUBLAS_STATUS_SUCCESS;
}

const struct tdbg_emulated_function tdbg_emulated_cublas[] = {
    TDBG_EMULATED_FUNCTION(cublasCreate_v2),
    TDBG_EMULATED_FUNCTION(cublasDestroy_v2),
    TDBG_EMULATED_FUNCTION(cublasSetStream_v2),
    TDBG_EMULATED_FUNCTION(cublasSetWorkspace_v2),
    TDBG_EMULATED_FUNCTION(cublasSetMathMode),
    TDBG_EMULATED_FUNCTION(cublasGetVersion_v2),
    TDBG_EMULATED_FUNCTION(cublasGemmStridedBatchedEx),
    {NULL, NULL},
};
