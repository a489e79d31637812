/* Opening a dataset whose header or index is torn. A killed writer may leave that: HDF5 writes both
 * in place, and a kill can fall between two pages of one write. */
#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/reader_impl.h"

/* The header of a dataset was found torn, as *err says. Where there is no good skeleton that is the
 * better message, and while a trace is written what is torn may be whole in a moment. */
static enum tdbg_status fall_back(struct tdbg_trace *t, const char *path, hid_t *skeleton,
                                  struct tdbg_err *err)
{
    if (tdbg_chunk_finder_has_writer(&t->finder) ||
        tdbg_chunk_finder_skeleton(&t->finder, skeleton, NULL) != TDBG_OK)
        return TDBG_DAMAGED;
    tdbg_chunk_finder_note(&t->finder, path, true);
    if (!tdbg_chunk_finder_noted(&t->finder, path))
        return TDBG_DAMAGED; /* without a note it would be opened again */
    if (err)
        tdbg_err_clear(err);
    return TDBG_OK;
}

/* From where a dataset is to be opened, by what is known of it. */
static enum tdbg_status source(struct tdbg_trace *t, const char *path, hid_t *out,
                               struct tdbg_err *err)
{
    const struct tdbg_torn *torn = tdbg_chunk_finder_noted(&t->finder, path);
    *out = t->file;
    return torn && torn->header ? tdbg_chunk_finder_skeleton(&t->finder, out, err) : TDBG_OK;
}

enum tdbg_status tdbg_reader_open_object(struct tdbg_trace *t, const char *path, hid_t *out,
                                         struct tdbg_err *err)
{
    hid_t from;
    bool torn;
    enum tdbg_status st = source(t, path, &from, err);
    if (st != TDBG_OK)
        return st;
    st = tdbg_h5_open_maybe_torn(from, path, H5I_DATASET, out, &torn, err);
    if (st == TDBG_OK || !torn || from != t->file)
        return st;
    st = fall_back(t, path, &from, err);
    return st == TDBG_OK ? tdbg_h5_open_object(from, path, H5I_DATASET, out, err) : st;
}

/* A row that has no chunk, because it holds zeros or was left out, is none that the chunks reach.
 */
static enum tdbg_status set_rows(struct tdbg_trace *t, struct tdbg_chunked *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum tdbg_rows_rule rule;
    int32_t every = 1;
    uint64_t reach, due = 0;
    const uint64_t step_rows = t->steps.array.dataset > 0 ? t->steps.array.dims[0] : 0;
    TDBG_TRY(tdbg_rows_rule_of(c, &rule, &every, err));
    TDBG_TRY(tdbg_chunk_finder_measure(&t->finder, c, step_rows, &reach, NULL, err));
    if (rule == TDBG_ROWS_CADENCE)
        due = (uint64_t)tdbg_layout_rows(t->first_step, t->n_steps, every);
    else if (rule == TDBG_ROWS_KEYFRAMES)
        due = (uint64_t)t->n_keyframes;
    c->dims[0] = reach > due ? reach : due;
    TDBG_FAIL_IF(!tdbg_chunked_fits(c), DAMAGED, "%s: sizes overflow", c->path);
out:
    return st;
}

enum tdbg_status tdbg_reader_open_dataset(struct tdbg_trace *t, const char *path, hid_t type,
                                          int ndim, struct tdbg_chunk_cache *cache,
                                          struct tdbg_chunked *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked c = {.dataset = -1};
    hid_t from;
    bool torn;
    TDBG_TRY(source(t, path, &from, err));
    st = tdbg_chunked_open(from, path, type, ndim, cache, &c, &torn, err);
    if (st != TDBG_OK && torn && from == t->file) {
        TDBG_TRY(fall_back(t, path, &from, err));
        st = tdbg_chunked_open(from, path, type, ndim, cache, &c, &torn, err);
    }
    TDBG_TRY(st);
    c.finder = &t->finder;
    c.by_trailers = from != t->file;
    if (c.by_trailers)
        TDBG_TRY(set_rows(t, &c, err));
    *out = c;
    c.dataset = -1;
out:
    tdbg_chunked_close(&c);
    return st;
}
