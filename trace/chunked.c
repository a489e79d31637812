/* Chunked datasets: how chunks are cut and where they lie, creating and opening. See chunked.h for
 * the drawing; what goes in and out is in chunked_io.c. */
#include <string.h>

#include "trace/chunked_impl.h"
#include "trace/hdf5_util.h"
#include "trace/schema.h"
#include "trace/trailer.h"

enum { FILTER_LEVEL = 1 }; /* what another program uses when it writes into one of our datasets */

/* Fills in what follows from dims, chunk and elem_bytes. false: chunks are cut in another way, or
 * the sizes overflow. */
static bool derive(struct tdbg_chunked *c)
{
    uint64_t row = 1, chunk = 1;
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
    return tdbg_chunked_fits(c);
}

/* Room for the padding of the last chunk, so that no position ever overflows. */
bool tdbg_chunked_fits(const struct tdbg_chunked *c)
{
    uint64_t total, padded;
    return c->dims[0] < INT64_MAX / 2 && c->row_elems < INT64_MAX / 2 &&
           !__builtin_mul_overflow(c->row_elems, c->elem_bytes, &total) &&
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

struct tdbg_chunk_place tdbg_chunked_locate(const struct tdbg_chunked *c, uint64_t elem)
{
    struct tdbg_chunk_place p = {.start = 0};
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

int64_t tdbg_chunked_piece(int32_t ndim, const int64_t *dims, size_t elem_bytes, int64_t first)
{
    struct tdbg_chunked c = {.dataset = -1, .ndim = ndim + 1, .elem_bytes = elem_bytes};
    c.dims[0] = 1;
    for (int32_t d = 0; d < ndim; d++)
        c.dims[d + 1] = dims[d] > 0 ? (hsize_t)dims[d] : 1;
    tdbg_chunked_plan(c.ndim, c.dims, elem_bytes, 1, c.chunk);
    TDBG_ASSERT(derive(&c));
    const struct tdbg_chunk_place p = tdbg_chunked_locate(&c, (uint64_t)first);
    return (int64_t)(p.start + p.n_elems) - first;
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
    *out = strcmp(path, TDBG_SKELETON_PATH) == 0 ? TDBG_TRAILER_SKELETON : (uint32_t)info.addr;
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
                                   bool *torn, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t space = -1, real = -1;
    struct tdbg_chunked c = {.dataset = -1, .path = path, .ndim = ndim, .cache = cache};
    TDBG_TRY(tdbg_h5_open_maybe_torn(loc, path, H5I_DATASET, &c.dataset, torn, err));
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
