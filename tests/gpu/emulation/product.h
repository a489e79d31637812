/* A product of matrices as the emulated cuBLAS and cuBLASLt run it: strict arithmetic in the order
 * of kernels/gemm.h, whatever the library would take, so that what the engine does with it can be
 * compared. */
#ifndef TDBG_TESTS_GPU_EMULATION_PRODUCT_H
#define TDBG_TESTS_GPU_EMULATION_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

#include "cublas_v2.h"

/* A column-major matrix of the device, `batch` of them at strides of elements. */
struct tdbg_emulated_matrix {
    const void *data;
    cudaDataType_t type;
    int64_t rows, cols, ld, stride;
};

/* c = alpha op(a) op(b) + beta c + bias, which is one number for each row. */
struct tdbg_emulated_product {
    tdbg_emulated_matrix a, b, c;
    cublasOperation_t trans_a, trans_b;
    int64_t batch;
    float alpha, beta;
    const void *bias; /* bf16; or NULL */
};

/* Ends the program where sizes do not fit together, leading dimensions are too short, matrices of c
 * overlap, or memory is not the device's; `who` is for the message. */
void tdbg_emulated_check_product(const tdbg_emulated_product &p, const char *who);
[[noreturn]] void tdbg_emulated_refuse_product(const char *who, const char *what);

/* Puts it on a stream of the calling thread's device. */
void tdbg_emulated_put_product(const tdbg_emulated_product &p, cudaStream_t stream,
                               const char *who);

static inline size_t tdbg_emulated_type_bytes(cudaDataType_t type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

#endif
