/* Batch norm on the CPU: the stages of batch_norm.h, the folding of the blocks' results, and all
 * that is done once per channel. What touches every element is batch_norm_cpu.c. */
#include "kernels/batch_norm.h"

#include <math.h>
#include <string.h>

#include "kernels/batch_norm_blocks.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

struct job {
    const struct tdbg_isa_table *table;
    const struct tdbg_batch_norm *norm;
    const float *x, *stats, *weight, *bias, *dy, *sums;
    int64_t count;
    float *parts, *out;
};

/* Units of about equal size that together are the tensor, enough of them for every thread. */
static void run_units(const struct tdbg_cpu *cpu, struct job *job, int64_t units,
                      void (*range)(void *ctx, int64_t lo, int64_t hi))
{
    const struct tdbg_batch_norm *norm = job->norm;
    const int64_t elems = norm->samples * norm->channels * norm->inner / units;
    tdbg_parallel_for(cpu->threads, units, tdbg_bn_ceil(TDBG_GRAIN_ELEMS, elems + 1), range, job);
}

int64_t tdbg_batch_norm_parts_elems(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_blocks(norm) * 3 * norm->channels;
}

/* ---- sums over blocks ------------------------------------------------------------------------ */

/* A channel's terms of block b, added to what the channel's slice has so far. */
typedef void (*add_fn)(const struct job *job, int64_t block, int64_t channel, float n,
                       float slice[2]);

static float block_elems(const struct tdbg_batch_norm *norm, int64_t block)
{
    const int64_t pieces = tdbg_bn_pieces(norm), samples = tdbg_bn_block_samples(norm);
    const int64_t sample = block / pieces * samples, pixel = block % pieces * TDBG_SUM_BLOCK;
    return (float)(tdbg_bn_least(samples, norm->samples - sample) *
                   tdbg_bn_least(TDBG_SUM_BLOCK, norm->inner - pixel));
}

static inline __attribute__((always_inline)) void fold_blocks(const struct job *job, int64_t lo,
                                                              int64_t hi, int n_sums, add_fn add)
{
    const int64_t blocks = tdbg_bn_blocks(job->norm);
    for (int64_t c = lo; c < hi; c++) {
        float total[2] = {0};
        for (int64_t first = 0; first < blocks; first += TDBG_K_SLICE) {
            const int64_t end = tdbg_bn_least(first + TDBG_K_SLICE, blocks);
            float slice[2] = {0};
            for (int64_t b = first; b < end; b++)
                add(job, b, c, block_elems(job->norm, b), slice);
            for (int k = 0; k < n_sums; k++)
                total[k] += slice[k];
        }
        for (int k = 0; k < n_sums; k++)
            job->out[k * job->norm->channels + c] = tdbg_strict_canonical(total[k]);
    }
}

static void run_channels(const struct tdbg_cpu *cpu, struct job *job,
                         void (*range)(void *ctx, int64_t lo, int64_t hi))
{
    const int64_t blocks = tdbg_bn_blocks(job->norm);
    const int64_t grain = blocks < TDBG_GRAIN_ELEMS ? TDBG_GRAIN_ELEMS / blocks / 16 + 1 : 1;
    tdbg_parallel_for(cpu->threads, job->norm->channels, grain, range, job);
}

/* ---- forward --------------------------------------------------------------------------------- */

static void blocks_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *job = ctx;
    job->table->batch_norm_blocks(job->norm, lo, hi, job->x, job->parts);
}

void tdbg_batch_norm_blocks(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                            const float *x, float *parts)
{
    struct job job = {.table = cpu->table, .norm = norm, .x = x, .parts = parts};
    run_units(cpu, &job, tdbg_bn_units(norm, TDBG_BN_PART_COLUMNS), blocks_range);
}

static void add_mean(const struct job *job, int64_t block, int64_t channel, float n, float slice[2])
{
    const float *m = job->parts + block * 3 * job->norm->channels;
    slice[0] = TDBG_STRICT_FMA(n, m[channel], slice[0]);
}

static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    fold_blocks(ctx, lo, hi, 1, add_mean);
}

