/* Room for one tensor, which grows to what is asked for. */
#ifndef TDBG_TRACE_VALUE_BUFFER_H
#define TDBG_TRACE_VALUE_BUFFER_H

#include <stddef.h>

#include "base/site.h"
#include "base/status.h"

/* Start as {0}; data is freed by the owner. */
struct tdbg_value_buffer {
    void *data;
    size_t bytes;
};

/* Shapes may come from a hostile file, but have been checked not to overflow. More than the machine
 * has is not even asked for: TDBG_NO_MEMORY. */
enum tdbg_status tdbg_value_buffer_reserve(struct tdbg_value_buffer *buffer, enum tdbg_dtype dtype,
                                           int32_t ndim, const int64_t *dims, struct tdbg_err *err);

#endif
