/* Reading values of a site, from wherever they are stored: /t, /samples or /keyframe here, others
 * in reader_store.c. */
#include "trace/reader_impl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"

/* Compares a dataset's dimensions from `from` on with a shape. */
static bool has_dims(const struct tdbg_chunked *c, int from, int32_t ndim, const int64_t *dims)
{
    for (int32_t d = 0; d < ndim; d++) {
        if (c->dims[from + d] != (hsize_t)dims[d])
            return false;
    }
    return true;
}

enum tdbg_status tdbg_reader_open_set(struct tdbg_trace *t, int32_t i, struct tdbg_chunked **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_value_set *set = &t->layout.sets[i];
    struct lazy_array *lazy = &t->values[i];
    if (!lazy->open) {
        enum tdbg_dtype dtype = t->sites[set->site].dtype;
        hid_t type = set->store == TDBG_STORE_DATASET ? tdbg_h5_dtype(dtype)
                                                      : tdbg_h5_bits_type(tdbg_dtype_bytes(dtype));
        TDBG_TRY(tdbg_reader_open_dataset(t, set->path, type, 1 + set->n_axes + set->ndim,
                                          &t->value_cache, &lazy->array, err));
        const struct tdbg_chunked *c = &lazy->array;
        lazy->array.sparse = set->store == TDBG_STORE_RESIDUAL;
        if (set->store == TDBG_STORE_DELTA)
            st = tdbg_h5_get_int(c->dataset, set->path, "whole_every", 1, TDBG_MAX_WHOLE_EVERY,
                                 &lazy->whole_every, err);
        lazy->open = st == TDBG_OK && (set->n_axes < 1 || c->dims[1] == (hsize_t)set->n_lanes) &&
                     (set->n_axes < 2 || c->dims[2] == (hsize_t)set->n_micro) &&
                     has_dims(c, 1 + set->n_axes, set->ndim, set->dims);
        if (!lazy->open)
            tdbg_chunked_close(&lazy->array);
        TDBG_TRY(st);
        TDBG_FAIL_IF(!lazy->open, DAMAGED, "%s does not have the shape that sites says", set->path);
    }
    *out = &lazy->array;
out:
    return st;
}

enum tdbg_status tdbg_reader_open_item(struct tdbg_trace *t, int32_t i, struct tdbg_chunked **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_keyframe_item *item = &t->items[i];
    struct lazy_array *lazy = &t->frames[i];
    if (!lazy->open) {
        const char *path = tdbg_arena_printf(t->arena, "keyframe/%s", item->name);
        TDBG_TRY(tdbg_reader_open_dataset(t, path, tdbg_h5_dtype(item->dtype), 1 + item->ndim,
                                          &t->value_cache, &lazy->array, err));
        lazy->open = has_dims(&lazy->array, 1, item->ndim, item->dims);
        if (!lazy->open)
            tdbg_chunked_close(&lazy->array);
        TDBG_FAIL_IF(!lazy->open, DAMAGED, "%s does not have the shape of its item", path);
    }
    *out = &lazy->array;
out:
    return st;
}

/* Index of the last keyframe at or before step, or -1. */
static int64_t find_keyframe(const struct tdbg_trace *t, int64_t step)
{
    int64_t low = 0, high = t->n_keyframes;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (t->keyframes[middle] <= step)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

int64_t tdbg_trace_keyframe_before(const struct tdbg_trace *t, int64_t step)
{
    const struct tdbg_trace *whole = t->whole;
    for (int i = whole->n_segments; i >= 0; i--) {
        const struct tdbg_trace *file = i > 0 ? whole->segments[i - 1] : whole;
        const int64_t k = find_keyframe(file, step);
        if (k >= 0)
            return file->keyframes[k];
    }
    return -1;
}

enum tdbg_status tdbg_trace_read_keyframe(struct tdbg_trace *t, int64_t keyframe_step, int32_t item,
                                          void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, keyframe_step);
    int64_t k = find_keyframe(t, keyframe_step);
    TDBG_ASSERT(item >= 0 && item < t->n_items);
    TDBG_FAIL_IF(k < 0 || t->keyframes[k] != keyframe_step, NOT_FOUND,
                 "trace %s has no keyframe before step %lld", t->path, (long long)keyframe_step);
    TDBG_TRY(tdbg_reader_open_item(t, item, &c, err));
    TDBG_TRY(tdbg_chunked_read(c, &t->io, (uint64_t)k * c->row_elems, c->row_elems, data, err));
out:
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        TDBG_H5_CONTEXT(err, "cannot read the keyframe before step %lld of trace %s",
                        (long long)keyframe_step, t->path);
    return st;
}

