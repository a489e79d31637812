/* Samples: every raw sample once, in the order in which the run first saw it, the ids of each
 * step's batch, and what tokens stand for. */
#include "trace/writer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"

enum { PART_BYTES = 256 << 10, MOST_PART_ROWS = 4096 };

static const char *const set_name[TDBG_SAMPLES_SETS] = {"train", "eval"};

/* One of x, y and id of a set. */
static enum tdbg_status create_array(struct tdbg_trace_writer *w, const char *path,
                                     enum tdbg_dtype dtype, int32_t ndim, const int64_t *shape,
                                     int64_t rows, struct tdbg_chunked *out, struct tdbg_err *err)
{
    hsize_t dims[TDBG_CHUNKED_MAX_DIMS] = {0};
    for (int32_t d = 0; d < ndim; d++)
        dims[d + 1] = (hsize_t)shape[d];
    return tdbg_chunked_create(w->file, path, tdbg_h5_dtype(dtype), ndim + 1, dims, (hsize_t)rows,
                               NULL, TDBG_EFFORT_TABLES, out, err);
}

static bool shape_is_valid(int32_t ndim, const int64_t *dims, enum tdbg_dtype dtype, size_t *bytes)
{
    int64_t n;
    if (ndim < 0 || ndim > TDBG_MAX_DIMS || (unsigned)dtype >= TDBG_DTYPE_COUNT ||
        !tdbg_layout_count(ndim, dims, &n) || n == 0)
        return false;
    *bytes = (size_t)n * tdbg_dtype_bytes(dtype);
    return true;
}

static enum tdbg_status create_set(struct tdbg_trace_writer *w, int set,
                                   const struct tdbg_samples_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct sample_writer *s = &w->samples[set];
    hid_t group = -1;
    const char *path = tdbg_arena_printf(w->arena, "samples/%s", set_name[set]);
    TDBG_FAIL_IF(spec->total < 0 || spec->total > TDBG_MAX_ELEMS || spec->classes < 0 ||
                     spec->vocab < 0 ||
                     !shape_is_valid(spec->x_ndim, spec->x_dims, spec->x_dtype, &s->x_bytes) ||
                     !shape_is_valid(spec->y_ndim, spec->y_dims, spec->y_dtype, &s->y_bytes),
                 USAGE, "%s: no valid shape of a sample", path);
    size_t larger = s->x_bytes > s->y_bytes ? s->x_bytes : s->y_bytes;
    int64_t rows = larger < PART_BYTES ? (int64_t)(PART_BYTES / larger) : 1;
    rows = rows > MOST_PART_ROWS ? MOST_PART_ROWS : rows;
    s->rows_per_chunk = rows > spec->total ? spec->total : rows;
    s->total = spec->total;
    TDBG_TRY(tdbg_h5_create_group(w->file, path, &group, err));
    TDBG_TRY(tdbg_h5_put_int(group, "total", s->total, err));
    TDBG_TRY(tdbg_h5_put_int(group, "classes", spec->classes, err));
    TDBG_TRY(tdbg_h5_put_int(group, "vocab", spec->vocab, err));
    TDBG_TRY(create_array(w, tdbg_arena_printf(w->arena, "%s/x", path), spec->x_dtype, spec->x_ndim,
                          spec->x_dims, s->rows_per_chunk, &s->x, err));
    TDBG_TRY(create_array(w, tdbg_arena_printf(w->arena, "%s/y", path), spec->y_dtype, spec->y_ndim,
                          spec->y_dims, s->rows_per_chunk, &s->y, err));
    TDBG_TRY(create_array(w, tdbg_arena_printf(w->arena, "%s/id", path), TDBG_DTYPE_I64, 0, NULL,
                          s->rows_per_chunk, &s->id, err));
    s->x_part = malloc((size_t)s->rows_per_chunk * s->x_bytes);
    s->y_part = malloc((size_t)s->rows_per_chunk * s->y_bytes);
    s->id_part = malloc((size_t)s->rows_per_chunk * sizeof *s->id_part);
    TDBG_FAIL_IF(!s->x_part || !s->y_part || !s->id_part, NO_MEMORY, "no memory for samples");
out:
    if (group >= 0)
        H5Gclose(group);
    return st;
}

/* A dataset of one dimension that is whole before the first step. */
static enum tdbg_status put_whole(struct tdbg_trace_writer *w, const char *path,
                                  enum tdbg_dtype dtype, const void *data, int64_t n,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked array = {.dataset = -1};
    const int64_t rows = PART_BYTES / (int64_t)tdbg_dtype_bytes(dtype);
    TDBG_TRY(create_array(w, path, dtype, 0, NULL, rows, &array, err));
    TDBG_TRY(tdbg_chunked_set_rows(&array, (hsize_t)n, err));
    if (n > 0)
        TDBG_TRY(tdbg_chunked_write(&array, &w->io, 0, (uint64_t)n, data, err));
out:
    tdbg_chunked_close(&array);
    return st;
}

static enum tdbg_status put_vocabulary(struct tdbg_trace_writer *w, const struct tdbg_vocabulary *v,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t n_bytes = v->n_tokens > 0 ? v->start[v->n_tokens] : 0;
    if (v->n_tokens == 0)
        return TDBG_OK;
    TDBG_FAIL_IF(v->n_tokens > TDBG_MOST_VOCABULARY_TOKENS ||
                     n_bytes > TDBG_MOST_VOCABULARY_BYTES || !tdbg_vocabulary_is_sound(v, n_bytes),
                 USAGE, "no valid vocabulary");
    TDBG_TRY(put_whole(w, "run/vocabulary/start", TDBG_DTYPE_I64, v->start, v->n_tokens + 1, err));
    TDBG_TRY(put_whole(w, "run/vocabulary/bytes", TDBG_DTYPE_U8, v->bytes, n_bytes, err));
out:
    return st;
}

