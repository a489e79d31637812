/* cuBLASLt. See blas_lt.h. As cuBLAS it is column-major: what blas.c says of that is true here. */
#include "kernels/blas_lt.h"

#include <cublasLt.h>
#include <stdlib.h>

#include "kernels/gpu.h"
#include "kernels/gpu_library.h"

/* X(function): what is called. */
#define FUNCTIONS(X)                                                                               \
    X(cublasLtCreate)                                                                              \
    X(cublasLtDestroy)                                                                             \
    X(cublasLtMatmul)                                                                              \
    X(cublasLtMatmulAlgoGetHeuristic)                                                              \
    X(cublasLtMatmulDescCreate)                                                                    \
    X(cublasLtMatmulDescDestroy)                                                                   \
    X(cublasLtMatmulDescSetAttribute)                                                              \
    X(cublasLtMatmulPreferenceCreate)                                                              \
    X(cublasLtMatmulPreferenceDestroy)                                                             \
    X(cublasLtMatmulPreferenceSetAttribute)                                                        \
    X(cublasLtMatrixLayoutCreate)                                                                  \
    X(cublasLtMatrixLayoutDestroy)

/* What the choice of an algorithm hangs on. Alignments are those of addresses, in bytes; more than
 * MOST_ALIGNMENT makes no difference. */
enum { MOST_ALIGNMENT = 256 };
struct key {
    int64_t m, n, k, lda, ldb, ldc;
    int64_t align_a, align_b, align_c, align_bias;
    int64_t trans_a, trans_b;
};

struct choice {
    struct key key;
    cublasLtMatmulAlgo_t algorithm;
    struct choice *next;
};

struct tdbg_blas_lt {
    cublasLtHandle_t handle;
    void *workspace;
    size_t workspace_bytes;
    struct choice *choices;
#define MEMBER(function) __typeof__(&(function)) function;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                    NULL};

static const struct tdbg_gpu_library cublas = {.files = files,
                                               .name = "cuBLAS",
                                               .wanted_by = "engine.math = \"fast\"",
                                               .otherwise = "engine.math = \"strict\""};

static enum tdbg_status load(struct tdbg_blas_lt *lt, struct tdbg_err *err)
{
    void *library;
    const enum tdbg_status st = tdbg_gpu_library_load(&cublas, &library, err);
    if (st != TDBG_OK)
        return st;
#define LOAD(function) TDBG_GPU_LIBRARY_FIND(lt, &cublas, library, function);
    FUNCTIONS(LOAD)
#undef LOAD
    return TDBG_OK;
}

enum tdbg_status tdbg_blas_lt_open(const struct tdbg_gpu *gpu, void *workspace, size_t bytes,
                                   struct tdbg_blas_lt **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_blas_lt *lt = calloc(1, sizeof *lt);
    TDBG_FAIL_IF(!lt, NO_MEMORY, "no memory for cuBLAS");
    lt->workspace = workspace;
    lt->workspace_bytes = bytes;
    TDBG_TRY(load(lt, err));
    TDBG_FAIL_IF(lt->cublasLtCreate(&lt->handle) != CUBLAS_STATUS_SUCCESS, DEVICE,
                 "cuBLAS does not work with this GPU (%s)", gpu->name);
    *out = lt;
    return TDBG_OK;
out:
    tdbg_blas_lt_close(lt);
    return st;
}

void tdbg_blas_lt_close(struct tdbg_blas_lt *lt)
{
    if (!lt)
        return;
    while (lt->choices) {
        struct choice *next = lt->choices->next;
        free(lt->choices);
        lt->choices = next;
    }
    if (lt->handle)
        lt->cublasLtDestroy(lt->handle);
    free(lt);
}

/* The key of a call: no padding. */
struct call {
    struct tdbg_blas_lt *lt;
    int64_t m, n, k, lda, ldb, ldc;
    const void *a, *b;
    void *c;
    const void *bias;
    int64_t trans_a, trans_b; /* bool */
};

/* A product as the library describes it. */
struct product {
    cublasLtMatmulDesc_t how;
    cublasLtMatrixLayout_t a, b, c;
};

static void destroy(const struct tdbg_blas_lt *lt, const struct product *p)
{
    if (p->how)
        lt->cublasLtMatmulDescDestroy(p->how);
    if (p->a)
        lt->cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        lt->cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        lt->cublasLtMatrixLayoutDestroy(p->c);
}

static bool set(const struct tdbg_blas_lt *lt, cublasLtMatmulDesc_t how,
                cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes)
{
    return lt->cublasLtMatmulDescSetAttribute(how, attribute, value, bytes) ==
           CUBLAS_STATUS_SUCCESS;
}

static bool lay_out(const struct tdbg_blas_lt *lt, cublasLtMatrixLayout_t *to, int64_t rows,
                    int64_t cols, int64_t ld)
{
    return lt->cublasLtMatrixLayoutCreate(to, CUDA_R_16BF, (uint64_t)rows, (uint64_t)cols, ld) ==
           CUBLAS_STATUS_SUCCESS;
}

/* C^T = B^T A^T; a and b of the library are B and A. */
static bool describe(const struct tdbg_blas_lt *lt, const struct call *g, struct product *p)
{
    const cublasOperation_t first = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const cudaDataType_t type = CUDA_R_16BF;
    return lt->cublasLtMatmulDescCreate(&p->how, CUBLAS_COMPUTE_32F, CUDA_R_32F) ==
               CUBLAS_STATUS_SUCCESS &&
           set(lt, p->how, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first) &&
           set(lt, p->how, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second) &&
           set(lt, p->how, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) &&
           set(lt, p->how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias, sizeof g->bias) &&
           set(lt, p->how, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type) &&
           lay_out(lt, &p->a, g->trans_b ? g->k : g->n, g->trans_b ? g->n : g->k, g->ldb) &&
           lay_out(lt, &p->b, g->trans_a ? g->m : g->k, g->trans_a ? g->k : g->m, g->lda) &&
           lay_out(lt, &p->c, g->n, g->m, g->ldc);
}

static int64_t alignment_of(const void *p)
{
    const uintptr_t bits = (uintptr_t)p | MOST_ALIGNMENT;
    return (int64_t)(bits & -bits);
}

/* Matrices may lie anywhere: an algorithm for more alignment than they have would fail. */
static bool tell_alignments(const struct tdbg_blas_lt *lt, const struct key *key,
                            cublasLtMatmulPreference_t wish)
{
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        int64_t bytes;
    } alignments[] = {/* a and b of the library are B and A */
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key->align_b},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key->align_a},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key->align_c},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key->align_c}};
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        const uint32_t bytes = (uint32_t)alignments[i].bytes;
        if (lt->cublasLtMatmulPreferenceSetAttribute(wish, alignments[i].attribute, &bytes,
                                                     sizeof bytes) != CUBLAS_STATUS_SUCCESS)
            return false;
    }
    return true;
}

