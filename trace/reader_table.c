/* Reading rows by step: /steps, /digest, /stats and the batch's sample ids. */
#include "trace/reader_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"
#include "trace/hdf5_util.h"

static const char *const stats_paths[READ_STATS_COLUMNS] = {
    "stats/min", "stats/max", "stats/mean", "stats/rms", "stats/zeros", "stats/nans", "stats/infs",
};

/* A dataset (steps, width); the trace has no more steps than it has rows. */
static enum tdbg_status open_rows(struct tdbg_trace *t, const char *path, hid_t type, int64_t width,
                                  struct cached_array *a, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_reader_open_cached(t, path, type, 2, a, err));
    TDBG_FAIL_IF(a->array.dims[1] != (hsize_t)width, DAMAGED, "%s has %llu columns, not %lld", path,
                 (unsigned long long)a->array.dims[1], (long long)width);
    if ((int64_t)a->array.dims[0] < t->n_steps)
        t->n_steps = (int64_t)a->array.dims[0];
out:
    return st;
}

static enum tdbg_status check_chains(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char want[TDBG_CHAIN_COUNT * 32] = "";
    const char *have;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%s", c > 0 ? "," : "",
                 tdbg_chain_name(c));
    TDBG_TRY(tdbg_h5_get_text(t->steps.array.dataset, "steps", "chains", t->arena, &have, err));
    TDBG_FAIL_IF(strcmp(have, want) != 0, DAMAGED, "steps: attribute chains lists other chains");
out:
    return st;
}

/* Schema 1.0 does not have the attribute: its chains begin with the trace. */
static enum tdbg_status load_chain_before(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t steps = t->steps.array.dataset;
    if (H5Aexists(steps, "chain_before") > 0)
        return tdbg_h5_get_u64s(steps, "steps", "chain_before", t->chain_before, TDBG_CHAIN_COUNT,
                                err);
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        TDBG_TRY(tdbg_chain_begin(c, t->sites, t->plans, t->n_sites, &t->chain_before[c], err));
out:
    return st;
}

/* n <= READ_ROWS rows of one file, of which row 0 says what its first step is. */
static enum tdbg_status read_rows(struct tdbg_trace *t, int64_t first, int64_t n,
                                  struct tdbg_step_row *rows, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_chunked_read(&t->steps.array, &t->io, (uint64_t)first, (uint64_t)n, t->step_rows,
                               err));
    for (int64_t i = 0; i < n; i++) {
        struct tdbg_step_row *row = &rows[i];
        tdbg_table_unpack(&tdbg_table_steps, t->step_offsets,
                          t->step_rows + (size_t)i * t->steps.array.elem_bytes, row);
        TDBG_FAIL_IF(row->epoch < 0 || row->samples < 0 || row->samples > t->info.batch ||
                         (row->evaluated != 0 && row->evaluated != 1),
                     DAMAGED, "steps: row %lld has no valid values", (long long)(first + i));
        TDBG_FAIL_IF(first + i > 0 && row->step != t->first_step + first + i, DAMAGED,
                     "steps: row %lld is of step %lld", (long long)(first + i),
                     (long long)row->step);
    }
out:
    return st;
}

enum tdbg_status tdbg_reader_load_steps(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t type = -1;
    struct tdbg_step_row row;
    TDBG_TRY(tdbg_reader_open_cached(t, "steps", -1, 1, &t->steps, err));
    type = H5Dget_type(t->steps.array.dataset);
    TDBG_TRY(
        tdbg_table_match(&tdbg_table_steps, t->schema_minor, type, "steps", t->step_offsets, err));
    TDBG_TRY(check_chains(t, err));
    TDBG_TRY(load_chain_before(t, err));
    t->n_steps = (int64_t)t->steps.array.dims[0];
    TDBG_TRY(open_rows(t, "digest", H5T_STD_U64LE, t->n_sites, &t->digest, err));
    for (int c = 0; c < READ_STATS_COLUMNS; c++)
        TDBG_TRY(open_rows(t, stats_paths[c],
                           c < READ_STATS_DOUBLES ? H5T_IEEE_F64LE : H5T_STD_U64LE, t->n_sites,
                           &t->stats[c], err));
    if (t->samples[TDBG_SAMPLES_TRAIN].total > 0)
        TDBG_TRY(open_rows(t, "samples/train/batch", H5T_STD_I64LE, t->info.batch, &t->batch, err));
    t->step_rows = tdbg_arena_alloc(t->arena, READ_ROWS * t->steps.array.elem_bytes);
    TDBG_FAIL_IF(t->n_steps == 0, NO_TRACE, "it holds no committed step");
    TDBG_TRY(read_rows(t, 0, 1, &row, err));
    TDBG_FAIL_IF(row.step < 0 || t->n_steps > TDBG_MAX_STEPS ||
                     row.step > TDBG_MAX_STEPS - t->n_steps,
                 DAMAGED, "steps: the first of %lld rows is step %lld", (long long)t->n_steps,
                 (long long)row.step);
    t->first_step = row.step;
out:
    if (type >= 0)
        H5Tclose(type);
    return st;
}

