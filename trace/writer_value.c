/* Values of sites: rows of /t, /delta and /residual, one chunk each, and of /packed, written when a
 * chunk of rows is full or the file is flushed. Chunks that are compressed elsewhere are in
 * writer_ahead.c. */
#include "trace/writer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/bits.h"
#include "trace/hdf5_util.h"
#include "trace/trim.h"

enum { MOST_PACKED_ROWS = 16, PACKED_CHUNK_BYTES = 256 << 10 };

enum tdbg_status tdbg_writer_create_packed(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t k = 0; k < w->layout.n_packed; k++) {
        const struct tdbg_packed_set *set = &w->layout.packed[k];
        struct packed_writer *p = &w->packed[k];
        enum tdbg_dtype dtype = w->sites[set->site].dtype;
        int64_t rows = PACKED_CHUNK_BYTES / (set->row_elems * (int64_t)tdbg_dtype_bytes(dtype));
        rows = rows > MOST_PACKED_ROWS ? MOST_PACKED_ROWS : rows;
        p->rows_per_chunk = rows < 1 ? 1 : rows;
        TDBG_TRY(tdbg_writer_create_block(w, &p->block, set->path, tdbg_h5_dtype(dtype),
                                          (hsize_t)set->row_elems, (hsize_t)p->rows_per_chunk, NULL,
                                          TDBG_EFFORT_VALUES, err));
        TDBG_TRY(
            tdbg_h5_put_int(p->block.array.dataset, "every", w->plans[set->site].value_every, err));
    }
out:
    return st;
}

/* Row of the current step in a dataset of one row per chunk. Before the first commit the step is
 * not known, but it is the first row in any case. */
static int64_t current_row(const struct tdbg_trace_writer *w, int32_t every)
{
    if (w->n_steps == 0)
        return 0;
    return tdbg_layout_row(w->first_step, w->first_step + w->n_steps, every);
}

/* Extending costs more than writing: do it now and then. */
enum tdbg_status tdbg_writer_make_row(struct tdbg_chunked *array, uint64_t row,
                                      struct tdbg_err *err)
{
    enum { GROW_ROWS = 16 };
    if (row < array->dims[0])
        return TDBG_OK;
    return tdbg_chunked_set_rows(array, (row / GROW_ROWS + 1) * GROW_ROWS, err);
}

static enum tdbg_status write_row(struct tdbg_trace_writer *w, int32_t set, const void *row,
                                  struct tdbg_err *err)
{
    struct tdbg_chunked *array = &w->values[set].array;
    uint64_t at = (uint64_t)current_row(w, w->plans[w->layout.sets[set].site].value_every);
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_writer_make_row(array, at, err));
    TDBG_TRY(tdbg_chunked_write(array, &w->io, at * array->row_elems, array->row_elems, row, err));
out:
    return st;
}

static enum tdbg_status reserve_row(const struct value_writer *v, unsigned char **row,
                                    struct tdbg_err *err)
{
    if (!*row)
        *row = calloc(v->array.row_elems, v->array.elem_bytes);
    return *row ? TDBG_OK : TDBG_RAISE(err, NO_MEMORY, "no memory for a row of %s", v->array.path);
}

/* Copies a site's values to its place in a row; what they do not fill is zero. */
static void fill_place(unsigned char *place, size_t place_bytes, const void *data, size_t used)
{
    if (used > 0)
        memcpy(place, data, used);
    memset(place + used, 0, place_bytes - used);
}

/* Puts elems elements into the site's slot of the row that is written when the step commits: as
 * they are, or, where `predicted` is not NULL, as difference to it. */
static enum tdbg_status put_slot(struct tdbg_trace_writer *w, int32_t site, const void *data,
                                 const void *predicted, int64_t elems, struct tdbg_err *err)
{
    struct value_writer *v = &w->values[w->layout.set[site]];
    size_t n = (size_t)elems, elem_bytes = v->array.elem_bytes;
    size_t slot_bytes = (size_t)w->layout.sets[w->layout.set[site]].slot_elems * elem_bytes;
    enum tdbg_status st = reserve_row(v, &v->row, err);
    if (st != TDBG_OK)
        return st;
    unsigned char *slot = v->row + (size_t)w->layout.slot[site] * slot_bytes;
    fill_place(slot, slot_bytes, data, n * elem_bytes);
    if (predicted)
        tdbg_bits_subtract(slot, slot, predicted, n, elem_bytes);
    v->pending = true;
    return TDBG_OK;
}

