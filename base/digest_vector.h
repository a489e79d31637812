/* The inner loops of digest_block.c with AVX2 and AVX-512, for 32-bit words and f32; those in plain
 * C are in that file, and only it includes this one. */
#ifndef TDBG_BASE_DIGEST_VECTOR_H
#define TDBG_BASE_DIGEST_VECTOR_H

#include <immintrin.h>

#include "base/digest_block.h"

enum { VECTOR_STEP = 16 }; /* elements per round of the loops */

#ifdef __AVX512DQ__
typedef __m512i vec;
#define V(name)     _mm512_##name
#define V_LOAD(p)   _mm512_loadu_si512(p)
#define V_XOR(a, b) _mm512_xor_si512(a, b)
#define V_AND(a, b) _mm512_and_si512(a, b)
#define V_ZERO()    _mm512_setzero_si512()
#define V_FLOAT(a)  _mm512_castsi512_ps(a)
#define V_WORDS(a)  _mm512_castps_si512(a)
#define V_0213(a)   _mm512_shuffle_epi32(a, (_MM_PERM_ENUM)0xd8)
#else
typedef __m256i vec;
#define V(name)     _mm256_##name
#define V_LOAD(p)   _mm256_loadu_si256((const void *)(p))
#define V_XOR(a, b) _mm256_xor_si256(a, b)
#define V_AND(a, b) _mm256_and_si256(a, b)
#define V_ZERO()    _mm256_setzero_si256()
#define V_FLOAT(a)  _mm256_castsi256_ps(a)
#define V_WORDS(a)  _mm256_castps_si256(a)
#define V_0213(a)   _mm256_shuffle_epi32(a, 0xd8)
#endif
/* Lower and upper halves of the 64-bit lanes of a and b, in the order a b -> 0 2 1 3. */
#define V_LOWER(a, b) V_WORDS(V(shuffle_ps)(V_FLOAT(a), V_FLOAT(b), 0x88))
#define V_UPPER(a, b) V_WORDS(V(shuffle_ps)(V_FLOAT(a), V_FLOAT(b), 0xdd))

enum { VECTOR_WORDS = sizeof(vec) / sizeof(uint32_t) };

struct vector_digest {
    vec high; /* the upper half of the word index, the same in all of a block */
    vec k;    /* index * C1_LOW of the next words, in the order 0 2 1 3 */
    vec even, odd;
};

/* The constants of tdbg_digest_mix() in halves. */
static const uint32_t C1_HIGH = 0xbf58476d, C1_LOW = 0x1ce4e5b9;
static const uint32_t C2_HIGH = 0x3c79ac49, C2_LOW = 0x2ba7b653;

/* Adds mix() of one vector of words. With v = w ^ (index >> 32), all in 32-bit halves:
 *
 *     (index << 32 | v) * C1:   low = lo(v * C1_LOW),  high = hi(v * C1_LOW) + v * C1_HIGH + k
 *     x ^= x >> 32:             low ^= high
 *     x * C2:                   low * C2_LOW + ((low * C2_HIGH + high * C2_LOW) << 32)
 *
 * Four products of 32 bits to 64 and three to 32 serve all words of a vector. */
static inline __attribute__((always_inline)) void add_words(struct vector_digest *d, const void *p)
{
    const vec c1_low = V(set1_epi32)((int)C1_LOW), c1_high = V(set1_epi32)((int)C1_HIGH);
    const vec c2_low = V(set1_epi32)((int)C2_LOW), c2_high = V(set1_epi32)((int)C2_HIGH);
    const vec k_step = V(set1_epi32)((int)(VECTOR_WORDS * C1_LOW));
    const vec upper = V(slli_epi64)(V(set1_epi32)(-1), 32);
    const vec v = V_XOR(V_LOAD(p), d->high);

    const vec p_even = V(mul_epu32)(v, c1_low);
    const vec p_odd = V(mul_epu32)(V(srli_epi64)(v, 32), c1_low);
    vec high = V(add_epi32)(V(mullo_epi32)(V_0213(v), c1_high), d->k);
    high = V(add_epi32)(high, V_UPPER(p_even, p_odd));
    const vec low = V_XOR(V_LOWER(p_even, p_odd), high);
    d->k = V(add_epi32)(d->k, k_step);

    const vec cross = V(add_epi32)(V(mullo_epi32)(low, c2_high), V(mullo_epi32)(high, c2_low));
    const vec even = V(add_epi64)(V(mul_epu32)(low, c2_low), V(slli_epi64)(cross, 32));
    const vec odd = V(add_epi64)(V(mul_epu32)(V(srli_epi64)(low, 32), c2_low), V_AND(cross, upper));
    d->even = V(add_epi64)(d->even, V_XOR(even, V(srli_epi64)(even, 29)));
    d->odd = V(add_epi64)(d->odd, V_XOR(odd, V(srli_epi64)(odd, 29)));
}

