/* Whole chunks into a dataset and out of it, past HDF5's filters. See chunked.h; where a chunk lies
 * is chunked.c's. */
#include <stdlib.h>
#include <string.h>

#include "trace/chunk_finder.h"
#include "trace/chunked_impl.h"
#include "trace/hdf5_util.h"
#include "trace/trailer.h"

enum tdbg_status tdbg_chunk_io_init(struct tdbg_chunk_io *io, struct tdbg_err *err)
{
    *io = (struct tdbg_chunk_io){.codec = tdbg_codec_create()};
    return io->codec ? TDBG_OK : TDBG_RAISE(err, NO_MEMORY, "no memory for a codec");
}

void tdbg_chunk_io_free(struct tdbg_chunk_io *io)
{
    tdbg_codec_destroy(io->codec);
    free(io->raw);
    if (io->job)
        tdbg_chunk_job_free(io->job);
    free(io->job);
    *io = (struct tdbg_chunk_io){0};
}

void tdbg_chunk_cache_free(struct tdbg_chunk_cache *cache)
{
    free(cache->data);
    *cache = (struct tdbg_chunk_cache){0};
}

static enum tdbg_status reserve(unsigned char **data, size_t *have, size_t bytes,
                                struct tdbg_err *err)
{
    if (*have >= bytes)
        return TDBG_OK;
    unsigned char *grown = realloc(*data, bytes);
    if (!grown)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a chunk of %zu bytes", bytes);
    *data = grown;
    *have = bytes;
    return TDBG_OK;
}

void tdbg_chunk_job_free(struct tdbg_chunk_job *job)
{
    free(job->packed);
    *job = (struct tdbg_chunk_job){0};
}

uint64_t tdbg_chunked_cut(struct tdbg_chunked *c, hsize_t rows, uint64_t first_elem,
                          uint64_t n_elems, const void *data, uint32_t serial,
                          struct tdbg_chunk_job *job)
{
    const hsize_t have = c->dims[0];
    if (rows > have)
        c->dims[0] = rows;
    const struct tdbg_chunk_place p = tdbg_chunked_locate(c, first_elem);
    c->dims[0] = have;
    TDBG_ASSERT(p.start == first_elem && p.n_elems > 0);
    job->array = c;
    job->data = data;
    job->first_elem = first_elem;
    job->n_elems = n_elems < p.n_elems ? n_elems : p.n_elems;
    job->serial = serial;
    job->avoid_bytes = c->last_first == first_elem ? c->last_bytes : 0;
    return job->n_elems;
}

enum tdbg_status tdbg_chunk_encode(struct tdbg_chunk_job *job, struct tdbg_chunk_io *io,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_chunked *c = job->array;
    const size_t whole_bytes = c->chunk_elems * c->elem_bytes, used = job->n_elems * c->elem_bytes;
    const void *whole = job->data, *frame;
    size_t bytes;
    if (used < whole_bytes) {
        TDBG_TRY(reserve(&io->raw, &io->raw_bytes, whole_bytes, err));
        memcpy(io->raw, job->data, used);
        memset(io->raw + used, 0, whole_bytes - used);
        whole = io->raw;
    }
    TDBG_TRY(tdbg_codec_encode(io->codec, c->effort, whole, c->chunk_elems, c->elem_bytes, &frame,
                               &bytes, err));
    TDBG_TRY(reserve(&job->packed, &job->room_bytes,
                     bytes + TDBG_TRAILER_FILLER_BYTES + TDBG_TRAILER_BYTES, err));
    memcpy(job->packed, frame, bytes);
    /* HDF5 overwrites a chunk of the same size where it is, and a crash in the middle of that would
     * take rows that were safe; a chunk of another size gets a place of its own. */
    if (job->avoid_bytes == bytes + TDBG_TRAILER_BYTES) {
        tdbg_trailer_put_filler(job->packed + bytes);
        bytes += TDBG_TRAILER_FILLER_BYTES;
    }
    const struct tdbg_trailer trailer = {.dataset = c->number,
                                         .bytes = (uint32_t)bytes,
                                         .first_elem = job->first_elem,
                                         .n_elems = (uint32_t)job->n_elems,
                                         .serial = job->serial};
    tdbg_trailer_put(job->packed, &trailer);
    job->packed_bytes = bytes + TDBG_TRAILER_BYTES;
out:
    return st;
}

