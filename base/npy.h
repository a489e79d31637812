/* NumPy's file format, version 1.0, for writing: https://numpy.org/neps/nep-0001-npy-format.html.
 *
 *     "\x93NUMPY" 1 0 | u16 length | {'descr': '<f4', ...} spaces \n | elements, row-major
 *                                                                    ^ a multiple of 64 bytes */
#ifndef TDBG_BASE_NPY_H
#define TDBG_BASE_NPY_H

#include <stdio.h>

#include "base/site.h"

enum { TDBG_NPY_MAX_DIMS = TDBG_MAX_DIMS + 1 };

/* NumPy has no bf16: such elements are written as f32, whose upper 16 bits are exactly theirs. */

/* Whether it could be written, here and below, is for the caller to ask with ferror(). */
void tdbg_npy_write_header(FILE *out, enum tdbg_dtype dtype, int32_t ndim, const int64_t *dims);
void tdbg_npy_write_elems(FILE *out, enum tdbg_dtype dtype, const void *data, int64_t n_elems);

#endif
