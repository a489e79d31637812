/* Planes: a zstd frame put together from blocks that fit shuffled numbers. After the shuffle a
 * tensor is one plane of bytes per byte of its elements:
 *
 *     f32     [ mantissa, low ][ mantissa ][ mantissa, high ][ sign, exponent ]
 *     blocks  [raw][raw]       [raw][raw]  [raw][compressed] [compressed]...
 *
 * Of these only the exponents, and repeated bytes anywhere, are worth coding. A compressor that
 * looks for matches all over and cuts blocks across planes wastes time on the rest and mixes their
 * statistics; here each piece of a plane is a block of its own that is stored or entropy-coded.
 * Entropy coding is zstd's. Any zstd decoder reads the frame (RFC 8878). */
#ifndef TDBG_TRACE_PLANES_H
#define TDBG_TRACE_PLANES_H

#include <stdbool.h>
#include <stddef.h>

struct tdbg_planes;
struct tdbg_planes *tdbg_planes_create(void); /* NULL: no memory; tdbg_planes_destroy() frees it */
void tdbg_planes_destroy(struct tdbg_planes *planes); /* NULL is fine */

/* Largest frame of n_planes planes of plane_bytes bytes each. */
size_t tdbg_planes_bound(size_t plane_bytes, size_t n_planes);

/* Makes the frame of the shuffled bytes (n_planes, plane_bytes), with content size and checksum,
 * in out (tdbg_planes_bound() bytes). Returns its size. plane_bytes >= 1. */
size_t tdbg_planes_encode(struct tdbg_planes *planes, const void *shuffled, size_t plane_bytes,
                          size_t n_planes, void *out);

#endif
