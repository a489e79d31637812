/* Products of the emulated cuBLAS. See product.h. */
#include "product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_memory.h"
#include "kernels/bf16.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"
#include "streams.h"

static float load(const void *data, cudaDataType_t type, int64_t i)
{
    return type == CUDA_R_16BF ? tdbg_strict_float((uint32_t)((const uint16_t *)data)[i] << 16)
                               : ((const float *)data)[i];
}

static void store(void *data, cudaDataType_t type, int64_t i, float x)
{
    if (type == CUDA_R_16BF)
        ((uint16_t *)data)[i] = (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits(x)) >> 16);
    else
        ((float *)data)[i] = x;
}

void tdbg_emulated_refuse_product(const char *who, const char *what)
{
    fprintf(stderr, "emulated %s: %s\n", who, what);
    abort();
}

static void check_matrix(const tdbg_emulated_matrix &x, int64_t batch, const char *who,
                         const char *name)
{
    char text[160];
    const size_t bytes = tdbg_emulated_type_bytes(x.type);
    if (x.rows == 0 || x.cols == 0)
        return;
    const int64_t elems = x.stride * (batch - 1) + x.ld * (x.cols - 1) + x.rows;
    const char *what = NULL;
    if (x.ld < x.rows)
        what = "the leading dimension is less than the rows";
    else if ((uintptr_t)x.data % bytes != 0)
        what = "not aligned to its elements";
    else if (x.stride < 0 || !tdbg_emulated_is_block(x.data, (size_t)elems * bytes))
        what = "not memory of one block of the device";
    if (!what)
        return;
    snprintf(text, sizeof text, "matrix %s (%lld, %lld): %s", name, (long long)x.rows,
             (long long)x.cols, what);
    tdbg_emulated_refuse_product(who, text);
}

/* Rows and columns of op(x). */
static int64_t rows_of(const tdbg_emulated_matrix &x, cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? x.cols : x.rows;
}

static int64_t cols_of(const tdbg_emulated_matrix &x, cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? x.rows : x.cols;
}

void tdbg_emulated_check_product(const tdbg_emulated_product &p, const char *who)
{
    if (rows_of(p.a, p.trans_a) != p.c.rows || cols_of(p.b, p.trans_b) != p.c.cols ||
        cols_of(p.a, p.trans_a) != rows_of(p.b, p.trans_b))
        tdbg_emulated_refuse_product(who, "sizes that do not fit together");
    if (p.a.type != p.b.type || (p.a.type == CUDA_R_32F && p.c.type != CUDA_R_32F))
        tdbg_emulated_refuse_product(who, "a combination of types that it does not know");
    check_matrix(p.a, p.batch, who, "A");
    check_matrix(p.b, p.batch, who, "B");
    check_matrix(p.c, p.batch, who, "C");
    /* One behind the other, or each in the gaps of the others' columns. */
    if (p.batch > 1 && p.c.stride < p.c.ld * (p.c.cols - 1) + p.c.rows)
        tdbg_emulated_refuse_product(who, "matrices of C overlap");
    if (p.bias && !tdbg_emulated_is_block(p.bias, (size_t)p.c.rows * sizeof(uint16_t)))
        tdbg_emulated_refuse_product(who, "the bias is not memory of one block of the device");
}

static float element(const tdbg_emulated_product &p, const char *a, const char *b, int64_t i,
                     int64_t j)
{
    const int64_t k = cols_of(p.a, p.trans_a);
    float sum = 0;
    for (int64_t from = 0; from < k; from += TDBG_K_SLICE) {
        float part = 0;
        for (int64_t t = from; t < k && t < from + TDBG_K_SLICE; t++) {
            const int64_t at_a = p.trans_a == CUBLAS_OP_T ? t + i * p.a.ld : i + t * p.a.ld;
            const int64_t at_b = p.trans_b == CUBLAS_OP_T ? j + t * p.b.ld : t + j * p.b.ld;
            part = fmaf(load(a, p.a.type, at_a), load(b, p.b.type, at_b), part);
        }
        sum = from == 0 ? part : sum + part;
    }
    return sum;
}

static void run(const tdbg_emulated_product &p)
{
    for (int64_t n = 0; n < p.batch; n++) {
        const size_t width = tdbg_emulated_type_bytes(p.a.type);
        const char *a = (const char *)p.a.data + (size_t)(n * p.a.stride) * width;
        const char *b = (const char *)p.b.data + (size_t)(n * p.b.stride) * width;
        char *c = (char *)(uintptr_t)p.c.data +
                  (size_t)(n * p.c.stride) * tdbg_emulated_type_bytes(p.c.type);
        for (int64_t j = 0; j < p.c.cols; j++) {
            for (int64_t i = 0; i < p.c.rows; i++) {
                float x = p.alpha * element(p, a, b, i, j);
                if (p.beta != 0) /* else what is there may be anything */
                    x += p.beta * load(c, p.c.type, i + j * p.c.ld);
                if (p.bias)
                    x += load(p.bias, CUDA_R_16BF, i);
                store(c, p.c.type, i + j * p.c.ld, tdbg_strict_canonical(x));
            }
        }
    }
}

void tdbg_emulated_put_product(const tdbg_emulated_product &p, cudaStream_t stream, const char *who)
{
    const std::lock_guard<std::recursive_mutex> only(tdbg_emulated_lock());
    tdbg_emulated_check_product(p, who);
    if (!tdbg_emulated_stream_is_here(stream))
        tdbg_emulated_refuse_product(who, "no stream, or one of another device");
    tdbg_emulated_put(
        stream,
        [p]() {
            run(p);
            return true;
        },
        true);
}
