/* Strict single-precision matrix product.
 *
 *     C = op(A) op(B) [+ bias]        A' = op(A) is (m, k), B' = op(B) is (k, n), C is (m, n)
 *
 * Order, for each element C[i][j] alone: k is cut into slices of TDBG_K_SLICE; inside a slice one
 * fused-multiply-add chain in ascending order from +0, p = fma(A'[i][t], B'[t][j], p); slice
 * results are added in order, c = p0, c = c + p1, ...; then, with a bias, c = c + bias[j]; a NaN
 * result is stored as the canonical NaN 0x7fc00000. k = 0 gives +0 (+ bias). */
#ifndef TDBG_KERNELS_GEMM_H
#define TDBG_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_gemm {
    int64_t m, n, k;
    const float *a; /* row-major (m, k) with row stride lda, or (k, m) if trans_a */
    int64_t lda;
    bool trans_a;
    const float *b; /* row-major (k, n) with row stride ldb, or (n, k) if trans_b */
    int64_t ldb;
    bool trans_b;
    float *c; /* row-major (m, n) with row stride ldc; is overwritten; aliases nothing */
    int64_t ldc;
    const float *bias; /* (n) or NULL */
    bool is_gradient;  /* C is a parameter's gradient: f32 also where activations are bf16 in memory
                        */
    /* ldc > n: what lies between rows of C may be written, too. */
    bool writes_gaps;
    /* lda > k, or > m if trans_a: what lies between rows of A is +0 (which stands for nothing that
     * is infinite or NaN elsewhere). */
    bool reads_gaps;
};

/* Bytes of scratch memory, 64-byte aligned, that tdbg_gemm_run needs for this product. */
size_t tdbg_gemm_workspace_bytes(const struct tdbg_cpu *cpu, const struct tdbg_gemm *gemm);

/* Computes the product with cpu->threads threads. workspace may be NULL if the above is 0. */
void tdbg_gemm_run(const struct tdbg_cpu *cpu, const struct tdbg_gemm *gemm, void *workspace);

/* The definition above as three loops over fmaf(): what every other form is compared with. */
void tdbg_gemm_reference(const struct tdbg_gemm *gemm);

/* The same on a GPU: see gpu.h. The workspace is not used, scratch memory of the GPU is. */
size_t tdbg_cuda_gemm_workspace_bytes(void *gpu, const struct tdbg_gemm *gemm);
void tdbg_cuda_gemm(void *gpu, const struct tdbg_gemm *gemm, void *workspace);

#endif
