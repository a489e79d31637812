/* Values on a device, and the comparison of what two backends made of the same: for tests that call
 * entries of the backend table. Behind the headers that cmocka.h needs, and it. */
#ifndef TDBG_TESTS_GPU_GPU_COMPARE_H
#define TDBG_TESTS_GPU_GPU_COMPARE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "engine/backend.h"

/* A copy of `bytes` bytes on the device; rubbish where host is NULL. Freed by gpu_drop() or
 * gpu_bring(). */
static inline void *gpu_place(const struct tdbg_backend *be, const void *host, size_t bytes)
{
    void *rubbish = NULL, *device = be->alloc(be->context, bytes);
    if (!device)
        fail_msg("%s: no memory for %zu bytes", be->name, bytes);
    if (!host) {
        rubbish = malloc(bytes + 1);
        memset(rubbish, 0x5a, bytes);
    }
    struct tdbg_err err = {0};
    if (be->to_device(be->context, device, host ? host : rubbish, bytes, &err) != TDBG_OK)
        fail_msg("%s: %s", be->name, err.message);
    free(rubbish);
    return device;
}

static inline void gpu_drop(const struct tdbg_backend *be, const void *device)
{
    if (device)
        be->free(be->context, (void *)(uintptr_t)device);
}

/* The bytes on the host, which the caller frees; the device's are freed. NULL for NULL. */
static inline void *gpu_bring(const struct tdbg_backend *be, void *device, size_t bytes)
{
    struct tdbg_err err = {0};
    if (!device)
        return NULL;
    void *host = malloc(bytes + 1);
    if (be->to_host(be->context, host, device, bytes, &err) != TDBG_OK)
        fail_msg("%s: %s", be->name, err.message);
    gpu_drop(be, device);
    return host;
}

/* Copies what stays on the device; waits for what is running, too. */
static inline void gpu_fetch(const struct tdbg_backend *be, void *host, const void *device,
                             size_t bytes)
{
    struct tdbg_err err = {0};
    if (be->to_host(be->context, host, device, bytes, &err) != TDBG_OK)
        fail_msg("%s: %s", be->name, err.message);
}

/* Fails at the first of n floats that has other bits on the GPU. */
static inline void gpu_check_same(const char *name, const float *cpu, const float *gpu, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t want = tdbg_float_bits(cpu[i]), got = tdbg_float_bits(gpu[i]);
        if (want != got)
            fail_msg("%s: [%lld of %lld] is %a (%08" PRIx32 "), the CPU has %a (%08" PRIx32 ")",
                     name, (long long)i, (long long)n, (double)gpu[i], got, (double)cpu[i], want);
    }
}

#endif
