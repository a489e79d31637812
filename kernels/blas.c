/* cuBLAS, loaded at run time. See blas.h.
 *
 * cuBLAS is column-major: a row-major (m, n) matrix is to it the (n, m) one, so that C = A B is
 * asked for as C^T = B^T A^T, with the operands in the other order. */
#include "kernels/blas.h"

#include <cublas_v2.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bf16_entries.h"
#include "kernels/blas_lt.h"
#include "kernels/gpu.h"
#include "kernels/gpu_library.h"

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
    cublasHandle_t handle;
    struct tdbg_blas_lt *lt;
    void *workspace; /* fixed: which algorithm the library takes depends on it */
    int version;
#define MEMBER(function) __typeof__(&(function)) function;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

enum { WORKSPACE_BYTES = 32 << 20 }; /* what NVIDIA advises for Hopper */

static const char *const files[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL};

static const struct tdbg_gpu_library cublas = {.files = files,
                                               .name = "cuBLAS",
                                               .wanted_by = "engine.math = \"fast\"",
                                               .otherwise = "engine.math = \"strict\""};

static enum tdbg_status load(struct tdbg_blas *blas, struct tdbg_err *err)
{
    void *library;
    const enum tdbg_status st = tdbg_gpu_library_load(&cublas, &library, err);
    if (st != TDBG_OK)
        return st;
#define LOAD(function) TDBG_GPU_LIBRARY_FIND(blas, &cublas, library, function);
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
    TDBG_FAIL_IF(
        blas->cublasSetStream_v2(blas->handle, tdbg_gpu_stream(gpu)) != CUBLAS_STATUS_SUCCESS ||
            blas->cublasSetWorkspace_v2(blas->handle, blas->workspace, WORKSPACE_BYTES) !=
                CUBLAS_STATUS_SUCCESS ||
            blas->cublasSetMathMode(blas->handle, CUBLAS_TF32_TENSOR_OP_MATH) !=
                CUBLAS_STATUS_SUCCESS ||
            blas->cublasGetVersion_v2(blas->handle, &blas->version) != CUBLAS_STATUS_SUCCESS,
        DEVICE, "cuBLAS does not take its settings");
    TDBG_TRY(tdbg_blas_lt_open(gpu, blas->workspace, WORKSPACE_BYTES, &blas->lt, err));
out:
    return st;
}

