/* The trace writer's public calls: create, what a step puts, commit, close. What the file holds
 * from the start is made in writer_create.c, rows of tables are in writer_block.c, values of sites
 * in writer_value.c, samples in writer_samples.c. */
#include "trace/writer_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/chain.h"
#include "trace/file_lock.h"
#include "trace/hdf5_util.h"
#include "trace/trim.h"

static const int64_t flush_every_ns = 1000000000;

static enum tdbg_status check_info(const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    const struct tdbg_run_info *info = &spec->info;
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(spec->n_sites < 1 || spec->n_sites > TDBG_MAX_SITES, USAGE,
                 "a trace of %d sites cannot be written", (int)spec->n_sites);
    TDBG_FAIL_IF(info->batch < 1 || info->batch > INT32_MAX, USAGE, "no valid batch: %lld",
                 (long long)info->batch);
    TDBG_FAIL_IF(info->world_size < 1 || info->rank < 0 || info->rank >= info->world_size, USAGE,
                 "no valid rank: %d of %d", (int)info->rank, (int)info->world_size);
    TDBG_FAIL_IF(info->lanes < 1 || info->lanes > TDBG_MAX_LANES || info->accumulate < 1 ||
                     info->accumulate > TDBG_MAX_LANES,
                 USAGE, "no valid lanes and micro-batches: %d, %d", (int)info->lanes,
                 (int)info->accumulate);
    TDBG_FAIL_IF(info->keyframe_every < 0 || info->planned_steps < 0 || spec->n_items < 0, USAGE,
                 "a negative number of keyframes or steps");
    TDBG_FAIL_IF(spec->steps_per_zone < 0 || spec->steps_per_zone > TDBG_ZONE_MOST_STEPS, USAGE,
                 "no valid zones: of %d steps", (int)spec->steps_per_zone);
out:
    return st;
}

/* Copies what outlives the call; texts of the run are only needed during it. */
static void copy_spec(struct tdbg_trace_writer *w, const struct tdbg_trace_spec *spec)
{
    size_t n = (size_t)spec->n_sites, n_items = (size_t)spec->n_items;
    w->info = spec->info;
    w->steps_per_zone = spec->steps_per_zone > 0 ? spec->steps_per_zone : TDBG_ZONE_STEPS;
    w->n_sites = spec->n_sites;
    w->sites = tdbg_arena_alloc(w->arena, n * sizeof *w->sites);
    w->plans = tdbg_arena_alloc(w->arena, n * sizeof *w->plans);
    memcpy(w->sites, spec->sites, n * sizeof *w->sites);
    memcpy(w->plans, spec->plans, n * sizeof *w->plans);
    for (size_t i = 0; i < n; i++) {
        w->sites[i].name = tdbg_arena_strdup(w->arena, spec->sites[i].name);
        w->sites[i].op = tdbg_arena_strdup(w->arena, spec->sites[i].op ? spec->sites[i].op : "");
        w->sites[i].unit =
            tdbg_arena_strdup(w->arena, spec->sites[i].unit ? spec->sites[i].unit : "");
    }
    w->n_items = spec->n_items;
    w->items = tdbg_arena_alloc(w->arena, n_items * sizeof *w->items);
    w->item_put = tdbg_arena_alloc(w->arena, n_items * sizeof *w->item_put);
    w->item_arrays = tdbg_arena_alloc(w->arena, n_items * sizeof *w->item_arrays);
    if (n_items > 0)
        memcpy(w->items, spec->items, n_items * sizeof *w->items);
    for (size_t i = 0; i < n_items; i++)
        w->items[i].name = tdbg_arena_strdup(w->arena, spec->items[i].name);
}

static enum tdbg_status create_file(struct tdbg_trace_writer *w, bool force, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t fcpl = H5Pcreate(H5P_FILE_CREATE), fapl = tdbg_h5_write_access();
    TDBG_TRY(tdbg_new_file_create(&w->target, w->arena, w->path, force, err));
    H5Pset_attr_phase_change(fcpl, 64, 32); /* attributes stay in the root's header */
    errno = 0;
    w->file = H5Fcreate(w->target.made, H5F_ACC_TRUNC, fcpl, fapl);
    TDBG_FAIL_IF(w->file < 0 && errno != 0, IO, "cannot create %s: %s", w->path, strerror(errno));
    TDBG_H5_FAIL_IF(w->file < 0, IO, "cannot create %s", w->path);
out:
    H5Pclose(fapl);
    H5Pclose(fcpl);
    return st;
}

