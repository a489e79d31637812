/* Values on their way to a backend and back, and the comparison of two backends, bit for bit.
 * Included behind cmocka.h. */
#ifndef TDBG_TESTS_GPU_GPU_COMPARE_H
#define TDBG_TESTS_GPU_GPU_COMPARE_H

#include <inttypes.h>
#include <string.h>

#include "base/convert.h"
#include "engine/backend.h"

/* A copy of `bytes` on the backend; free it there. */
static inline void *gpu_place(const struct tdbg_backend *backend, const void *host, size_t bytes)
{
    struct tdbg_err err = {0};
    void *data = backend->alloc(backend->context, bytes > 0 ? bytes : 1);
    assert_non_null(data);
    if (bytes > 0 && backend->to_device(backend->context, data, host, bytes, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return data;
}

/* Waits for what is running, too. */
static inline void gpu_bring(const struct tdbg_backend *backend, void *host, const void *device,
                             size_t bytes)
{
    struct tdbg_err err = {0};
    if (backend->to_host(backend->context, host, device, bytes, &err) != TDBG_OK)
        fail_msg("%s", err.message);
}

static inline void gpu_check_same(const char *name, const float *cpu_values,
                                  const float *gpu_values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t want = tdbg_float_bits(cpu_values[i]), got = tdbg_float_bits(gpu_values[i]);
        if (want != got)
            fail_msg("%s: [%lld of %lld] is %a (%08" PRIx32 "), the CPU has %a (%08" PRIx32 ")",
                     name, (long long)i, (long long)n, (double)gpu_values[i], got,
                     (double)cpu_values[i], want);
    }
}

#endif
