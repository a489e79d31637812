/* Stores that go around the caches, for tensors that no cache can hold until they are read: a
 * normal store first reads what it overwrites. The bits are the same. For *_cpu.c only: the
 * instructions are those of the set that the file is compiled for; the portable copy stores
 * normally. */
#ifndef TDBG_KERNELS_STREAM_STORE_H
#define TDBG_KERNELS_STREAM_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum {
    TDBG_STREAM_ELEMS = 16, /* floats in a tile: one cache line */
    TDBG_STREAM_MIN_BYTES = 32 << 20,
};

/* Is a tensor of `elems` floats large enough? */
static inline bool tdbg_stream_pays(int64_t elems)
{
#if defined(__AVX2__)
    return elems >= TDBG_STREAM_MIN_BYTES / (int64_t)sizeof(float);
#else
    (void)elems;
    return false;
#endif
}

/* Floats before the first one of a cache line, at most n: they are stored normally. */
static inline int64_t tdbg_stream_head(const float *to, int64_t n)
{
    int64_t head = (int64_t)((64 - (uintptr_t)to % 64) % 64 / sizeof(float));
    return head < n ? head : n;
}

/* Stores a tile to the beginning of a cache line. */
static inline __attribute__((always_inline)) void
tdbg_stream_store(float *to, const float tile[TDBG_STREAM_ELEMS])
{
#if defined(__AVX512F__)
    _mm512_stream_ps(to, _mm512_loadu_ps(tile));
#elif defined(__AVX2__)
    _mm256_stream_ps(to, _mm256_loadu_ps(tile));
    _mm256_stream_ps(to + 8, _mm256_loadu_ps(tile + 8));
#else
    memcpy(to, tile, TDBG_STREAM_ELEMS * sizeof *to);
#endif
}

/* After the last tile of a thread: makes the stores visible in order with what follows. */
static inline void tdbg_stream_end(void)
{
#if defined(__AVX2__)
    _mm_sfence();
#endif
}

#endif
