/* Element-wise addition and division on the CPU. Definition: vector.h. */
#include "kernels/vector.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_vector_add)(int64_t n, float *dst, const float *src)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = tdbg_strict_canonical(dst[i] + src[i]);
}

void TDBG_KERNEL(tdbg_vector_sum)(int64_t n, const float *x, const float *x2, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_canonical(x[i] + x2[i]);
}

void TDBG_KERNEL(tdbg_vector_divide)(int64_t n, const float *src, float divisor, float *dst)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = tdbg_strict_canonical(src[i] / divisor);
}

#ifdef TDBG_ISA_PORTABLE

struct vector_job {
    const struct tdbg_isa_table *table;
    const float *src, *src2;
    float divisor;
    float *dst;
};

static void add_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct vector_job *job = ctx;
    job->table->vector_add(hi - lo, job->dst + lo, job->src + lo);
}

void tdbg_vector_add(const struct tdbg_cpu *cpu, int64_t n, float *dst, const float *src)
{
    struct vector_job job = {.table = cpu->table, .src = src, .dst = dst};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, add_range, &job);
}

static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct vector_job *job = ctx;
    job->table->vector_sum(hi - lo, job->src + lo, job->src2 + lo, job->dst + lo);
}

void tdbg_vector_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, const float *x2,
                     float *y)
{
    struct vector_job job = {.table = cpu->table, .src = x, .src2 = x2, .dst = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, sum_range, &job);
}

static void divide_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct vector_job *job = ctx;
    job->table->vector_divide(hi - lo, job->src + lo, job->divisor, job->dst + lo);
}

void tdbg_vector_divide(const struct tdbg_cpu *cpu, int64_t n, const float *src, float divisor,
                        float *dst)
{
    struct vector_job job = {.table = cpu->table, .src = src, .divisor = divisor, .dst = dst};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, divide_range, &job);
}

#endif
