/* XXH64 (Yann Collet; xxHash specification 0.1.1) with seed 0: the hash whose low 32 bits close a
 * zstd frame (RFC 8878, 3.1.1). */
#ifndef TDBG_TRACE_XXH64_H
#define TDBG_TRACE_XXH64_H

#include <stddef.h>
#include <stdint.h>

uint64_t tdbg_xxh64(const void *data, size_t bytes);

#endif
