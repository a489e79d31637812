/* Dropout on the CPU. Definition: dropout.h. */
#include "kernels/dropout.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "base/philox.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* The random words of a chunk: word e belongs to element first + e; the same as tdbg_philox() of
 * the counters (first / 4, sample) and following ones. */
#if defined(__AVX2__)

/* Four blocks side by side, a word in the lower half of each 64-bit lane; the upper halves hold
 * rubbish on the way, which the multiplication does not read. (Compilers make three multiplications
 * of it.) */
static inline void make_blocks(uint64_t key, uint64_t block, uint64_t sample, uint32_t word[16])
{
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    const __m256i counter =
        _mm256_add_epi64(_mm256_set1_epi64x((int64_t)block), _mm256_set_epi64x(3, 2, 1, 0));
    __m256i c0 = counter, c1 = _mm256_srli_epi64(counter, 32);
    __m256i c2 = _mm256_set1_epi64x((int64_t)sample), c3 = _mm256_srli_epi64(c2, 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const __m256i p0 = _mm256_mul_epu32(m0, c0), p1 = _mm256_mul_epu32(m1, c2);
        c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1),
                              _mm256_set1_epi64x(k0));
        c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3),
                              _mm256_set1_epi64x(k1));
        c1 = p1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const __m256i w01 = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xaa);
    const __m256i w23 = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xaa);
    const __m256i even = _mm256_unpacklo_epi64(w01, w23), odd = _mm256_unpackhi_epi64(w01, w23);
    _mm256_storeu_si256((__m256i *)word, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(word + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}

#else

static inline void make_blocks(uint64_t key, uint64_t block, uint64_t sample, uint32_t word[16])
{
    for (uint64_t b = 0; b < 4; b++) {
        const struct tdbg_philox_block made = tdbg_philox(key, block + b, sample);
        for (int w = 0; w < 4; w++)
            word[4 * b + (uint64_t)w] = made.word[w];
    }
}

#endif

/* One chunk: n elements of a row from element `first` on, a multiple of the chunk length. */
static inline void apply_chunk(const struct tdbg_dropout *d, uint64_t sample, uint64_t first,
                               int64_t n, const float *x, float *y)
{
    uint32_t word[TDBG_DROPOUT_CHUNK];
    const uint32_t threshold = (uint32_t)d->threshold;
    for (uint64_t e = 0; e < TDBG_DROPOUT_CHUNK; e += 16)
        make_blocks(d->key, (first + e) / 4, sample, word + e);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t kept = tdbg_strict_bits(tdbg_strict_canonical(x[i] * d->scale));
        y[i] = tdbg_strict_float(word[i] < threshold ? 0u : kept);
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