/* Sum of mix(first + i, x[i]); n is a multiple of VECTOR_STEP. */
static uint64_t vector_digest(const uint32_t *x, uint64_t first, int64_t n)
{
    uint32_t k[VECTOR_WORDS];
    uint64_t lanes[VECTOR_WORDS / 2], sum = 0;
    for (uint32_t i = 0; i < VECTOR_WORDS; i++) {
        const uint32_t in_four = i % 4 == 1 ? 2 : i % 4 == 2 ? 1 : i % 4;
        k[i] = ((uint32_t)first + i / 4 * 4 + in_four) * C1_LOW;
    }
    struct vector_digest d = {V(set1_epi32)((int)(uint32_t)(first >> 32)), V_LOAD(k), V_ZERO(),
                              V_ZERO()};
    for (int64_t i = 0; i < n; i += VECTOR_STEP) {
        for (int w = 0; w < VECTOR_STEP; w += VECTOR_WORDS)
            add_words(&d, x + i + w);
    }
    d.even = V(add_epi64)(d.even, d.odd);
    memcpy(lanes, &d.even, sizeof lanes);
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++)
        sum += lanes[i];
    return sum;
}

/* Of n finite elements, n a multiple of VECTOR_STEP: the lanes of the sums to sum and square, which
 * are elements 0 to 3, 4 to 7, 8 to 11, 12 to 15 of every 16; minimum, maximum and zeros are added
 * to out. With an element that is not finite, square has one that is not. In a function of its own,
 * because inlined it does not get the registers that it needs. */
static __attribute__((noinline)) void vector_stats(const float *x, int64_t n, double *sum,
                                                   double *square, struct tdbg_digest_part *out)
{
    __m256d s[4], q[4];
    __m256 low = _mm256_set1_ps(INFINITY), high = _mm256_set1_ps(-INFINITY);
    __m256i count = _mm256_setzero_si256();
    float min[8], max[8];
    uint32_t zeros[8];
    for (int i = 0; i < 4; i++)
        s[i] = q[i] = _mm256_setzero_pd();
    for (int64_t at = 0; at < n; at += VECTOR_STEP) {
        for (int i = 0; i < 4; i += 2) {
            const float *p = x + at + 4 * i;
            const __m256 v = _mm256_loadu_ps(p);
            const __m256 is_zero = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_EQ_OQ);
            const __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(p));
            const __m256d b = _mm256_cvtps_pd(_mm_loadu_ps(p + 4));
            low = _mm256_min_ps(low, v);
            high = _mm256_max_ps(high, v);
            count = _mm256_sub_epi32(count, _mm256_castps_si256(is_zero)); /* -1 where so */
            s[i] = _mm256_add_pd(s[i], a);
            s[i + 1] = _mm256_add_pd(s[i + 1], b);
            /* the square of a float is exact in double: fma rounds once, as the definition does */
            q[i] = _mm256_fmadd_pd(a, a, q[i]);
            q[i + 1] = _mm256_fmadd_pd(b, b, q[i + 1]);
        }
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_pd(sum + 4 * i, s[i]);
        _mm256_storeu_pd(square + 4 * i, q[i]);
    }
    _mm256_storeu_ps(min, low);
    _mm256_storeu_ps(max, high);
    _mm256_storeu_si256((void *)zeros, count);
    for (int l = 0; l < 8; l++) {
        out->min = (double)min[l] < out->min ? (double)min[l] : out->min;
        out->max = (double)max[l] > out->max ? (double)max[l] : out->max;
        out->zeros += zeros[l];
    }
}

#endif
