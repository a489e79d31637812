/* cuBLAS, loaded at run time. See blas.h.
 *
 * cuBLAS is column-major: a row-major (m, n) matrix is to it the (n, m) one, so that C = A B is
 * asked for as C^T = B^T A^T, with the operands in the other order. */
#include "kernels/blas.h"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gpu.h"

/* X(function): what is called. */
#define FUNCTIONS(X)                                                                               \
    X(cublasCreate_v2)                                                                             \
    X(cublasDestroy_v2)                                                                            \
    X(cublasSetStream_v2)                                                                          \
    X(cublasSetWorkspace_v2)                                                                       \
    X(cublasSetMathMode)                                                                           \
    X(cublasGetVersion_v2)                                                                         \
    X(cublasGemmStridedBatchedEx)

struct tdbg_blas {
    void *library;
    cublasHandle_t handle;
    void *workspace; /* fixed: which algorithm the library takes depends on it */
    int version;
#define MEMBER(function) __typeof__(&(function)) function;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

enum { WORKSPACE_BYTES = 32 << 20 }; /* what NVIDIA advises for Hopper */

static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};

static enum tdbg_status load(struct tdbg_blas *blas, struct tdbg_err *err)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !blas->library; i++)
        blas->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!blas->library)
        return TDBG_RAISE(err, DEVICE,
                          "engine.math = \"fast\" needs cuBLAS: %s\n"
                          "hint: install CUDA's libraries, or take engine.math = \"strict\"",
                          dlerror());
