/* Whole chunks into a dataset and out of it, past HDF5's filters. See chunked.h; where a chunk lies
 * is chunked.c's. */
#include <stdlib.h>
#include <string.h>

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

bool tdbg_chunked_has(const struct tdbg_chunked *c, uint64_t elem)
{
    const struct tdbg_chunk_place p = tdbg_chunked_locate(c, elem);
    hsize_t bytes = 0;
    return p.offset[0] < c->dims[0] &&
           H5Dget_chunk_storage_size(c->dataset, p.offset, &bytes) >= 0 && bytes > 0;
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

/* One chunk, decoded into data (chunk_elems). */
static enum tdbg_status read_chunk(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                   const struct tdbg_chunk_place *p, void *data,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hsize_t bytes = 0;
    uint32_t skipped_filters = 0;
    size_t bound = tdbg_codec_bound(c->chunk_elems * c->elem_bytes);
    herr_t rc = H5Dget_chunk_storage_size(c->dataset, p->offset, &bytes);
    /* HDF5 1.10 calls it an error where other chunks are there, and 0 bytes where none is */
    if (c->sparse && (rc < 0 || bytes == 0)) {
        memset(data, 0, c->chunk_elems * c->elem_bytes);
        return TDBG_OK;
    }
    TDBG_FAIL_IF(rc >= 0 && bytes == 0, DAMAGED, "%s: a chunk is missing", c->path);
    TDBG_H5_FAIL_IF(rc < 0, DAMAGED, "%s: a chunk cannot be found", c->path);
    TDBG_FAIL_IF(bytes > bound, DAMAGED, "%s: a chunk of %llu bytes where at most %zu can be",
                 c->path, (unsigned long long)bytes, bound);
    TDBG_TRY(reserve(&io->raw, &io->raw_bytes, (size_t)bytes, err));
    TDBG_H5_FAIL_IF(H5Dread_chunk(c->dataset, H5P_DEFAULT, p->offset, &skipped_filters, io->raw) <
                        0,
                    DAMAGED, "%s: a chunk cannot be read", c->path);
    TDBG_FAIL_IF(skipped_filters != 0, DAMAGED, "%s: a chunk skips its filters", c->path);
    TDBG_TRY(check_trailer(c, io->raw, (size_t)bytes, p, err));
    st = tdbg_codec_decode(io->codec, io->raw, (size_t)bytes, data, c->chunk_elems, c->elem_bytes,
                           err);
    if (st != TDBG_OK)
        TDBG_H5_CONTEXT(err, "%s", c->path);
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
            TDBG_TRY(read_chunk(c, io, &p, to, err));
        } else {
            if (cache->owner != c || cache->start != p.start) {
                cache->owner = NULL;
                TDBG_TRY(reserve(&cache->data, &cache->bytes, c->chunk_elems * c->elem_bytes, err));
                TDBG_TRY(read_chunk(c, io, &p, cache->data, err));
                cache->owner = c;
                cache->start = p.start;
            }
            memcpy(to, cache->data + skip * c->elem_bytes, n * c->elem_bytes);
        }
        to += n * c->elem_bytes;
        at += n;
    }
out:
    return st;
}
