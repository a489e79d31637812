/* Copying into memory that somebody else is going to read: past the cache, so that what the caller
 * works on stays in it, and without reading what is overwritten. */
#ifndef TDBG_BASE_COPY_H
#define TDBG_BASE_COPY_H

#include <stddef.h>

/* memcpy(), for regions that do not overlap. Done, for other threads and processes too, when a
 * store with release order that follows can be seen. */
void tdbg_copy_away(void *to, const void *from, size_t n_bytes);

#endif