/* The row of the current step; of the first step, it is dropped where that turns out not due. */
static unsigned char *packed_row(const struct packed_writer *p)
{
    return p->block.rows + (size_t)(p->n_rows % p->rows_per_chunk) * p->block.row_bytes;
}

static void put_packed(struct tdbg_trace_writer *w, int32_t site, const void *data, int64_t elems)
{
    const struct packed_writer *p = &w->packed[w->layout.packed_set[site]];
    size_t elem_bytes = p->block.array.elem_bytes;
    unsigned char *place = packed_row(p) + (size_t)w->layout.packed_offset[site] * elem_bytes;
    fill_place(place, (size_t)tdbg_site_elems(&w->sites[site]) * elem_bytes, data,
               (size_t)elems * elem_bytes);
}

/* What the calls that put values have in common. *due: is there a place for them? */
static enum tdbg_status begin_put(struct tdbg_trace_writer *w, int32_t site, int64_t elems,
                                  bool predicted, bool *due, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(site >= 0 && site < w->n_sites);
    const char *name = w->sites[site].name;
    enum tdbg_store store = w->plans[site].store;
    TDBG_FAIL_IF(store != TDBG_STORE_PACKED && w->layout.set[site] < 0, USAGE,
                 "site %s is not stored by step", name);
    TDBG_FAIL_IF(predicted != (store == TDBG_STORE_RESIDUAL), USAGE,
                 predicted ? "site %s is not stored as a residual"
                           : "site %s is stored as a residual and needs a prediction",
                 name);
    TDBG_FAIL_IF(elems < 0 || elems > tdbg_site_elems(&w->sites[site]), USAGE,
                 "site %s: %lld values are more than its shape holds", name, (long long)elems);
    TDBG_TRY(tdbg_writer_ready(w, elems * (int64_t)tdbg_dtype_bytes(w->sites[site].dtype), err));
    int64_t step = w->first_step + w->n_steps;
    *due = w->n_steps == 0 || step % w->plans[site].value_every == 0;
    w->value_put[site] = *due;
out:
    return st;
}

enum tdbg_status tdbg_trace_writer_put_values(struct tdbg_trace_writer *w, int32_t site,
                                              const void *data, int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool due;
    tdbg_h5_begin();
    TDBG_TRY(begin_put(w, site, elems, false, &due, err));
    if (!due)
        goto out;
    enum tdbg_store store = w->plans[site].store;
    int32_t set = w->layout.set[site];
    if (store == TDBG_STORE_PACKED)
        put_packed(w, site, data, elems);
    else if (store == TDBG_STORE_DATASET && (uint64_t)elems == w->values[set].array.row_elems)
        TDBG_TRY(write_row(w, set, data, err));
    else
        TDBG_TRY(put_slot(w, site, data, NULL, elems, err));
out:
    w->failed |= st != TDBG_OK;
    return st;
}

enum tdbg_status tdbg_trace_writer_put_predicted(struct tdbg_trace_writer *w, int32_t site,
                                                 const void *value, const void *predicted,
                                                 int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool due;
    tdbg_h5_begin();
    TDBG_TRY(begin_put(w, site, elems, true, &due, err));
    if (due)
        TDBG_TRY(put_slot(w, site, value, predicted, elems, err));
out:
    w->failed |= st != TDBG_OK;
    return st;
}

/* In a packed row, and in differences, a value that was never put looks like zeros; a reader takes
 * it for absent where its digest is absent, so the two have to go together. */
static enum tdbg_status check_put(const struct tdbg_trace_writer *w,
                                  const struct tdbg_step_row *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const uint64_t *digests = tdbg_writer_row(w, &w->digest);
    char label[256];
    for (int32_t i = 0; i < w->n_sites; i++) {
        const struct tdbg_site_plan *plan = &w->plans[i];
        if (!tdbg_layout_is_guarded(plan->store) || row->step % plan->value_every != 0 ||
            (w->sites[i].stage == TDBG_STAGE_EVAL && !row->evaluated))
            continue;
        TDBG_FAIL_IF(w->value_put[i] != (digests[i] != 0), USAGE, "%s at step %lld has %s",
                     tdbg_site_label(&w->sites[i], label, sizeof label), (long long)row->step,
                     w->value_put[i] ? "values but no digest" : "a digest but no values");
    }
out:
    return st;
}

