/* Digest and statistics of a block; compiled once per instruction set. Definitions: digest.h;
 * digest.c is the reference. A block stays in the first-level cache: it is looked at twice. */
#include "base/digest_block.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#if defined(TDBG_ISA_AVX512) || defined(TDBG_ISA_AVX2)
#include "base/digest_vector.h"
#define HAS_VECTORS
#endif

#if defined(TDBG_ISA_AVX512)
#define DIGEST_BLOCK tdbg_digest_block_avx512
#elif defined(TDBG_ISA_AVX2)
#define DIGEST_BLOCK tdbg_digest_block_avx2
#else
#define DIGEST_BLOCK tdbg_digest_block_portable
#endif

enum { BLOCK = TDBG_STATS_BLOCK_ELEMS, LANES = TDBG_STATS_LANES };

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A block is aligned in its tensor, so the upper half of the word index is the same in all of it
 * and mix's first line becomes a shift and an or, which compilers turn into cheap vector code. */
static uint64_t digest_words(const uint32_t *x, uint64_t first, int64_t n)
{
    const uint32_t high = (uint32_t)(first >> 32), low = (uint32_t)first;
    uint64_t sum = 0;
    uint32_t i = 0;
#ifdef HAS_VECTORS
    i = (uint32_t)(n / VECTOR_STEP * VECTOR_STEP);
    sum = vector_digest(x, first, i);
#endif
    for (; i < (uint32_t)n; i++) {
        uint64_t m = (uint64_t)(low + i) << 32 | (x[i] ^ high);
        m *= UINT64_C(0xbf58476d1ce4e5b9);
        m ^= m >> 32;
        m *= UINT64_C(0x3c79ac492ba7b653);
        m ^= m >> 29;
        sum += m;
    }
    return sum;
}

static uint64_t digest_part(const void *data, enum tdbg_dtype dtype, uint64_t first, int64_t n)
{
    uint32_t wide[BLOCK];
    switch (tdbg_dtype_bytes(dtype)) {
    case 1:
        for (int64_t i = 0; i < n; i++)
            wide[i] = ((const uint8_t *)data)[i];
        return digest_words(wide, first, n);
    case 2:
        for (int64_t i = 0; i < n; i++)
            wide[i] = ((const uint16_t *)data)[i];
        return digest_words(wide, first, n);
    case 4:
        return digest_words(data, first, n);
    default: /* 8: two words each */
        return digest_words(data, 2 * first, 2 * n);
    }
}

static double fold_lanes(double *lane)
{
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    }
    return lane[0];
}

/* Floats in order as integers, so that minimum and maximum are integer reductions, which compilers
 * vectorise (those of floats they may not, because of NaN). Its own inverse. */
static inline int32_t order_key(uint32_t bits)
{
    return (int32_t)(bits ^ ((uint32_t)((int32_t)bits >> 31) & 0x7fffffffu));
}

/* Counts, minimum and maximum of f32; returns the number of elements that are NaN or Inf. */
static int32_t scan_f32(const float *x, int32_t n, struct tdbg_digest_part *out)
{
    const int32_t plus_inf = 0x7f800000, minus_inf = order_key(0xff800000u);
    int32_t zeros = 0, odd = 0, min = plus_inf, max = minus_inf;
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits = float_bits(x[i]);
        int32_t size = (int32_t)(bits & 0x7fffffffu), key = order_key(bits);
        int32_t low = size < plus_inf ? key : plus_inf, high = size < plus_inf ? key : minus_inf;
        zeros += size == 0;
        odd += size >= plus_inf;
        min = low < min ? low : min;
        max = high > max ? high : max;
    }
    out->zeros = (uint64_t)zeros;
    out->min = (double)bits_float((uint32_t)order_key((uint32_t)min));
    out->max = (double)bits_float((uint32_t)order_key((uint32_t)max));
    return odd;
}

/* Sums of f32; with masked, NaN and Inf count as +0, which changes no sum: a lane never is -0. */
static inline __attribute__((always_inline)) void add_f32(float x, int masked, double *sum,
                                                          double *square)
{
    uint32_t bits = float_bits(x);
    uint32_t keep = (bits & 0x7f800000u) == 0x7f800000u ? 0 : bits;
    double v = (double)(masked ? bits_float(keep) : x);
    *sum += v;
    *square += v * v;
}

static inline __attribute__((always_inline)) void sum_f32(const float *x, int64_t n, int masked,
                                                          struct tdbg_digest_part *out)
{
    double sum[LANES] = {0}, square[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++)
            add_f32(x[i + l], masked, &sum[l], &square[l]);
    }
    for (int l = 0; l < n - i; l++)
        add_f32(x[i + l], masked, &sum[l], &square[l]);
    out->sum = fold_lanes(sum);
    out->square = fold_lanes(square);
}

/* A block that may hold anything. */
static void stats_any_f32(const float *x, int64_t n, struct tdbg_digest_part *out)
{
    int32_t odd = scan_f32(x, (int32_t)n, out);
    if (odd == 0) {
        sum_f32(x, n, 0, out);
        return;
    }
    sum_f32(x, n, 1, out);
    for (int64_t i = 0; i < n; i++)
        out->nans += x[i] != x[i];
    out->infs = (uint64_t)odd - out->nans;
}

