/* bfloat16 on the CPU. Definition: bf16.h. */
#include "kernels/bf16.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"

void TDBG_KERNEL(tdbg_bf16_round)(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_float(tdbg_bf16_round_bits(tdbg_strict_bits(x[i])));
}

void TDBG_KERNEL(tdbg_bf16_pack)(int64_t n, const float *x, uint16_t *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits(x[i])) >> 16);
}

void TDBG_KERNEL(tdbg_bf16_unpack)(int64_t n, const uint16_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_float((uint32_t)x[i] << 16);
}

#ifdef TDBG_ISA_PORTABLE

struct bf16_job {
    const struct tdbg_isa_table *table;
    const float *wide;
    const uint16_t *narrow;
    float *to_wide;
    uint16_t *to_narrow;
};

static void round_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bf16_job *job = ctx;
    job->table->bf16_round(hi - lo, job->wide + lo, job->to_wide + lo);
}

void tdbg_bf16_round(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *y)
{
    struct bf16_job job = {.table = cpu->table, .wide = x, .to_wide = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, round_range, &job);
}

static void pack_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bf16_job *job = ctx;
    job->table->bf16_pack(hi - lo, job->wide + lo, job->to_narrow + lo);
}

void tdbg_bf16_pack(const struct tdbg_cpu *cpu, int64_t n, const float *x, uint16_t *y)
{
    struct bf16_job job = {.table = cpu->table, .wide = x, .to_narrow = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, pack_range, &job);
}

static void unpack_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bf16_job *job = ctx;
    job->table->bf16_unpack(hi - lo, job->narrow + lo, job->to_wide + lo);
}

void tdbg_bf16_unpack(const struct tdbg_cpu *cpu, int64_t n, const uint16_t *x, float *y)
{
    struct bf16_job job = {.table = cpu->table, .narrow = x, .to_wide = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, unpack_range, &job);
}

#endif