enum tdbg_status tdbg_chunked_put_raw(struct tdbg_chunked *c, uint64_t first_elem,
                                      const void *packed, size_t packed_bytes, struct tdbg_err *err)
{
    const struct tdbg_chunk_place p = tdbg_chunked_locate(c, first_elem);
    if (p.start != first_elem)
        return TDBG_RAISE(err, DAMAGED, "%s: no chunk begins at element %llu", c->path,
                          (unsigned long long)first_elem);
    if (H5Dwrite_chunk(c->dataset, H5P_DEFAULT, 0, p.offset, packed_bytes, packed) < 0)
        return TDBG_H5_RAISE(err, IO, "cannot write %s", c->path);
    return TDBG_OK;
}

enum tdbg_status tdbg_chunked_put(struct tdbg_chunk_job *job, struct tdbg_err *err)
{
    struct tdbg_chunked *c = job->array;
    enum tdbg_status st =
        tdbg_chunked_put_raw(c, job->first_elem, job->packed, job->packed_bytes, err);
    c->last_first = job->first_elem;
    c->last_bytes = job->packed_bytes;
    return st;
}

static bool is_zero(const unsigned char *data, size_t bytes)
{
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0);
}

enum tdbg_status tdbg_chunked_write(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                    uint64_t first_elem, uint64_t n_elems, const void *data,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const unsigned char *from = data;
    if (!io->job)
        io->job = calloc(1, sizeof *io->job);
    TDBG_FAIL_IF(!io->job, NO_MEMORY, "no memory for a chunk");
    for (uint64_t at = 0; at < n_elems;) {
        const unsigned char *data_at = from + at * c->elem_bytes;
        const uint64_t n =
            tdbg_chunked_cut(c, 0, first_elem + at, n_elems - at, data_at, io->serial++, io->job);
        if (!c->sparse || !is_zero(data_at, n * c->elem_bytes)) {
            TDBG_TRY(tdbg_chunk_encode(io->job, io, err));
            TDBG_TRY(tdbg_chunked_put(io->job, err));
        }
        at += n;
    }
out:
    return st;
}

/* What the index says of a chunk. */
enum entry { ENTRY_THERE, ENTRY_NONE, ENTRY_TORN };

/* HDF5 1.10 calls it an error where a chunk is not there but others are. That error comes from the
 * dataset alone; one that comes from reading the index has other modules below it. */
static herr_t look_for_index(unsigned n, const H5E_error2_t *entry, void *torn)
{
    (void)n;
    if (entry->maj_num == H5E_EARRAY || entry->maj_num == H5E_FARRAY ||
        entry->maj_num == H5E_BTREE || entry->maj_num == H5E_CACHE || entry->maj_num == H5E_IO ||
        entry->maj_num == H5E_VFL)
        *(bool *)torn = true;
    return 0;
}

static enum entry look_up(const struct tdbg_chunked *c, const struct tdbg_chunk_place *p,
                          hsize_t *bytes)
{
    bool torn = false;
    if (c->by_trailers)
        return ENTRY_TORN;
    if (H5Dget_chunk_storage_size(c->dataset, p->offset, bytes) >= 0)
        return *bytes > 0 ? ENTRY_THERE : ENTRY_NONE;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_for_index, &torn);
    return torn ? ENTRY_TORN : ENTRY_NONE;
}

static void note_torn(const struct tdbg_chunked *c)
{
    if (!c->by_trailers) /* whoever opened it has noted more */
        tdbg_chunk_finder_note(c->finder, c->path, false);
}

bool tdbg_chunked_has(const struct tdbg_chunked *c, uint64_t elem)
{
    const struct tdbg_chunk_place p = tdbg_chunked_locate(c, elem);
    struct tdbg_found_chunk found;
    hsize_t bytes = 0;
    if (p.offset[0] >= c->dims[0])
        return false;
    const enum entry entry = look_up(c, &p, &bytes);
    if (entry != ENTRY_TORN || !c->finder)
        return entry == ENTRY_THERE;
    note_torn(c);
    return tdbg_chunk_finder_find(c->finder, c, p.start, 1, &found, NULL) == TDBG_OK;
}

