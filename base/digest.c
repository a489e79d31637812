/* Scalar definition of digest, statistics and chains. Fast kernels live in kernels/ and are tested
 * against this file. See digest.h for the definitions. */
#include "base/digest.h"

#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "base/status.h"

uint64_t tdbg_digest_reference(const void *data, enum tdbg_dtype dtype, int64_t n_elems)
{
    const unsigned char *p = data;
    const size_t bytes = tdbg_dtype_bytes(dtype);
    const uint64_t words_per_elem = bytes == 8 ? 2 : 1;
    const size_t word_bytes = bytes == 8 ? 4 : bytes;
    const uint64_t n_words = (uint64_t)n_elems * words_per_elem;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_words; i++) {
        uint32_t w = 0;
        memcpy(&w, p + i * word_bytes, word_bytes); /* little-endian hosts only, as the trace is */
        sum += tdbg_digest_mix(i, w);
    }
    return sum + tdbg_digest_length(n_words);
}

struct stats_sums {
    double sum[TDBG_STATS_LANES], square[TDBG_STATS_LANES];
};

static double fold_lanes(double *lane)
{
    for (int width = TDBG_STATS_LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    }
    return lane[0];
}

void tdbg_stats_reference(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                          struct tdbg_stats *out)
{
    struct tdbg_stats s = {.min = INFINITY, .max = -INFINITY};
    double sum = 0, square = 0;
    for (int64_t block = 0; block < n_elems; block += TDBG_STATS_BLOCK_ELEMS) {
        struct stats_sums lanes = {0};
        int64_t end =
            block + TDBG_STATS_BLOCK_ELEMS < n_elems ? block + TDBG_STATS_BLOCK_ELEMS : n_elems;
        for (int64_t i = block; i < end; i++) {
            double v = tdbg_convert_elem_to_f64(data, dtype, i);
            s.zeros += v == 0;
            s.nans += v != v;
            s.infs += v == INFINITY || v == -INFINITY;
            if (!isfinite(v))
                continue;
            int64_t l = (i - block) % TDBG_STATS_LANES;
            lanes.sum[l] += v;
            lanes.square[l] += v * v;
            s.min = v < s.min ? v : s.min;
            s.max = v > s.max ? v : s.max;
        }
        sum += fold_lanes(lanes.sum);
        square += fold_lanes(lanes.square);
    }
    double finite = (double)((uint64_t)n_elems - s.nans - s.infs);
    if (finite == 0) {
        s.min = s.max = s.mean = s.rms = NAN;
    } else {
        s.mean = sum / finite;
        s.rms = sqrt(square / finite);
    }
    s.min += 0.0; /* one zero: which of -0 and +0 comes first must not show */
    s.max += 0.0;
    *out = s;
}

double tdbg_stats_grad_norm(const struct tdbg_site *sites, int32_t n_sites,
                            const struct tdbg_stats *stats)
{
    double square = 0;
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_stats *s = &stats[i];
        if (sites[i].stage != TDBG_STAGE_GRAD)
            continue;
        square +=
            s->nans + s->infs ? (double)NAN : s->rms * s->rms * (double)tdbg_site_elems(&sites[i]);
    }
    return sqrt(square);
}

uint64_t tdbg_chain_absorb_text(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = tdbg_chain_absorb(h, (unsigned char)*text);
    return tdbg_chain_absorb(h, 0x100); /* an end that no character can be */
}

const char *tdbg_chain_name(int chain)
{
    return chain == TDBG_CHAIN_MAIN ? "main" : tdbg_stage_text((enum tdbg_stage)(chain - 1));
}

bool tdbg_chain_covers(int chain, const struct tdbg_site *site)
{
    if (chain != TDBG_CHAIN_MAIN)
        return (int)site->stage == chain - 1;
    return site->lane == TDBG_LANE_ALL &&
           (site->stage == TDBG_STAGE_GRAD || site->stage == TDBG_STAGE_LOSS);
}

uint64_t tdbg_chain_start(int chain, const struct tdbg_site *sites, int32_t n_sites)
{
    uint64_t h = UINT64_C(0x7464626763686169); /* "tdbgchai" */
    bool any = false;
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_site *s = &sites[i];
        if (!tdbg_chain_covers(chain, s))
            continue;
        any = true;
        h = tdbg_chain_absorb_text(h, s->name);
        h = tdbg_chain_absorb(h, (uint64_t)s->dtype << 8 | (uint64_t)s->ndim);
        h = tdbg_chain_absorb(h, (uint64_t)(s->lane + 1) << 32 | (uint64_t)(s->micro + 1));
        for (int32_t d = 0; d < s->ndim; d++)
            h = tdbg_chain_absorb(h, (uint64_t)s->dims[d]);
    }
    return any ? h : 0;
}
