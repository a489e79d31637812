/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC'11). A number is a pure function of (key, counter), so that it
 * never depends on threads, ranks or the order of calls. */
#ifndef TDBG_BASE_PHILOX_H
#define TDBG_BASE_PHILOX_H

#include <stdint.h>

#include "base/host_device.h"

struct tdbg_philox_block {
    uint32_t word[4];
};

/* One block of four words. */
TDBG_HOST_DEVICE static inline struct tdbg_philox_block
tdbg_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct tdbg_philox_block block = {{c0, c1, c2, c3}};
    return block;
}

/* Uses of random numbers; part of the key, so that two uses never share a stream. */
enum tdbg_random_use {
    TDBG_RANDOM_INIT = 1,    /* parameter name, element */
    TDBG_RANDOM_SHUFFLE = 2, /* epoch, draw */
    TDBG_RANDOM_AUGMENT = 3, /* epoch, sample id, transform */
    TDBG_RANDOM_DROPOUT = 4, /* site, step, global sample position, element */
    TDBG_RANDOM_TEST = 5,
    TDBG_RANDOM_SPLIT = 6, /* which samples are the evaluation set: draw */
};

/* Key of a stream: seed, use and a number that tells streams of one use apart. */
uint64_t tdbg_philox_key(uint64_t seed, enum tdbg_random_use use, uint64_t stream);

/* 64-bit hash of a name, to make a stream number from it. */
uint64_t tdbg_philox_hash_name(const char *name);

/* [0, 1) with 24 bits from one word. */
TDBG_HOST_DEVICE static inline float tdbg_philox_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Uniform integer in [0, n) without bias (Lemire 2019, with rejection), n >= 1. *counter is the
 * next unused block of the stream and moves on. */
uint64_t tdbg_philox_below(uint64_t key, uint64_t *counter, uint64_t n);

/* Random permutation of 0..n-1 (Fisher-Yates from the end) into perm (n). */
void tdbg_philox_permutation(uint64_t key, int64_t n, int64_t *perm);

#endif
