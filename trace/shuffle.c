/* Byte shuffle with SSE2 for elements of 2 and 4 bytes (nearly all values of a trace), and back
 * also for those of 8, 16, ... (statistics, digests, zones: what searches read); a plain loop,
 * tiled so that both sides stay in cache, for the rest. */
#include "trace/shuffle.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { TILE_ELEMS = 512 };

static void shuffle_any(const unsigned char *src, unsigned char *dst, size_t from, size_t n,
                        size_t bytes)
{
    for (size_t tile = from; tile < n; tile += TILE_ELEMS) {
        size_t end = tile + TILE_ELEMS < n ? tile + TILE_ELEMS : n;
        for (size_t b = 0; b < bytes; b++) {
            for (size_t i = tile; i < end; i++)
                dst[b * n + i] = src[i * bytes + b];
        }
    }
}

static void unshuffle_any(const unsigned char *src, unsigned char *dst, size_t from, size_t n,
                          size_t bytes)
{
    for (size_t tile = from; tile < n; tile += TILE_ELEMS) {
        size_t end = tile + TILE_ELEMS < n ? tile + TILE_ELEMS : n;
        for (size_t b = 0; b < bytes; b++) {
            for (size_t i = tile; i < end; i++)
                dst[i * bytes + b] = src[b * n + i];
        }
    }
}

#ifdef __SSE2__
static __m128i load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static void store(unsigned char *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* The SSE2 loops do whole groups of 16 elements and return how many elements they did. */
static size_t shuffle2(const unsigned char *src, unsigned char *dst, size_t n)
{
    const __m128i low = _mm_set1_epi16(0xff);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i a = load(src + 2 * i), b = load(src + 2 * i + 16);
        store(dst + i, _mm_packus_epi16(_mm_and_si128(a, low), _mm_and_si128(b, low)));
        store(dst + n + i, _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8)));
    }
    return i;
}

static size_t shuffle4(const unsigned char *src, unsigned char *dst, size_t n)
{
    const __m128i low = _mm_set1_epi32(0xff);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i v[4];
        for (int k = 0; k < 4; k++)
            v[k] = load(src + 4 * i + 16 * (size_t)k);
        for (size_t b = 0; b < 4; b++) {
            __m128i ab = _mm_packs_epi32(_mm_and_si128(v[0], low), _mm_and_si128(v[1], low));
            __m128i cd = _mm_packs_epi32(_mm_and_si128(v[2], low), _mm_and_si128(v[3], low));
            store(dst + b * n + i, _mm_packus_epi16(ab, cd));
            for (int k = 0; k < 4; k++)
                v[k] = _mm_srli_epi32(v[k], 8);
        }
    }
    return i;
}

static size_t unshuffle2(const unsigned char *src, unsigned char *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i a = load(src + i), b = load(src + n + i);
        store(dst + 2 * i, _mm_unpacklo_epi8(a, b));
        store(dst + 2 * i + 16, _mm_unpackhi_epi8(a, b));
    }
    return i;
}

static size_t unshuffle4(const unsigned char *src, unsigned char *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i a = load(src + i), b = load(src + n + i);
        __m128i c = load(src + 2 * n + i), d = load(src + 3 * n + i);
        __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
        __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
        store(dst + 4 * i, _mm_unpacklo_epi16(ab0, cd0));
        store(dst + 4 * i + 16, _mm_unpackhi_epi16(ab0, cd0));
        store(dst + 4 * i + 32, _mm_unpacklo_epi16(ab1, cd1));
        store(dst + 4 * i + 48, _mm_unpackhi_epi16(ab1, cd1));
    }
    return i;
}

/* Bytes 0..7 of 16 elements that are `bytes` apart, from planes that are n apart. */
static void unshuffle_words(const unsigned char *src, unsigned char *dst, size_t n, size_t bytes)
{
    __m128i a[8], b[8];
    for (size_t k = 0; k < 8; k += 2) { /* bytes k and k + 1 beside each other */
        const __m128i even = load(src + k * n), odd = load(src + (k + 1) * n);
        a[k / 2] = _mm_unpacklo_epi8(even, odd);
        a[k / 2 + 4] = _mm_unpackhi_epi8(even, odd);
    }
    for (size_t half = 0; half < 8; half += 4) { /* bytes 0..3, and 4..7, of four elements each */
        b[half] = _mm_unpacklo_epi16(a[half], a[half + 1]);
        b[half + 1] = _mm_unpackhi_epi16(a[half], a[half + 1]);
        b[half + 2] = _mm_unpacklo_epi16(a[half + 2], a[half + 3]);
        b[half + 3] = _mm_unpackhi_epi16(a[half + 2], a[half + 3]);
    }
    for (size_t pair = 0; pair < 8; pair++) { /* two elements */
        const size_t quarter = pair / 4 * 4 + pair / 2 % 2;
        const __m128i two = pair % 2 == 0 ? _mm_unpacklo_epi32(b[quarter], b[quarter + 2])
                                          : _mm_unpackhi_epi32(b[quarter], b[quarter + 2]);
        _mm_storel_epi64((__m128i *)(void *)(dst + 2 * pair * bytes), two);
        _mm_storel_epi64((__m128i *)(void *)(dst + (2 * pair + 1) * bytes), _mm_srli_si128(two, 8));
    }
}

static size_t unshuffle8(const unsigned char *src, unsigned char *dst, size_t n, size_t bytes)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (size_t word = 0; word < bytes; word += 8)
            unshuffle_words(src + word * n + i, dst + i * bytes + word, n, bytes);
    }
    return i;
}
#endif

void tdbg_shuffle(const void *src, void *dst, size_t n_elems, size_t elem_bytes)
{
    size_t done = 0;
    if (elem_bytes == 1 || n_elems == 0) {
        memcpy(dst, src, n_elems * elem_bytes);
        return;
    }
#ifdef __SSE2__
    if (elem_bytes == 2)
        done = shuffle2(src, dst, n_elems);
    if (elem_bytes == 4)
        done = shuffle4(src, dst, n_elems);
#endif
    shuffle_any(src, dst, done, n_elems, elem_bytes);
}

void tdbg_unshuffle(const void *src, void *dst, size_t n_elems, size_t elem_bytes)
{
    size_t done = 0;
    if (elem_bytes == 1 || n_elems == 0) {
        memcpy(dst, src, n_elems * elem_bytes);
        return;
    }
#ifdef __SSE2__
    if (elem_bytes == 2)
        done = unshuffle2(src, dst, n_elems);
    if (elem_bytes == 4)
        done = unshuffle4(src, dst, n_elems);
    if (elem_bytes % 8 == 0)
        done = unshuffle8(src, dst, n_elems, elem_bytes);
#endif
    unshuffle_any(src, dst, done, n_elems, elem_bytes);
}
