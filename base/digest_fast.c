/* Digest and statistics of f32 tensors at the speed of memory or near it, bit for bit those of
 * digest.c: the lanes of the definition are what the compiler makes vectors of. The engine has
 * kernels of its own, fused with others (kernels/fused_digest.h); this is for whoever has only a
 * value in memory: reader, checks, library. */
#include "base/digest.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

/* The same code once more with wider vectors, chosen when the program starts. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

enum { LANES = TDBG_STATS_LANES, BLOCK = TDBG_STATS_BLOCK_ELEMS };

CLONES static uint64_t sum_words(const uint32_t *words, uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += tdbg_digest_mix(i, words[i]);
    return sum;
}

struct block_stats {
    double sum[LANES], square[LANES];
    float min[LANES], max[LANES];
    uint32_t zeros[LANES], nans[LANES], infs[LANES];
};

static inline uint32_t magnitude(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

enum { INFINITE = 0x7f800000 }; /* magnitudes above it are NaN */

/* Adds n elements, n a multiple of the lanes, in loops of one kind each, because only those become
 * vectors. What is not finite adds 0, which changes no sum that began with +0. */
CLONES static void add_block(struct block_stats *b, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const double a = (double)(magnitude(x[i + l]) < INFINITE ? x[i + l] : 0.0f);
            b->sum[l] += a;
            b->square[l] += a * a;
        }
    }
    for (int64_t i = 0; i < n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float low = magnitude(x[i + l]) < INFINITE ? x[i + l] : INFINITY;
            const float high = magnitude(x[i + l]) < INFINITE ? x[i + l] : -INFINITY;
            b->min[l] = low < b->min[l] ? low : b->min[l];
            b->max[l] = high > b->max[l] ? high : b->max[l];
        }
    }
    for (int64_t i = 0; i < n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const uint32_t m = magnitude(x[i + l]);
            b->zeros[l] += m == 0;
            b->nans[l] += m > INFINITE;
            b->infs[l] += m == INFINITE;
        }
    }
}

static double fold(double *lane)
{
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    }
    return lane[0];
}

static void stats_f32(const float *x, int64_t n, struct tdbg_stats *out)
{
    struct tdbg_stats s = {.min = INFINITY, .max = -INFINITY};
    double sum = 0, square = 0;
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t count = n - at < BLOCK ? n - at : BLOCK, whole = count / LANES * LANES;
        float tail[LANES];
        struct block_stats b;
        memset(&b, 0, sizeof b);
        for (int l = 0; l < LANES; l++) {
            b.min[l] = INFINITY;
            b.max[l] = -INFINITY;
        }
        add_block(&b, x + at, whole);
        if (whole < count) { /* NaN adds nothing but to the count, which is put right below */
            for (int l = 0; l < LANES; l++)
                tail[l] = whole + l < count ? x[at + whole + l] : NAN;
            add_block(&b, tail, LANES);
        }
        for (int l = 0; l < LANES; l++) {
            s.min = (double)b.min[l] < s.min ? (double)b.min[l] : s.min;
            s.max = (double)b.max[l] > s.max ? (double)b.max[l] : s.max;
            s.zeros += b.zeros[l];
            s.nans += b.nans[l] - (whole < count && whole + l >= count);
            s.infs += b.infs[l];
        }
        sum += fold(b.sum);
        square += fold(b.square);
    }
    const double finite = (double)((uint64_t)n - s.nans - s.infs);
    if (finite == 0) {
        s.min = s.max = s.mean = s.rms = NAN;
    } else {
        s.mean = sum / finite;
        s.rms = sqrt(square / finite);
    }
    s.min += 0.0;
    s.max += 0.0;
    *out = s;
}

uint64_t tdbg_digest_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems)
{
    if (tdbg_dtype_bytes(dtype) != 4)
        return tdbg_digest_reference(data, dtype, n_elems);
    return sum_words(data, (uint64_t)n_elems) + tdbg_digest_length((uint64_t)n_elems);
}

void tdbg_stats_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                     struct tdbg_stats *out)
{
    if (dtype == TDBG_DTYPE_F32)
        stats_f32(data, n_elems, out);
    else
        tdbg_stats_reference(data, dtype, n_elems, out);
}
