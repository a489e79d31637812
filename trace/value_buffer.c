/* A buffer for one tensor. See value_buffer.h. */
#include "trace/value_buffer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum tdbg_status tdbg_value_buffer_reserve(struct tdbg_value_buffer *b, enum tdbg_dtype dtype,
                                           int32_t ndim, const int64_t *dims, struct tdbg_err *err)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = tdbg_dtype_bytes(dtype);
    for (int32_t d = 0; d < ndim; d++)
        bytes *= (size_t)dims[d];
    bytes = bytes > 0 ? bytes : 1;
    if (b->data && b->bytes >= bytes)
        return TDBG_OK;
    bool fits = bytes / page_bytes <= (size_t)sysconf(_SC_PHYS_PAGES);
    void *grown = fits ? realloc(b->data, bytes) : NULL;
    if (!grown)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
    *b = (struct tdbg_value_buffer){grown, bytes};
    return TDBG_OK;
}
