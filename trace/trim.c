/* Cutting datasets to the rows that count. See trim.h. */
#include "trace/trim.h"

#include <stdlib.h>

#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/layout.h"
#include "trace/trailer.h"

/* Serial number of the chunk that begins with row `row`, and 0 where it has none. Only datasets
 * whose chunks hold whole rows are asked for it. */
static uint32_t serial_of(const struct tdbg_chunked *c, hsize_t row)
{
    const hsize_t corner[TDBG_CHUNKED_MAX_DIMS] = {row};
    hsize_t bytes = 0;
    uint32_t filters = 0;
    struct tdbg_trailer t = {.serial = 0};
    if (H5Dget_chunk_storage_size(c->dataset, corner, &bytes) < 0 || bytes < TDBG_TRAILER_BYTES ||
        bytes > tdbg_codec_bound(c->chunk_elems * c->elem_bytes))
        return 0;
    unsigned char *chunk = malloc(bytes);
    if (chunk && H5Dread_chunk(c->dataset, H5P_DEFAULT, corner, &filters, chunk) >= 0)
        tdbg_trailer_peek(chunk, bytes - TDBG_TRAILER_BYTES, bytes, &t);
    free(chunk);
    return t.serial;
}

/* Cuts inside of a chunk: HDF5 would fill it up through its own filters, without a trailer, so it
 * is written by us after that. */
static enum tdbg_status cut_chunk(struct tdbg_chunked *c, uint64_t rows, struct tdbg_chunk_io *io,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const uint64_t first = rows / c->chunk[0] * c->chunk[0], n = (rows - first) * c->row_elems;
    const uint32_t serial = serial_of(c, first), before = io->serial;
    void *kept = malloc(n * c->elem_bytes + 1);
    TDBG_FAIL_IF(!kept, NO_MEMORY, "no memory for rows of %s", c->path);
    TDBG_TRY(tdbg_chunked_read(c, io, first * c->row_elems, n, kept, err));
    TDBG_TRY(tdbg_chunked_set_rows(c, rows, err));
    TDBG_TRY(tdbg_chunked_number(c->dataset, c->path, &c->number, err));
    io->serial = serial + 1;
    st = tdbg_chunked_write(c, io, first * c->row_elems, n, kept, err);
    io->serial = before;
out:
    free(kept);
    return st;
}

static enum tdbg_status cut(struct tdbg_chunked *c, uint64_t rows, enum tdbg_trim_how how,
                            struct tdbg_chunk_io *io, struct tdbg_err *err)
{
    const uint64_t part = rows % c->chunk[0];
    if (how == TDBG_TRIM_CHUNKS && part > 0)
        rows += c->chunk[0] - part;
    if (rows >= c->dims[0])
        return TDBG_OK;
    return how == TDBG_TRIM_ROWS && part > 0 ? cut_chunk(c, rows, io, err)
                                             : tdbg_chunked_set_rows(c, rows, err);
}

enum tdbg_status tdbg_trim_rows(hid_t file, const char *path, int64_t rows,
                                struct tdbg_chunk_io *io, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunk_cache cache = {0};
    struct tdbg_chunked c = {.dataset = -1};
    TDBG_TRY(tdbg_open_listed(file, path, &cache, &c, err));
    TDBG_TRY(cut(&c, (uint64_t)rows, TDBG_TRIM_ROWS, io, err));
out:
    tdbg_chunked_close(&c);
    tdbg_chunk_cache_free(&cache);
    return st;
}

static enum tdbg_status trim_listed(hid_t file, const char *path, int64_t first_step,
                                    int64_t n_steps, int64_t n_keyframes, enum tdbg_trim_how how,
                                    struct tdbg_chunk_io *io, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunk_cache cache = {0};
    struct tdbg_chunked c = {.dataset = -1};
    enum tdbg_rows_rule rule;
    int32_t every = 1;
    TDBG_TRY(tdbg_open_listed(file, path, &cache, &c, err));
    TDBG_TRY(tdbg_rows_rule_of(&c, &rule, &every, err));
    if (rule == TDBG_ROWS_OTHER)
        goto out;
    int64_t rows = rule == TDBG_ROWS_KEYFRAMES ? n_keyframes
                   : rule == TDBG_ROWS_ZONES   ? n_steps / every
                                               : tdbg_layout_rows(first_step, n_steps, every);
    TDBG_TRY(cut(&c, (uint64_t)rows, how, io, err));
    if (rule == TDBG_ROWS_ZONES)
        goto out; /* steps without a zone are searched all the same */
    /* not inside of a chunk: its padding would be taken for rows */
    if (how == TDBG_TRIM_ROWS && (uint64_t)rows > c.dims[0] && c.dims[0] % c.chunk[0] == 0)
        TDBG_TRY(tdbg_chunked_set_rows(&c, (uint64_t)rows, err));
out:
    tdbg_chunked_close(&c);
    tdbg_chunk_cache_free(&cache);
    return st;
}

enum tdbg_status tdbg_trim_trace(hid_t file, int64_t first_step, int64_t n_steps,
                                 int64_t n_keyframes, enum tdbg_trim_how how,
                                 struct tdbg_chunk_io *io, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_dataset_list list;
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_FAIL_IF(!arena, NO_MEMORY, "no memory for a list of datasets");
    TDBG_TRY(tdbg_list_datasets(file, arena, &list, err));
    for (size_t i = 0; i < list.n_items; i++)
        TDBG_TRY(
            trim_listed(file, list.items[i].path, first_step, n_steps, n_keyframes, how, io, err));
out:
    tdbg_arena_destroy(arena);
    return st;
}