int64_t tdbg_chunked_stored_bytes(const struct tdbg_chunked *c)
{
    uint64_t bytes = 0;
    if (c->dataset <= 0)
        return 0;
    const hsize_t stored = c->by_trailers ? 0 : H5Dget_storage_size(c->dataset);
    if (stored > 0 || !c->finder || (!c->by_trailers && H5Eget_num(H5E_DEFAULT) <= 0))
        return (int64_t)stored;
    note_torn(c);
    tdbg_chunk_finder_measure(c->finder, c, 0, NULL, &bytes, NULL);
    return (int64_t)bytes;
}

/* The trailer is no part of the data frame, so that zstd does not check it. Files of schema 1.0,
 * and those that another program wrote anew, have none. */
static enum tdbg_status check_trailer(const struct tdbg_chunked *c, const unsigned char *chunk,
                                      size_t bytes, const struct tdbg_chunk_place *p,
                                      struct tdbg_err *err)
{
    struct tdbg_trailer trailer;
    if (bytes < TDBG_TRAILER_BYTES ||
        tdbg_trailer_find(chunk, bytes - TDBG_TRAILER_BYTES, bytes) == bytes)
        return TDBG_OK;
    if (!tdbg_trailer_get(chunk, bytes - TDBG_TRAILER_BYTES, bytes, &trailer))
        return TDBG_RAISE(err, DAMAGED, "%s: a chunk does not have its checksum", c->path);
    if (trailer.first_elem != p->start)
        return TDBG_RAISE(err, DAMAGED, "%s: a chunk stands in the place of another", c->path);
    return TDBG_OK;
}

/* The chunk as it stands in the file, where its index says, in io->raw. */
static enum tdbg_status fetch_indexed(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                      const struct tdbg_chunk_place *p, hsize_t bytes,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint32_t skipped_filters = 0;
    const size_t bound = tdbg_codec_bound(c->chunk_elems * c->elem_bytes);
    TDBG_FAIL_IF(bytes > bound, DAMAGED, "%s: a chunk of %llu bytes where at most %zu can be",
                 c->path, (unsigned long long)bytes, bound);
    TDBG_TRY(reserve(&io->raw, &io->raw_bytes, (size_t)bytes, err));
    TDBG_H5_FAIL_IF(H5Dread_chunk(c->dataset, H5P_DEFAULT, p->offset, &skipped_filters, io->raw) <
                        0,
                    DAMAGED, "%s: a chunk cannot be read", c->path);
    TDBG_FAIL_IF(skipped_filters != 0, DAMAGED, "%s: a chunk skips its filters", c->path);
    TDBG_TRY(check_trailer(c, io->raw, (size_t)bytes, p, err));
out:
    return st;
}

/* The same where the index is torn: the latest whole chunk of that place, if it has the elements
 * that are wanted. *n_valid is how many it has; 0: there is no such chunk. */
static enum tdbg_status fetch_found(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                    const struct tdbg_chunk_place *p, uint64_t n_wanted,
                                    size_t *bytes, uint64_t *n_valid, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0};
    struct tdbg_found_chunk found;
    struct tdbg_trailer t;
    note_torn(c);
    st = tdbg_chunk_finder_find(c->finder, c, p->start, n_wanted, &found, &fault);
    if (st == TDBG_NOT_FOUND) {
        *n_valid = 0;
        st = TDBG_OK;
        goto out;
    }
    if (st != TDBG_OK)
        st = tdbg_err_set(err, st, fault.file, fault.line, "%s: %s", c->path, fault.message);
    TDBG_TRY(st);
    *bytes = found.bytes + (size_t)TDBG_TRAILER_BYTES;
    TDBG_TRY(reserve(&io->raw, &io->raw_bytes, *bytes, err));
    TDBG_TRY(tdbg_chunk_finder_load(c->finder, c->path, &found, io->raw, err));
    /* the file may have changed since it was scanned */
    TDBG_FAIL_IF(!tdbg_trailer_get(io->raw, found.bytes, *bytes, &t) || t.bytes != found.bytes ||
                     t.dataset != found.dataset || t.first_elem != p->start ||
                     t.n_elems != found.n_elems,
                 DAMAGED, "%s: a chunk does not have its checksum", c->path);
    *n_valid = found.n_elems;