#define LOAD(function)                                                                             \
    do {                                                                                           \
        void *symbol = dlsym(blas->library, #function);                                            \
        if (!symbol)                                                                               \
            return TDBG_RAISE(err, DEVICE, "cuBLAS has no " #function);                            \
        memcpy(&blas->function, &symbol, sizeof symbol);                                           \
    } while (0);
    FUNCTIONS(LOAD)
#undef LOAD
    return TDBG_OK;
}

static enum tdbg_status set_up(struct tdbg_blas *blas, struct tdbg_gpu *gpu, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(load(blas, err));
    TDBG_FAIL_IF(blas->cublasCreate_v2(&blas->handle) != CUBLAS_STATUS_SUCCESS, DEVICE,
                 "cuBLAS does not work with this GPU (%s)", gpu->name);
    TDBG_FAIL_IF(cudaMalloc(&blas->workspace, WORKSPACE_BYTES) != cudaSuccess, NO_MEMORY,
                 "no memory for cuBLAS: %d MiB on the GPU", WORKSPACE_BYTES >> 20);
    TDBG_FAIL_IF(blas->cublasSetStream_v2(blas->handle, gpu->stream) != CUBLAS_STATUS_SUCCESS ||
                     blas->cublasSetWorkspace_v2(blas->handle, blas->workspace, WORKSPACE_BYTES) !=
                         CUBLAS_STATUS_SUCCESS ||
                     blas->cublasSetMathMode(blas->handle, CUBLAS_TF32_TENSOR_OP_MATH) !=
                         CUBLAS_STATUS_SUCCESS ||
                     blas->cublasGetVersion_v2(blas->handle, &blas->version) !=
                         CUBLAS_STATUS_SUCCESS,
                 DEVICE, "cuBLAS does not take its settings");
out:
    return st;
}

static void close_blas(struct tdbg_blas *blas)
{
    if (blas->handle)
        blas->cublasDestroy_v2(blas->handle);
    if (blas->workspace)
        cudaFree(blas->workspace);
    /* The library stays loaded: it does not like to be taken away from a driver that knows it. */
    free(blas);
}

enum tdbg_status tdbg_blas_open(struct tdbg_gpu *gpu, struct tdbg_err *err)
{
    struct tdbg_blas *blas = calloc(1, sizeof *blas);
    if (!blas)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for cuBLAS");
    const enum tdbg_status st = set_up(blas, gpu, err);
    if (st != TDBG_OK) {
        close_blas(blas);
        return st;
    }
    gpu->blas = blas;
    gpu->close_blas = close_blas;
    return TDBG_OK;
}

int tdbg_blas_version(const struct tdbg_blas *blas)
{
    return blas->version;
}

/* c = alpha op(a) op(b) + beta c, `batch` times at strides of elements; row-major. */
struct product {
    int64_t m, n, k, batch;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
    bool trans_a, trans_b;
    float alpha, beta;
};

static void run_product(struct tdbg_gpu *gpu, const struct product *p)
{
    const struct tdbg_blas *blas = gpu->blas;
    if (p->m == 0 || p->n == 0 || p->batch == 0)
        return;
    tdbg_gpu_before_work(gpu);
    const cublasStatus_t status = blas->cublasGemmStridedBatchedEx(
        blas->handle, p->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
        p->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->n, (int)p->m, (int)p->k, &p->alpha, p->b,
        CUDA_R_32F, (int)p->ldb, p->stride_b, p->a, CUDA_R_32F, (int)p->lda, p->stride_a, &p->beta,
        p->c, CUDA_R_32F, (int)p->ldc, p->stride_c, (int)p->batch, CUBLAS_COMPUTE_32F_FAST_TF32,
        CUBLAS_GEMM_DEFAULT);
    if (status != CUBLAS_STATUS_SUCCESS)
        tdbg_gpu_note(gpu, cudaErrorUnknown, "a product of cuBLAS");
}

size_t tdbg_blas_gemm_workspace_bytes(void *gpu, const struct tdbg_gemm *gemm)
{
    (void)gpu;
    (void)gemm;
    return 0;
}

void tdbg_blas_gemm(void *gpu, const struct tdbg_gemm *g, void *workspace)
{
    (void)workspace;
    const struct product p = {.m = g->m,
                              .n = g->n,
                              .k = g->k,
                              .batch = 1,
                              .a = g->a,
                              .b = g->b,
                              .c = g->c,
                              .lda = g->lda,
                              .ldb = g->ldb,
                              .ldc = g->ldc,
                              .trans_a = g->trans_a,
                              .trans_b = g->trans_b,
                              .alpha = 1};
    run_product(gpu, &p);
    if (g->bias)
        tdbg_cuda_add_bias(gpu, g->m, g->n, g->ldc, g->bias, g->c);
}

size_t tdbg_blas_attention_workspace_bytes(void *gpu, const struct tdbg_attention *attention)
{
    (void)gpu;
    (void)attention;
    return 0;
}

/* Heads of a packed tensor: of query, key or value head `head`, the first sample's first token; and
 * its strides. */
struct heads {
    const float *x;
    int64_t token, sample;
};

static struct heads of_qkv(const struct tdbg_attention *a, const float *qkv, int64_t head)
{
    const int64_t token = (a->heads + 2 * a->kv_heads) * a->dim;
    return (struct heads){qkv + head * a->dim, token, token * a->tokens};
}

static struct heads of_context(const struct tdbg_attention *a, const float *context, int64_t head)
{
    return (struct heads){context + head * a->dim, a->heads * a->dim,
                          a->heads * a->dim * a->tokens};
}

/* w (rows, heads, tokens, tokens) of a head: left . right * alpha. */
static void weigh(struct tdbg_gpu *gpu, const struct tdbg_attention *a, int64_t head,
                  struct heads left, struct heads right, float alpha, float *w)
{
    const int64_t square = a->tokens * a->tokens;
    const struct product p = {.m = a->tokens,
                              .n = a->tokens,
                              .k = a->dim,
                              .batch = a->rows,
                              .a = left.x,
                              .lda = left.token,
                              .stride_a = left.sample,
                              .b = right.x,
                              .ldb = right.token,
                              .stride_b = right.sample,
                              .trans_b = true,
                              .c = w + head * square,
                              .ldc = a->tokens,
                              .stride_c = a->heads * square,
                              .alpha = alpha};
    run_product(gpu, &p);
}

/* out = alpha w x (+ out), or w^T x if transposed; w of a head. */
static void mix(struct tdbg_gpu *gpu, const struct tdbg_attention *a, int64_t head, const float *w,
                bool transposed, struct heads x, float alpha, bool add, struct heads out)
{
    const int64_t square = a->tokens * a->tokens;
    const struct product p = {.m = a->tokens,
                              .n = a->dim,
                              .k = a->tokens,
                              .batch = a->rows,
                              .a = w + head * square,
                              .lda = a->tokens,
                              .stride_a = a->heads * square,
                              .trans_a = transposed,
                              .b = x.x,
                              .ldb = x.token,
                              .stride_b = x.sample,
                              .c = (float *)(uintptr_t)out.x,
                              .ldc = out.token,
                              .stride_c = out.sample,
                              .alpha = alpha,
                              .beta = add ? 1 : 0};
    run_product(gpu, &p);
}

static int64_t kv_of(const struct tdbg_attention *a, int64_t head)
{
    return head / (a->heads / a->kv_heads);
}

void tdbg_blas_attention_scores(void *gpu, const struct tdbg_attention *a, const float *qkv,
                                float *scores, void *workspace)
{
    (void)workspace;
    for (int64_t h = 0; h < a->heads; h++)
        weigh(gpu, a, h, of_qkv(a, qkv, h), of_qkv(a, qkv, a->heads + kv_of(a, h)), a->scale,
              scores);
    if (a->causal)
        tdbg_cuda_mask_causal(gpu, a->rows * a->heads, a->tokens, scores);
}

/* dqkv as a whole, before parts of it are written. */
static void clear(struct tdbg_gpu *gpu, const struct tdbg_attention *a, float *dqkv)
{
    const size_t bytes =
        (size_t)(a->rows * a->tokens * (a->heads + 2 * a->kv_heads) * a->dim) * sizeof(float);
    tdbg_gpu_clear(gpu, dqkv, bytes);
}

void tdbg_blas_attention_scores_backward(void *gpu, const struct tdbg_attention *a,
                                         const float *qkv, const float *dscores, float *dqkv,
                                         void *workspace)
{
    (void)workspace;
    clear(gpu, a, dqkv);
    for (int64_t h = 0; h < a->heads; h++) {
        const int64_t key = a->heads + kv_of(a, h);
        mix(gpu, a, h, dscores, false, of_qkv(a, qkv, key), a->scale, false, of_qkv(a, dqkv, h));
        mix(gpu, a, h, dscores, true, of_qkv(a, qkv, h), a->scale, true, of_qkv(a, dqkv, key));
    }
}

void tdbg_blas_attention_context(void *gpu, const struct tdbg_attention *a, const float *probs,
                                 const float *qkv, float *context, void *workspace)
{
    (void)workspace;
    for (int64_t h = 0; h < a->heads; h++)
        mix(gpu, a, h, probs, false, of_qkv(a, qkv, a->heads + a->kv_heads + kv_of(a, h)), 1, false,
            of_context(a, context, h));
}

void tdbg_blas_attention_context_backward(void *gpu, const struct tdbg_attention *a,
                                          const float *probs, const float *qkv,
                                          const float *dcontext, float *dprobs, float *dqkv,
                                          void *workspace)
{
    (void)workspace;
    if (dqkv)
        clear(gpu, a, dqkv);
    for (int64_t h = 0; h < a->heads; h++) {
        const int64_t value = a->heads + a->kv_heads + kv_of(a, h);
        if (dprobs)
            weigh(gpu, a, h, of_context(a, dcontext, h), of_qkv(a, qkv, value), 1, dprobs);
        if (dqkv)
            mix(gpu, a, h, probs, true, of_context(a, dcontext, h), 1, true,
                of_qkv(a, dqkv, value));
    }
    if (dprobs && a->causal)
        tdbg_cuda_mask_causal(gpu, a->rows * a->heads, a->tokens, dprobs);
}
