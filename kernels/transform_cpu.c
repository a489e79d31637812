/* Data transforms on the CPU. Definition: transform.h. */
#include "kernels/transform.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_transform_u8_to_f32)(int64_t n, const uint8_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)x[i];
}

void TDBG_KERNEL(tdbg_transform_scale)(int64_t n, const float *x, float by, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_canonical(x[i] * by);
}

/* Runs of one channel are contiguous for inner > 1; for inner == 1 the channels themselves are. */
void TDBG_KERNEL(tdbg_transform_normalize)(int64_t lo, int64_t hi, int64_t channels, int64_t inner,
                                           const float *x, const float *mean, const float *std,
                                           float *y)
{
    const int64_t run = inner == 1 ? channels : inner;
    while (lo < hi) {
        int64_t left = run - lo % run;
        int64_t end = left < hi - lo ? lo + left : hi;
        int64_t c = inner == 1 ? lo % channels : lo / inner % channels;
        if (inner == 1) {
            for (int64_t i = lo; i < end; i++)
                y[i] = tdbg_strict_canonical((x[i] - mean[c + i - lo]) / std[c + i - lo]);
        } else {
            float m = mean[c], s = std[c];
            for (int64_t i = lo; i < end; i++)
                y[i] = tdbg_strict_canonical((x[i] - m) / s);
        }
        lo = end;
    }
}

#ifdef TDBG_ISA_PORTABLE

struct transform_job {
    const struct tdbg_isa_table *table;
    const uint8_t *bytes;
    const float *x, *mean, *std;
    int64_t channels, inner;
    float by;
    float *y;
};

static void u8_to_f32_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct transform_job *job = ctx;
    job->table->transform_u8_to_f32(hi - lo, job->bytes + lo, job->y + lo);
}

void tdbg_transform_u8_to_f32(const struct tdbg_cpu *cpu, int64_t n, const uint8_t *x, float *y)
{
    struct transform_job job = {.table = cpu->table, .bytes = x, .y = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, u8_to_f32_range, &job);
}

static void scale_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct transform_job *job = ctx;
    job->table->transform_scale(hi - lo, job->x + lo, job->by, job->y + lo);
}

void tdbg_transform_scale(const struct tdbg_cpu *cpu, int64_t n, const float *x, float by, float *y)
{
    struct transform_job job = {.table = cpu->table, .x = x, .by = by, .y = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, scale_range, &job);
}

static void normalize_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct transform_job *job = ctx;
    job->table->transform_normalize(lo, hi, job->channels, job->inner, job->x, job->mean, job->std,
                                    job->y);
}

void tdbg_transform_normalize(const struct tdbg_cpu *cpu, int64_t outer, int64_t channels,
                              int64_t inner, const float *x, const float *mean, const float *std,
                              float *y)
{
    struct transform_job job = {.table = cpu->table,
                                .x = x,
                                .mean = mean,
                                .std = std,
                                .channels = channels,
                                .inner = inner,
                                .y = y};
    tdbg_parallel_for(cpu->threads, outer * channels * inner, TDBG_GRAIN_ELEMS, normalize_range,
                      &job);
}

#endif
