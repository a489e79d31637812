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

/* Rows lo .. hi-1 of y, counted over all matrices; a row of y is a column of x. In tiles, so that
 * both sides stay in the cache. */
void TDBG_KERNEL(tdbg_vector_transpose)(int64_t rows, int64_t cols, int64_t lo, int64_t hi,
                                        const float *x, float *y)
{
    enum { TILE = 16 };
    for (int64_t at = lo; at < hi;) {
        const int64_t matrix = at / cols, first = at % cols;
        const int64_t left = cols - first < hi - at ? cols - first : hi - at;
        const int64_t n = left < TILE ? left : TILE;
        const float *from = x + matrix * rows * cols + first;
        float *to = y + at * rows;
        for (int64_t r = 0; r < rows; r += TILE) {
            const int64_t end = r + TILE < rows ? r + TILE : rows;
            for (int64_t c = 0; c < n; c++) {
                for (int64_t i = r; i < end; i++)
                    to[c * rows + i] = from[i * cols + c];
            }
        }
        at += n;
    }
}

#ifdef TDBG_ISA_PORTABLE

struct vector_job {
    const struct tdbg_isa_table *table;
    const float *src, *src2;
    int64_t rows, cols;
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

static void transpose_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct vector_job *job = ctx;
    job->table->vector_transpose(job->rows, job->cols, lo, hi, job->src, job->dst);
}

void tdbg_vector_transpose(const struct tdbg_cpu *cpu, int64_t n, int64_t rows, int64_t cols,
                           const float *x, float *y)
{
    struct vector_job job = {.table = cpu->table, .src = x, .rows = rows, .cols = cols, .dst = y};
    if (rows > 0)
        tdbg_parallel_for(cpu->threads, n * cols, TDBG_GRAIN_ELEMS / rows + 1, transpose_range,
                          &job);
}

#endif