static void close_blas(struct tdbg_blas *blas)
{
    tdbg_blas_lt_close(blas->lt);
    if (blas->handle)
        blas->cublasDestroy_v2(blas->handle);
    if (blas->workspace)
        cudaFree(blas->workspace); /* nothing is held back: it is closed behind that */
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

/* c = alpha op(a) op(b) + beta c, `batch` times at strides of elements; row-major. All are f32, but
 * a, b and c bf16 where it is said so. No padding: it is the key of a call. */
struct product {
    int64_t m, n, k, batch;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
    int32_t from_bf16, to_bf16, trans_a, trans_b; /* bool */
    float alpha, beta;
};
_Static_assert(sizeof(struct product) == 13 * 8 + 6 * 4, "no padding");

static bool run_now(struct tdbg_gpu *gpu, const void *key, cudaStream_t stream)
{
    const struct tdbg_blas *blas = gpu->blas; /* its stream is the GPU's only one */
    struct product p;
    (void)stream;
    memcpy(&p, key, sizeof p);
    const cudaDataType_t from = p.from_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const cudaDataType_t to = p.to_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    return blas->cublasGemmStridedBatchedEx(
               blas->handle, p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
               p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p.n, (int)p.m, (int)p.k, &p.alpha, p.b,
               from, (int)p.ldb, p.stride_b, p.a, from, (int)p.lda, p.stride_a, &p.beta, p.c, to,
               (int)p.ldc, p.stride_c, (int)p.batch,
               p.from_bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32,
               CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
}

static void run_product(struct tdbg_gpu *gpu, const struct product *p)
{
    const struct tdbg_gpu_call call = {run_now, "a product of cuBLAS", p, sizeof *p};
    if (p->m > 0 && p->n > 0 && p->batch > 0)
        tdbg_gpu_call(gpu, &call);
}

size_t tdbg_blas_gemm_workspace_bytes(void *gpu, const struct tdbg_gemm *gemm)
{
    (void)gpu;
    (void)gemm;
    return 0;
}

static struct product product_of(const struct tdbg_gemm *g)
{
    return (struct product){.m = g->m,
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
}

void tdbg_blas_gemm(void *gpu, const struct tdbg_gemm *g, void *workspace)
{
    (void)workspace;
    const struct product p = product_of(g);
    run_product(gpu, &p);
    if (g->bias)
        tdbg_cuda_add_bias(gpu, g->m, g->n, g->ldc, g->bias, g->c);
}

enum { MULTIPLE = 8 }; /* elements of bf16 in 16 bytes */

/* Where rows of bf16 values begin at multiples of 16 bytes but are no multiple of that long, the
 * library takes kernels that read element by element, several times as slow. So rows are made as
 * long: those of C or A into the gaps between them, with rows of +0 at the end of B, of which
 * `rows` are there and row-major (rows, cols) with stride cols. */
static bool lengthen(struct tdbg_gpu *gpu, struct product *p, int64_t rows, int64_t cols,
                     int64_t *extent, int64_t stride)
{
    const int64_t longer = (rows + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    const size_t bytes = (size_t)(rows * cols) * sizeof(uint16_t);
    const size_t more = (size_t)((longer - rows) * cols) * sizeof(uint16_t);
    if (more == 0 || stride < longer || p->ldb != cols)
        return true;
    char *b = tdbg_gpu_scratch(gpu, bytes + more);
    if (!b)
        return false;
    tdbg_gpu_copy(gpu, b, p->b, bytes);
    tdbg_gpu_clear(gpu, b + bytes, more);
    p->b = b;
    *extent = longer;
    return true;
}

/* The same for a gradient, whose rows are A's columns: with more of them, which are +0, beside it.
 */
static bool run_longer_gradient(struct tdbg_gpu *gpu, struct product *p)
{
    const int64_t m = p->m, longer = (m + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    void *c = p->c;
    if (longer == m || p->lda < longer || p->ldc != p->n)
        return false;
    p->c = tdbg_gpu_scratch(gpu, (size_t)(longer * p->n) * sizeof(float));
    p->m = longer;
    if (!p->c)
        return true;
    run_product(gpu, p);
    tdbg_gpu_copy(gpu, c, p->c, (size_t)(m * p->n) * sizeof(float));
    return true;
}

void tdbg_blas_bf16_gemm(void *gpu, const struct tdbg_gemm *g, void *workspace)
{
    const struct tdbg_blas *blas = ((struct tdbg_gpu *)gpu)->blas;
    (void)workspace;
    struct product p = product_of(g);
    if (g->writes_gaps && g->trans_b && !lengthen(gpu, &p, g->n, g->k, &p.n, g->ldc))
        return;
    if (g->reads_gaps && !g->trans_a && !g->trans_b && !lengthen(gpu, &p, g->k, g->n, &p.k, g->lda))
        return;
    p.from_bf16 = true;
    p.to_bf16 = !g->is_gradient;
    if (g->reads_gaps && g->trans_a && g->is_gradient && run_longer_gradient(gpu, &p))
        return;
    if (g->bias && g->m > 0 && g->n > 0)
        tdbg_blas_lt_gemm(blas->lt, gpu, g);
    else
        run_product(gpu, &p);
}

/* Attention with the elements of its tensors: f32, or bf16 in memory. */
struct heads_of {
    const struct tdbg_attention *attention;
    bool bf16;
};

static const void *at(struct heads_of h, const void *x, int64_t elems)
{
    return (const char *)x + elems * (int64_t)(h.bf16 ? sizeof(uint16_t) : sizeof(float));
}

/* Heads of a packed tensor: of query, key or value head `head`, the first sample's first token; and
 * its strides. */
struct heads {
    const void *x;
    int64_t token, sample;
};

static struct heads of_qkv(struct heads_of h, const void *qkv, int64_t head)
{
    const struct tdbg_attention *a = h.attention;
    const int64_t token = (a->heads + 2 * a->kv_heads) * a->dim;
    return (struct heads){at(h, qkv, head * a->dim), token, token * a->tokens};
}

static struct heads of_context(struct heads_of h, const void *context, int64_t head)
{
    const struct tdbg_attention *a = h.attention;
    return (struct heads){at(h, context, head * a->dim), a->heads * a->dim,
                          a->heads * a->dim * a->tokens};
}

/* w (rows, heads, tokens, tokens) of a head: left . right * alpha. */
static void weigh(struct tdbg_gpu *gpu, struct heads_of h, int64_t head, struct heads left,
                  struct heads right, float alpha, void *w)
{
    const struct tdbg_attention *a = h.attention;
    const int64_t square = a->tokens * a->tokens;
    const struct product p = {.m = a->tokens,
                              .n = a->tokens,
                              .k = a->dim,
                              .batch = a->rows,
                              .from_bf16 = h.bf16,
                              .to_bf16 = h.bf16,
                              .a = left.x,
                              .lda = left.token,
                              .stride_a = left.sample,
                              .b = right.x,
                              .ldb = right.token,
                              .stride_b = right.sample,
                              .trans_b = true,
                              .c = (void *)(uintptr_t)at(h, w, head * square),
                              .ldc = a->tokens,
                              .stride_c = a->heads * square,
                              .alpha = alpha};
    run_product(gpu, &p);
}

/* out = alpha w x (+ out), or w^T x if transposed; w of a head. */
static void mix(struct tdbg_gpu *gpu, struct heads_of h, int64_t head, const void *w,
                bool transposed, struct heads x, float alpha, bool add, struct heads out)
{
    const struct tdbg_attention *a = h.attention;
    const int64_t square = a->tokens * a->tokens;
    const struct product p = {.m = a->tokens,
                              .n = a->dim,
                              .k = a->tokens,
                              .batch = a->rows,
                              .from_bf16 = h.bf16,
                              .to_bf16 = h.bf16,
                              .a = at(h, w, head * square),
                              .lda = a->tokens,
                              .stride_a = a->heads * square,
                              .trans_a = transposed,
                              .b = x.x,
                              .ldb = x.token,
                              .stride_b = x.sample,
                              .c = (void *)(uintptr_t)out.x,
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

static void mask(struct tdbg_gpu *gpu, struct heads_of h, float *w)
{
    const struct tdbg_attention *a = h.attention;
    if (!a->causal)
        return;
    if (h.bf16)
        tdbg_cuda_bf16_mask_causal(gpu, a->rows * a->heads, a->tokens, w);
    else
        tdbg_cuda_mask_causal(gpu, a->rows * a->heads, a->tokens, w);
}

static void find_scores(struct tdbg_gpu *gpu, struct heads_of h, const float *qkv, float *scores)
{
    const struct tdbg_attention *a = h.attention;
    for (int64_t head = 0; head < a->heads; head++)
        weigh(gpu, h, head, of_qkv(h, qkv, head), of_qkv(h, qkv, a->heads + kv_of(a, head)),
              a->scale, scores);
    mask(gpu, h, scores);
}

/* dqkv as a whole, before parts of it are written. */
static void clear(struct tdbg_gpu *gpu, struct heads_of h, float *dqkv)
{
    const struct tdbg_attention *a = h.attention;
    const int64_t elems = a->rows * a->tokens * (a->heads + 2 * a->kv_heads) * a->dim;
    tdbg_gpu_clear(gpu, dqkv, (size_t)elems * (h.bf16 ? sizeof(uint16_t) : sizeof(float)));
}

static void go_back_from_scores(struct tdbg_gpu *gpu, struct heads_of h, const float *qkv,
                                const float *dscores, float *dqkv)
{
    const struct tdbg_attention *a = h.attention;
    clear(gpu, h, dqkv);
    for (int64_t head = 0; head < a->heads; head++) {
        const int64_t key = a->heads + kv_of(a, head);
        mix(gpu, h, head, dscores, false, of_qkv(h, qkv, key), a->scale, false,
            of_qkv(h, dqkv, head));
        mix(gpu, h, head, dscores, true, of_qkv(h, qkv, head), a->scale, true,
            of_qkv(h, dqkv, key));
    }
}

static void find_context(struct tdbg_gpu *gpu, struct heads_of h, const float *probs,
                         const float *qkv, float *context)
{
    const struct tdbg_attention *a = h.attention;
    for (int64_t head = 0; head < a->heads; head++)
        mix(gpu, h, head, probs, false, of_qkv(h, qkv, a->heads + a->kv_heads + kv_of(a, head)), 1,
            false, of_context(h, context, head));
}

static void go_back_from_context(struct tdbg_gpu *gpu, struct heads_of h, const float *probs,
                                 const float *qkv, const float *dcontext, float *dprobs,
                                 float *dqkv)
{
    const struct tdbg_attention *a = h.attention;
    if (dqkv)
        clear(gpu, h, dqkv);
    for (int64_t head = 0; head < a->heads; head++) {
        const int64_t value = a->heads + a->kv_heads + kv_of(a, head);
        if (dprobs)
            weigh(gpu, h, head, of_context(h, dcontext, head), of_qkv(h, qkv, value), 1, dprobs);
        if (dqkv)
            mix(gpu, h, head, probs, true, of_context(h, dcontext, head), 1, true,
                of_qkv(h, dqkv, value));
    }
    if (dprobs)
        mask(gpu, h, dprobs);
}

size_t tdbg_blas_attention_workspace_bytes(void *gpu, const struct tdbg_attention *attention)
{
    (void)gpu;
    (void)attention;
    return 0;
}

/* The entries of the backend table, and the same where tensors are bf16 in memory. */
#define ENTRIES(prefix, is_bf16)                                                                   \
    void prefix##attention_scores(void *gpu, const struct tdbg_attention *a, const float *qkv,     \
                                  float *scores, void *workspace)                                  \
    {                                                                                              \
        (void)workspace;                                                                           \
        find_scores(gpu, (struct heads_of){a, is_bf16}, qkv, scores);                              \
    }                                                                                              \
    void prefix##attention_scores_backward(void *gpu, const struct tdbg_attention *a,              \
                                           const float *qkv, const float *dscores, float *dqkv,    \
                                           void *workspace)                                        \
    {                                                                                              \
        (void)workspace;                                                                           \
        go_back_from_scores(gpu, (struct heads_of){a, is_bf16}, qkv, dscores, dqkv);               \
    }                                                                                              \
    void prefix##attention_context(void *gpu, const struct tdbg_attention *a, const float *probs,  \
                                   const float *qkv, float *context, void *workspace)              \
    {                                                                                              \
        (void)workspace;                                                                           \
        find_context(gpu, (struct heads_of){a, is_bf16}, probs, qkv, context);                     \
    }                                                                                              \
    void prefix##attention_context_backward(                                                       \
        void *gpu, const struct tdbg_attention *a, const float *probs, const float *qkv,           \
        const float *dcontext, float *dprobs, float *dqkv, void *workspace)                        \
    {                                                                                              \
        (void)workspace;                                                                           \
        go_back_from_context(gpu, (struct heads_of){a, is_bf16}, probs, qkv, dcontext, dprobs,     \
                             dqkv);                                                                \
    }

ENTRIES(tdbg_blas_, false)
ENTRIES(tdbg_blas_bf16_, true)