/* Closes the HDF5 file and all that is open in it; what is in memory stays. */
static enum tdbg_status close_file(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_writer_close_values(w);
    for (int32_t i = 0; w->item_arrays && i < w->n_items; i++)
        tdbg_chunked_close(&w->item_arrays[i]);
    tdbg_writer_close_blocks(w);
    tdbg_writer_close_samples(w);
    if (w->file >= 0 && H5Fclose(w->file) < 0)
        st = TDBG_H5_RAISE(err, IO, "cannot close %s", w->path);
    w->file = -1;
    return st;
}

static void destroy(struct tdbg_trace_writer *w)
{
    close_file(w, NULL);
    tdbg_writer_free_values(w);
    tdbg_writer_free_blocks(w);
    tdbg_zone_free(&w->zone);
    tdbg_writer_free_samples(w);
    tdbg_writer_drop_ballast(w);
    tdbg_file_unlock(w->program_lock);
    tdbg_new_file_release(&w->target);
    tdbg_chunk_io_free(&w->io);
    tdbg_arena_destroy(w->arena);
    free(w);
}

enum tdbg_status tdbg_trace_writer_create(const char *path, bool force,
                                          const struct tdbg_trace_spec *spec,
                                          struct tdbg_trace_writer **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    struct tdbg_trace_writer *w = calloc(1, sizeof *w);
    TDBG_FAIL_IF(!w || !(w->arena = tdbg_arena_create()), NO_MEMORY, "no memory for a writer");
    w->file = -1;
    w->ballast = w->program_lock = -1;
    w->target = TDBG_NEW_FILE_NONE;
    w->named_at_close = spec->named_at_close;
    w->path = tdbg_arena_strdup(w->arena, path);
    TDBG_TRY(check_info(spec, err));
    copy_spec(w, spec);
    TDBG_TRY(tdbg_layout_build(w->arena, &w->info, w->sites, w->plans, w->n_sites, TDBG_USAGE,
                               &w->layout, err));
    TDBG_TRY(tdbg_layout_check_stores(w->arena, w->sites, w->plans, w->n_sites, w->items,
                                      w->n_items, spec->samples, TDBG_USAGE, &w->item_of_site,
                                      err));
    w->values = tdbg_arena_alloc(w->arena, (size_t)w->layout.n_sets * sizeof *w->values);
    w->packed = tdbg_arena_alloc(w->arena, (size_t)w->layout.n_packed * sizeof *w->packed);
    w->value_put = tdbg_arena_alloc(w->arena, (size_t)w->n_sites * sizeof *w->value_put);
    TDBG_TRY(tdbg_chunk_io_init(&w->io, err));
    TDBG_TRY(create_file(w, force, err));
    st = tdbg_writer_create_objects(w, spec, err);
    if (st == TDBG_OK)
        st = tdbg_writer_guard(w, err);
    if (st == TDBG_OK && !w->named_at_close)
        st = tdbg_new_file_place(&w->target, err);
    if (st == TDBG_OK)
        *out = w;
    else
        TDBG_H5_CONTEXT(err, "cannot create trace %s", path);
out:
    if (st != TDBG_OK && w && w->arena)
        destroy(w);
    else if (st != TDBG_OK)
        free(w);
    return st;
}

void tdbg_trace_writer_put_digest(struct tdbg_trace_writer *w, int32_t site, uint64_t digest,
                                  const struct tdbg_stats *stats)
{
    TDBG_ASSERT(site >= 0 && site < w->n_sites);
    const double doubles[STATS_DOUBLES] = {stats->min, stats->max, stats->mean, stats->rms};
    const uint64_t counts[STATS_COLUMNS - STATS_DOUBLES] = {stats->zeros, stats->nans, stats->infs};
    ((uint64_t *)tdbg_writer_row(w, &w->digest))[site] = digest;
    for (int c = 0; c < STATS_COLUMNS; c++) {
        void *row = tdbg_writer_row(w, &w->stats[c]);
        if (c < STATS_DOUBLES)
            ((double *)row)[site] = doubles[c];
        else
            ((uint64_t *)row)[site] = counts[c - STATS_DOUBLES];
    }
}

