/* Digest, statistics and hash chains: the scalar definitions that every device has to match.
 *
 * Digest of a tensor: with w(i) the i-th 32-bit word of its bits in row-major order (elements of
 * 8 and 16 bits are zero-extended to one word each, elements of 64 bits are two words, low first),
 *     digest = sum over i of mix(i, w(i))  +  mix(~0, number of words)      modulo 2^64.
 * mix is injective in w for a fixed i, so one changed word always changes the digest. A sum can be
 * computed in any order and on any number of threads.
 *
 * A hash chain joins the digests of one group of sites over the steps:
 *     h(-1) = fold of the group's site names, shapes and dtypes;
 *     h(t)  = fold of h(t-1) with the digests of step t, in site order (lanes in lane order).
 * Two runs agree up to and including step t exactly if h(t) agrees, so the first step that differs
 * is found by binary search. */
#ifndef TDBG_BASE_DIGEST_H
#define TDBG_BASE_DIGEST_H

#include <stdint.h>

#include "base/host_device.h"
#include "base/site.h"

/* Contribution of word w at word index i. Constants: the odd multipliers of splitmix64
 * (Steele, Lea, Flood 2014) and of Moremur (Evensen 2019). */
TDBG_HOST_DEVICE static inline uint64_t tdbg_digest_mix(uint64_t i, uint32_t w)
{
    uint64_t x = (i << 32 | i >> 32) ^ w;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 32;
    x *= UINT64_C(0x3c79ac492ba7b653);
    x ^= x >> 29;
    return x;
}

/* What is added once, after the sum over n_words words. */
TDBG_HOST_DEVICE static inline uint64_t tdbg_digest_length(uint64_t n_words)
{
    return tdbg_digest_mix(~UINT64_C(0), (uint32_t)(n_words ^ n_words >> 32));
}

/* Digest of n_elems contiguous elements: the reference that kernels are compared with. */
uint64_t tdbg_digest_reference(const void *data, enum tdbg_dtype dtype, int64_t n_elems);

/* Statistics of one tensor. min, max, mean and rms are over the finite elements and are NaN when
 * there is none. Sums in double: virtual lane l of 16 adds elements l, l+16, ... of a block of
 * 4096, lanes are folded 8, 4, 2, 1, and block results are added in order. */
struct tdbg_stats {
    double min, max, mean, rms;
    uint64_t zeros, nans, infs; /* element counts */
};
enum { TDBG_STATS_BLOCK_ELEMS = 4096, TDBG_STATS_LANES = 16 };
void tdbg_stats_reference(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                          struct tdbg_stats *out);

/* The same results for values in memory (aligned to their elements), as fast as one thread can.
 * with_stats: digest and stats may each be NULL; both in one pass cost less than one by one. */
void tdbg_digest_with_stats(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                            uint64_t *digest, struct tdbg_stats *stats);
uint64_t tdbg_digest_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems);
void tdbg_stats_fast(const void *data, enum tdbg_dtype dtype, int64_t n_elems,
                     struct tdbg_stats *out);

/* L2 norm of all gradients, from the statistics of all sites (n_sites): those of stage `grad`, in
 * site order. NaN where one of them holds what is not finite, or has no statistics. */
double tdbg_stats_grad_norm(const struct tdbg_site *sites, int32_t n_sites,
                            const struct tdbg_stats *stats);

/* Hash chains. Absorbing is a bijection of h for a fixed d, and of d for a fixed h. */
static inline uint64_t tdbg_chain_absorb(uint64_t h, uint64_t d)
{
    h ^= d;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    return h + 1; /* keeps 0 from being a fixed point */
}
uint64_t tdbg_chain_absorb_text(uint64_t h, const char *text);

/* The groups: `main` is "the" chain of a run, in every preset; then one per stage.
 * Chain c > 0 belongs to stage c - 1. */
enum { TDBG_CHAIN_MAIN = 0, TDBG_CHAIN_COUNT = 1 + TDBG_STAGE_COUNT };
const char *tdbg_chain_name(int chain);

/* Does this site belong to that chain? `main` holds `loss` and grad/... of the whole step. */
bool tdbg_chain_covers(int chain, const struct tdbg_site *site);

/* h(-1) of a chain over these sites; 0 where no site belongs to it. */
uint64_t tdbg_chain_start(int chain, const struct tdbg_site *sites, int32_t n_sites);

#endif
