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
