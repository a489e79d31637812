/* The cuBLAS and cuBLASLt that stand in for the libraries on an emulated GPU: products are right,
 * and what the libraries would not take, or would take and get wrong, ends the program with a
 * message. Mistakes are made in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <cublasLt.h>

#include "emulated_child.h"
#include "kernels/bf16.h"

enum { M = 3, N = 4, K = 5, WORKSPACE = 1 << 16 };

static cublasHandle_t handle;

static float *floats(size_t n)
{
    return (float *)device_block(n * sizeof(float));
}

static uint16_t *halves(size_t n)
{
    return (uint16_t *)device_block(n * sizeof(uint16_t));
}

static void open_cublas()
{
    if (cublasCreate_v2(&handle) != CUBLAS_STATUS_SUCCESS ||
        cublasSetStream_v2(handle, tdbg_gpu_stream(&gpu)) != CUBLAS_STATUS_SUCCESS ||
        cublasSetWorkspace_v2(handle, device_block(WORKSPACE), WORKSPACE) != CUBLAS_STATUS_SUCCESS)
        _exit(2);
}

/* What is asked of cublasGemmStridedBatchedEx. */
struct asked {
    const float *a, *b;
    float *c;
    int m = M, n = N, k = K, lda = M, ldb = K, ldc = M, batch = 1;
    long long stride_c = M * N;
    cublasOperation_t trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N;
    float alpha = 1, beta = 0;
};

static void multiply(const asked &p)
{
    cublasGemmStridedBatchedEx(handle, p.trans_a, p.trans_b, p.m, p.n, p.k, &p.alpha, p.a,
                               CUDA_R_32F, p.lda, M * K, p.b, CUDA_R_32F, p.ldb, K * N, &p.beta,
                               p.c, CUDA_R_32F, p.ldc, p.stride_c, p.batch,
                               CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT);
}

static asked usual()
{
    open_cublas();
    asked p;
    p.a = floats(2 * M * K);
    p.b = floats(2 * K * N);
    p.c = floats(2 * M * N);
    return p;
}

/* Two products whose operands are column-major, and as if they were not: 2 a b + 3 c. */
static void multiply_right(bool transposed)
{
    float a[2 * M * K], b[2 * K * N], c[2 * M * N], got[2 * M * N];
    asked p = usual();
    for (int i = 0; i < 2 * M * K; i++)
        a[i] = (float)(i * 7 % 11 - 5);
    for (int i = 0; i < 2 * K * N; i++)
        b[i] = (float)(i * 5 % 13 - 6);
    for (int i = 0; i < 2 * M * N; i++)
        c[i] = (float)i;
    cudaMemcpyAsync((void *)(uintptr_t)p.a, a, sizeof a, cudaMemcpyHostToDevice,
                    tdbg_gpu_stream(&gpu));
    cudaMemcpyAsync((void *)(uintptr_t)p.b, b, sizeof b, cudaMemcpyHostToDevice,
                    tdbg_gpu_stream(&gpu));
    cudaMemcpyAsync(p.c, c, sizeof c, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    if (transposed) {
        p.trans_a = p.trans_b = CUBLAS_OP_T;
        p.lda = K;
        p.ldb = N;
    }
    p.alpha = 2;
    p.beta = 3;
    p.batch = 2;
    multiply(p);
    tdbg_gpu_fetch(&gpu, got, p.c, sizeof got);
    for (int e = 0; e < 2 * M * N; e++) {
        const int at = e / (M * N), i = e % (M * N) % M, j = e % (M * N) / M;
        float want = 3 * c[e];
        for (int t = 0; t < K; t++)
            want += 2 * a[at * M * K + (transposed ? t + i * K : i + t * M)] *
                    b[at * K * N + (transposed ? j + t * N : t + j * K)];
        if (got[e] != want)
            _exit(1);
    }
    _exit(0);
}

static void multiply_plain()
{
    multiply_right(false);
}

static void multiply_transposed()
{
    multiply_right(true);
}

static void lead_too_little()
{
    asked p = usual();
    p.ldb = K - 1;
    multiply(p);
}

static void overlap()
{
    asked p = usual();
    p.batch = 2;
    p.stride_c = M * N - 1;
    multiply(p);
}

static void read_beyond_a_block()
{
    asked p = usual();
    p.a = floats(M * K - 1);
    multiply(p);
}

static void write_to_the_host()
{
    static float host[M * N];
    asked p = usual();
    p.c = host;
    multiply(p);
}

static void have_no_workspace()
{
    asked p = usual();
    cublasSetStream_v2(handle, tdbg_gpu_stream(&gpu)); /* takes it away */
    multiply(p);
}

/* --- cuBLASLt --- */

/* c (M, N) = a b + bias of bf16. */
struct lt_product {
    cublasLtHandle_t lt;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a_layout, b_layout, c_layout;
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t found;
    uint16_t *a, *b, *c, *bias;
    void *workspace;
};

static lt_product describe()
{
    lt_product p = {};
    const cublasOperation_t plain = CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const cudaDataType_t type = CUDA_R_16BF;
    const uint64_t most = WORKSPACE;
    p.a = halves(M * K + 1);
    p.b = halves(K * N);
    p.c = halves(M * N);
    p.bias = halves(M);
    p.workspace = device_block(WORKSPACE);
    cublasLtCreate(&p.lt);
    cublasLtMatmulDescCreate(&p.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, &plain, sizeof plain);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                   sizeof epilogue);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias,
                                   sizeof p.bias);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    cublasLtMatrixLayoutCreate(&p.a_layout, type, M, K, M);
    cublasLtMatrixLayoutCreate(&p.b_layout, type, K, N, K);
    cublasLtMatrixLayoutCreate(&p.c_layout, type, M, N, M);
    cublasLtMatmulPreferenceCreate(&p.wish);
    cublasLtMatmulPreferenceSetAttribute(p.wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                         sizeof most);
    return p;
}