out:
    tdbg_err_clear(&fault);
    return st;
}

/* One chunk, decoded into data (chunk_elems), of which the first n_wanted have to be there;
 * *n_valid is how many are known to be. */
static enum tdbg_status read_chunk(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                   const struct tdbg_chunk_place *p, uint64_t n_wanted, void *data,
                                   uint64_t *n_valid, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hsize_t stored = 0;
    size_t bytes = 0;
    bool is_zero_chunk = false;
    const enum entry entry = look_up(c, p, &stored);
    *n_valid = c->chunk_elems;
    TDBG_H5_FAIL_IF(entry == ENTRY_TORN && !c->finder, DAMAGED, "%s: a chunk cannot be found",
                    c->path);
    if (entry == ENTRY_TORN) {
        TDBG_TRY(fetch_found(c, io, p, n_wanted, &bytes, n_valid, err));
        is_zero_chunk = *n_valid == 0 && c->sparse && !tdbg_chunk_finder_lost_some(c->finder);
        TDBG_FAIL_IF(*n_valid == 0 && !is_zero_chunk, DAMAGED,
                     "%s: a chunk cannot be found: its index is damaged, and no whole chunk has a "
                     "trailer of that place",
                     c->path);
    } else if (entry == ENTRY_THERE) {
        bytes = (size_t)stored;
        TDBG_TRY(fetch_indexed(c, io, p, stored, err));
    } else {
        is_zero_chunk = c->sparse;
        TDBG_FAIL_IF(!is_zero_chunk, DAMAGED, "%s: a chunk is missing", c->path);
    }
    if (is_zero_chunk) {
        memset(data, 0, c->chunk_elems * c->elem_bytes);
        *n_valid = c->chunk_elems;
        return TDBG_OK;
    }
    st = tdbg_codec_decode(io->codec, io->raw, bytes, data, c->chunk_elems, c->elem_bytes, err);
    if (st != TDBG_OK)
        TDBG_H5_CONTEXT(err, "%s", c->path);
out:
    return st;
}

/* The chunk in the cache: read unless it is there with all elements that are wanted. */
static enum tdbg_status fill_cache(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                   const struct tdbg_chunk_place *p, uint64_t n_wanted,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunk_cache *cache = c->cache;
    if (cache->owner == c && cache->start == p->start && n_wanted <= cache->n_elems)
        return TDBG_OK;
    cache->owner = NULL;
    TDBG_TRY(reserve(&cache->data, &cache->bytes, c->chunk_elems * c->elem_bytes, err));
    TDBG_TRY(read_chunk(c, io, p, n_wanted, cache->data, &cache->n_elems, err));
    cache->owner = c;
    cache->start = p->start;
out:
    return st;
}

enum tdbg_status tdbg_chunked_read(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                   uint64_t first_elem, uint64_t n_elems, void *data,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char *to = data;
    struct tdbg_chunk_cache *cache = c->cache;
    uint64_t all = c->dims[0] * c->row_elems;
    TDBG_FAIL_IF(first_elem > all || n_elems > all - first_elem, DAMAGED, "%s has only %llu rows",
                 c->path, (unsigned long long)c->dims[0]);
    for (uint64_t at = first_elem; at < first_elem + n_elems;) {
        struct tdbg_chunk_place p = tdbg_chunked_locate(c, at);
        uint64_t skip = at - p.start, left = first_elem + n_elems - at;
        uint64_t n = p.n_elems - skip < left ? p.n_elems - skip : left;
        TDBG_ASSERT(n > 0 && n <= c->chunk_elems);
        if (n == c->chunk_elems && !(cache->owner == c && cache->start == p.start)) {
            uint64_t n_valid;
            TDBG_TRY(read_chunk(c, io, &p, n, to, &n_valid, err));
        } else {
            TDBG_TRY(fill_cache(c, io, &p, skip + n, err));
            memcpy(to, cache->data + skip * c->elem_bytes, n * c->elem_bytes);
        }
        to += n * c->elem_bytes;
        at += n;
    }
out:
    return st;
}
