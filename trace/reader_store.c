/* Reading values that are not in a dataset of their own as they are: packed ones, and differences
 * to the row before or to the recomputed value. */
#include "trace/reader_impl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/bits.h"
#include "trace/hdf5_util.h"

enum { MOST_RECENT_BYTES = 256 << 20 }; /* values of all sites that are kept for the next step */

enum tdbg_status tdbg_reader_open_packed(struct tdbg_trace *t, int32_t k, struct tdbg_chunked **out,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_packed_set *set = &t->layout.packed[k];
    struct packed_reader *p = &t->packed[k];
    if (!p->open) {
        TDBG_TRY(tdbg_reader_open_cached(t, set->path, tdbg_h5_dtype(t->sites[set->site].dtype), 2,
                                         &p->rows, err));
        p->open = p->rows.array.dims[1] == (hsize_t)set->row_elems;
        if (!p->open)
            tdbg_chunked_close(&p->rows.array);
        TDBG_FAIL_IF(!p->open, DAMAGED, "%s does not have the columns that sites says", set->path);
    }
    *out = &p->rows.array;
out:
    return st;
}

enum tdbg_status tdbg_reader_read_packed(struct tdbg_trace *t, int64_t step, int32_t site,
                                         void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    uint64_t row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    TDBG_TRY(tdbg_reader_open_packed(t, t->layout.packed_set[site], &c, err));
    TDBG_FAIL_IF(row >= c->dims[0], DAMAGED, "%s has only %llu rows", c->path,
                 (unsigned long long)c->dims[0]);
    TDBG_TRY(tdbg_chunked_read(c, &t->io,
                               row * c->row_elems + (uint64_t)t->layout.packed_offset[site],
                               (uint64_t)tdbg_site_elems(&t->sites[site]), data, err));
out:
    return st;
}

/* The value set's dataset, and where the site's slot begins in row 0. */
static enum tdbg_status open_slot(struct tdbg_trace *t, int32_t site, uint64_t n_rows,
                                  struct tdbg_chunked **c, uint64_t *slot, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_value_set *set = &t->layout.sets[t->layout.set[site]];
    TDBG_TRY(tdbg_reader_open_set(t, t->layout.set[site], c, err));
    TDBG_FAIL_IF(n_rows > (*c)->dims[0], DAMAGED, "%s has only %llu rows", set->path,
                 (unsigned long long)(*c)->dims[0]);
    *slot = (uint64_t)t->layout.slot[site] * (uint64_t)set->slot_elems;
out:
    return st;
}

static void remember(struct tdbg_trace *t, int32_t site, uint64_t row, const void *data,
                     size_t bytes)
{
    struct recent_value *recent = &t->recent[site];
    if (!recent->data && bytes <= MOST_RECENT_BYTES - t->recent_bytes) {
        recent->data = malloc(bytes > 0 ? bytes : 1);
        t->recent_bytes += recent->data ? bytes : 0;
    }
    if (!recent->data)
        return;
    memcpy(recent->data, data, bytes);
    recent->row = row;
}

enum tdbg_status tdbg_reader_read_delta(struct tdbg_trace *t, int64_t step, int32_t site,
                                        void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    uint64_t slot, row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    uint64_t n = (uint64_t)tdbg_site_elems(&t->sites[site]);
    unsigned char *change = NULL;
    TDBG_TRY(open_slot(t, site, row + 1, &c, &slot, err));
    const struct recent_value *recent = &t->recent[site];
    uint64_t at = row - row % (uint64_t)t->values[t->layout.set[site]].whole_every;
    size_t bytes = (size_t)n * c->elem_bytes;
    if (recent->data && recent->row >= at && recent->row <= row) {
        memcpy(data, recent->data, bytes);
        at = recent->row;
    } else {
        TDBG_TRY(tdbg_chunked_read(c, &t->io, at * c->row_elems + slot, n, data, err));
    }
    if (at < row) {
        change = malloc(bytes > 0 ? bytes : 1);
        TDBG_FAIL_IF(!change, NO_MEMORY, "no memory for a difference of %zu bytes", bytes);
    }
    while (at++ < row) {
        TDBG_TRY(tdbg_chunked_read(c, &t->io, at * c->row_elems + slot, n, change, err));
        tdbg_bits_add(data, change, n, c->elem_bytes);
    }
    remember(t, site, row, data, bytes);
out:
    free(change);
    return st;
}

