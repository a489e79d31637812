/* Inside of chunked datasets, shared by chunked.c and chunked_io.c only. */
#ifndef TDBG_TRACE_CHUNKED_IMPL_H
#define TDBG_TRACE_CHUNKED_IMPL_H

#include "trace/chunked.h"

/* A chunk in its dataset. */
struct tdbg_chunk_place {
    hsize_t offset[TDBG_CHUNKED_MAX_DIMS]; /* its corner */
    uint64_t start, n_elems;               /* its run of the array, padding left out */
};

/* The chunk that element `elem` lies in. */
struct tdbg_chunk_place tdbg_chunked_locate(const struct tdbg_chunked *c, uint64_t elem);

#endif
