/* Digest and statistics of a value in memory, block by block with the fastest code for this
 * processor, on the calling thread. Bit for bit those of digest.c. */
#include "base/digest.h"

#include <math.h>
#include <string.h>

#include "base/digest_block.h"
#include "base/status.h"

enum { BLOCK = TDBG_STATS_BLOCK_ELEMS, EVERYTHING = TDBG_PART_DIGEST | TDBG_PART_STATS };

tdbg_digest_block_fn *tdbg_digest_block_best(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return tdbg_digest_block_avx512;
    if (avx2)
        return tdbg_digest_block_avx2;
#endif
    return tdbg_digest_block_portable;
}

void tdbg_digest_part_add(struct tdbg_digest_part *total, const struct tdbg_digest_part *block)
{
    total->digest += block->digest;
    total->sum += block->sum;
    total->square += block->square;
    total->min = block->min < total->min ? block->min : total->min;
    total->max = block->max > total->max ? block->max : total->max;
    total->zeros += block->zeros;
    total->nans += block->nans;
    total->infs += block->infs;
}

void tdbg_digest_part_finish(const struct tdbg_digest_part *total, enum tdbg_dtype dtype,
                             int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats)
{
    const uint64_t words_per_elem = tdbg_dtype_bytes(dtype) == 8 ? 2 : 1;
    const double finite = (double)((uint64_t)n_elems - total->nans - total->infs);
    if (digest)
        *digest = total->digest + tdbg_digest_length((uint64_t)n_elems * words_per_elem);
    if (!stats)
        return;
    *stats = (struct tdbg_stats){.min = NAN,
                                 .max = NAN,
                                 .mean = NAN,
                                 .rms = NAN,
                                 .zeros = total->zeros,
                                 .nans = total->nans,
                                 .infs = total->infs};
    if (finite == 0)
        return;
    stats->min = total->min + 0.0; /* one zero: which of -0 and +0 comes first must not show */
    stats->max = total->max + 0.0;
    stats->mean = total->sum / finite;
    stats->rms = sqrt(total->square / finite);
}

void tdbg_digest_stream_begin(struct tdbg_digest_stream *s, enum tdbg_dtype dtype)
{
    s->dtype = dtype;
    s->n_elems = 0;
    s->total = TDBG_DIGEST_PART_NONE;
}

/* The block that ends at s->n_elems. */
static void add_block(struct tdbg_digest_stream *s, const void *data, int64_t n)
{
    struct tdbg_digest_part part;
    tdbg_digest_block_best()(data, s->dtype, s->n_elems - n, n, EVERYTHING, &part);
    tdbg_digest_part_add(&s->total, &part);
}

void tdbg_digest_stream_add(struct tdbg_digest_stream *s, const void *data, int64_t n_elems)
{
    const size_t bytes = tdbg_dtype_bytes(s->dtype);
    const char *from = data;
    while (n_elems > 0) {
        const int64_t held = s->n_elems % BLOCK;
        const int64_t n = n_elems < BLOCK - held ? n_elems : BLOCK - held;
        s->n_elems += n;
        if (n == BLOCK) {
            add_block(s, from, BLOCK);
        } else {
            memcpy(s->rest + (size_t)held * bytes, from, (size_t)n * bytes);
            if (held + n == BLOCK)
                add_block(s, s->rest, BLOCK);
        }
        from += (size_t)n * bytes;
        n_elems -= n;
    }
}

void tdbg_digest_stream_end(struct tdbg_digest_stream *s, uint64_t *digest,
                            struct tdbg_stats *stats)
{
    if (s->n_elems % BLOCK > 0)
        add_block(s, s->rest, s->n_elems % BLOCK);
    tdbg_digest_part_finish(&s->total, s->dtype, s->n_elems, digest, stats);
}

void tdbg_digest_with_stats(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                            uint64_t *digest, struct tdbg_stats *stats)
{
    tdbg_digest_block_fn *const block = tdbg_digest_block_best();
    const int want = (digest ? TDBG_PART_DIGEST : 0) | (stats ? TDBG_PART_STATS : 0);
    const size_t bytes = tdbg_dtype_bytes(dtype);
    struct tdbg_digest_part total = TDBG_DIGEST_PART_NONE, part;
    for (int64_t at = 0; at < n_elems; at += BLOCK) {
        const int64_t left = n_elems - at;
        block((const char *)data + (size_t)at * bytes, dtype, at, left < BLOCK ? left : BLOCK, want,
              &part);
        tdbg_digest_part_add(&total, &part);
    }
    tdbg_digest_part_finish(&total, dtype, n_elems, digest, stats);
}

uint64_t tdbg_digest_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems)
{
    uint64_t digest;
    tdbg_digest_with_stats(data, dtype, n_elems, &digest, NULL);
    return digest;
}

void tdbg_stats_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                     struct tdbg_stats *out)
{
    tdbg_digest_with_stats(data, dtype, n_elems, NULL, out);
}
