/* Trailers of chunks. See trailer.h for the drawing. */
#include "trace/trailer.h"

#include <string.h>
#include <xxhash.h>

enum { HEAD_BYTES = 8, CHECKED_BYTES = 32 };

/* Skippable frames of zstd begin with 0x184D2A50 .. 0x184D2A5F; ours take one that nobody is known
 * to use. */
static const unsigned char head[HEAD_BYTES] = {0x5d, 0x2a, 0x4d, 0x18, 32, 0, 0, 0};
static const unsigned char filler[TDBG_TRAILER_FILLER_BYTES] = {0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};

static void put(unsigned char *at, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, int n_bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < n_bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void tdbg_trailer_put(unsigned char *chunk, const struct tdbg_trailer *t)
{
    unsigned char *at = chunk + t->bytes;
    memcpy(at, head, HEAD_BYTES);
    put(at + 8, t->dataset, 4);
    put(at + 12, t->bytes, 4);
    put(at + 16, t->first_elem, 8);
    put(at + 24, t->n_elems, 4);
    put(at + 28, t->serial, 4);
    put(at + CHECKED_BYTES, XXH64(chunk, t->bytes + CHECKED_BYTES, 0), 8);
}

void tdbg_trailer_put_filler(unsigned char *at)
{
    memcpy(at, filler, sizeof filler);
}

bool tdbg_trailer_peek(const unsigned char *data, size_t at, size_t data_bytes,
                       struct tdbg_trailer *out)
{
    if (at > data_bytes || data_bytes - at < TDBG_TRAILER_BYTES ||
        memcmp(data + at, head, HEAD_BYTES) != 0)
        return false;
    const unsigned char *t = data + at;
    *out = (struct tdbg_trailer){.dataset = (uint32_t)get(t + 8, 4),
                                 .bytes = (uint32_t)get(t + 12, 4),
                                 .first_elem = get(t + 16, 8),
                                 .n_elems = (uint32_t)get(t + 24, 4),
                                 .serial = (uint32_t)get(t + 28, 4),
                                 .checksum = get(t + CHECKED_BYTES, 8)};
    return out->bytes <= at;
}

bool tdbg_trailer_get(const unsigned char *data, size_t at, size_t data_bytes,
                      struct tdbg_trailer *out)
{
    return tdbg_trailer_peek(data, at, data_bytes, out) &&
           XXH64(data + at - out->bytes, out->bytes + (size_t)CHECKED_BYTES, 0) == out->checksum;
}

size_t tdbg_trailer_find(const unsigned char *data, size_t from, size_t data_bytes)
{
    const unsigned char *hit =
        from < data_bytes ? memmem(data + from, data_bytes - from, head, HEAD_BYTES) : NULL;
    return hit ? (size_t)(hit - data) : data_bytes;
}