static enum tdbg_status check_rows(const struct tdbg_trace *t, struct tdbg_err *err)
{
    const struct cached_array *tables[3 + READ_STATS_COLUMNS] = {&t->steps, &t->digest, &t->batch};
    for (int c = 0; c < READ_STATS_COLUMNS; c++)
        tables[3 + c] = &t->stats[c];
    for (size_t i = 0; t->closed && i < sizeof tables / sizeof *tables; i++) {
        const struct tdbg_chunked *c = &tables[i]->array;
        if (c->path && c->dims[0] != (hsize_t)t->n_steps)
            return TDBG_RAISE(err, DAMAGED, "%s has %llu rows, but another table only %lld",
                              c->path, (unsigned long long)c->dims[0], (long long)t->n_steps);
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_trace_check_rows(const struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = check_rows(t, err);
    for (int i = 0; i < t->n_segments && st == TDBG_OK; i++) {
        st = check_rows(t->segments[i], err);
        if (st != TDBG_OK)
            TDBG_H5_CONTEXT(err, "%s", t->segments[i]->path);
    }
    return st;
}

enum tdbg_status tdbg_reader_check_step(const struct tdbg_trace *t, int64_t step,
                                        struct tdbg_err *err)
{
    if (step >= t->first_step && step < t->first_step + t->n_steps)
        return TDBG_OK;
    const struct tdbg_trace *whole = t->whole;
    return TDBG_RAISE(err, NOT_FOUND, "step %lld is not in trace %s: it has steps %lld to %lld",
                      (long long)step, whole->path, (long long)whole->first_step,
                      (long long)(whole->first_step + tdbg_trace_n_steps(whole) - 1));
}

/* Puts trace and step in front of what went wrong. */
static enum tdbg_status at_step(const struct tdbg_trace *t, int64_t step, enum tdbg_status st,
                                struct tdbg_err *err)
{
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        TDBG_H5_CONTEXT(err, "cannot read step %lld of trace %s", (long long)step, t->path);
    return st;
}

enum tdbg_status tdbg_trace_read_steps(struct tdbg_trace *t, int64_t first, int64_t n,
                                       struct tdbg_step_row *rows, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t step = first;
    tdbg_h5_begin();
    for (int64_t i = 0; i < n;) {
        step = first + i;
        t = tdbg_reader_at(t->whole, step);
        TDBG_TRY(tdbg_reader_check_step(t, step, err));
        int64_t piece = n - i < READ_ROWS ? n - i : READ_ROWS;
        if (step + piece > t->first_step + t->n_steps ||
            tdbg_reader_at(t->whole, step + piece - 1) != t ||
            read_rows(t, step - t->first_step, piece, &rows[i], NULL) != TDBG_OK) {
            piece = 1; /* the last ones of a file; or one of them is damaged, and has to be named */
            TDBG_TRY(read_rows(t, step - t->first_step, 1, &rows[i], err));
        }
        i += piece;
    }
out:
    return at_step(t, step, st, err);
}

enum tdbg_status tdbg_trace_read_digests(struct tdbg_trace *t, int64_t step, uint64_t *digests,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t n = (uint64_t)t->n_sites;
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, step);
    TDBG_TRY(tdbg_reader_check_step(t, step, err));
    TDBG_TRY(tdbg_chunked_read(&t->digest.array, &t->io, (uint64_t)(step - t->first_step) * n, n,
                               digests, err));
out:
    return at_step(t, step, st, err);
}

static void set_column(struct tdbg_stats *s, int column, double number, uint64_t count)
{
    double *doubles[] = {&s->min, &s->max, &s->mean, &s->rms};
    uint64_t *counts[] = {&s->zeros, &s->nans, &s->infs};
    if (column < READ_STATS_DOUBLES)
        *doubles[column] = number;
    else
        *counts[column - READ_STATS_DOUBLES] = count;
}

/* Statistics of sites first .. first + n - 1, a few at a time. */
static enum tdbg_status read_stats(struct tdbg_trace *t, int64_t step, int64_t first, int64_t n,
                                   struct tdbg_stats *out, struct tdbg_err *err)
{
    enum { PIECE = 512 };
    enum tdbg_status st = TDBG_OK;
    double doubles[PIECE];
    uint64_t counts[PIECE], row = (uint64_t)(step - t->first_step) * (uint64_t)t->n_sites;
    for (int c = 0; c < READ_STATS_COLUMNS; c++) {
        for (int64_t at = 0; at < n; at += PIECE) {
            int64_t piece = n - at < PIECE ? n - at : PIECE;
            void *to = c < READ_STATS_DOUBLES ? (void *)doubles : (void *)counts;
            TDBG_TRY(tdbg_chunked_read(&t->stats[c].array, &t->io, row + (uint64_t)(first + at),
                                       (uint64_t)piece, to, err));
            for (int64_t i = 0; i < piece; i++)
                set_column(&out[at + i], c, c < READ_STATS_DOUBLES ? doubles[i] : 0,
                           c < READ_STATS_DOUBLES ? 0 : counts[i]);
        }
    }
out:
    return st;
}

enum tdbg_status tdbg_trace_read_stats(struct tdbg_trace *t, int64_t step, int32_t site,
                                       struct tdbg_stats *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char label[256];
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, step);
    TDBG_ASSERT(site >= 0 && site < t->n_sites);
    TDBG_TRY(tdbg_reader_check_step(t, step, err));
    TDBG_TRY(read_stats(t, step, site, 1, out, err));
    TDBG_FAIL_IF(isnan(out->min) && out->zeros + out->nans + out->infs == 0, NOT_FOUND,
                 "no statistics of %s were recorded at step %lld",
                 tdbg_site_label(&t->sites[site], label, sizeof label), (long long)step);
out:
    return at_step(t, step, st, err);
}