/* Was the value left out? Only where the step says that some were does a missing chunk mean it. */
static bool is_left_out(struct tdbg_trace *t, int32_t site, int64_t step)
{
    struct tdbg_step_row row;
    struct tdbg_chunked *c;
    const uint64_t at = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    if (strcmp(t->info.overflow, "drop") != 0 ||
        tdbg_trace_read_steps(t, step, 1, &row, NULL) != TDBG_OK || row.dropped == 0 ||
        tdbg_reader_open_set(t, t->layout.set[site], &c, NULL) != TDBG_OK)
        return false;
    return !tdbg_chunked_has(c, at * c->row_elems);
}

bool tdbg_trace_has_values(struct tdbg_trace *t, int32_t site, int64_t step, bool evaluated)
{
    TDBG_ASSERT(site >= 0 && site < t->n_sites);
    t = tdbg_reader_at(t->whole, step);
    const struct tdbg_site_plan *plan = &t->plans[site];
    if (step < t->first_step || step >= t->first_step + t->n_steps ||
        (t->sites[site].stage == TDBG_STAGE_EVAL && !evaluated))
        return false;
    switch (plan->store) {
    case TDBG_STORE_DATASET:
        return step % plan->value_every == 0 && !is_left_out(t, site, step);
    case TDBG_STORE_PACKED:
    case TDBG_STORE_DELTA:
        return step % plan->value_every == 0;
    case TDBG_STORE_SAMPLES:
        return true;
    case TDBG_STORE_KEYFRAME:
        return tdbg_trace_keyframe_before(t, step) == step;
    case TDBG_STORE_NONE:
    case TDBG_STORE_RESIDUAL: /* half of it has to be computed */
    case TDBG_STORE_COUNT:
        break;
    }
    return false;
}

static enum tdbg_status read_dataset(struct tdbg_trace *t, int64_t step, int32_t site, void *data,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *c;
    const struct tdbg_value_set *set = &t->layout.sets[t->layout.set[site]];
    uint64_t row = (uint64_t)tdbg_layout_row(t->first_step, step, t->plans[site].value_every);
    TDBG_TRY(tdbg_reader_open_set(t, t->layout.set[site], &c, err));
    TDBG_FAIL_IF(row >= c->dims[0], DAMAGED, "%s has only %llu rows", set->path,
                 (unsigned long long)c->dims[0]);
    uint64_t slot = (uint64_t)t->layout.slot[site] * (uint64_t)set->slot_elems;
    TDBG_TRY(tdbg_chunked_read(c, &t->io, row * c->row_elems + slot,
                               (uint64_t)tdbg_site_elems(&t->sites[site]), data, err));
out:
    return st;
}

/* samples/x, samples/y or samples/id: samples first .. first + count - 1 of the step's batch. */
static enum tdbg_status read_sample_site(struct tdbg_trace *t, int64_t step, int32_t site,
                                         int64_t first, int64_t count, void *data,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *name = tdbg_site_tensor(&t->sites[site]);
    int64_t *ids = malloc((size_t)t->info.batch * sizeof *ids), n = 0;
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for %lld sample ids", (long long)t->info.batch);
    TDBG_TRY(tdbg_trace_read_batch_ids(t, step, ids, &n, err));
    TDBG_ASSERT(first + count <= n);
    if (strcmp(name, "id") == 0)
        memcpy(data, ids + first, (size_t)count * sizeof *ids);
    else
        TDBG_TRY(tdbg_trace_read_samples(t, TDBG_SAMPLES_TRAIN, count, ids + first,
                                         strcmp(name, "x") == 0 ? data : NULL,
                                         strcmp(name, "y") == 0 ? data : NULL, err));
out:
    free(ids);
    return st;
}

/* How many samples of dimension 0 are valid in this step. */
static int64_t valid_rows(const struct tdbg_trace *t, const struct tdbg_site *site, int64_t samples,
                          int64_t *first)
{
    int64_t count;
    tdbg_layout_slice(samples, t->info.lanes, t->info.accumulate, site->lane, site->micro, first,
                      &count);
    return count < site->dims[0] ? count : site->dims[0];
}

