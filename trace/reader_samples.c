/* Reading raw samples by id, and what their tokens stand for. */
#include "trace/reader_impl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"

enum { CACHE_BYTES = 64 << 20, MOST_CACHES = 4096, PIECE_IDS = 65536 };

static const char *const set_name[TDBG_SAMPLES_SETS] = {"train", "eval"};

/* Opens x or y: rows of samples of any type of ours and up to TDBG_MAX_DIMS dimensions. */
static enum tdbg_status open_array(struct tdbg_trace *t, const char *path, struct cached_array *a,
                                   enum tdbg_dtype *dtype, int32_t *ndim, int64_t *dims,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t dset = -1, space = -1, type = -1;
    TDBG_TRY(tdbg_reader_open_object(t, path, &dset, err));
    space = H5Dget_space(dset);
    type = H5Dget_type(dset);
    int n = H5Sget_simple_extent_ndims(space);
    TDBG_FAIL_IF(n < 1 || n > TDBG_MAX_DIMS + 1, DAMAGED, "%s has %d dimensions", path, n);
    TDBG_FAIL_IF(!tdbg_h5_parse_dtype(type, dtype), DAMAGED, "%s is of a type no trace has", path);
    TDBG_TRY(tdbg_reader_open_cached(t, path, type, n, a, err));
    *ndim = n - 1;
    for (int d = 1; d < n; d++)
        dims[d - 1] = (int64_t)a->array.dims[d];
    int64_t elems;
    TDBG_FAIL_IF(!tdbg_layout_count(*ndim, dims, &elems), DAMAGED, "%s has samples too large",
                 path);
out:
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (dset >= 0)
        H5Oclose(dset);
    return st;
}

/* Since schema 1.2. */
static enum tdbg_status load_counts(hid_t group, const char *path, struct tdbg_samples_spec *spec,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (H5Aexists(group, "classes") > 0)
        TDBG_TRY(tdbg_h5_get_int(group, path, "classes", 0, INT32_MAX, &spec->classes, err));
    if (H5Aexists(group, "vocab") > 0)
        TDBG_TRY(tdbg_h5_get_int(group, path, "vocab", 0, INT32_MAX, &spec->vocab, err));
out:
    return st;
}

static enum tdbg_status load_set(struct tdbg_trace *t, int set, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_samples_spec *spec = &t->samples[set];
    struct sample_reader *r = &t->sample_readers[set];
    const char *path = tdbg_arena_printf(t->arena, "samples/%s", set_name[set]);
    hid_t group = -1;
    if (H5Lexists(t->file, path, H5P_DEFAULT) <= 0)
        return TDBG_OK;
    TDBG_TRY(tdbg_h5_open_object(t->file, path, H5I_GROUP, &group, err));
    TDBG_TRY(tdbg_h5_get_int(group, path, "total", 1, TDBG_MAX_ELEMS, &spec->total, err));
    TDBG_TRY(load_counts(group, path, spec, err));
    TDBG_TRY(open_array(t, tdbg_arena_printf(t->arena, "%s/x", path), &r->x, &spec->x_dtype,
                        &spec->x_ndim, spec->x_dims, err));
    TDBG_TRY(open_array(t, tdbg_arena_printf(t->arena, "%s/y", path), &r->y, &spec->y_dtype,
                        &spec->y_ndim, spec->y_dims, err));
    TDBG_TRY(tdbg_reader_open_cached(t, tdbg_arena_printf(t->arena, "%s/id", path), H5T_STD_I64LE,
                                     1, &r->id, err));
    TDBG_FAIL_IF((int64_t)r->id.array.dims[0] > spec->total, DAMAGED,
                 "%s/id has more than %lld rows", path, (long long)spec->total);
    size_t chunk_bytes = r->x.array.chunk_elems * r->x.array.elem_bytes;
    r->n_caches = CACHE_BYTES / chunk_bytes;
    r->n_caches = r->n_caches > MOST_CACHES ? MOST_CACHES : r->n_caches;
    r->n_caches = r->n_caches < 1 ? 1 : r->n_caches;
    r->x_caches = tdbg_arena_alloc(t->arena, r->n_caches * sizeof *r->x_caches);
out:
    if (group >= 0)
        H5Oclose(group);
    return st;
}

enum tdbg_status tdbg_reader_load_samples(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t group = -1;
    TDBG_TRY(tdbg_h5_open_object(t->file, "samples", H5I_GROUP, &group, err));
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++)
        TDBG_TRY(load_set(t, set, err));
out:
    if (group >= 0)
        H5Oclose(group);
    return st;
}