static void choose(lt_product *p)
{
    int n = 0;
    if (cublasLtMatmulAlgoGetHeuristic(p->lt, p->desc, p->a_layout, p->b_layout, p->c_layout,
                                       p->c_layout, p->wish, 1, &p->found,
                                       &n) != CUBLAS_STATUS_SUCCESS ||
        n != 1)
        _exit(2);
}

static void run(const lt_product &p, size_t workspace_bytes)
{
    const float one = 1, zero = 0;
    cublasLtMatmul(p.lt, p.desc, &one, p.a, p.a_layout, p.b, p.b_layout, &zero, p.c, p.c_layout,
                   p.c, p.c_layout, &p.found.algo, p.workspace, workspace_bytes,
                   tdbg_gpu_stream(&gpu));
}

static uint16_t bf16_of(float x)
{
    return (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits(x)) >> 16);
}

static void add_bias()
{
    uint16_t ones[K * N], bias[M], got[M * N];
    lt_product p = describe();
    for (uint16_t &x : ones)
        x = bf16_of(1);
    for (int i = 0; i < M; i++)
        bias[i] = bf16_of((float)i);
    cudaMemcpyAsync(p.a, ones, M * K * sizeof *ones, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    cudaMemcpyAsync(p.b, ones, sizeof ones, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    cudaMemcpyAsync(p.bias, bias, sizeof bias, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    choose(&p);
    run(p, WORKSPACE);
    tdbg_gpu_fetch(&gpu, got, p.c, sizeof got);
    for (int i = 0; i < M * N; i++) {
        if (got[i] != bf16_of((float)(K + i % M)))
            _exit(1);
    }
    _exit(0);
}

static void use_for_another_product()
{
    lt_product p = describe();
    const cublasOperation_t turned = CUBLAS_OP_T;
    choose(&p);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned);
    run(p, WORKSPACE);
}

/* Nothing was said of alignments: 256 bytes are expected. */
static void lie_elsewhere()
{
    lt_product p = describe();
    choose(&p);
    p.a++;
    run(p, WORKSPACE);
}

static void lie_where_it_was_told()
{
    lt_product p = describe();
    const uint32_t bytes = sizeof(uint16_t);
    cublasLtMatmulPreferenceSetAttribute(p.wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &bytes,
                                         sizeof bytes);
    choose(&p);
    p.a++;
    run(p, WORKSPACE);
}

static void give_less_workspace()
{
    lt_product p = describe();
    choose(&p);
    run(p, p.found.workspaceSize - 1);
}

static void leave_out_the_bias()
{
    lt_product p = describe();
    p.bias = NULL;
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias,
                                   sizeof p.bias);
    choose(&p);
    run(p, WORKSPACE);
}

static void test_right(void **)
{
    char text[4096];
    assert_int_equal(run_child(multiply_plain, 1, text, sizeof text), 0);
    assert_int_equal(run_child(multiply_transposed, 1, text, sizeof text), 0);
    assert_int_equal(run_child(add_bias, 1, text, sizeof text), 0);
    assert_int_equal(run_child(lie_where_it_was_told, 1, text, sizeof text), 0);
}

static void test_mistakes(void **)
{
    check_dies(lead_too_little, "matrix B (5, 4): the leading dimension is less than the rows");
    check_dies(overlap, "matrices of C overlap");
    check_dies(read_beyond_a_block, "matrix A (3, 5): not memory of one block of the device");
    check_dies(write_to_the_host, "matrix C (3, 4): not memory of one block of the device");
    check_dies(have_no_workspace, "its workspace is its own");
    check_dies(use_for_another_product, "an algorithm that was asked for another product");
    check_dies(lie_elsewhere, "a matrix is less aligned than its algorithm was told");
    check_dies(give_less_workspace, "less workspace than its algorithm needs");
    check_dies(leave_out_the_bias, "a bias without its place");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
