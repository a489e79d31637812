/* Chunked datasets: planning, creating, opening, and moving whole chunks. See chunked.h for the
 * drawing of how chunks lie in the array. */
#include "trace/chunked.h"

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"
#include "trace/schema.h"
#include "trace/trailer.h"

enum { FILTER_LEVEL = 1 }; /* what another program uses when it writes into one of our datasets */

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

/* Fills in what follows from dims, chunk and elem_bytes. false: chunks are cut in another way, or
 * the sizes overflow. */
static bool derive(struct tdbg_chunked *c)
{
    uint64_t total = c->elem_bytes, row = 1, chunk = 1, padded;
    int s = 0;
    while (s < c->ndim - 1 && c->chunk[s] == 1)
        s++;
    /* The split lies at the first dimension whose successors are all whole. */
    while (s > 0 && c->chunk[s] == c->dims[s])
        s--;
    c->split = s;
    c->inner = 1;
    for (int d = 0; d < c->ndim; d++) {
        if (c->chunk[d] == 0 || (d < s && c->chunk[d] != 1) ||
            (d > s && c->chunk[d] != c->dims[d]) || (d > 0 && c->dims[d] == 0) ||
            c->chunk[d] > UINT32_MAX)
            return false;
        if (__builtin_mul_overflow(chunk, c->chunk[d], &chunk) ||
            chunk > TDBG_CHUNK_MAX_BYTES / c->elem_bytes)
            return false;
        if (d > 0 && __builtin_mul_overflow(row, c->dims[d], &row))
            return false;
        if (d > s)
            c->inner *= c->dims[d];
    }
    c->row_elems = row;
    c->chunk_elems = chunk;
    /* Room for the padding of the last chunk, so that no position ever overflows. */
    return c->dims[0] < INT64_MAX / 2 && row < INT64_MAX / 2 &&
           !__builtin_mul_overflow(total, row, &total) &&
           !__builtin_mul_overflow(total, c->dims[0] + c->chunk[0], &padded) && padded < INT64_MAX;
}

void tdbg_chunked_plan(int ndim, const hsize_t *dims, size_t elem_bytes, hsize_t rows,
                       hsize_t *chunk)
{
    hsize_t rest = elem_bytes; /* bytes of one index of dimension d */
    for (int d = 1; d < ndim; d++)
        rest *= dims[d];
    chunk[0] = rest * rows <= TDBG_CHUNK_BYTES ? rows : TDBG_CHUNK_BYTES / rest;
    bool cut = chunk[0] > 0;
    if (!cut)
        chunk[0] = 1;
    for (int d = 1; d < ndim; d++) {
        rest /= dims[d];
        chunk[d] = cut ? dims[d] : 1;
        if (!cut && rest <= TDBG_CHUNK_BYTES) {
            /* Pieces of equal size rather than full ones and a small last one. */
            hsize_t fit = TDBG_CHUNK_BYTES / rest, pieces = (dims[d] + fit - 1) / fit;
            chunk[d] = (dims[d] + pieces - 1) / pieces;
            cut = true;
        }
    }
}

static hid_t creation_list(hid_t type, int ndim, const hsize_t *chunk, const void *fill)
{
    const unsigned level = FILTER_LEVEL;
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    if (H5Pset_chunk(dcpl, ndim, chunk) < 0 || H5Pset_shuffle(dcpl) < 0 ||
        H5Pset_filter(dcpl, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 1, &level) < 0 ||
        (fill && H5Pset_fill_value(dcpl, type, fill) < 0)) {
        H5Pclose(dcpl);
        return -1;
    }
    /* Chunks are written by us, so HDF5 should neither allocate nor fill any. */
    H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_INCR);
    H5Pset_fill_time(dcpl, H5D_FILL_TIME_IFSET);
    H5Pset_attr_phase_change(dcpl, 64, 32); /* attributes stay in the object's header */
    return dcpl;
}

static hid_t access_list(void)
{
    hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(dapl, 0, 0, 1.0); /* whole chunks pass us by */
    return dapl;
}

enum tdbg_status tdbg_chunked_number(hid_t dataset, const char *path, uint32_t *out,
                                     struct tdbg_err *err)
{
    H5O_info_t info;
    if (H5Oget_info2(dataset, &info, H5O_INFO_BASIC) < 0)
        return TDBG_H5_RAISE(err, IO, "cannot describe %s", path);
    *out = (uint32_t)info.addr;
    return TDBG_OK;
}