static enum tdbg_status read_stored(struct tdbg_trace *t, const struct tdbg_step_row *row,
                                    int32_t site, void *data, int64_t *n_elems,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site *s = &t->sites[site];
    int64_t elems = tdbg_site_elems(s), first = 0, valid = elems, rows = 0;
    if (s->batched && s->stage != TDBG_STAGE_EVAL && s->dims[0] > 0) {
        rows = valid_rows(t, s, row->samples, &first);
        valid = rows * (elems / s->dims[0]);
    }
    if (t->plans[site].store == TDBG_STORE_DATASET) {
        TDBG_TRY(read_dataset(t, row->step, site, data, err));
    } else if (t->plans[site].store == TDBG_STORE_PACKED) {
        TDBG_TRY(tdbg_reader_read_packed(t, row->step, site, data, err));
    } else if (t->plans[site].store == TDBG_STORE_DELTA) {
        TDBG_TRY(tdbg_reader_read_delta(t, row->step, site, data, err));
    } else if (t->plans[site].store == TDBG_STORE_KEYFRAME) {
        TDBG_TRY(tdbg_trace_read_keyframe(t, row->step, t->item_of_site[site], data, err));
    } else if (elems > 0) {
        size_t bytes = tdbg_dtype_bytes(s->dtype);
        TDBG_TRY(read_sample_site(t, row->step, site, first, rows, data, err));
        memset((unsigned char *)data + (size_t)valid * bytes, 0, (size_t)(elems - valid) * bytes);
    }
    if (n_elems)
        *n_elems = valid;
out:
    return st;
}

/* A place in a row that was never filled holds zeros: without a digest they are no value. */
static enum tdbg_status check_put(struct tdbg_trace *t, int32_t site, int64_t step,
                                  struct tdbg_err *err)
{
    uint64_t digest;
    char label[256];
    enum tdbg_status st = tdbg_reader_read_digest(t, step, site, &digest, err);
    if (st == TDBG_OK && digest == 0)
        return TDBG_RAISE(err, NOT_FOUND, "%s was not recorded at step %lld",
                          tdbg_site_label(&t->sites[site], label, sizeof label), (long long)step);
    return st;
}

bool tdbg_trace_has_residual(const struct tdbg_trace *t, int32_t site, int64_t step, bool evaluated)
{
    TDBG_ASSERT(site >= 0 && site < t->n_sites);
    const struct tdbg_site_plan *plan = &t->plans[site];
    return plan->store == TDBG_STORE_RESIDUAL && step % plan->value_every == 0 &&
           step >= t->whole->first_step &&
           step < t->whole->first_step + tdbg_trace_n_steps(t->whole) &&
           (t->sites[site].stage != TDBG_STAGE_EVAL || evaluated);
}

/* A value that the file has, at least in part. */
static enum tdbg_status read_due(struct tdbg_trace *t, const struct tdbg_step_row *row,
                                 int32_t site, void *data, int64_t *n_elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum tdbg_store store = t->plans[site].store;
    char label[256];
    if (tdbg_layout_is_guarded(store))
        TDBG_TRY(check_put(t, site, row->step, err));
    TDBG_TRY(store == TDBG_STORE_RESIDUAL
                 ? tdbg_reader_read_residual(t, row->step, site, data, n_elems, err)
                 : read_stored(t, row, site, data, n_elems, err));
out:
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        TDBG_H5_CONTEXT(err, "cannot read %s at step %lld",
                        tdbg_site_label(&t->sites[site], label, sizeof label),
                        (long long)row->step);
    return st;
}

enum tdbg_status tdbg_trace_read_values(struct tdbg_trace *t, int64_t step, int32_t site,
                                        void *data, int64_t *n_elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    char label[256];
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, step);
    TDBG_ASSERT(site >= 0 && site < t->n_sites);
    const struct tdbg_site *s = &t->sites[site];
    tdbg_site_label(s, label, sizeof label);
    TDBG_TRY(tdbg_trace_read_steps(t, step, 1, &row, err));
    TDBG_FAIL_IF(s->stage == TDBG_STAGE_EVAL && !row.evaluated, NOT_FOUND,
                 "%s: step %lld was not evaluated", label, (long long)step);
    bool residual = tdbg_trace_has_residual(t, site, step, row.evaluated);
    if (residual || tdbg_trace_has_values(t, site, step, row.evaluated))
        TDBG_TRY(read_due(t, &row, site, data, n_elems, err));
    else if (t->whole->recompute)
        TDBG_TRY(t->whole->recompute(t->whole->recompute_context, t->whole, step, site, data,
                                     n_elems, err));
    else
        st = TDBG_RAISE(err, NEEDS_REPLAY, "%s is not stored at step %lld", label, (long long)step);
out:
    return st;
}