enum tdbg_status tdbg_trace_writer_put_keyframe(struct tdbg_trace_writer *w, int32_t item,
                                                const void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    TDBG_ASSERT(item >= 0 && item < w->n_items);
    struct tdbg_chunked *array = &w->item_arrays[item];
    uint64_t row = (uint64_t)w->n_keyframes;
    TDBG_TRY(tdbg_writer_ready(w, (int64_t)(array->row_elems * array->elem_bytes), err));
    TDBG_FAIL_IF(w->item_put[item], USAGE, "keyframe item %s is put twice", w->items[item].name);
    TDBG_TRY(tdbg_chunked_set_rows(array, row + 1, err));
    TDBG_TRY(
        tdbg_chunked_write(array, &w->io, row * array->row_elems, array->row_elems, data, err));
    w->item_put[item] = true;
    w->n_items_put++;
out:
    w->failed |= st != TDBG_OK;
    return st;
}

/* Digests of sites that are not due would make a chain that nobody can compute again. */
static void drop_digests_not_due(struct tdbg_trace_writer *w, const struct tdbg_step_row *row)
{
    uint64_t *digests = tdbg_writer_row(w, &w->digest);
    const struct tdbg_stats absent = {NAN, NAN, NAN, NAN, 0, 0, 0};
    for (int32_t i = 0; i < w->n_sites; i++) {
        if (!tdbg_chain_due(&w->sites[i], &w->plans[i], row->step, row->evaluated) &&
            digests[i] != 0)
            tdbg_trace_writer_put_digest(w, i, 0, &absent);
    }
}

static enum tdbg_status commit_keyframe(struct tdbg_trace_writer *w, int64_t step,
                                        struct tdbg_err *err)
{
    if (w->n_items_put == 0)
        return TDBG_OK;
    if (w->n_items_put != w->n_items)
        return TDBG_RAISE(err, USAGE, "the keyframe of step %lld has %d of %d items",
                          (long long)step, (int)w->n_items_put, (int)w->n_items);
    memset(w->item_put, 0, (size_t)w->n_items * sizeof *w->item_put);
    w->n_items_put = 0;
    return tdbg_writer_add_keyframe(w, step, err);
}

static enum tdbg_status check_row(const struct tdbg_trace_writer *w,
                                  const struct tdbg_step_row *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_writer_ready(w, 0, err));
    TDBG_FAIL_IF(w->n_steps == 0 && (row->step < 0 || row->step >= TDBG_MAX_STEPS), USAGE,
                 "a recording cannot begin at step %lld", (long long)row->step);
    TDBG_FAIL_IF((w->n_steps > 0 && row->step != w->first_step + w->n_steps) ||
                     row->step >= TDBG_MAX_STEPS,
                 USAGE, "step %lld does not follow step %lld", (long long)row->step,
                 (long long)(w->first_step + w->n_steps - 1));
    TDBG_FAIL_IF(row->samples < 0 || row->samples > w->info.batch, USAGE,
                 "step %lld has %lld samples in a batch of %lld", (long long)row->step,
                 (long long)row->samples, (long long)w->info.batch);
    TDBG_FAIL_IF(w->n_batch > 0 && w->n_batch != row->samples, USAGE,
                 "step %lld has %lld samples, but %lld were put", (long long)row->step,
                 (long long)row->samples, (long long)w->n_batch);
    TDBG_FAIL_IF(row->epoch < 0 || (row->evaluated != 0 && row->evaluated != 1), USAGE,
                 "step %lld: no valid epoch or flag", (long long)row->step);
out:
    return st;
}

enum tdbg_status tdbg_trace_writer_commit_step(struct tdbg_trace_writer *w,
                                               struct tdbg_step_row *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    TDBG_TRY(check_row(w, row, err));
    TDBG_TRY(commit_keyframe(w, row->step, err));
    drop_digests_not_due(w, row);
    TDBG_TRY(tdbg_writer_commit_values(w, row, err));
    tdbg_chain_step_all(w->chain, w->sites, w->plans, w->n_sites, row->step, row->evaluated,
                        tdbg_writer_row(w, &w->digest));
    memcpy(row->chain, w->chain, sizeof row->chain);
    tdbg_table_pack(&tdbg_table_steps, row, tdbg_writer_row(w, &w->steps));
    tdbg_writer_add_to_zone(w, row);
    if (w->n_steps++ == 0)
        w->first_step = row->step;
    TDBG_TRY(tdbg_writer_end_zone(w, err));
    if (w->n_steps % w->block_rows == 0 || tdbg_writer_now_ns() - w->flushed_ns > flush_every_ns)
        TDBG_TRY(tdbg_writer_flush(w, err));
    tdbg_writer_begin_row(w);
out:
    w->failed |= st != TDBG_OK;
    return st;
}

