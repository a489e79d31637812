/* Writing .npy files. See npy.h. */
#include "base/npy.h"

#include <inttypes.h>
#include <string.h>

enum { ALIGN_BYTES = 64, PREFIX_BYTES = 10, PIECE_ELEMS = 4096 };

/* NumPy's name of the type that elements are written as. */
static const char *descr_of(enum tdbg_dtype dtype)
{
    static const char *const descr[TDBG_DTYPE_COUNT] = {
        [TDBG_DTYPE_F32] = "<f4", [TDBG_DTYPE_F64] = "<f8", [TDBG_DTYPE_BF16] = "<f4",
        [TDBG_DTYPE_F16] = "<f2", [TDBG_DTYPE_U8] = "|u1",  [TDBG_DTYPE_I32] = "<i4",
        [TDBG_DTYPE_I64] = "<i8",
    };
    return descr[dtype];
}

void tdbg_npy_write_header(FILE *out, enum tdbg_dtype dtype, int32_t ndim, const int64_t *dims)
{
    char text[ALIGN_BYTES * 8];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                     descr_of(dtype));
    for (int32_t d = 0; d < ndim; d++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%" PRId64 "%s", d > 0 ? " " : "",
                      dims[d], d + 1 < ndim || ndim == 1 ? "," : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    size_t bytes = (size_t)n + 1; /* with the newline */
    bytes += (ALIGN_BYTES - (PREFIX_BYTES + bytes) % ALIGN_BYTES) % ALIGN_BYTES;
    memset(text + n, ' ', bytes - 1 - (size_t)n);
    text[bytes - 1] = '\n';
    const unsigned char length[2] = {(unsigned char)(bytes & 255), (unsigned char)(bytes >> 8)};
    fwrite("\x93NUMPY\x01\x00", 1, 8, out);
    fwrite(length, 1, sizeof length, out);
    fwrite(text, 1, bytes, out);
}

static void write_bf16(FILE *out, const uint16_t *bits, int64_t n)
{
    uint32_t wide[PIECE_ELEMS];
    for (int64_t at = 0; at < n; at += PIECE_ELEMS) {
        int64_t piece = n - at < PIECE_ELEMS ? n - at : PIECE_ELEMS;
        for (int64_t i = 0; i < piece; i++)
            wide[i] = (uint32_t)bits[at + i] << 16;
        fwrite(wide, sizeof *wide, (size_t)piece, out);
    }
}

void tdbg_npy_write_elems(FILE *out, enum tdbg_dtype dtype, const void *data, int64_t n_elems)
{
    if (dtype == TDBG_DTYPE_BF16)
        write_bf16(out, data, n_elems);
    else
        fwrite(data, tdbg_dtype_bytes(dtype), (size_t)n_elems, out);
}