enum tdbg_status tdbg_reader_read_digest(struct tdbg_trace *t, int64_t step, int32_t site,
                                         uint64_t *digest, struct tdbg_err *err)
{
    uint64_t at = (uint64_t)(step - t->first_step) * (uint64_t)t->n_sites + (uint64_t)site;
    return tdbg_chunked_read(&t->digest.array, &t->io, at, 1, digest, err);
}

/* The recompute function may read other values of this trace: it is called before anything is. */
enum tdbg_status tdbg_reader_read_residual(struct tdbg_trace *t, int64_t step, int32_t site,
                                           void *data, void *predicted, int64_t *n_elems,
                                           struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    const struct tdbg_site *s = &t->sites[site];
    uint64_t slot, row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    uint64_t recorded, elems = (uint64_t)tdbg_site_elems(s);
    unsigned char *residual = NULL;
    int64_t n = 0;
    TDBG_FAIL_IF(!t->recompute, NEEDS_REPLAY,
                 "only the difference to what replay computes is stored");
    TDBG_TRY(t->recompute(t->recompute_context, t, step, site, data, &n, err));
    TDBG_ASSERT(n >= 0 && (uint64_t)n <= elems);
    TDBG_TRY(open_slot(t, site, row + 1, &c, &slot, err));
    if (predicted)
        memcpy(predicted, data, (size_t)n * c->elem_bytes);
    residual = malloc((size_t)elems * c->elem_bytes + 1);
    TDBG_FAIL_IF(!residual, NO_MEMORY, "no memory for %llu residuals", (unsigned long long)elems);
    TDBG_TRY(tdbg_chunked_read(c, &t->io, row * c->row_elems + slot, elems, residual, err));
    tdbg_bits_add(data, residual, (size_t)n, c->elem_bytes);
    TDBG_TRY(tdbg_reader_read_digest(t, step, site, &recorded, err));
    TDBG_FAIL_IF(tdbg_digest_reference(data, s->dtype, n) != recorded, DAMAGED,
                 "%s: what was computed again and its residual do not make the recorded digest",
                 c->path);
    if (n_elems)
        *n_elems = n;
out:
    free(residual);
    return st;
}

enum tdbg_status tdbg_trace_check_residual(struct tdbg_trace *t, int64_t step, int32_t site,
                                           struct tdbg_err *err)
{
    enum { PIECE_BYTES = 1 << 20 };
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    const uint64_t elems = (uint64_t)tdbg_site_elems(&t->sites[site]);
    uint64_t slot, row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    unsigned char *piece = malloc(PIECE_BYTES);
    tdbg_h5_begin();
    TDBG_FAIL_IF(!piece, NO_MEMORY, "no memory for a residual");
    TDBG_TRY(tdbg_reader_check_step(t, step, err));
    TDBG_TRY(open_slot(t, site, row + 1, &c, &slot, err));
    for (uint64_t at = 0; at < elems;) {
        uint64_t n = PIECE_BYTES / c->elem_bytes;
        n = n < elems - at ? n : elems - at;
        TDBG_TRY(tdbg_chunked_read(c, &t->io, row * c->row_elems + slot + at, n, piece, err));
        at += n;
    }
out:
    free(piece);
    if (st == TDBG_DAMAGED)
        TDBG_H5_CONTEXT(err, "cannot read %s at step %lld", t->sites[site].name, (long long)step);
    return st;
}

void tdbg_reader_free_stores(struct tdbg_trace *t)
{
    for (int32_t k = 0; t->packed && k < t->layout.n_packed; k++)
        tdbg_reader_close_cached(&t->packed[k].rows);
    for (int32_t i = 0; t->recent && i < t->n_sites; i++)
        free(t->recent[i].data);
}