void tdbg_batch_norm_sum(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                         const float *parts, float *sum)
{
    struct job job = {.norm = norm, .parts = (float *)parts, .out = sum};
    run_channels(cpu, &job, sum_range);
}

static void add_spread(const struct job *job, int64_t block, int64_t channel, float n,
                       float slice[2])
{
    const int64_t channels = job->norm->channels;
    const float *part = job->parts + block * 3 * channels + channel;
    const float m = job->sums[channel] / (float)job->count;
    const float t = (part[0] - m) + part[channels];
    const float u = n * t;
    slice[0] += u;
    slice[1] += TDBG_STRICT_FMA(u, t, part[2 * channels]);
}

static void spread_range(void *ctx, int64_t lo, int64_t hi)
{
    fold_blocks(ctx, lo, hi, 2, add_spread);
}

void tdbg_batch_norm_spread(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                            const float *parts, const float *sum, int64_t count, float *spread)
{
    struct job job = {
        .norm = norm, .parts = (float *)parts, .sums = sum, .count = count, .out = spread};
    run_channels(cpu, &job, spread_range);
}

/* The sum of squared deviations from the mean. */
static float squares(int64_t channels, const float *spread, int64_t c, float n)
{
    float s = TDBG_STRICT_FMA(-spread[c], spread[c] / n, spread[channels + c]);
    return s < 0 ? 0 : s;
}

void tdbg_batch_norm_finish(const struct tdbg_batch_norm *norm, const float *sum,
                            const float *spread, int64_t count, float *stats)
{
    const int64_t channels = norm->channels;
    const float n = (float)count;
    for (int64_t c = 0; c < channels; c++) {
        float v = squares(channels, spread, c, n) / n;
        stats[c] = tdbg_strict_canonical(sum[c] / n);
        stats[channels + c] = tdbg_strict_canonical(spread[c] / n);
        stats[2 * channels + c] = tdbg_strict_canonical(1.0f / sqrtf(v + norm->eps));
    }
}

void tdbg_batch_norm_track(const struct tdbg_batch_norm *norm, const float *stats,
                           const float *spread, int64_t count, float momentum, float *running_mean,
                           float *running_var)
{
    const int64_t channels = norm->channels;
    const float keep = 1.0f - momentum, n = (float)count;
    const float unbiased = count > 1 ? (float)(count - 1) : 1;
    for (int64_t c = 0; c < channels; c++) {
        float mean = stats[c] + stats[channels + c];
        float var = squares(channels, spread, c, n) / unbiased;
        running_mean[c] =
            tdbg_strict_canonical(TDBG_STRICT_FMA(momentum, mean, keep * running_mean[c]));
        running_var[c] =
            tdbg_strict_canonical(TDBG_STRICT_FMA(momentum, var, keep * running_var[c]));
    }
}

void tdbg_batch_norm_recall(const struct tdbg_batch_norm *norm, const float *running_mean,
                            const float *running_var, float *stats)
{
    const int64_t channels = norm->channels;
    for (int64_t c = 0; c < channels; c++) {
        stats[c] = tdbg_strict_canonical(running_mean[c]);
        stats[channels + c] = 0;
        stats[2 * channels + c] = tdbg_strict_canonical(1.0f / sqrtf(running_var[c] + norm->eps));
    }
}

static void apply_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *job = ctx;
    job->table->batch_norm_apply(job->norm, lo, hi, job->x, job->stats, job->weight, job->bias,
                                 job->out);
}

void tdbg_batch_norm_apply(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                           const float *x, const float *stats, const float *weight,
                           const float *bias, float *y)
{
    struct job job = {.table = cpu->table,
                      .norm = norm,
                      .x = x,
                      .stats = stats,
                      .weight = weight,
                      .bias = bias,
                      .out = y};
    run_units(cpu, &job, tdbg_bn_strips(norm), apply_range);
}

/* ---- backward -------------------------------------------------------------------------------- */

static void sums_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *job = ctx;
    job->table->batch_norm_sums(job->norm, lo, hi, job->x, job->stats, job->dy, job->parts);
}

