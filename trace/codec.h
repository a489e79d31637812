/* Codec: how the bytes of one HDF5 chunk are made and read: shuffle, then one zstd frame that
 * declares its content size and carries a checksum. What it makes is what the HDF5 pipeline
 * "shuffle + filter 32015" makes, so any HDF5 program with a zstd filter reads it. */
#ifndef TDBG_TRACE_CODEC_H
#define TDBG_TRACE_CODEC_H

#include <stddef.h>

#include "base/status.h"

/* How hard to press. VALUES: fp32 noise, where only the entropy coder gains anything. */
enum tdbg_codec_effort { TDBG_EFFORT_VALUES, TDBG_EFFORT_TABLES };

/* Contexts and buffers, reused from chunk to chunk. One thread uses a codec. */
struct tdbg_codec;
struct tdbg_codec *tdbg_codec_create(void); /* NULL: no memory; tdbg_codec_destroy() frees it */
void tdbg_codec_destroy(struct tdbg_codec *codec); /* NULL is fine */

/* Encodes n_elems elements. *out (borrowed until the next call) and *out_bytes are the chunk. */
enum tdbg_status tdbg_codec_encode(struct tdbg_codec *codec, enum tdbg_codec_effort effort,
                                   const void *data, size_t n_elems, size_t elem_bytes,
                                   const void **out, size_t *out_bytes, struct tdbg_err *err);

/* Decodes a chunk that has to hold exactly n_elems elements into data. The chunk is hostile:
 * TDBG_DAMAGED with the reason, and data is then undefined. Skippable frames after the data frame
 * are allowed. */
enum tdbg_status tdbg_codec_decode(struct tdbg_codec *codec, const void *chunk, size_t chunk_bytes,
                                   void *data, size_t n_elems, size_t elem_bytes,
                                   struct tdbg_err *err);

/* Largest chunk of content_bytes that a reader has to expect: compressed, with room for
 * skippable frames behind it. */
size_t tdbg_codec_bound(size_t content_bytes);

#endif
