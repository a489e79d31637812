/* Products with a bias in one call, by cuBLASLt: for blas.c alone. The library is loaded when it is
 * first asked for; it comes with cuBLAS. */
#ifndef TDBG_KERNELS_BLAS_LT_H
#define TDBG_KERNELS_BLAS_LT_H

#include "base/status.h"
#include "kernels/gemm.h"

struct tdbg_gpu;
struct tdbg_blas_lt;

/* workspace (bytes): device memory, for as long as this is open. TDBG_DEVICE where the library is
 * not there or does not work with this GPU. */
enum tdbg_status tdbg_blas_lt_open(const struct tdbg_gpu *gpu, void *workspace, size_t bytes,
                                   struct tdbg_blas_lt **out, struct tdbg_err *err);
void tdbg_blas_lt_close(struct tdbg_blas_lt *lt); /* NULL is fine */

/* c = op(a) op(b) + bias, all of them bf16 in memory, added in f32 and rounded once. Which
 * algorithm is taken hangs on sizes, strides and alignments alone. */
void tdbg_blas_lt_gemm(struct tdbg_blas_lt *lt, struct tdbg_gpu *gpu, const struct tdbg_gemm *gemm);

#endif
