/* Strict sums on the CPU. Order: reduce.h. */
#include "kernels/reduce.h"

#include <stddef.h>

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

void TDBG_KERNEL(tdbg_reduce_blocks)(int64_t n, int64_t lo, int64_t hi, const float *x, float *out)
{
    for (int64_t b = lo; b < hi; b++) {
        int64_t first = b * TDBG_SUM_BLOCK;
        int64_t terms = n - first < TDBG_SUM_BLOCK ? n - first : TDBG_SUM_BLOCK;
        out[b] = tdbg_strict_canonical(tdbg_sum_lanes_block(terms, x + first));
    }
}

enum { TILE_COLS = 64 }; /* columns whose sums stay in registers */

/* One tile of columns over all rows: slices of TDBG_K_SLICE rows, slice results in order. */
static inline __attribute__((always_inline)) void sum_tile(int64_t rows, int64_t cols, int width,
                                                           const float *x, float *out)
{
    float total[TILE_COLS] = {0};
    for (int64_t slice = 0; slice < rows; slice += TDBG_K_SLICE) {
        int64_t end = slice + TDBG_K_SLICE < rows ? slice + TDBG_K_SLICE : rows;
        float part[TILE_COLS] = {0};
        for (int64_t r = slice; r < end; r++) {
            for (int c = 0; c < width; c++)
                part[c] += x[r * cols + c];
        }
        for (int c = 0; c < width; c++) /* +0 + part is part: a part never is -0 */
            total[c] += part[c];
    }
    for (int c = 0; c < width; c++)
        out[c] = tdbg_strict_canonical(total[c]);
}

void TDBG_KERNEL(tdbg_reduce_rows)(int64_t rows, int64_t cols, int64_t lo, int64_t hi,
                                   const float *x, float *out)
{
    for (; lo + TILE_COLS <= hi; lo += TILE_COLS)
        sum_tile(rows, cols, TILE_COLS, x + lo, out + lo);
    if (lo < hi)
        sum_tile(rows, cols, (int)(hi - lo), x + lo, out + lo);
}

#ifdef TDBG_ISA_PORTABLE

struct sum_job {
    const struct tdbg_isa_table *table;
    int64_t n;
    const float *x;
    float *out;
};

static int64_t count_blocks(int64_t n)
{
    return (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
}

int64_t tdbg_reduce_scratch_elems(int64_t n)
{
    int64_t elems = 0;
    for (int64_t blocks = count_blocks(n); blocks > 1; blocks = count_blocks(blocks))
        elems += blocks;
    return elems;
}

static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct sum_job *job = ctx;
    job->table->reduce_blocks(job->n, lo, hi, job->x, job->out);
}

/* Each round turns the terms into one per block, at scratch; the last one leaves a single term. */
float tdbg_reduce_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *scratch)
{
    float result = 0;
    while (n > 0) {
        int64_t blocks = count_blocks(n);
        struct sum_job job = {cpu->table, n, x, blocks > 1 ? scratch : &result};
        tdbg_parallel_for(cpu->threads, blocks, 2 * TDBG_GRAIN_ELEMS / TDBG_SUM_BLOCK, sum_range,
                          &job);
        if (blocks == 1)
            break;
        x = scratch;
        n = blocks;
        scratch += blocks;
    }
    return result;
}

struct rows_job {
    const struct tdbg_isa_table *table;
    int64_t rows, cols;
    const float *x;
    float *out;
};

static void rows_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct rows_job *job = ctx;
    job->table->reduce_rows(job->rows, job->cols, lo, hi, job->x, job->out);
}

void tdbg_reduce_rows(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *x,
                      float *out)
{
    struct rows_job job = {cpu->table, rows, cols, x, out};
    int64_t grain = rows < 1 ? cols : TDBG_GRAIN_ELEMS / rows;
    grain = (grain + TILE_COLS - 1) / TILE_COLS * TILE_COLS;
    tdbg_parallel_for(cpu->threads, cols, grain < TILE_COLS ? TILE_COLS : grain, rows_range, &job);
}

#endif
