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

static enum tdbg_status read_stored_residual(struct tdbg_trace *t, int64_t step, int32_t site,
                                             void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    uint64_t slot, row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    TDBG_TRY(open_slot(t, site, row + 1, &c, &slot, err));
    TDBG_TRY(tdbg_chunked_read(c, &t->io, row * c->row_elems + slot,
                               (uint64_t)tdbg_site_elems(&t->sites[site]), data, err));
out:
    return st;
}

/* The recompute function may read other values of this trace: it is called before anything is. */
enum tdbg_status tdbg_reader_read_residual(struct tdbg_trace *t, int64_t step, int32_t site,
                                           void *data, int64_t *n_elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_trace *whole = t->whole;
    const struct tdbg_site *s = &t->sites[site];
    const size_t elems = (size_t)tdbg_site_elems(s), elem_bytes = tdbg_dtype_bytes(s->dtype);
    uint64_t recorded;
    unsigned char *residual = NULL;
    int64_t n = 0;
    TDBG_FAIL_IF(!whole->recompute, NEEDS_REPLAY,
                 "only the difference to what replay computes is stored");
    TDBG_TRY(whole->recompute(whole->recompute_context, t->whole, step, site, data, &n, err));
    TDBG_ASSERT(n >= 0 && (size_t)n <= elems);
    residual = malloc(elems * elem_bytes + 1);
    TDBG_FAIL_IF(!residual, NO_MEMORY, "no memory for %zu residuals", elems);
    TDBG_TRY(read_stored_residual(t, step, site, residual, err));
    tdbg_bits_add(data, residual, (size_t)n, elem_bytes);
    TDBG_TRY(tdbg_reader_read_digest(t, step, site, &recorded, err));
    TDBG_FAIL_IF(tdbg_digest_fast(data, s->dtype, n) != recorded, DAMAGED,
                 "%s: what was computed again and its residual do not make the recorded digest",
                 t->layout.sets[t->layout.set[site]].path);
    if (n_elems)
        *n_elems = n;
out:
    free(residual);
    return st;
}

enum tdbg_status tdbg_trace_read_residual(struct tdbg_trace *t, int64_t step, int32_t site,
                                          void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    uint64_t digest;
    tdbg_h5_begin();
    TDBG_ASSERT(site >= 0 && site < t->n_sites);
    TDBG_TRY(tdbg_trace_read_steps(t, step, 1, &row, err));
    t = tdbg_reader_at(t->whole, step);
    TDBG_FAIL_IF(!tdbg_trace_has_residual(t, site, step, row.evaluated), NOT_FOUND,
                 "%s has no residual at step %lld", t->sites[site].name, (long long)step);
    TDBG_TRY(tdbg_reader_read_digest(t, step, site, &digest, err));
    TDBG_FAIL_IF(digest == 0, NOT_FOUND, "%s was not recorded at step %lld", t->sites[site].name,
                 (long long)step);
    TDBG_TRY(read_stored_residual(t, step, site, data, err));
out:
    return st;
}

void tdbg_reader_free_stores(struct tdbg_trace *t)
{
    for (int32_t k = 0; t->packed && k < t->layout.n_packed; k++)
        tdbg_reader_close_cached(&t->packed[k].rows);
    for (int32_t i = 0; t->recent && i < t->n_sites; i++)
        free(t->recent[i].data);
}