void tdbg_reader_free_samples(struct tdbg_trace *t)
{
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        struct sample_reader *r = &t->sample_readers[set];
        tdbg_reader_close_cached(&r->x);
        tdbg_reader_close_cached(&r->y);
        tdbg_reader_close_cached(&r->id);
        for (size_t i = 0; r->x_caches && i < r->n_caches; i++)
            tdbg_chunk_cache_free(&r->x_caches[i]);
        tdbg_id_map_free(&r->map);
    }
    tdbg_vocabulary_free(&t->vocabulary);
}

static enum tdbg_status read_vocabulary(struct tdbg_trace *t, struct tdbg_vocabulary *out,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    static const char start_path[] = "run/vocabulary/start", bytes_path[] = "run/vocabulary/bytes";
    struct cached_array start = {.array = {.dataset = -1}}, bytes = {.array = {.dataset = -1}};
    if (H5Lexists(t->file, "run/vocabulary", H5P_DEFAULT) <= 0) /* before schema 1.4 */
        return TDBG_OK;
    TDBG_TRY(tdbg_reader_open_cached(t, start_path, H5T_STD_I64LE, 1, &start, err));
    TDBG_TRY(tdbg_reader_open_cached(t, bytes_path, H5T_STD_U8LE, 1, &bytes, err));
    const uint64_t n = start.array.dims[0], n_bytes = bytes.array.dims[0];
    TDBG_FAIL_IF(n < 2 || n > TDBG_MOST_VOCABULARY_TOKENS + 1, DAMAGED, "%s has %llu rows",
                 start_path, (unsigned long long)n);
    TDBG_FAIL_IF(n_bytes > TDBG_MOST_VOCABULARY_BYTES, DAMAGED, "%s has %llu rows", bytes_path,
                 (unsigned long long)n_bytes);
    TDBG_TRY(tdbg_vocabulary_alloc(out, (int64_t)n - 1, (int64_t)n_bytes, err));
    TDBG_TRY(tdbg_chunked_read(&start.array, &t->io, 0, n, out->start, err));
    TDBG_TRY(tdbg_chunked_read(&bytes.array, &t->io, 0, n_bytes, out->bytes, err));
    TDBG_FAIL_IF(!tdbg_vocabulary_is_sound(out, (int64_t)n_bytes), DAMAGED,
                 "%s: tokens do not ascend to the %llu bytes that there are", start_path,
                 (unsigned long long)n_bytes);
out:
    tdbg_reader_close_cached(&start);
    tdbg_reader_close_cached(&bytes);
    if (st != TDBG_OK)
        tdbg_vocabulary_free(out);
    return st;
}

enum tdbg_status tdbg_trace_vocabulary(struct tdbg_trace *t, const struct tdbg_vocabulary **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    if (!t->has_read_vocabulary)
        TDBG_TRY(read_vocabulary(t, &t->vocabulary, err));
    t->has_read_vocabulary = true;
    *out = &t->vocabulary;
out:
    if (st != TDBG_OK)
        TDBG_H5_CONTEXT(err, "cannot read the vocabulary of trace %s", t->path);
    return st;
}

enum tdbg_status tdbg_trace_check_vocabulary(struct tdbg_trace *t, struct tdbg_err *err)
{
    const struct tdbg_vocabulary *ignored;
    enum tdbg_status st = tdbg_trace_vocabulary(t, &ignored, err);
    for (int i = 0; i < t->n_segments && st == TDBG_OK; i++)
        st = tdbg_trace_vocabulary(t->segments[i], &ignored, err);
    return st;
}

/* File i of the whole trace. */
static struct tdbg_trace *file_at(struct tdbg_trace *t, int i)
{
    return i == 0 ? t->whole : t->whole->segments[i - 1];
}

static int64_t n_rows(const struct tdbg_trace *t, int set)
{
    return t->samples[set].total > 0 ? (int64_t)t->sample_readers[set].id.array.dims[0] : 0;
}

int64_t tdbg_trace_n_samples(const struct tdbg_trace *t, int set)
{
    TDBG_ASSERT(set >= 0 && set < TDBG_SAMPLES_SETS);
    int64_t n = n_rows(t, set);
    for (int i = 0; i < t->n_segments; i++)
        n += n_rows(t->segments[i], set);
    return n;
}

static enum tdbg_status read_ids(struct tdbg_trace *t, int set, int64_t first, int64_t n,
                                 int64_t *ids, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_chunked_read(&t->sample_readers[set].id.array, &t->io, (uint64_t)first,
                               (uint64_t)n, ids, err));
    for (int64_t i = 0; i < n; i++)
        TDBG_FAIL_IF(ids[i] < 0 || ids[i] >= t->samples[set].total, DAMAGED,
                     "samples/%s/id: row %lld has no valid id", set_name[set],
                     (long long)(first + i));
out:
    if (st != TDBG_OK)
        TDBG_H5_CONTEXT(err, "cannot read samples of trace %s", t->path);
    return st;
}

