/* Stores that go around the caches, for tensors that no cache can hold until they are read: a
 * normal store first reads what it overwrites. The bits are the same. A kernel computes a piece of
 * its output in a buffer and copies it from there. For *_cpu.c only: the instructions are those of
 * the set that the file is compiled for; the portable copy stores normally. */
#ifndef TDBG_KERNELS_STREAM_STORE_H
#define TDBG_KERNELS_STREAM_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum {
    TDBG_STREAM_PIECE = 512, /* floats that a kernel computes before it copies them */
    TDBG_STREAM_MIN_BYTES = 32 << 20,
};

/* Is an output of `elems` floats large enough? */
static inline bool tdbg_stream_pays(int64_t elems)
{
#if defined(__AVX2__)
    return elems >= TDBG_STREAM_MIN_BYTES / (int64_t)sizeof(float);
#else
    (void)elems;
    return false;
#endif
}

static inline void tdbg_stream_copy(int64_t n, const float *from, float *to)
{
#if defined(__AVX2__)
    /* Up to a cache line's beginning, so that lines are written whole. */
    int64_t head = (int64_t)((64 - (uintptr_t)to % 64) % 64 / sizeof *to), i = 0;
    for (; i < head && i < n; i++)
        to[i] = from[i];
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm512_stream_ps(to + i, _mm512_loadu_ps(from + i));
#else
    for (; i + 16 <= n; i += 16) {
        _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
        _mm256_stream_ps(to + i + 8, _mm256_loadu_ps(from + i + 8));
    }
#endif
    for (; i < n; i++)
        to[i] = from[i];
#else
    memcpy(to, from, (size_t)n * sizeof *to);
#endif
}

/* After a thread's last copy: its stores are visible in order with what follows. */
static inline void tdbg_stream_end(void)
{
#if defined(__AVX2__)
    _mm_sfence();
#endif
}

#endif
