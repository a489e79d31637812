/* The copy of a trace's beginning that lies in its own chunks: the whole file as it was before the
 * first step, HDF5 metadata included (docs/trace-format.md, /recovery). */
#ifndef TDBG_TRACE_SKELETON_H
#define TDBG_TRACE_SKELETON_H

#include <hdf5.h>

#include "trace/trailer_scan.h"

struct tdbg_skeleton {
    const struct tdbg_found_chunk *chunks; /* (n) borrowed from the list, in order */
    size_t n;
    uint64_t bytes; /* of the content */
};

/* The chunks of the list that make it up. TDBG_DAMAGED where one is missing. */
enum tdbg_status tdbg_skeleton_find(const struct tdbg_chunk_list *list, struct tdbg_skeleton *out,
                                    struct tdbg_err *err);

/* Takes a piece of the content, from `offset` on. */
typedef enum tdbg_status (*tdbg_skeleton_put_fn)(void *context, const unsigned char *piece,
                                                 size_t bytes, uint64_t offset,
                                                 struct tdbg_err *err);

/* Decodes it piece by piece, in order; data is the whole file that the list was made from. */
enum tdbg_status tdbg_skeleton_decode(const struct tdbg_skeleton *skeleton,
                                      const unsigned char *data, tdbg_skeleton_put_fn put,
                                      void *context, struct tdbg_err *err);

/* Opens it as an HDF5 file in memory, named `name`, which no other open file may be called. The
 * caller closes *out. TDBG_DAMAGED, also where it is larger than any honest one. */
enum tdbg_status tdbg_skeleton_open(const struct tdbg_skeleton *skeleton, const unsigned char *data,
                                    const char *name, hid_t *out, struct tdbg_err *err);

#endif
