/* Seeded random values for tests that compare two backends. */
#ifndef TDBG_TESTS_GPU_GPU_VALUES_H
#define TDBG_TESTS_GPU_GPU_VALUES_H

#include <stdint.h>

#include "base/convert.h"
#include "base/philox.h"

enum { GPU_SEED = 20261126 };

/* Word i of the stream with that number. */
static inline uint32_t gpu_random(uint64_t stream, uint64_t i)
{
    const uint64_t key = tdbg_philox_key(GPU_SEED, TDBG_RANDOM_TEST, stream);
    return tdbg_philox(key, i / 4, 0).word[i % 4];
}

/* What gpu_fill() puts beside values in [-2, 2). */
enum gpu_values {
    GPU_PLAIN,
    GPU_SPECIAL, /* one in 16 a NaN, infinity, zero, denormal or +-2^60 */
    GPU_RARE,    /* one in 499 of them */
    GPU_TINY,    /* the whole range times 2^-75: products of two are denormal or vanish */
    GPU_VALUES
};

static inline void gpu_fill(float *x, int64_t n, uint64_t stream, enum gpu_values kind)
{
    static const uint32_t special[] = {
        0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000, 0x00000000, 0x80000000,
        0x00000001, 0x807fffff, 0x00800000, 0x3f800000, 0x5d800000, 0xdd800000,
    };
    const uint64_t key = tdbg_philox_key(GPU_SEED, TDBG_RANDOM_TEST, stream);
    const uint32_t one_in = kind == GPU_SPECIAL ? 16 : 499;
    for (int64_t i = 0; i < n; i++) {
        const struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, 1);
        x[i] = tdbg_philox_uniform(r.word[0]) * 4 - 2;
        if (kind == GPU_TINY)
            x[i] *= 0x1p-75f;
        if ((kind == GPU_SPECIAL || kind == GPU_RARE) && r.word[1] % one_in == 0)
            x[i] = tdbg_bits_float(special[r.word[2] % (sizeof special / sizeof *special)]);
    }
}

#endif
