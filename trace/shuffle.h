/* Byte shuffle: the transposition that HDF5's shuffle filter (id 2) does, so that chunks written
 * past the filter pipeline read back through it.
 *
 *     elements   a0a1a2a3 b0b1b2b3 c0c1c2c3     ->     a0b0c0 a1b1c1 a2b2c2 a3b3c3
 */
#ifndef TDBG_TRACE_SHUFFLE_H
#define TDBG_TRACE_SHUFFLE_H

#include <stddef.h>

/* n_elems elements of elem_bytes bytes each, src to dst; the two do not overlap. */
void tdbg_shuffle(const void *src, void *dst, size_t n_elems, size_t elem_bytes);

/* The way back. */
void tdbg_unshuffle(const void *src, void *dst, size_t n_elems, size_t elem_bytes);

#endif
