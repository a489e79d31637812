/* Digest and statistics of one block of a tensor, once per instruction set, and how blocks are put
 * together. All that computes digests fast goes through here: base/digest_fast.c for whoever has a
 * value in memory, kernels/fused_digest.h for the engine, on its threads. Definitions: digest.h. */
#ifndef TDBG_BASE_DIGEST_BLOCK_H
#define TDBG_BASE_DIGEST_BLOCK_H

#include <stdalign.h>
#include <stdint.h>

#include "base/digest.h"

/* Results of a block, or of the first blocks of a tensor. Counts and digest are sums; sum and
 * square are added in block order. */
struct tdbg_digest_part {
    uint64_t digest; /* without the length term */
    double sum, square;
    double min, max; /* +Inf and -Inf where no element is finite */
    uint64_t zeros, nans, infs;
};

/* What a block has to give; bits. */
enum { TDBG_PART_DIGEST = 1, TDBG_PART_STATS = 2 };

/* One block: n elements at data (aligned to their size), n <= TDBG_STATS_BLOCK_ELEMS, which are
 * elements first .. first + n - 1 of their tensor; first is a multiple of TDBG_STATS_BLOCK_ELEMS.
 * The same bits from each of these; avx2 and avx512 exist on x86-64 only. */
typedef void tdbg_digest_block_fn(const void *data, enum tdbg_dtype dtype, int64_t first, int64_t n,
                                  int want, struct tdbg_digest_part *out);
tdbg_digest_block_fn tdbg_digest_block_portable, tdbg_digest_block_avx2, tdbg_digest_block_avx512;

/* The fastest that this processor can run. */
tdbg_digest_block_fn *tdbg_digest_block_best(void);

/* The sum over no blocks, to which the first one is added. */
#define TDBG_DIGEST_PART_NONE                                                                      \
    ((struct tdbg_digest_part){.min = (double)INFINITY, .max = -(double)INFINITY})
void tdbg_digest_part_add(struct tdbg_digest_part *total, const struct tdbg_digest_part *block);

/* Digest and statistics (each may be NULL) of a tensor of n_elems elements from all its blocks. */
void tdbg_digest_part_finish(const struct tdbg_digest_part *total, enum tdbg_dtype dtype,
                             int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats);

/* The same for a tensor that comes in pieces, in order and cut anywhere between elements. */
struct tdbg_digest_stream {
    enum tdbg_dtype dtype;
    int64_t n_elems; /* so far */
    struct tdbg_digest_part total;
    alignas(8) unsigned char rest[TDBG_STATS_BLOCK_ELEMS * 8]; /* of a block not yet full */
};
void tdbg_digest_stream_begin(struct tdbg_digest_stream *stream, enum tdbg_dtype dtype);
void tdbg_digest_stream_add(struct tdbg_digest_stream *stream, const void *data, int64_t n_elems);
void tdbg_digest_stream_end(struct tdbg_digest_stream *stream, uint64_t *digest,
                            struct tdbg_stats *stats);

#endif
