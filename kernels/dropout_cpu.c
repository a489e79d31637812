/* Dropout on the CPU. Definition: dropout.h. */
#include "kernels/dropout.h"

#include "base/philox.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

enum { BLOCKS = TDBG_DROPOUT_CHUNK / 4 };

/* What tdbg_philox() gives for the counters (first, high) ... (first + BLOCKS - 1, high), side by
 * side: word[w][b] is word w of block b. */
static inline void philox_blocks(uint64_t key, uint64_t first, uint64_t high,
                                 uint32_t word[4][BLOCKS])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int b = 0; b < BLOCKS; b++) {
        word[0][b] = (uint32_t)(first + (uint64_t)b);
        word[1][b] = (uint32_t)((first + (uint64_t)b) >> 32);
        word[2][b] = (uint32_t)high;
        word[3][b] = (uint32_t)(high >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int b = 0; b < BLOCKS; b++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * word[0][b];
            uint64_t p1 = (uint64_t)0xCD9E8D57u * word[2][b];
            word[0][b] = (uint32_t)(p1 >> 32) ^ word[1][b] ^ k0;
            word[2][b] = (uint32_t)(p0 >> 32) ^ word[3][b] ^ k1;
            word[1][b] = (uint32_t)p1;
            word[3][b] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* One chunk: n elements of a row from element `first` on, a multiple of the chunk length. */
static inline void apply_chunk(const struct tdbg_dropout *d, uint64_t sample, uint64_t first,
                               int64_t n, const float *x, float *y)
{
    uint32_t word[4][BLOCKS], mask[TDBG_DROPOUT_CHUNK];
    const uint32_t threshold = (uint32_t)d->threshold;
    philox_blocks(d->key, first / 4, sample, word);
    for (int b = 0; b < BLOCKS; b++) {
        for (int w = 0; w < 4; w++)
            mask[4 * b + w] = word[w][b] < threshold ? 0u : 0xffffffffu;
    }
    for (int64_t i = 0; i < n; i++) {
        float kept = tdbg_strict_canonical(x[i] * d->scale);
        y[i] = tdbg_strict_float(tdbg_strict_bits(kept) & mask[i]);
    }
}

void TDBG_KERNEL(tdbg_dropout_apply)(const struct tdbg_dropout *dropout, int64_t elems, int64_t lo,
                                     int64_t hi, const float *x, float *y)
{
    const int64_t chunks = (elems + TDBG_DROPOUT_CHUNK - 1) / TDBG_DROPOUT_CHUNK;
    for (int64_t c = lo; c < hi; c++) {
        const int64_t row = c / chunks, first = c % chunks * TDBG_DROPOUT_CHUNK;
        const int64_t at = row * elems + first, left = elems - first;
        const uint64_t sample = dropout->first_sample + (uint64_t)row;
        if (left >= TDBG_DROPOUT_CHUNK)
            apply_chunk(dropout, sample, (uint64_t)first, TDBG_DROPOUT_CHUNK, x + at, y + at);
        else
            apply_chunk(dropout, sample, (uint64_t)first, left, x + at, y + at);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct tdbg_dropout tdbg_dropout_make(double p, uint64_t seed, const char *name, int64_t step,
                                      int64_t first_sample)
{
    const uint64_t op = tdbg_philox_key(seed, TDBG_RANDOM_DROPOUT, tdbg_philox_hash_name(name));
    return (struct tdbg_dropout){
        .key = tdbg_philox_key(op, TDBG_RANDOM_DROPOUT, (uint64_t)step),
        .first_sample = (uint64_t)first_sample,
        .threshold = (uint64_t)(p * 0x1p32 + 0.5),
        .scale = p < 1 ? (float)(1 / (1 - p)) : 0.0f,
    };
}

struct dropout_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_dropout *dropout;
    int64_t elems;
    const float *x;
    float *y;
};

static void apply_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct dropout_job *job = ctx;
    job->table->dropout_apply(job->dropout, job->elems, lo, hi, job->x, job->y);
}

static void zero_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct dropout_job *job = ctx;
    for (int64_t i = lo; i < hi; i++)
        job->y[i] = 0.0f;
}

void tdbg_dropout_apply(const struct tdbg_cpu *cpu, const struct tdbg_dropout *dropout,
                        int64_t rows, int64_t elems, const float *x, float *y)
{
    struct dropout_job job = {cpu->table, dropout, elems, x, y};
    if (dropout->threshold > UINT32_MAX) { /* no word would be kept */
        tdbg_parallel_for(cpu->threads, rows * elems, TDBG_GRAIN_ELEMS, zero_range, &job);
        return;
    }
    const int64_t chunks = (elems + TDBG_DROPOUT_CHUNK - 1) / TDBG_DROPOUT_CHUNK;
    tdbg_parallel_for(cpu->threads, rows * chunks, TDBG_GRAIN_ELEMS / TDBG_DROPOUT_CHUNK / 4,
                      apply_range, &job);
}

#endif
