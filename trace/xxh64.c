/* XXH64 with seed 0: four lanes over stripes of 32 bytes, then what is left, then an avalanche. */
#include "trace/xxh64.h"

#include <string.h>

static const uint64_t prime1 = UINT64_C(0x9e3779b185ebca87), prime2 = UINT64_C(0xc2b2ae3d27d4eb4f),
                      prime3 = UINT64_C(0x165667b19e3779f9), prime4 = UINT64_C(0x85ebca77c2b2ae63),
                      prime5 = UINT64_C(0x27d4eb2f165667c5);

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint64_t round64(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * prime2, 31) * prime1;
}

static uint64_t merge(uint64_t h, uint64_t lane)
{
    return (h ^ round64(0, lane)) * prime1 + prime4;
}

uint64_t tdbg_xxh64(const void *data, size_t bytes)
{
    const unsigned char *p = data, *end = p + bytes;
    uint64_t h = prime5;
    if (bytes >= 32) {
        uint64_t a = prime1 + prime2, b = prime2, c = 0, d = 0 - prime1;
        for (; end - p >= 32; p += 32) {
            a = round64(a, load64(p));
            b = round64(b, load64(p + 8));
            c = round64(c, load64(p + 16));
            d = round64(d, load64(p + 24));
        }
        h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        h = merge(merge(merge(merge(h, a), b), c), d);
    }
    h += (uint64_t)bytes;
    for (; end - p >= 8; p += 8)
        h = rotate(h ^ round64(0, load64(p)), 27) * prime1 + prime4;
    if (end - p >= 4) {
        uint32_t word;
        memcpy(&word, p, sizeof word);
        h = rotate(h ^ word * prime1, 23) * prime2 + prime3;
        p += 4;
    }
    for (; p < end; p++)
        h = rotate(h ^ *p * prime5, 11) * prime1;
    h = (h ^ h >> 33) * prime2;
    h = (h ^ h >> 29) * prime3;
    return h ^ h >> 32;
}