enum tdbg_status tdbg_trace_read_step_stats(struct tdbg_trace *t, int64_t step,
                                            struct tdbg_stats *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, step);
    TDBG_TRY(tdbg_reader_check_step(t, step, err));
    TDBG_TRY(read_stats(t, step, 0, t->n_sites, out, err));
out:
    return at_step(t, step, st, err);
}

enum tdbg_status tdbg_trace_read_batch_ids(struct tdbg_trace *t, int64_t step, int64_t *ids,
                                           int64_t *n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    tdbg_h5_begin();
    t = tdbg_reader_at(t->whole, step);
    st = tdbg_trace_read_steps(t, step, 1, &row, err);
    if (st != TDBG_OK)
        return st; /* which says what step it is about */
    TDBG_FAIL_IF(t->samples[TDBG_SAMPLES_TRAIN].total == 0, NOT_FOUND,
                 "trace %s holds no training samples", t->path);
    uint64_t batch = (uint64_t)t->info.batch;
    TDBG_TRY(tdbg_chunked_read(&t->batch.array, &t->io, (uint64_t)(step - t->first_step) * batch,
                               (uint64_t)row.samples, ids, err));
    for (int64_t i = 0; i < row.samples; i++)
        TDBG_FAIL_IF(ids[i] < 0 || ids[i] >= t->samples[TDBG_SAMPLES_TRAIN].total, DAMAGED,
                     "samples/train/batch: no valid id of sample %lld", (long long)i);
    *n = row.samples;
out:
    return at_step(t, step, st, err);
}