enum tdbg_status tdbg_chunked_create(hid_t loc, const char *path, hid_t type, int ndim,
                                     const hsize_t *dims, hsize_t rows_per_chunk, const void *fill,
                                     enum tdbg_codec_effort effort, struct tdbg_chunked *out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t space = -1, dcpl = -1, dapl = access_list(), lcpl = H5Pcreate(H5P_LINK_CREATE);
    hsize_t most[TDBG_CHUNKED_MAX_DIMS];
    struct tdbg_chunked c = {.path = path, .ndim = ndim, .effort = effort};
    TDBG_ASSERT(ndim >= 1 && ndim <= TDBG_CHUNKED_MAX_DIMS);
    c.elem_bytes = H5Tget_size(type);
    for (int d = 0; d < ndim; d++)
        c.dims[d] = most[d] = d == 0 ? 0 : dims[d];
    most[0] = H5S_UNLIMITED;
    tdbg_chunked_plan(ndim, c.dims, c.elem_bytes, rows_per_chunk, c.chunk);
    TDBG_FAIL_IF(!derive(&c), UNSUPPORTED, "%s: the tensor is too large", path);

    H5Pset_create_intermediate_group(lcpl, 1);
    space = H5Screate_simple(ndim, c.dims, most);
    dcpl = creation_list(type, ndim, c.chunk, fill);
    TDBG_H5_FAIL_IF(space < 0 || dcpl < 0, IO, "cannot describe %s", path);
    c.dataset = H5Dcreate2(loc, path, type, space, lcpl, dcpl, dapl);
    TDBG_H5_FAIL_IF(c.dataset < 0, IO, "cannot create %s", path);
    TDBG_TRY(tdbg_chunked_number(c.dataset, path, &c.number, err));
    *out = c;
out:
    if (dcpl >= 0)
        H5Pclose(dcpl);
    if (space >= 0)
        H5Sclose(space);
    H5Pclose(lcpl);
    H5Pclose(dapl);
    return st;
}

/* Chunked, in this very file, through shuffle + zstd and nothing else. */
static enum tdbg_status check_layout(struct tdbg_chunked *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t dcpl = H5Dget_create_plist(c->dataset);
    static const H5Z_filter_t wanted[2] = {H5Z_FILTER_SHUFFLE, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID};
    TDBG_FAIL_IF(dcpl < 0 || H5Pget_layout(dcpl) != H5D_CHUNKED, DAMAGED, "%s is not chunked",
                 c->path);
    TDBG_FAIL_IF(H5Pget_chunk(dcpl, c->ndim, c->chunk) != c->ndim, DAMAGED,
                 "%s: chunks of another rank", c->path);
    TDBG_FAIL_IF(H5Pget_nfilters(dcpl) != 2, DAMAGED, "%s: filters other than shuffle and zstd",
                 c->path);
    for (unsigned f = 0; f < 2; f++) {
        unsigned flags, config;
        size_t n_values = 0;
        H5Z_filter_t id = H5Pget_filter2(dcpl, f, &flags, &n_values, NULL, 0, NULL, &config);
        TDBG_FAIL_IF(id != wanted[f], DAMAGED, "%s: filters other than shuffle and zstd", c->path);
    }
    TDBG_FAIL_IF(!derive(c), DAMAGED, "%s: chunks are cut in a way no trace has, or sizes overflow",
                 c->path);
out:
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return st;
}

