/* Clipping gradients on the CPU. Definition: clip.h. */
#include "kernels/clip.h"

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

static float square_block(int64_t n, const float *x)
{
    struct tdbg_sum_lanes sum = {{0}};
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES) {
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            sum.lane[l] = TDBG_STRICT_FMA(x[i + l], x[i + l], sum.lane[l]);
    }
    for (int l = 0; l < n - i; l++)
        sum.lane[l] = TDBG_STRICT_FMA(x[i + l], x[i + l], sum.lane[l]);
    return tdbg_sum_lanes_fold(&sum);
}

void TDBG_KERNEL(tdbg_clip_square_blocks)(int64_t n, int64_t lo, int64_t hi, const float *x,
                                          float *out)
{
    for (int64_t b = lo; b < hi; b++) {
        int64_t first = b * TDBG_SUM_BLOCK;
        int64_t terms = n - first < TDBG_SUM_BLOCK ? n - first : TDBG_SUM_BLOCK;
        out[b] = tdbg_strict_canonical(square_block(terms, x + first));
    }
}

void TDBG_KERNEL(tdbg_clip_scale)(int64_t n, float factor, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = tdbg_strict_canonical(x[i] * factor);
}

void TDBG_KERNEL(tdbg_clip_value)(int64_t n, float limit, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] > limit ? limit : x[i];
        x[i] = tdbg_strict_canonical(v < -limit ? -limit : v);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct clip_job {
    const struct tdbg_isa_table *table;
    int64_t n;
    const float *in;
    float *x;
    float by; /* factor or limit */
};

static void square_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct clip_job *job = ctx;
    job->table->clip_square_blocks(job->n, lo, hi, job->in, job->x);
}

float tdbg_clip_square_sum(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *scratch)
{
    float single = 0;
    int64_t blocks = (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
    struct clip_job job = {
        .table = cpu->table, .n = n, .in = x, .x = blocks > 1 ? scratch : &single};
    tdbg_parallel_for(cpu->threads, blocks, 2 * TDBG_GRAIN_ELEMS / TDBG_SUM_BLOCK, square_range,
                      &job);
    return blocks > 1 ? tdbg_reduce_sum(cpu, blocks, scratch, scratch + blocks) : single;
}

void tdbg_clip_norm(int64_t n, const float *squares, float limit, float out[2])
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += squares[i];
    float norm = __builtin_sqrtf(sum);
    float factor = limit / (norm + 1e-6f);
    out[0] = tdbg_strict_canonical(norm);
    out[1] = tdbg_strict_canonical(factor > 1 ? 1.0f : factor);
}

static void scale_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct clip_job *job = ctx;
    job->table->clip_scale(hi - lo, job->by, job->x + lo);
}

void tdbg_clip_scale(const struct tdbg_cpu *cpu, int64_t n, const float *factor, float *x)
{
    struct clip_job job = {.table = cpu->table, .x = x, .by = *factor};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, scale_range, &job);
}

static void value_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct clip_job *job = ctx;
    job->table->clip_value(hi - lo, job->by, job->x + lo);
}

void tdbg_clip_value(const struct tdbg_cpu *cpu, int64_t n, float limit, float *x)
{
    struct clip_job job = {.table = cpu->table, .x = x, .by = limit};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, value_range, &job);
}

#endif
