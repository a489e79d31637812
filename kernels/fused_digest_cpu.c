/* Digest and statistics on the CPU: block by block, so that the second look at a block finds it in
 * the first-level cache. Definitions: base/digest.h; base/digest.c is the reference. */
#include "kernels/fused_digest.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* A block is aligned in its tensor, so the upper half of the word index is the same in all of it
 * and mix's first line becomes a shift and an or, which compilers turn into cheap vector code. */
#define DEFINE_DIGEST(name, type)                                                                  \
    static uint64_t name(const type *x, uint64_t first_word, int64_t n)                            \
    {                                                                                              \
        const uint32_t high = (uint32_t)(first_word >> 32), low = (uint32_t)first_word;            \
        uint64_t sum = 0;                                                                          \
        for (uint32_t i = 0; i < (uint32_t)n; i++) {                                               \
            uint64_t m = (uint64_t)(low + i) << 32 | (x[i] ^ high);                                \
            m *= UINT64_C(0xbf58476d1ce4e5b9);                                                     \
            m ^= m >> 32;                                                                          \
            m *= UINT64_C(0x3c79ac492ba7b653);                                                     \
            m ^= m >> 29;                                                                          \
            sum += m;                                                                              \
        }                                                                                          \
        return sum;                                                                                \
    }
DEFINE_DIGEST(digest_u8, uint8_t)
DEFINE_DIGEST(digest_u16, uint16_t)
DEFINE_DIGEST(digest_u32, uint32_t)

static uint64_t digest_part(const void *data, enum tdbg_dtype dtype, int64_t first, int64_t n)
{
    switch (tdbg_dtype_bytes(dtype)) {
    case 1:
        return digest_u8((const uint8_t *)data + first, (uint64_t)first, n);
    case 2:
        return digest_u16((const uint16_t *)data + first, (uint64_t)first, n);
    case 4:
        return digest_u32((const uint32_t *)data + first, (uint64_t)first, n);
    default: /* 8: two words each */
        return digest_u32((const uint32_t *)data + 2 * first, 2 * (uint64_t)first, 2 * n);
    }
}

static double fold_lanes(double *lane)
{
    for (int width = TDBG_STATS_LANES / 2; width > 0; width /= 2) {
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
        uint32_t bits = tdbg_strict_bits(x[i]);
        int32_t size = (int32_t)(bits & 0x7fffffffu), key = order_key(bits);
        int32_t low = size < plus_inf ? key : plus_inf, high = size < plus_inf ? key : minus_inf;
        zeros += size == 0;
        odd += size >= plus_inf;
        min = low < min ? low : min;
        max = high > max ? high : max;
    }
    out->zeros = (uint64_t)zeros;
    out->min = (double)tdbg_strict_float((uint32_t)order_key((uint32_t)min));
    out->max = (double)tdbg_strict_float((uint32_t)order_key((uint32_t)max));
    return odd;
}

/* Sums of f32; with masked, NaN and Inf count as +0, which changes no sum: a lane never is -0. */
static inline __attribute__((always_inline)) void add_f32(float x, int masked, double *sum,
                                                          double *square)
{
    uint32_t bits = tdbg_strict_bits(x);
    uint32_t keep = (bits & 0x7f800000u) == 0x7f800000u ? 0 : bits;
    double v = (double)(masked ? tdbg_strict_float(keep) : x);
    *sum += v;
    *square += v * v;
}

static inline __attribute__((always_inline)) void sum_f32(const float *x, int64_t n, int masked,
                                                          struct tdbg_digest_part *out)
{
    double sum[TDBG_STATS_LANES] = {0}, square[TDBG_STATS_LANES] = {0};
    int64_t i = 0;
    for (; i + TDBG_STATS_LANES <= n; i += TDBG_STATS_LANES) {
        for (int l = 0; l < TDBG_STATS_LANES; l++)
            add_f32(x[i + l], masked, &sum[l], &square[l]);
    }
    for (int l = 0; l < n - i; l++)
        add_f32(x[i + l], masked, &sum[l], &square[l]);
    out->sum = fold_lanes(sum);
    out->square = fold_lanes(square);
}

static void stats_f32(const float *x, int64_t n, struct tdbg_digest_part *out)
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

/* The 16-bit types are exact in f32. */
static void stats_bf16(const uint16_t *x, int64_t n, struct tdbg_digest_part *out)
{
    float wide[TDBG_STATS_BLOCK_ELEMS];
    for (int64_t i = 0; i < n; i++)
        wide[i] = tdbg_strict_float((uint32_t)x[i] << 16);
    stats_f32(wide, n, out);
}

static void stats_f16(const uint16_t *x, int64_t n, struct tdbg_digest_part *out)
{
    float wide[TDBG_STATS_BLOCK_ELEMS];
    for (int64_t i = 0; i < n; i++) {
        /* Exponent and fraction in place, then the bias 127 - 15; denormals come out right. */
        float size = tdbg_strict_float((uint32_t)(x[i] & 0x7fff) << 13) * 0x1p112f;
        uint32_t bits = tdbg_strict_bits(size) | (uint32_t)(x[i] & 0x8000) << 16;
        wide[i] = tdbg_strict_float((x[i] & 0x7c00) == 0x7c00 ? bits | 0x7f800000u : bits);
    }
    stats_f32(wide, n, out);
}

