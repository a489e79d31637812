/* Opening a dataset whose header or index is torn. A killed writer may leave that: HDF5 writes both
 * in place, and a kill can fall between two pages of one write. */
#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/reader_impl.h"

/* Is there a hard link to an object that cannot be read? To be asked first: once it has failed,
 * HDF5 1.10 may open an object of several blocks without those that it could not read. */
static bool is_torn(hid_t file, const char *path)
{
    H5L_info_t link;
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0 ||
        H5Lget_info(file, path, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return false;
    const unsigned held = tdbg_h5_hold_plugins();
    const hid_t object = H5Oopen(file, path, H5P_DEFAULT);
    tdbg_h5_release_plugins(held);
    if (object >= 0)
        H5Oclose(object);
    return object < 0;
}

/* Where there is no good skeleton the file itself gives the better message, and while it is written
 * what is torn may be whole in a moment. */
enum tdbg_status tdbg_reader_source(struct tdbg_trace *t, const char *path, hid_t *out,
                                    struct tdbg_err *err)
{
    const struct tdbg_torn *torn = tdbg_chunk_finder_noted(&t->finder, path);
    hid_t skeleton;
    *out = t->file;
    if (torn && torn->header)
        return tdbg_chunk_finder_skeleton(&t->finder, out, err);
    if (!is_torn(t->file, path))
        return TDBG_OK;
    const enum tdbg_status st = TDBG_H5_RAISE(err, DAMAGED, "%s cannot be opened", path);
    if (tdbg_chunk_finder_has_writer(&t->finder) ||
        tdbg_chunk_finder_skeleton(&t->finder, &skeleton, NULL) != TDBG_OK)
        return st;
    tdbg_err_clear(err);
    tdbg_chunk_finder_note(&t->finder, path, true);
    *out = skeleton;
    return TDBG_OK;
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
    hid_t source;
    TDBG_TRY(tdbg_reader_source(t, path, &source, err));
    TDBG_TRY(tdbg_chunked_open(source, path, type, ndim, cache, &c, err));
    c.finder = &t->finder;
    c.by_trailers = source != t->file;
    if (c.by_trailers)
        TDBG_TRY(set_rows(t, &c, err));
    *out = c;
    c.dataset = -1;
out:
    tdbg_chunked_close(&c);
    return st;
}