static enum tdbg_status commit_packed(struct tdbg_trace_writer *w, int32_t k,
                                      const struct tdbg_step_row *row, struct tdbg_err *err)
{
    struct packed_writer *p = &w->packed[k];
    int32_t site = w->layout.packed[k].site;
    enum tdbg_status st = TDBG_OK;
    if (w->sites[site].stage == TDBG_STAGE_EVAL && !row->evaluated)
        memset(packed_row(p), 0, p->block.row_bytes);
    if (row->step % w->plans[site].value_every == 0) {
        p->n_rows++;
        if (p->n_rows % p->rows_per_chunk == 0) {
            TDBG_TRY(tdbg_writer_write_block(w, &p->block, p->rows_per_chunk, p->n_rows, err));
            p->n_written = p->n_rows;
        }
    }
    memset(packed_row(p), 0, p->block.row_bytes);
out:
    return st;
}

/* Every due row is written, also where nothing was put: the next one builds on it. */
static enum tdbg_status write_delta(struct tdbg_trace_writer *w, int32_t set, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct value_writer *v = &w->values[set];
    int64_t at = current_row(w, w->plans[w->layout.sets[set].site].value_every);
    TDBG_TRY(reserve_row(v, &v->row, err));
    TDBG_TRY(reserve_row(v, &v->before, err));
    if (at % v->whole_every != 0)
        tdbg_bits_subtract(v->before, v->row, v->before, v->array.row_elems, v->array.elem_bytes);
    TDBG_TRY(write_row(w, set, at % v->whole_every != 0 ? v->before : v->row, err));
    unsigned char *values = v->row;
    v->row = v->before;
    v->before = values;
out:
    return st;
}

/* The row of the current step, which is written now unless it was handed over whole. */
static enum tdbg_status commit_set(struct tdbg_trace_writer *w, int32_t set, int64_t step,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct value_writer *v = &w->values[set];
    bool due = step % w->plans[w->layout.sets[set].site].value_every == 0;
    if (due && w->layout.sets[set].store == TDBG_STORE_DELTA) {
        TDBG_TRY(write_delta(w, set, err));
        v->pending = true; /* what is in `row` now has had its day */
    } else if (due && (v->pending || w->layout.sets[set].store == TDBG_STORE_RESIDUAL)) {
        TDBG_TRY(
            reserve_row(v, &v->row, err)); /* a residual of zeros only makes the dataset longer */
        TDBG_TRY(write_row(w, set, v->row, err));
    }
    if (v->pending)
        memset(v->row, 0, v->array.row_elems * v->array.elem_bytes);
    v->pending = false;
out:
    return st;
}

enum tdbg_status tdbg_writer_commit_values(struct tdbg_trace_writer *w,
                                           const struct tdbg_step_row *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(check_put(w, row, err));
    for (int32_t i = 0; i < w->layout.n_sets; i++)
        TDBG_TRY(commit_set(w, i, row->step, err));
    for (int32_t k = 0; k < w->layout.n_packed; k++)
        TDBG_TRY(commit_packed(w, k, row, err));
    memset(w->value_put, 0, (size_t)w->n_sites * sizeof *w->value_put);
out:
    return st;
}

enum tdbg_status tdbg_writer_flush_packed(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t k = 0; k < w->layout.n_packed; k++) {
        struct packed_writer *p = &w->packed[k];
        if (p->n_rows == p->n_written)
            continue;
        TDBG_TRY(tdbg_writer_write_block(w, &p->block, p->rows_per_chunk, p->n_rows, err));
        p->n_written = p->n_rows;
    }
out:
    return st;
}

enum tdbg_status tdbg_writer_trim_values(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < w->layout.n_sets; i++) {
        int32_t every = w->plans[w->layout.sets[i].site].value_every;
        int64_t rows = tdbg_layout_rows(w->first_step, w->n_steps, every);
        TDBG_TRY(tdbg_trim_rows(w->file, w->values[i].array.path, rows, &w->io, err));
    }
out:
    return st;
}

void tdbg_writer_close_values(struct tdbg_trace_writer *w)
{
    for (int32_t i = 0; w->values && i < w->layout.n_sets; i++)
        tdbg_chunked_close(&w->values[i].array);
    for (int32_t k = 0; w->packed && k < w->layout.n_packed; k++)
        tdbg_writer_close_block(&w->packed[k].block);
}

void tdbg_writer_free_values(struct tdbg_trace_writer *w)
{
    for (int32_t i = 0; w->values && i < w->layout.n_sets; i++) {
        free(w->values[i].row);
        free(w->values[i].before);
    }
    for (int32_t k = 0; w->packed && k < w->layout.n_packed; k++)
        tdbg_writer_free_block(&w->packed[k].block);
}
