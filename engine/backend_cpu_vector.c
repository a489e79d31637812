/* The CPU backend: sums, arithmetic on flat arrays, rounding to bf16. See backend_cpu.h. */
#include "engine/backend_cpu.h"

#include "kernels/bf16.h"
#include "kernels/reduce.h"
#include "kernels/vector.h"

static void cpu_reduce_rows(void *context, int64_t rows, int64_t cols, const float *x, float *out)
{
    tdbg_reduce_rows(tdbg_backend_cpu_of(context), rows, cols, x, out);
}

static void cpu_reduce_sum(void *context, int64_t n, const float *x, float *out, float *scratch)
{
    *out = tdbg_reduce_sum(tdbg_backend_cpu_of(context), n, x, scratch);
}

static void cpu_vector_add(void *context, int64_t n, float *dst, const float *src)
{
    tdbg_vector_add(tdbg_backend_cpu_of(context), n, dst, src);
}

static void cpu_vector_sum(void *context, int64_t n, const float *x, const float *x2, float *y)
{
    tdbg_vector_sum(tdbg_backend_cpu_of(context), n, x, x2, y);
}

static void cpu_vector_divide(void *context, int64_t n, const float *src, float divisor, float *dst)
{
    tdbg_vector_divide(tdbg_backend_cpu_of(context), n, src, divisor, dst);
}

static void cpu_transpose(void *context, int64_t n, int64_t rows, int64_t cols, const float *x,
                          float *y)
{
    tdbg_vector_transpose(tdbg_backend_cpu_of(context), n, rows, cols, x, y);
}

static void cpu_bf16_round(void *context, int64_t n, const float *x, float *y)
{
    tdbg_bf16_round(tdbg_backend_cpu_of(context), n, x, y);
}

static void cpu_bf16_pack(void *context, int64_t n, const float *x, uint16_t *y)
{
    tdbg_bf16_pack(tdbg_backend_cpu_of(context), n, x, y);
}

static void cpu_bf16_unpack(void *context, int64_t n, const uint16_t *x, float *y)
{
    tdbg_bf16_unpack(tdbg_backend_cpu_of(context), n, x, y);
}

void tdbg_backend_cpu_set_vector(struct tdbg_backend *table)
{
    table->reduce_rows = cpu_reduce_rows;
    table->reduce_sum = cpu_reduce_sum;
    table->vector_add = cpu_vector_add;
    table->vector_sum = cpu_vector_sum;
    table->vector_divide = cpu_vector_divide;
    table->transpose = cpu_transpose;
    table->bf16_round = cpu_bf16_round;
    table->bf16_pack = cpu_bf16_pack;
    table->bf16_unpack = cpu_bf16_unpack;
}
