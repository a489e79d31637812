/* cuBLASLt on emulated GPUs. See cublasLt.h and product.h. An algorithm is good for the product
 * that it was asked for, for pointers aligned as was said then (256 bytes where nothing was said),
 * and with as much workspace: what uses it otherwise ends the program. */
#include "cublasLt.h"

#include <string.h>

#include "device_memory.h"
#include "libraries.h"
#include "product.h"

namespace
{

enum { MOST_ALIGNMENT = 256, WORKSPACE_BYTES = 4096 };
const char who[] = "cuBLASLt";
typedef std::lock_guard<std::recursive_mutex> guard;

} // namespace

struct cublasLtContext {
    int device;
};

struct tdbg_emulated_lt_desc {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    cublasOperation_t trans_a, trans_b;
    cublasLtEpilogue_t epilogue;
    const void *bias;
    cudaDataType_t bias_type;
    bool has_bias_type;
};

struct tdbg_emulated_lt_layout {
    cudaDataType_t type;
    int64_t rows, cols, ld;
};

struct tdbg_emulated_lt_preference {
    uint64_t workspace_bytes;
    uint32_t alignment[4]; /* of A, B, C, D */
};

/* What is behind cublasLtMatmulAlgo_t: the product that it is for. */
struct algorithm {
    uint64_t product, workspace_bytes;
    uint32_t alignment[4];
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm is that large");

static uint64_t absorb(uint64_t hash, uint64_t x)
{
    return (hash ^ x) * 0x100000001b3u + (hash >> 29);
}

static uint64_t absorb_layout(uint64_t hash, cublasLtMatrixLayout_t x)
{
    for (int64_t part : {(int64_t)x->type, x->rows, x->cols, x->ld})
        hash = absorb(hash, (uint64_t)part);
    return hash;
}

static uint64_t hash_product(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                             cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                             cublasLtMatrixLayout_t d)
{
    uint64_t hash = absorb(desc->trans_a, desc->trans_b);
    hash = absorb(hash, desc->epilogue);
    for (cublasLtMatrixLayout_t x : {a, b, c, d})
        hash = absorb_layout(hash, x);
    return hash;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new cublasLtContext{tdbg_emulated_device()};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *desc = new tdbg_emulated_lt_desc{};
    (*desc)->compute = compute;
    (*desc)->scale = scale;
    (*desc)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t set(T *to, const void *value, size_t bytes)
{
    if (bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&desc->trans_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&desc->trans_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        desc->has_bias_type = true;
        return set(&desc->bias_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    *layout = new tdbg_emulated_lt_layout{type, (int64_t)rows, (int64_t)cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new tdbg_emulated_lt_preference{};
    for (uint32_t &alignment : (*preference)->alignment)
        alignment = MOST_ALIGNMENT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&preference->workspace_bytes, value, bytes);
    const int i = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (i < 0 || i >= 4)
        return CUBLAS_STATUS_INVALID_VALUE;
    return set(&preference->alignment[i], value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    algorithm made = {};
    *found = 0;
    if (!handle || wanted < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    made.product = hash_product(desc, a, b, c, d);
    made.workspace_bytes =
        preference->workspace_bytes < WORKSPACE_BYTES ? 0 : (uint64_t)WORKSPACE_BYTES;
    memcpy(made.alignment, preference->alignment, sizeof made.alignment);
    memset(results, 0, sizeof *results);
    memcpy(&results->algo, &made, sizeof made);
    results->workspaceSize = made.workspace_bytes;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static void check_algorithm(const cublasLtMatmulAlgo_t *algorithm_, uint64_t product,
                            const void *const *pointers, const void *workspace, size_t bytes)
{
    algorithm made;
    memcpy(&made, algorithm_, sizeof made);
    if (made.product != product)
        tdbg_emulated_refuse_product(who, "an algorithm that was asked for another product");
    if (bytes < made.workspace_bytes ||
        (made.workspace_bytes > 0 && !tdbg_emulated_is_block(workspace, bytes)))
        tdbg_emulated_refuse_product(who, "less workspace than its algorithm needs");
    for (int i = 0; i < 4; i++) {
        if (made.alignment[i] == 0 || (size_t)pointers[i] % made.alignment[i] != 0)
            tdbg_emulated_refuse_product(who, "a matrix is less aligned than its algorithm "
                                              "was told");
    }
}

static tdbg_emulated_matrix matrix_of(const void *data, cublasLtMatrixLayout_t x)
{
    return {data, x->type, x->rows, x->cols, x->ld, 0};
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    const void *const pointers[] = {a, b, c, d};
    if (!handle || handle->device != tdbg_emulated_device())
        tdbg_emulated_refuse_product(who, "no handle, or one of another device");
    check_algorithm(algorithm, hash_product(desc, a_layout, b_layout, c_layout, d_layout), pointers,
                    workspace, workspace_bytes);
    if (c != d || absorb_layout(0, c_layout) != absorb_layout(0, d_layout))
        tdbg_emulated_refuse_product(who, "C and D are not the same matrix");
    const bool has_bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS;
    if (has_bias && (!desc->bias || !desc->has_bias_type || desc->bias_type != CUDA_R_16BF))
        tdbg_emulated_refuse_product(who, "a bias without its place, or not of bf16");
    const tdbg_emulated_product p = {
        matrix_of(a, a_layout), matrix_of(b, b_layout), matrix_of(d, d_layout),
        desc->trans_a,          desc->trans_b,          1,
        *(const float *)alpha,  *(const float *)beta,   has_bias ? desc->bias : NULL};
    tdbg_emulated_put_product(p, stream, who);
    return CUBLAS_STATUS_SUCCESS;
}

const struct tdbg_emulated_function tdbg_emulated_cublas_lt[] = {
    TDBG_EMULATED_FUNCTION(cublasLtCreate),
    TDBG_EMULATED_FUNCTION(cublasLtDestroy),
    TDBG_EMULATED_FUNCTION(cublasLtMatmul),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulAlgoGetHeuristic),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulDescCreate),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulDescDestroy),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulDescSetAttribute),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulPreferenceCreate),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulPreferenceDestroy),
    TDBG_EMULATED_FUNCTION(cublasLtMatmulPreferenceSetAttribute),
    TDBG_EMULATED_FUNCTION(cublasLtMatrixLayoutCreate),
    TDBG_EMULATED_FUNCTION(cublasLtMatrixLayoutDestroy),
    {NULL, NULL},
};
