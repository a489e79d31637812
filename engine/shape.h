/* Shape of one sample's tensor, without the batch dimension. */
#ifndef TDBG_ENGINE_SHAPE_H
#define TDBG_ENGINE_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TDBG_MAX_SHAPE = 6 };
#define TDBG_MAX_PARAM_ELEMS (INT64_C(1) << 31)

struct tdbg_shape {
    int32_t ndim;
    int64_t dims[TDBG_MAX_SHAPE];
};

static inline int64_t tdbg_shape_elems(const struct tdbg_shape *shape)
{
    int64_t n = 1;
    for (int32_t d = 0; d < shape->ndim; d++)
        n *= shape->dims[d];
    return n;
}

static inline bool tdbg_shape_equal(const struct tdbg_shape *a, const struct tdbg_shape *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

/* "(28, 28)" into buf; returns buf. */
static inline const char *tdbg_shape_text(const struct tdbg_shape *shape, char *buf,
                                          size_t buf_bytes)
{
    size_t used = (size_t)snprintf(buf, buf_bytes, "(");
    for (int32_t d = 0; d < shape->ndim && used < buf_bytes; d++)
        used += (size_t)snprintf(buf + used, buf_bytes - used, d ? ", %lld" : "%lld",
                                 (long long)shape->dims[d]);
    if (used < buf_bytes)
        snprintf(buf + used, buf_bytes - used, ")");
    return buf;
}

#endif
