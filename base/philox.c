/* Keys, bounded integers and permutations from Philox blocks. See philox.h. */
#include "base/philox.h"

__extension__ typedef unsigned __int128 uint128;

/* The first half of one block of Philox itself: every bit of seed, use and stream reaches every bit
 * of the key. */
uint64_t tdbg_philox_key(uint64_t seed, enum tdbg_random_use use, uint64_t stream)
{
    struct tdbg_philox_block b = tdbg_philox(seed, stream, (uint64_t)use);
    return (uint64_t)b.word[1] << 32 | b.word[0];
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
uint64_t tdbg_philox_hash_name(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) {
        h ^= (unsigned char)*name;
        h *= UINT64_C(0x100000001b3);
    }
    return h;
}

/* Lemire, "Fast random integer generation in an interval" (2019), algorithm 5. Each call begins a
 * new block; its two 64-bit halves are the first two candidates, and so on with the next block. */
uint64_t tdbg_philox_below(uint64_t key, uint64_t *counter, uint64_t n)
{
    const uint64_t biased = -n % n; /* low halves below this would make some results likelier */
    for (;;) {
        struct tdbg_philox_block b = tdbg_philox(key, (*counter)++, 0);
        for (int half = 0; half < 2; half++) {
            uint64_t word = (uint64_t)b.word[2 * half + 1] << 32 | b.word[2 * half];
            uint128 product = (uint128)word * n;
            if ((uint64_t)product >= biased)
                return (uint64_t)(product >> 64);
        }
    }
}

void tdbg_philox_permutation(uint64_t key, int64_t n, int64_t *perm)
{
    uint64_t counter = 0;
    for (int64_t i = 0; i < n; i++)
        perm[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)tdbg_philox_below(key, &counter, (uint64_t)i + 1);
        int64_t kept = perm[i];
        perm[i] = perm[j];
        perm[j] = kept;
    }
}