static void add_products(const struct job *job, int64_t block, int64_t channel, float n,
                         float slice[2])
{
    (void)n;
    const float *part = job->parts + block * 2 * job->norm->channels + channel;
    slice[0] += part[0];
    slice[1] += part[job->norm->channels];
}

static void fold_range(void *ctx, int64_t lo, int64_t hi)
{
    fold_blocks(ctx, lo, hi, 2, add_products);
}

void tdbg_batch_norm_sums(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                          const float *x, const float *stats, const float *dy, float *parts,
                          float *sums)
{
    struct job job = {.table = cpu->table,
                      .norm = norm,
                      .x = x,
                      .stats = stats,
                      .dy = dy,
                      .parts = parts,
                      .out = sums};
    run_units(cpu, &job, tdbg_bn_units(norm, TDBG_BN_SUM_COLUMNS), sums_range);
    run_channels(cpu, &job, fold_range);
}

static void dx_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *job = ctx;
    job->table->batch_norm_dx(job->norm, lo, hi, job->x, job->stats, job->weight, job->dy,
                              job->sums, job->count, job->out);
}

void tdbg_batch_norm_dx(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                        const float *x, const float *stats, const float *weight, const float *dy,
                        const float *sums, int64_t count, float *dx)
{
    struct job job = {.table = cpu->table,
                      .norm = norm,
                      .x = x,
                      .stats = stats,
                      .weight = weight,
                      .dy = dy,
                      .sums = sums,
                      .count = count,
                      .out = dx};
    run_units(cpu, &job, tdbg_bn_strips(norm), dx_range);
}

/* ---- one part by itself ---------------------------------------------------------------------- */

size_t tdbg_batch_norm_workspace_bytes(const struct tdbg_batch_norm *norm)
{
    return (size_t)(tdbg_batch_norm_parts_elems(norm) + 3 * norm->channels) * sizeof(float);
}

void tdbg_batch_norm_forward(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                             const float *x, const float *weight, const float *bias, float momentum,
                             float *running_mean, float *running_var, float *y, float *stats,
                             void *workspace)
{
    const int64_t count = norm->samples * norm->inner;
    float *parts = workspace, *sum = parts + tdbg_batch_norm_parts_elems(norm);
    float *spread = sum + norm->channels;
    if (count < 1)
        return;
    tdbg_batch_norm_blocks(cpu, norm, x, parts);
    tdbg_batch_norm_sum(cpu, norm, parts, sum);
    tdbg_batch_norm_spread(cpu, norm, parts, sum, count, spread);
    tdbg_batch_norm_finish(norm, sum, spread, count, stats);
    if (running_mean)
        tdbg_batch_norm_track(norm, stats, spread, count, momentum, running_mean, running_var);
    tdbg_batch_norm_apply(cpu, norm, x, stats, weight, bias, y);
}

void tdbg_batch_norm_evaluate(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                              const float *x, const float *weight, const float *bias,
                              const float *running_mean, const float *running_var, float *y,
                              float *stats)
{
    if (norm->samples * norm->inner < 1)
        return;
    tdbg_batch_norm_recall(norm, running_mean, running_var, stats);
    tdbg_batch_norm_apply(cpu, norm, x, stats, weight, bias, y);
}

void tdbg_batch_norm_backward(const struct tdbg_cpu *cpu, const struct tdbg_batch_norm *norm,
                              const float *x, const float *weight, const float *stats,
                              const float *dy, float *dx, float *dweight, float *dbias,
                              void *workspace)
{
    const size_t bytes = (size_t)norm->channels * sizeof(float);
    float *parts = workspace, *sums = parts + tdbg_batch_norm_parts_elems(norm);
    if (norm->samples * norm->inner < 1)
        memset(sums, 0, 2 * bytes);
    else
        tdbg_batch_norm_sums(cpu, norm, x, stats, dy, parts, sums);
    if (dbias)
        memcpy(dbias, sums, bytes);
    if (dweight)
        memcpy(dweight, sums + norm->channels, bytes);
    if (dx && norm->samples * norm->inner > 0)
        tdbg_batch_norm_dx(cpu, norm, x, stats, weight, dy, sums, norm->samples * norm->inner, dx);
}
