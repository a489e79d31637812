/* Reading values that do not have a dataset of their own as they are: packed ones. */
#include "trace/reader_impl.h"

#include "trace/hdf5_util.h"

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

enum tdbg_status tdbg_reader_read_digest(struct tdbg_trace *t, int64_t step, int32_t site,
                                         uint64_t *digest, struct tdbg_err *err)
{
    uint64_t at = (uint64_t)(step - t->first_step) * (uint64_t)t->n_sites + (uint64_t)site;
    return tdbg_chunked_read(&t->digest.array, &t->io, at, 1, digest, err);
}

void tdbg_reader_free_stores(struct tdbg_trace *t)
{
    for (int32_t k = 0; t->packed && k < t->layout.n_packed; k++)
        tdbg_reader_close_cached(&t->packed[k].rows);
}