int64_t tdbg_trace_writer_bytes(const struct tdbg_trace_writer *w)
{
    hsize_t bytes = 0;
    tdbg_h5_begin();
    return H5Fget_filesize(w->file, &bytes) >= 0 ? (int64_t)bytes : 0;
}

/* Cuts off what belongs to no committed step: room made in advance, and a step cut short. */
static enum tdbg_status trim(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_writer_trim_values(w, err));
    for (int32_t i = 0; i < w->n_items; i++)
        TDBG_TRY(tdbg_trim_rows(w->file, w->item_arrays[i].path, w->n_keyframes, &w->io, err));
out:
    return st;
}

static enum tdbg_status mark_closed(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t closed = 1;
    hid_t attr = H5Aopen(w->file, "closed", H5P_DEFAULT);
    if (attr < 0 || H5Awrite(attr, H5T_STD_I64LE, &closed) < 0)
        st = TDBG_H5_RAISE(err, IO, "cannot mark %s as closed", w->path);
    if (attr >= 0)
        H5Aclose(attr);
    return st;
}

/* Extents must not shrink, nor attributes change, while others may read along. */
static enum tdbg_status reopen_alone(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    const char *path;
    enum tdbg_status st = close_file(w, err);
    if (st == TDBG_OK)
        st = tdbg_new_file_find(&w->target, w->arena, &path, err);
    if (st != TDBG_OK)
        return st;
    hid_t fapl = tdbg_h5_write_access();
    H5Pset_file_locking(fapl, false, true); /* whoever reads along holds HDF5's lock */
    w->file = H5Fopen(path, H5F_ACC_RDWR, fapl);
    H5Pclose(fapl);
    return w->file >= 0 ? TDBG_OK : TDBG_H5_RAISE(err, IO, "cannot open %s again", w->path);
}

/* What a step put before it was cut short does not count. */
static enum tdbg_status finish(struct tdbg_trace_writer *w, bool complete, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_writer_flush(w, err));
    TDBG_TRY(reopen_alone(w, err));
    TDBG_TRY(trim(w, err));
    if (complete)
        TDBG_TRY(mark_closed(w, err));
    TDBG_TRY(close_file(w, err));
    if (complete && w->target.made)
        TDBG_TRY(tdbg_new_file_place(&w->target, err));
out:
    return st;
}

static enum tdbg_status close_writer(struct tdbg_trace_writer *w, bool complete,
                                     struct tdbg_err *err)
{
    if (!w)
        return TDBG_OK;
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err first = {0};
    tdbg_h5_begin();
    bool full = w->failed;
    if (!full)
        st = finish(w, complete, &first);
    full |= st != TDBG_OK;
    if (full && !w->named_at_close) {
        /* With the room of the ballast all that was committed can be written. */
        tdbg_writer_drop_ballast(w);
        st = finish(w, false, err);
    }
    if (st == TDBG_OK && first.status != TDBG_OK)
        st = tdbg_err_set(err, first.status, first.file, first.line, "%s", first.message);
    tdbg_err_clear(&first);
    destroy(w);
    return st;
}

enum tdbg_status tdbg_trace_writer_close(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    return close_writer(w, true, err);
}

enum tdbg_status tdbg_trace_writer_abandon(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    return close_writer(w, false, err);
}

void tdbg_trace_writer_chain(const struct tdbg_trace_writer *w, uint64_t out[TDBG_CHAIN_COUNT])
{
    memcpy(out, w->chain, sizeof w->chain);
}

int64_t tdbg_trace_writer_durable(const struct tdbg_trace_writer *w)
{
    return w->first_step + w->n_flushed - 1;
}

bool tdbg_trace_writer_has_unflushed(const struct tdbg_trace_writer *w)
{
    return !w->failed && w->n_steps > w->n_flushed;
}

enum tdbg_status tdbg_trace_writer_flush(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    tdbg_h5_begin();
    if (w->failed)
        return TDBG_RAISE(err, IO, "the recording of %s has failed before", w->path);
    enum tdbg_status st = tdbg_writer_flush(w, err);
    w->failed |= st != TDBG_OK;
    return st;
}
