/* Arrays as other programs store them: any element type of NumPy and HDF5, either byte order, in
 * row-major (C) order. Data sets and weights are read into these and converted to tdbg's own types
 * piece by piece. */
#ifndef TDBG_BASE_ARRAY_H
#define TDBG_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/site.h"
#include "base/status.h"

/* X(NAME, text, bytes) */
#define TDBG_ELEM_LIST(X)                                                                          \
    X(BOOL, "bool", 1)                                                                             \
    X(U8, "u8", 1)                                                                                 \
    X(I8, "i8", 1)                                                                                 \
    X(U16, "u16", 2)                                                                               \
    X(I16, "i16", 2)                                                                               \
    X(U32, "u32", 4)                                                                               \
    X(I32, "i32", 4)                                                                               \
    X(U64, "u64", 8)                                                                               \
    X(I64, "i64", 8)                                                                               \
    X(F16, "f16", 2)                                                                               \
    X(BF16, "bf16", 2)                                                                             \
    X(F32, "f32", 4)                                                                               \
    X(F64, "f64", 8)

enum tdbg_elem {
#define TDBG_ELEM_ENUM(name, text, bytes) TDBG_ELEM_##name,
    TDBG_ELEM_LIST(TDBG_ELEM_ENUM)
#undef TDBG_ELEM_ENUM
        TDBG_ELEM_COUNT
};

const char *tdbg_elem_text(enum tdbg_elem elem);
size_t tdbg_elem_bytes(enum tdbg_elem elem);
bool tdbg_elem_is_float(enum tdbg_elem elem);

struct tdbg_array {
    enum tdbg_elem elem;
    bool swapped; /* elements have the other byte order than this machine */
    int32_t ndim;
    int64_t dims[TDBG_MAX_DIMS];
    const unsigned char *data; /* not necessarily aligned to its elements */
    void *block;               /* what data lies in, for tdbg_array_free(); NULL: borrowed */
    size_t mapped_bytes;       /* > 0: block is a mapped file of so many bytes; 0: from malloc */
};

void tdbg_array_free(struct tdbg_array *array); /* and sets it to {0} */

/* Elements first .. first + n - 1 rounded to the nearest float (integers above 2^24 and f64 are
 * rounded, all else is exact). */
void tdbg_array_to_f32(const struct tdbg_array *array, int64_t first, int64_t n, float *out);

/* The same as integers. A float that is not whole, and what is not in the range of i64, gives
 * INT64_MIN. */
void tdbg_array_to_i64(const struct tdbg_array *array, int64_t first, int64_t n, int64_t *out);

/* Receives the named arrays of a file, one after the other; the array lives during the call. */
typedef enum tdbg_status (*tdbg_array_visit_fn)(void *self, const char *name,
                                                const struct tdbg_array *array,
                                                struct tdbg_err *err);

/* A whole file of bytes, mapped into memory (an empty one: NULL and 0). Errors: TDBG_DATA for a
 * file that cannot be opened, is no regular file or is larger than 2^46 bytes. Free with
 * tdbg_file_unmap(). */
enum tdbg_status tdbg_file_map(const char *path, void **out, size_t *bytes, struct tdbg_err *err);
void tdbg_file_unmap(void *map, size_t bytes);

#endif