enum tdbg_status tdbg_chunked_open(hid_t loc, const char *path, hid_t type, int ndim,
                                   struct tdbg_chunk_cache *cache, struct tdbg_chunked *out,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t space = -1, real = -1;
    struct tdbg_chunked c = {.dataset = -1, .path = path, .ndim = ndim, .cache = cache};
    TDBG_TRY(tdbg_h5_open_object(loc, path, H5I_DATASET, &c.dataset, err));
    space = H5Dget_space(c.dataset);
    real = H5Dget_type(c.dataset);
    TDBG_H5_FAIL_IF(space < 0 || real < 0, DAMAGED, "%s cannot be read", path);
    TDBG_FAIL_IF(H5Sget_simple_extent_type(space) != H5S_SIMPLE ||
                     H5Sget_simple_extent_ndims(space) != ndim,
                 DAMAGED, "%s does not have %d dimensions", path, ndim);
    TDBG_FAIL_IF(H5Tdetect_class(real, H5T_VLEN) > 0 || H5Tis_variable_str(real) > 0, DAMAGED,
                 "%s is of variable length", path);
    TDBG_FAIL_IF(type >= 0 && H5Tequal(real, type) <= 0, DAMAGED, "%s is of another type", path);
    c.elem_bytes = H5Tget_size(real);
    TDBG_FAIL_IF(c.elem_bytes == 0 || c.elem_bytes > TDBG_CHUNK_BYTES, DAMAGED,
                 "%s has elements of %zu bytes", path, c.elem_bytes);
    H5Sget_simple_extent_dims(space, c.dims, NULL);
    TDBG_TRY(check_layout(&c, err));
    *out = c;
    c.dataset = -1;
out:
    if (real >= 0)
        H5Tclose(real);
    if (space >= 0)
        H5Sclose(space);
    if (c.dataset >= 0)
        H5Oclose(c.dataset);
    return st;
}

void tdbg_chunked_close(struct tdbg_chunked *c)
{
    if (c->dataset > 0)
        H5Dclose(c->dataset);
    c->dataset = -1;
}

enum tdbg_status tdbg_chunked_set_rows(struct tdbg_chunked *c, hsize_t rows, struct tdbg_err *err)
{
    if (c->dims[0] == rows)
        return TDBG_OK;
    hsize_t before = c->dims[0];
    c->dims[0] = rows;
    if (H5Dset_extent(c->dataset, c->dims) >= 0)
        return TDBG_OK;
    c->dims[0] = before;
    return TDBG_H5_RAISE(err, IO, "cannot extend %s", c->path);
}

/* The chunk that element `elem` lies in. */
struct place {
    hsize_t offset[TDBG_CHUNKED_MAX_DIMS]; /* its corner */
    uint64_t start, n_elems;               /* its run of the array, padding left out */
};

static struct place locate(const struct tdbg_chunked *c, uint64_t elem)
{
    struct place p = {.start = 0};
    int s = c->split;
    uint64_t plane = c->dims[s] * c->inner; /* elements of one index of the dimensions before s */
    uint64_t outer = s == 0 ? 0 : elem / plane;
    uint64_t k = (s == 0 ? elem : elem % plane) / (c->chunk[s] * c->inner);
    uint64_t left = c->dims[s] > k * c->chunk[s] ? c->dims[s] - k * c->chunk[s] : 0;
    p.offset[s] = k * c->chunk[s];
    p.start = outer * (s == 0 ? 0 : plane) + k * c->chunk[s] * c->inner;
    p.n_elems = (left < c->chunk[s] ? left : c->chunk[s]) * c->inner;
    for (int d = s - 1; d >= 0; d--) {
        p.offset[d] = d == 0 ? outer : outer % c->dims[d];
        outer /= d == 0 ? 1 : c->dims[d];
    }
    return p;
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
    const struct place p = locate(c, first_elem);
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
    const struct place p = locate(c, first_elem);
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

int64_t tdbg_chunked_piece(int32_t ndim, const int64_t *dims, size_t elem_bytes, int64_t first)
{
    struct tdbg_chunked c = {.dataset = -1, .ndim = ndim + 1, .elem_bytes = elem_bytes};
    c.dims[0] = 1;
    for (int32_t d = 0; d < ndim; d++)
        c.dims[d + 1] = dims[d] > 0 ? (hsize_t)dims[d] : 1;
    tdbg_chunked_plan(c.ndim, c.dims, elem_bytes, 1, c.chunk);
    TDBG_ASSERT(derive(&c));
    const struct place p = locate(&c, (uint64_t)first);
    return (int64_t)(p.start + p.n_elems) - first;
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
    const struct place p = locate(c, elem);
    hsize_t bytes = 0;
    return p.offset[0] < c->dims[0] &&
           H5Dget_chunk_storage_size(c->dataset, p.offset, &bytes) >= 0 && bytes > 0;
}

/* The trailer is no part of the data frame, so that zstd does not check it. Files of schema 1.0,
 * and those that another program wrote anew, have none. */
static enum tdbg_status check_trailer(const struct tdbg_chunked *c, const unsigned char *chunk,
                                      size_t bytes, const struct place *p, struct tdbg_err *err)
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
                                   const struct place *p, void *data, struct tdbg_err *err)
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
        struct place p = locate(c, at);
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
