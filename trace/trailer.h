/* The trailer of a chunk: 40 bytes behind its data that say what the chunk is, so that it is found
 * again in a file whose HDF5 metadata is torn. To zstd it is a skippable frame, so that other
 * programs never see it.
 *
 *     byte   0      4      8         12        16        24         28        32        40
 *          [ magic | 32 | dataset | bytes | first element | elements | serial | checksum ]
 *            u32    u32    u32       u32      u64          u32        u32       u64 little-endian
 */
#ifndef TDBG_TRACE_TRAILER_H
#define TDBG_TRACE_TRAILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TDBG_TRAILER_BYTES = 40,
    TDBG_TRAILER_FILLER_BYTES = 8, /* an empty skippable frame before the trailer */
};
/* Dataset number of /recovery/skeleton: that of no other dataset. */
#define TDBG_SKELETON_PATH    "recovery/skeleton"
#define TDBG_TRAILER_SKELETON UINT32_MAX
enum { TDBG_SKELETON_CHUNK_BYTES = 256 << 10 }; /* of its content */

struct tdbg_trailer {
    uint32_t dataset;    /* low 32 bits of the file address of the dataset's object header */
    uint32_t bytes;      /* of what stands before the trailer: the data frame, and a filler */
    uint64_t first_elem; /* where the chunk's run of elements begins, row-major */
    uint32_t n_elems;    /* valid elements, padding at the end left out */
    uint32_t serial;     /* ascending in the order of writing: of two with the same place the later
                            one counts */
    uint64_t checksum;   /* XXH64, seed 0, of those `bytes` and then of the trailer's first 32 */
};

/* Writes the trailer of the chunk in front of it: chunk has trailer->bytes and then room for
 * TDBG_TRAILER_BYTES. The checksum is computed here. */
void tdbg_trailer_put(unsigned char *chunk, const struct tdbg_trailer *trailer);

/* Writes a filler: 8 bytes that change nothing but the chunk's size. */
void tdbg_trailer_put_filler(unsigned char *at);

/* Reads what says that it is a trailer at `at` inside of data; false: there is nothing of the kind.
 * _peek believes it, _get wants its checksum to be right. */
bool tdbg_trailer_peek(const unsigned char *data, size_t at, size_t data_bytes,
                       struct tdbg_trailer *out);
bool tdbg_trailer_get(const unsigned char *data, size_t at, size_t data_bytes,
                      struct tdbg_trailer *out);

/* Offset of the next place at or after `from` that looks like a trailer, or data_bytes. */
size_t tdbg_trailer_find(const unsigned char *data, size_t from, size_t data_bytes);

#endif
