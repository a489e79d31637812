/* Digests of pieces of samples, chained. See dataset_fingerprint.h. */
#include "engine/dataset_fingerprint.h"

#include <stdlib.h>

#include "base/digest.h"
#include "kernels/fused_digest.h"

enum { PIECE_BYTES = 1 << 20 };

static size_t side_bytes(enum tdbg_dtype dtype, int64_t elems)
{
    return (size_t)elems * tdbg_dtype_bytes(dtype);
}

/* Chains the digests of x and y of pieces of the set. */
static uint64_t absorb_samples(const struct tdbg_cpu *cpu, const struct tdbg_dataset *d, uint64_t h,
                               int64_t piece, unsigned char *x, unsigned char *y)
{
    const int64_t x_elems = tdbg_data_x_elems(&d->shape), y_elems = tdbg_data_y_elems(&d->shape);
    const size_t x_bytes = side_bytes(d->shape.x_dtype, x_elems);
    const size_t y_bytes = side_bytes(d->shape.y_dtype, y_elems);
    for (int64_t first = 0; first < d->shape.count; first += piece) {
        const int64_t left = d->shape.count - first, n = left < piece ? left : piece;
        uint64_t digest;
        for (int64_t i = 0; i < n; i++)
            tdbg_dataset_copy(d, first + i, x + (size_t)i * x_bytes, y + (size_t)i * y_bytes);
        tdbg_digest_compute(cpu, x, d->shape.x_dtype, n * x_elems, &digest, NULL);
        h = tdbg_chain_absorb(h, digest);
        tdbg_digest_compute(cpu, y, d->shape.y_dtype, n * y_elems, &digest, NULL);
        h = tdbg_chain_absorb(h, digest);
    }
    return h;
}

/* Bytes one behind the other, with a class each. */
static bool is_plain(const struct tdbg_dataset *d)
{
    const struct tdbg_data_shape *s = &d->shape;
    return s->x_dtype == TDBG_DTYPE_U8 && s->y_dtype == TDBG_DTYPE_I64 && s->y_ndim == 0 &&
           d->x.stride == tdbg_data_x_elems(s) && !d->row;
}

/* The definition for such sets, older than the other one and kept, because traces hold it: over the
 * whole of x and the whole of y. */
static enum tdbg_status fingerprint_plain(const struct tdbg_cpu *cpu, struct tdbg_dataset *d,
                                          struct tdbg_err *err)
{
    const struct tdbg_data_shape *s = &d->shape;
    uint64_t digest, h = tdbg_chain_absorb_text(0, tdbg_dtype_text(s->x_dtype));
    int64_t *y = malloc((size_t)s->count * sizeof *y);
    if (!y)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the fingerprint of a data set");
    for (int32_t i = 0; i < s->x_ndim; i++)
        h = tdbg_chain_absorb(h, (uint64_t)s->x_dims[i]);
    tdbg_digest_compute(cpu, d->x.array.data + d->x.first + d->first_row * d->x.stride, s->x_dtype,
                        s->count * d->x.stride, &digest, NULL);
    h = tdbg_chain_absorb(h, digest);
    for (int64_t i = 0; i < s->count; i++)
        tdbg_array_to_i64(&d->y.array, d->y.first + (d->first_row + i) * d->y.stride, 1, &y[i]);
    tdbg_digest_compute(cpu, y, s->y_dtype, s->count, &digest, NULL);
    d->fingerprint = tdbg_chain_absorb(h, digest);
    free(y);
    return TDBG_OK;
}

enum tdbg_status tdbg_dataset_fingerprint(struct tdbg_dataset *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_cpu cpu;
    const struct tdbg_data_shape *s = &d->shape;
    const size_t x_bytes = side_bytes(s->x_dtype, tdbg_data_x_elems(s));
    const size_t y_bytes = side_bytes(s->y_dtype, tdbg_data_y_elems(s));
    const int64_t fit = (int64_t)(PIECE_BYTES / (x_bytes + y_bytes));
    const int64_t piece = fit < 1 ? 1 : fit;
    unsigned char *x = malloc((size_t)piece * x_bytes), *y = malloc((size_t)piece * y_bytes);
    TDBG_FAIL_IF(!x || !y, NO_MEMORY, "no memory for the fingerprint of a data set");
    TDBG_TRY(tdbg_cpu_init(&cpu, "auto", 1, err));
    if (is_plain(d)) {
        st = fingerprint_plain(&cpu, d, err);
        goto out;
    }
    uint64_t h = tdbg_chain_absorb_text(0, tdbg_dtype_text(s->x_dtype));
    for (int32_t i = 0; i < s->x_ndim; i++)
        h = tdbg_chain_absorb(h, (uint64_t)s->x_dims[i]);
    h = tdbg_chain_absorb_text(h, tdbg_dtype_text(s->y_dtype));
    for (int32_t i = 0; i < s->y_ndim; i++)
        h = tdbg_chain_absorb(h, (uint64_t)s->y_dims[i]);
    for (int64_t i = 0; d->vocab && i < s->vocab; i++)
        h = tdbg_chain_absorb(h, d->vocab[i]);
    d->fingerprint = absorb_samples(&cpu, d, h, piece, x, y);
out:
    free(x);
    free(y);
    return st;
}
