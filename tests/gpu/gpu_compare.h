/* Values on both backends: random ones, copies to and from a backend, and the check that two are
 * the same bit for bit. For tests that include cmocka.h. */
#ifndef TDBG_TESTS_GPU_GPU_COMPARE_H
#define TDBG_TESTS_GPU_GPU_COMPARE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/philox.h"
#include "engine/backend.h"

/* bytes from `host` in the backend's memory; rubbish that has to be overwritten if that is NULL. */
static inline void *gpu_place(const struct tdbg_backend *backend, const void *host, size_t bytes)
{
    struct tdbg_err err = {0};
    void *device = backend->alloc(backend->context, bytes), *from = malloc(bytes + 1);
    assert_non_null(device);
    assert_non_null(from);
    if (host)
        memcpy(from, host, bytes);
    else
        memset(from, 0x5a, bytes);
    if (backend->to_device(backend->context, device, from, bytes, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    free(from);
    return device;
}

/* What gpu_place() gave, on the host, and freed there. The caller frees. */
static inline void *gpu_bring(const struct tdbg_backend *backend, void *device, size_t bytes)
{
    struct tdbg_err err = {0};
    void *host = malloc(bytes + 1);
    assert_non_null(host);
    if (backend->to_host(backend->context, host, device, bytes, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    backend->free(backend->context, device);
    return host;
}

static inline void gpu_check_same(const char *name, const float *cpu_values,
                                  const float *gpu_values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t want = tdbg_float_bits(cpu_values[i]), got = tdbg_float_bits(gpu_values[i]);
        if (want != got)
            fail_msg("%s [%" PRId64 " of %" PRId64 "] is %a (%08" PRIx32
                     "), the CPU has %a (%08" PRIx32 ")",
                     name, i, n, (double)gpu_values[i], got, (double)cpu_values[i], want);
    }
}

/* Of a stream of random words with that number. */
static inline uint32_t gpu_random(uint64_t stream, uint64_t i)
{
    return tdbg_philox(tdbg_philox_key(20261126, TDBG_RANDOM_TEST, stream), i / 4, 0).word[i % 4];
}

/* What gpu_fill() puts beside values in (-2, 2). */
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
    const uint64_t key = tdbg_philox_key(20261126, TDBG_RANDOM_TEST, stream);
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