enum tdbg_status tdbg_trace_read_sample_ids(struct tdbg_trace *t, int set, int64_t first, int64_t n,
                                            int64_t *ids, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    TDBG_ASSERT(first >= 0 && n >= 0 && first + n <= tdbg_trace_n_samples(t, set));
    for (int i = 0; i <= t->whole->n_segments && n > 0; i++) {
        struct tdbg_trace *file = file_at(t, i);
        const int64_t rows = n_rows(file, set);
        const int64_t here = first >= rows ? 0 : n < rows - first ? n : rows - first;
        if (here > 0)
            TDBG_TRY(read_ids(file, set, first, here, ids, err));
        first = first >= rows ? first - rows : 0;
        ids += here;
        n -= here;
    }
out:
    return st;
}

/* Builds the map from id to row. */
static enum tdbg_status map_ids(struct tdbg_trace *t, int set, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct sample_reader *r = &t->sample_readers[set];
    int64_t *ids = NULL;
    if (r->mapped)
        return TDBG_OK;
    tdbg_id_map_free(&r->map); /* of an earlier try that failed half-way */
    ids = malloc(PIECE_IDS * sizeof *ids);
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for sample ids");
    for (uint64_t n = r->id.array.dims[0], at = 0; at < n; at += PIECE_IDS) {
        uint64_t piece = n - at < PIECE_IDS ? n - at : PIECE_IDS;
        TDBG_TRY(tdbg_chunked_read(&r->id.array, &t->io, at, piece, ids, err));
        for (uint64_t i = 0; i < piece; i++) {
            TDBG_FAIL_IF(ids[i] < 0 || ids[i] >= t->samples[set].total ||
                             tdbg_id_map_find(&r->map, ids[i]) >= 0,
                         DAMAGED, "samples/%s/id: row %llu has no valid id", set_name[set],
                         (unsigned long long)(at + i));
            TDBG_FAIL_IF(!tdbg_id_map_add(&r->map, ids[i], (int64_t)(at + i)), NO_MEMORY,
                         "no memory for sample ids");
        }
    }
    r->mapped = true;
out:
    free(ids);
    return st;
}

static enum tdbg_status read_one(struct tdbg_trace *t, int set, uint64_t row, void *x, void *y,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct sample_reader *r = &t->sample_readers[set];
    struct tdbg_chunked *xs = &r->x.array, *ys = &r->y.array;
    if (x) {
        xs->cache = &r->x_caches[row / xs->chunk[0] % r->n_caches];
        TDBG_TRY(tdbg_chunked_read(xs, &t->io, row * xs->row_elems, xs->row_elems, x, err));
    }
    if (y)
        TDBG_TRY(tdbg_chunked_read(ys, &t->io, row * ys->row_elems, ys->row_elems, y, err));
out:
    return st;
}

/* The file that has a sample, and its row there; NULL: none has. The one asked first is the
 * likeliest: that of the sample before. */
static enum tdbg_status find_sample(struct tdbg_trace *t, int set, int64_t id,
                                    struct tdbg_trace **file, int64_t *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int i = -1; i <= t->whole->n_segments; i++) {
        struct tdbg_trace *f = i < 0 ? *file : file_at(t, i);
        if (f->samples[set].total == 0)
            continue;
        TDBG_TRY(map_ids(f, set, err));
        *row = tdbg_id_map_find(&f->sample_readers[set].map, id);
        if (*row >= 0) {
            *file = f;
            goto out;
        }
    }
    st = TDBG_RAISE(err, DAMAGED, "samples/%s: sample %lld is missing", set_name[set],
                    (long long)id);
out:
    return st;
}

enum tdbg_status tdbg_trace_read_samples(struct tdbg_trace *t, int set, int64_t n,
                                         const int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *file = t;
    int64_t row;
    TDBG_ASSERT(set >= 0 && set < TDBG_SAMPLES_SETS);
    const struct sample_reader *r = &t->sample_readers[set];
    tdbg_h5_begin();
    TDBG_FAIL_IF(t->samples[set].total == 0, NOT_FOUND, "trace %s holds no %s samples", t->path,
                 set_name[set]);
    size_t x_bytes = r->x.array.row_elems * r->x.array.elem_bytes;
    size_t y_bytes = r->y.array.row_elems * r->y.array.elem_bytes;
    for (int64_t i = 0; i < n; i++) {
        TDBG_TRY(find_sample(t, set, ids[i], &file, &row, err));
        TDBG_TRY(read_one(file, set, (uint64_t)row,
                          x ? (unsigned char *)x + (size_t)i * x_bytes : NULL,
                          y ? (unsigned char *)y + (size_t)i * y_bytes : NULL, err));
    }
out:
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        TDBG_H5_CONTEXT(err, "cannot read samples of trace %s", t->path);
    return st;
}