static bool ask(const struct tdbg_blas_lt *lt, const struct product *p, const struct key *key,
                cublasLtMatmulAlgo_t *algorithm)
{
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    const bool done =
        lt->cublasLtMatmulPreferenceCreate(&wish) == CUBLAS_STATUS_SUCCESS &&
        lt->cublasLtMatmulPreferenceSetAttribute(
            wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &lt->workspace_bytes,
            sizeof lt->workspace_bytes) == CUBLAS_STATUS_SUCCESS &&
        tell_alignments(lt, key, wish) &&
        lt->cublasLtMatmulAlgoGetHeuristic(lt->handle, p->how, p->a, p->b, p->c, p->c, wish, 1,
                                           &found, &n) == CUBLAS_STATUS_SUCCESS &&
        n > 0;
    if (done)
        *algorithm = found.algo;
    if (wish)
        lt->cublasLtMatmulPreferenceDestroy(wish);
    return done;
}

/* The algorithm for such a product, asked for once; NULL: the library has none. */
static const cublasLtMatmulAlgo_t *choose(struct tdbg_blas_lt *lt, const struct call *g,
                                          const struct product *p)
{
    const struct key key = {.m = g->m,
                            .n = g->n,
                            .k = g->k,
                            .lda = g->lda,
                            .ldb = g->ldb,
                            .ldc = g->ldc,
                            .align_a = alignment_of(g->a),
                            .align_b = alignment_of(g->b),
                            .align_c = alignment_of(g->c),
                            .align_bias = alignment_of(g->bias),
                            .trans_a = g->trans_a,
                            .trans_b = g->trans_b};
    for (const struct choice *c = lt->choices; c; c = c->next)
        if (memcmp(&c->key, &key, sizeof key) == 0)
            return &c->algorithm;
    struct choice *c = calloc(1, sizeof *c);
    if (!c || !ask(lt, p, &key, &c->algorithm)) {
        free(c);
        return NULL;
    }
    c->key = key;
    c->next = lt->choices;
    lt->choices = c;
    return &c->algorithm;
}

static bool run_now(struct tdbg_gpu *gpu, const void *key, cudaStream_t stream)
{
    static const float one = 1, zero = 0;
    struct call g;
    struct product p = {0};
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    (void)gpu;
    memcpy(&g, key, sizeof g);
    struct tdbg_blas_lt *lt = g.lt;
    if (describe(lt, &g, &p)) {
        const cublasLtMatmulAlgo_t *algorithm = choose(lt, &g, &p);
        if (algorithm)
            status =
                lt->cublasLtMatmul(lt->handle, p.how, &one, g.b, p.a, g.a, p.b, &zero, g.c, p.c,
                                   g.c, p.c, algorithm, lt->workspace, lt->workspace_bytes, stream);
    }
    destroy(lt, &p);
    return status == CUBLAS_STATUS_SUCCESS;
}

void tdbg_blas_lt_gemm(struct tdbg_blas_lt *lt, struct tdbg_gpu *gpu, const struct tdbg_gemm *g)
{
    const struct call key = {lt,   g->m, g->n, g->k,    g->lda,     g->ldb,    g->ldc,
                             g->a, g->b, g->c, g->bias, g->trans_a, g->trans_b};
    const struct tdbg_gpu_call call = {run_now, "a product of cuBLASLt", &key, sizeof key};
    tdbg_gpu_call(gpu, &call);
}
