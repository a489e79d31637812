/* What the fuzzers share: random numbers from a seed, and files as bytes. */
#ifndef TDBG_TESTS_FUZZ_BYTES_H
#define TDBG_TESTS_FUZZ_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct bytes {
    unsigned char *data;
    size_t n;
};

static uint64_t rng;

/* SplitMix64 */
static inline uint64_t next(void)
{
    uint64_t x = rng += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0..n-1; 0 where n is 0 */
static inline size_t below(size_t n)
{
    return (size_t)(next() % (n ? n : 1));
}

/* The caller frees data. */
static inline struct bytes load(const char *path)
{
    struct bytes b = {0};
    FILE *f = fopen(path, "rb");
    if (f && fseek(f, 0, SEEK_END) == 0) {
        b.n = (size_t)ftell(f);
        rewind(f);
        b.data = malloc(b.n + 1);
    }
    if (!b.data || fread(b.data, 1, b.n, f) != b.n) {
        fprintf(stderr, "fuzz: cannot read %s\n", path);
        abort();
    }
    fclose(f);
    return b;
}

static inline void save(const char *path, struct bytes b)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b.data, 1, b.n, f) != b.n || fclose(f) != 0) {
        fprintf(stderr, "fuzz: cannot write %s\n", path);
        abort();
    }
}

#endif