#ifdef HAS_VECTORS
/* As if all were finite; the squares of finite floats do not overflow, so that they tell. */
static void stats_f32(const float *x, int64_t n, struct tdbg_digest_part *out)
{
    double sum[LANES], square[LANES];
    const int64_t whole = n / LANES * LANES;
    struct tdbg_digest_part part = *out;
    vector_stats(x, whole, sum, square, &part);
    for (int64_t i = whole; i < n; i++) {
        const double v = (double)x[i];
        add_f32(x[i], 0, &sum[i - whole], &square[i - whole]);
        part.zeros += v == 0;
        part.min = v < part.min ? v : part.min;
        part.max = v > part.max ? v : part.max;
    }
    part.sum = fold_lanes(sum);
    part.square = fold_lanes(square);
    if (isfinite(part.square))
        *out = part;
    else
        stats_any_f32(x, n, out);
}
#else
static void stats_f32(const float *x, int64_t n, struct tdbg_digest_part *out)
{
    stats_any_f32(x, n, out);
}
#endif

/* The 16-bit types are exact in f32. */
static void stats_bf16(const uint16_t *x, int64_t n, struct tdbg_digest_part *out)
{
    float wide[BLOCK];
    for (int64_t i = 0; i < n; i++)
        wide[i] = bits_float((uint32_t)x[i] << 16);
    stats_f32(wide, n, out);
}

static void stats_f16(const uint16_t *x, int64_t n, struct tdbg_digest_part *out)
{
    float wide[BLOCK];
    for (int64_t i = 0; i < n; i++) {
        /* Exponent and fraction in place, then the bias 127 - 15; denormals come out right. */
        float size = bits_float((uint32_t)(x[i] & 0x7fff) << 13) * 0x1p112f;
        uint32_t bits = float_bits(size) | (uint32_t)(x[i] & 0x8000) << 16;
        wide[i] = bits_float((x[i] & 0x7c00) == 0x7c00 ? bits | 0x7f800000u : bits);
    }
    stats_f32(wide, n, out);
}

/* f64, i32 and i64: all in double. */
struct lanes_f64 {
    double sum[LANES], square[LANES];
    double min[LANES], max[LANES];
    int64_t zeros[LANES], nans[LANES], infs[LANES];
};

static inline __attribute__((always_inline)) void add_f64(double v, int l, struct lanes_f64 *s)
{
    int nan = v != v, inf = fabs(v) == (double)INFINITY, finite = !(nan | inf);
    double f = finite ? v : 0, low = finite ? v : INFINITY, high = finite ? v : -INFINITY;
    s->sum[l] += f;
    s->square[l] += f * f;
    s->min[l] = low < s->min[l] ? low : s->min[l];
    s->max[l] = high > s->max[l] ? high : s->max[l];
    s->zeros[l] += v == 0;
    s->nans[l] += nan;
    s->infs[l] += inf;
}

static void finish_f64(struct lanes_f64 *s, struct tdbg_digest_part *out)
{
    for (int l = 0; l < LANES; l++) {
        out->min = s->min[l] < out->min ? s->min[l] : out->min;
        out->max = s->max[l] > out->max ? s->max[l] : out->max;
        out->zeros += (uint64_t)s->zeros[l];
        out->nans += (uint64_t)s->nans[l];
        out->infs += (uint64_t)s->infs[l];
    }
    out->sum = fold_lanes(s->sum);
    out->square = fold_lanes(s->square);
}

#define DEFINE_STATS(name, type)                                                                   \
    static void name(const type *x, int64_t n, struct tdbg_digest_part *out)                       \
    {                                                                                              \
        struct lanes_f64 s = {0};                                                                  \
        for (int l = 0; l < LANES; l++) {                                                          \
            s.min[l] = INFINITY;                                                                   \
            s.max[l] = -INFINITY;                                                                  \
        }                                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + LANES <= n; i += LANES) {                                                       \
            for (int l = 0; l < LANES; l++)                                                        \
                add_f64((double)x[i + l], l, &s);                                                  \
        }                                                                                          \
        for (int l = 0; l < n - i; l++)                                                            \
            add_f64((double)x[i + l], l, &s);                                                      \
        finish_f64(&s, out);                                                                       \
    }
DEFINE_STATS(stats_f64, double)
DEFINE_STATS(stats_i32, int32_t)
DEFINE_STATS(stats_i64, int64_t)

/* u8: every partial sum of a block is an integer below 2^32, so that integers give the same. */
static void stats_u8(const uint8_t *x, int64_t n, struct tdbg_digest_part *out)
{
    uint32_t sum = 0, square = 0, zeros = 0;
    uint8_t min = 255, max = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        square += (uint32_t)(x[i] * x[i]);
        zeros += x[i] == 0;
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    out->sum = sum;
    out->square = square;
    out->zeros = zeros;
    out->min = min;
    out->max = max;
}

static void stats_part(const void *data, enum tdbg_dtype dtype, int64_t n,
                       struct tdbg_digest_part *out)
{
    switch (dtype) {
    case TDBG_DTYPE_F32:
        stats_f32(data, n, out);
        break;
    case TDBG_DTYPE_F64:
        stats_f64(data, n, out);
        break;
    case TDBG_DTYPE_BF16:
        stats_bf16(data, n, out);
        break;
    case TDBG_DTYPE_F16:
        stats_f16(data, n, out);
        break;
    case TDBG_DTYPE_U8:
        stats_u8(data, n, out);
        break;
    case TDBG_DTYPE_I32:
        stats_i32(data, n, out);
        break;
    case TDBG_DTYPE_I64:
        stats_i64(data, n, out);
        break;
    case TDBG_DTYPE_COUNT:
        TDBG_BUG("no such dtype");
    }
}

void DIGEST_BLOCK(const void *data, enum tdbg_dtype dtype, int64_t first, int64_t n, int want,
                  struct tdbg_digest_part *out)
{
    *out = TDBG_DIGEST_PART_NONE;
    if (want & TDBG_PART_DIGEST)
        out->digest = digest_part(data, dtype, (uint64_t)first, n);
    if (want & TDBG_PART_STATS)
        stats_part(data, dtype, n, out);
}