/* f64, i32 and i64: all in double. */
struct lanes_f64 {
    double sum[TDBG_STATS_LANES], square[TDBG_STATS_LANES];
    double min[TDBG_STATS_LANES], max[TDBG_STATS_LANES];
    int64_t zeros[TDBG_STATS_LANES], nans[TDBG_STATS_LANES], infs[TDBG_STATS_LANES];
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
    for (int l = 0; l < TDBG_STATS_LANES; l++) {
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
        for (int l = 0; l < TDBG_STATS_LANES; l++) {                                               \
            s.min[l] = INFINITY;                                                                   \
            s.max[l] = -INFINITY;                                                                  \
        }                                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + TDBG_STATS_LANES <= n; i += TDBG_STATS_LANES) {                                 \
            for (int l = 0; l < TDBG_STATS_LANES; l++)                                             \
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

static void stats_part(const void *data, enum tdbg_dtype dtype, int64_t first, int64_t n,
                       struct tdbg_digest_part *out)
{
    switch (dtype) {
    case TDBG_DTYPE_F32:
        stats_f32((const float *)data + first, n, out);
        break;
    case TDBG_DTYPE_F64:
        stats_f64((const double *)data + first, n, out);
        break;
    case TDBG_DTYPE_BF16:
        stats_bf16((const uint16_t *)data + first, n, out);
        break;
    case TDBG_DTYPE_F16:
        stats_f16((const uint16_t *)data + first, n, out);
        break;
    case TDBG_DTYPE_U8:
        stats_u8((const uint8_t *)data + first, n, out);
        break;
    case TDBG_DTYPE_I32:
        stats_i32((const int32_t *)data + first, n, out);
        break;
    case TDBG_DTYPE_I64:
        stats_i64((const int64_t *)data + first, n, out);
        break;
    case TDBG_DTYPE_COUNT:
        TDBG_BUG("no such dtype");
    }
}

void TDBG_KERNEL(tdbg_digest_block)(const void *data, enum tdbg_dtype dtype, int64_t first,
                                    int64_t n, int want, struct tdbg_digest_part *out)
{
    *out = (struct tdbg_digest_part){.min = INFINITY, .max = -INFINITY};
    if (want & TDBG_WANT_DIGEST)
        out->digest = digest_part(data, dtype, first, n);
    if (want & TDBG_WANT_STATS)
        stats_part(data, dtype, first, n, out);
}

#ifdef TDBG_ISA_PORTABLE

/* Blocks whose results are kept at a time: what bounds the memory on the stack. */
enum { BATCH_BLOCKS = 256 };

struct digest_job {
    const struct tdbg_isa_table *table;
    const void *data;
    enum tdbg_dtype dtype;
    int64_t n_elems, first_block;
    int want;
    struct tdbg_digest_part part[BATCH_BLOCKS];
};

static void digest_range(void *ctx, int64_t lo, int64_t hi)
{
    struct digest_job *job = ctx;
    for (int64_t b = lo; b < hi; b++) {
        int64_t first = (job->first_block + b) * TDBG_STATS_BLOCK_ELEMS;
        int64_t left = job->n_elems - first;
        job->table->digest_block(job->data, job->dtype, first,
                                 left < TDBG_STATS_BLOCK_ELEMS ? left : TDBG_STATS_BLOCK_ELEMS,
                                 job->want, &job->part[b]);
    }
}

static void add_part(struct tdbg_digest_part *total, const struct tdbg_digest_part *part)
{
    total->digest += part->digest;
    total->sum += part->sum;
    total->square += part->square;
    total->min = part->min < total->min ? part->min : total->min;
    total->max = part->max > total->max ? part->max : total->max;
    total->zeros += part->zeros;
    total->nans += part->nans;
    total->infs += part->infs;
}

static struct tdbg_stats finish_stats(const struct tdbg_digest_part *total, int64_t n_elems)
{
    struct tdbg_stats s = {.zeros = total->zeros, .nans = total->nans, .infs = total->infs};
    double finite = (double)((uint64_t)n_elems - s.nans - s.infs);
    if (finite == 0) {
        s.min = s.max = s.mean = s.rms = NAN;
        return s;
    }
    s.min = total->min + 0.0; /* -0 + +0 is +0 */
    s.max = total->max + 0.0;
    s.mean = total->sum / finite;
    s.rms = sqrt(total->square / finite);
    return s;
}

void tdbg_digest_compute(const struct tdbg_cpu *cpu, const void *data, enum tdbg_dtype dtype,
                         int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats)
{
    struct digest_job job = {.table = cpu->table, .data = data, .dtype = dtype, .n_elems = n_elems};
    struct tdbg_digest_part total = {.min = INFINITY, .max = -INFINITY};
    const int64_t blocks = (n_elems + TDBG_STATS_BLOCK_ELEMS - 1) / TDBG_STATS_BLOCK_ELEMS;

    job.want = (digest ? TDBG_WANT_DIGEST : 0) | (stats ? TDBG_WANT_STATS : 0);
    for (; job.want && job.first_block < blocks; job.first_block += BATCH_BLOCKS) {
        int64_t left = blocks - job.first_block;
        int64_t n = left < BATCH_BLOCKS ? left : BATCH_BLOCKS;
        tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS / TDBG_STATS_BLOCK_ELEMS, digest_range,
                          &job);
        for (int64_t b = 0; b < n; b++)
            add_part(&total, &job.part[b]);
    }
    if (digest)
        *digest = total.digest +
                  tdbg_digest_length((uint64_t)n_elems * (tdbg_dtype_bytes(dtype) == 8 ? 2 : 1));
    if (stats)
        *stats = finish_stats(&total, n_elems);
}

#endif