enum tdbg_status tdbg_writer_create_samples(struct tdbg_trace_writer *w,
                                            const struct tdbg_trace_spec *spec,
                                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        if (spec->samples[set].total != 0)
            TDBG_TRY(create_set(w, set, &spec->samples[set], err));
    }
    TDBG_TRY(put_vocabulary(w, &spec->vocabulary, err));
out:
    return st;
}

/* Writes the samples of the chunk that is not full yet: again, when it was partly there. */
static enum tdbg_status flush_set(struct tdbg_trace_writer *w, struct sample_writer *s,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (s->n_rows == s->n_written)
        return TDBG_OK;
    uint64_t first = (uint64_t)((s->n_rows - 1) / s->rows_per_chunk * s->rows_per_chunk);
    uint64_t n = (uint64_t)s->n_rows - first;
    struct tdbg_chunked *arrays[] = {&s->x, &s->y, &s->id};
    const void *parts[] = {s->x_part, s->y_part, s->id_part};
    for (int i = 0; i < 3; i++) {
        uint64_t row_elems = arrays[i]->row_elems;
        TDBG_TRY(tdbg_chunked_set_rows(arrays[i], (hsize_t)s->n_rows, err));
        TDBG_TRY(
            tdbg_chunked_write(arrays[i], &w->io, first * row_elems, n * row_elems, parts[i], err));
    }
    s->n_written = s->n_rows;
out:
    return st;
}

enum tdbg_status tdbg_writer_flush_samples(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++)
        TDBG_TRY(flush_set(w, &w->samples[set], err));
out:
    return st;
}

static enum tdbg_status add_sample(struct tdbg_trace_writer *w, struct sample_writer *s, int64_t id,
                                   const void *x, const void *y, struct tdbg_err *err)
{
    if (tdbg_id_map_find(&s->map, id) >= 0)
        return TDBG_OK;
    if (!x || !y)
        return TDBG_RAISE(err, USAGE, "sample %lld was not seen before", (long long)id);
    if (!tdbg_id_map_add(&s->map, id, s->n_rows))
        return TDBG_RAISE(err, NO_MEMORY, "no memory for sample ids");
    size_t row = (size_t)(s->n_rows % s->rows_per_chunk);
    memcpy(s->x_part + row * s->x_bytes, x, s->x_bytes);
    memcpy(s->y_part + row * s->y_bytes, y, s->y_bytes);
    s->id_part[row] = id;
    s->n_rows++;
    return s->n_rows % s->rows_per_chunk == 0 ? flush_set(w, s, err) : TDBG_OK;
}

enum tdbg_status tdbg_trace_writer_put_samples(struct tdbg_trace_writer *w, int set, int64_t n,
                                               const int64_t *ids, const void *x, const void *y,
                                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(set >= 0 && set < TDBG_SAMPLES_SETS);
    struct sample_writer *s = &w->samples[set];
    tdbg_h5_begin();
    TDBG_FAIL_IF(s->total == 0, USAGE, "the trace has no %s samples", set_name[set]);
    TDBG_FAIL_IF(n < 0 || (set == TDBG_SAMPLES_TRAIN && n > w->info.batch - w->n_batch), USAGE,
                 "more samples than the batch of %lld", (long long)w->info.batch);
    TDBG_TRY(tdbg_writer_ready(w, n * (int64_t)(s->x_bytes + s->y_bytes + sizeof *ids), err));
    for (int64_t i = 0; i < n; i++) {
        TDBG_FAIL_IF(ids[i] < 0 || ids[i] >= s->total, USAGE, "no sample %lld: the set holds %lld",
                     (long long)ids[i], (long long)s->total);
        TDBG_TRY(add_sample(w, s, ids[i],
                            x ? (const unsigned char *)x + (size_t)i * s->x_bytes : NULL,
                            y ? (const unsigned char *)y + (size_t)i * s->y_bytes : NULL, err));
    }
    if (set == TDBG_SAMPLES_TRAIN && n > 0) {
        int64_t *row = tdbg_writer_row(w, &w->batch);
        memcpy(row + w->n_batch, ids, (size_t)n * sizeof *row);
        w->n_batch += n;
    }
out:
    w->failed |= st != TDBG_OK;
    return st;
}

void tdbg_trace_writer_take_samples(struct tdbg_trace_writer *w, struct tdbg_trace_writer *from)
{
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        struct tdbg_id_map mine = w->samples[set].map;
        w->samples[set].map = from->samples[set].map;
        from->samples[set].map = mine;
    }
}

void tdbg_writer_close_samples(struct tdbg_trace_writer *w)
{
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        tdbg_chunked_close(&w->samples[set].x);
        tdbg_chunked_close(&w->samples[set].y);
        tdbg_chunked_close(&w->samples[set].id);
    }
}

void tdbg_writer_free_samples(struct tdbg_trace_writer *w)
{
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        struct sample_writer *s = &w->samples[set];
        free(s->x_part);
        free(s->y_part);
        free(s->id_part);
        tdbg_id_map_free(&s->map);
    }
}
