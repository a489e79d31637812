/* Copying steps of a trace into a file of their own. See pack.h. */
#include "replay/pack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "replay/verify.h"
#include "trace/new_file.h"
#include "trace/writer.h"

struct pack {
    struct tdbg_trace *trace;
    struct tdbg_trace_writer *writer;
    const struct tdbg_run_info *info;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    int32_t n_sites;
    const struct tdbg_keyframe_item *items;
    int32_t n_items;
    int64_t from, to;
    int64_t keyframe;     /* that the state before `from` is computed from, or -1 */
    unsigned char *state; /* that state, one item behind the other; NULL: the trace has it */
    unsigned char *value; /* one tensor */
    unsigned char *x, *y; /* samples of one batch */
    int64_t *ids;
    uint64_t *digests;        /* (n_sites): of the current step */
    struct tdbg_stats *stats; /* (n_sites) */
    bool eval_copied;
};

static size_t shape_bytes(enum tdbg_dtype dtype, int32_t ndim, const int64_t *dims)
{
    size_t bytes = tdbg_dtype_bytes(dtype);
    for (int32_t d = 0; d < ndim; d++)
        bytes *= (size_t)dims[d];
    return bytes;
}

static size_t item_bytes(const struct tdbg_keyframe_item *item)
{
    return shape_bytes(item->dtype, item->ndim, item->dims);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static enum tdbg_status make_buffers(struct pack *p, struct tdbg_err *err)
{
    size_t most = 1, x = 1, y = 1, n = (size_t)p->n_sites, batch = (size_t)p->info->batch;
    for (int32_t i = 0; i < p->n_sites; i++)
        most = larger(most,
                      (size_t)tdbg_site_elems(&p->sites[i]) * tdbg_dtype_bytes(p->sites[i].dtype));
    for (int32_t i = 0; i < p->n_items; i++)
        most = larger(most, item_bytes(&p->items[i]));
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        const struct tdbg_samples_spec *s = tdbg_trace_samples(p->trace, set);
        x = s->total > 0 ? larger(x, shape_bytes(s->x_dtype, s->x_ndim, s->x_dims)) : x;
        y = s->total > 0 ? larger(y, shape_bytes(s->y_dtype, s->y_ndim, s->y_dims)) : y;
    }
    p->value = malloc(most);
    p->x = calloc(batch, x); /* calloc: a false batch in the file must not overflow */
    p->y = calloc(batch, y);
    p->ids = calloc(batch, sizeof *p->ids);
    p->digests = calloc(n, sizeof *p->digests);
    p->stats = calloc(n, sizeof *p->stats);
    if (!p->value || !p->x || !p->y || !p->ids || !p->digests || !p->stats)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to pack with");
    return TDBG_OK;
}

static void free_buffers(struct pack *p)
{
    free(p->state);
    free(p->value);
    free(p->x);
    free(p->y);
    free(p->ids);
    free(p->digests);
    free(p->stats);
}

/* --- what can be packed, and where to --- */

static enum tdbg_status check_range(struct pack *p, const struct tdbg_pack_options *options,
                                    struct tdbg_err *err)
{
    int64_t first = tdbg_trace_first_step(p->trace);
    int64_t last = first + tdbg_trace_n_steps(p->trace) - 1;
    p->from = options->from < 0 ? first : options->from;
    p->to = options->to < 0 ? last : options->to;
    if (p->from < first || p->to > last || p->from > p->to)
        return TDBG_RAISE(err, USAGE, "steps %lld to %lld: %s has steps %lld to %lld",
                          (long long)p->from, (long long)p->to, tdbg_trace_path(p->trace),
                          (long long)first, (long long)last);
    return TDBG_OK;
}

static enum tdbg_status check_output(const struct pack *p, const char *path, bool force,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat there, source;
    if (stat(path, &there) != 0)
        return TDBG_OK;
    TDBG_TRY(tdbg_new_file_check(path, force, err));
    TDBG_FAIL_IF(stat(tdbg_trace_path(p->trace), &source) == 0 && source.st_dev == there.st_dev &&
                     source.st_ino == there.st_ino,
                 USAGE, "%s is the trace itself", path);
out:
    return st;
}

/* --- the state before the first step --- */

/* Executes keyframe .. from - 1 again. What comes out is the state of the recorded run only if all
 * that is recorded of these steps comes out too. */
static enum tdbg_status execute(struct pack *p, struct tdbg_session *session, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_verify_report report;
    const struct tdbg_verify_options options = {
        .from = p->keyframe, .to = p->from - 1, .digests_only = true};
    TDBG_TRY(tdbg_verify_session(session, &options, &report, err));
    TDBG_FAIL_IF(
        report.differ > 0, DAMAGED,
        "%s: executed again, step %lld is not what was recorded (first difference: %s %s), "
        "so the state before step %lld cannot be computed",
        tdbg_trace_path(p->trace), (long long)report.step, report.site < 0 ? "chain" : "site",
        report.site < 0 ? tdbg_chain_name(report.chain) : p->sites[report.site].name,
        (long long)p->from);
out:
    return st;
}

static enum tdbg_status compute_state(struct pack *p, const struct tdbg_session_options *options,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    size_t bytes = 0;
    for (int32_t i = 0; i < p->n_items; i++)
        bytes += item_bytes(&p->items[i]);
    TDBG_TRY(tdbg_session_create(p->trace, options, &session, err));
    TDBG_TRY(execute(p, session, err));
    p->state = malloc(bytes);
    TDBG_FAIL_IF(!p->state, NO_MEMORY, "no memory for the state before step %lld",
                 (long long)p->from);
    bytes = 0;
    for (int32_t i = 0; i < p->n_items; i++) {
        TDBG_TRY(tdbg_engine_get_item(tdbg_session_engine(session), i, p->state + bytes, err));
        bytes += item_bytes(&p->items[i]);
    }
out:
    tdbg_session_destroy(session);
    return st;
}

/* A part needs a keyframe before its first step. The whole trace has what it has. */
static enum tdbg_status find_state(struct pack *p, const struct tdbg_session_options *options,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t keyframe = tdbg_trace_keyframe_before(p->trace, p->from);
    p->keyframe = -1;
    if (keyframe == p->from || p->n_items == 0 || p->from == tdbg_trace_first_step(p->trace))
        return TDBG_OK;
    TDBG_FAIL_IF(keyframe < 0, DAMAGED, "%s has no keyframe at or before step %lld",
                 tdbg_trace_path(p->trace), (long long)p->from);
    p->keyframe = keyframe;
    TDBG_TRY(compute_state(p, options, err));
out:
    return st;
}

/* --- copying --- */

static enum tdbg_status create_writer(struct pack *p, const char *path, bool force,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t chain[TDBG_CHAIN_COUNT];
    const struct tdbg_vocabulary *vocabulary;
    TDBG_TRY(tdbg_trace_vocabulary(p->trace, &vocabulary, err));
    struct tdbg_trace_spec spec = {.info = *p->info,
                                   .sites = p->sites,
                                   .plans = p->plans,
                                   .n_sites = p->n_sites,
                                   .items = p->items,
                                   .n_items = p->n_items,
                                   .vocabulary = *vocabulary,
                                   .chain_before = chain,
                                   .named_at_close = true};
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++)
        spec.samples[set] = *tdbg_trace_samples(p->trace, set);
    TDBG_TRY(tdbg_trace_read_chain_before(p->trace, p->from, chain, err));
    TDBG_TRY(tdbg_trace_writer_create(path, force, &spec, &p->writer, err));
out:
    return st;
}

static enum tdbg_status copy_keyframe(struct pack *p, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const unsigned char *state = step == p->from ? p->state : NULL;
    if (!state && tdbg_trace_keyframe_before(p->trace, step) != step)
        return TDBG_OK;
    for (int32_t i = 0; i < p->n_items; i++) {
        if (!state)
            TDBG_TRY(tdbg_trace_read_keyframe(p->trace, step, i, p->value, err));
        TDBG_TRY(tdbg_trace_writer_put_keyframe(p->writer, i, state ? state : p->value, err));
        state = state ? state + item_bytes(&p->items[i]) : NULL;
    }
out:
    return st;
}

/* All evaluation samples that the trace holds: every evaluation sees the same ones. */
static enum tdbg_status copy_eval_samples(struct pack *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n = tdbg_trace_n_samples(p->trace, TDBG_SAMPLES_EVAL), batch = p->info->batch;
    for (int64_t at = 0; at < n; at += batch) {
        int64_t piece = n - at < batch ? n - at : batch;
        TDBG_TRY(tdbg_trace_read_sample_ids(p->trace, TDBG_SAMPLES_EVAL, at, piece, p->ids, err));
        TDBG_TRY(
            tdbg_trace_read_samples(p->trace, TDBG_SAMPLES_EVAL, piece, p->ids, p->x, p->y, err));
        TDBG_TRY(tdbg_trace_writer_put_samples(p->writer, TDBG_SAMPLES_EVAL, piece, p->ids, p->x,
                                               p->y, err));
    }
    p->eval_copied = true;
out:
    return st;
}

static enum tdbg_status copy_samples(struct pack *p, const struct tdbg_step_row *row,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n;
    if (tdbg_trace_samples(p->trace, TDBG_SAMPLES_TRAIN)->total > 0) {
        TDBG_TRY(tdbg_trace_read_batch_ids(p->trace, row->step, p->ids, &n, err));
        TDBG_TRY(tdbg_trace_read_samples(p->trace, TDBG_SAMPLES_TRAIN, n, p->ids, p->x, p->y, err));
        TDBG_TRY(tdbg_trace_writer_put_samples(p->writer, TDBG_SAMPLES_TRAIN, n, p->ids, p->x, p->y,
                                               err));
    }
    if (row->evaluated && !p->eval_copied)
        TDBG_TRY(copy_eval_samples(p, err));
out:
    return st;
}

/* A value that the trace stores of a site: it has to have its digest. Samples and keyframes are
 * copied as such, not by site. A value that the writer of the trace left out stays out. */
static enum tdbg_status copy_value(struct pack *p, const struct tdbg_step_row *row, int32_t site,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char label[TDBG_MAX_SITE_NAME + 40];
    enum tdbg_store store = p->plans[site].store;
    int64_t n = 0;
    const bool residual = store == TDBG_STORE_RESIDUAL;
    /* of a difference to what replay computes there is no digest: it is copied as it is */
    st = residual ? tdbg_trace_read_residual(p->trace, row->step, site, p->value, err)
                  : tdbg_trace_read_values(p->trace, row->step, site, p->value, &n, err);
    if (st == TDBG_NOT_FOUND && p->digests[site] == 0) {
        tdbg_err_clear(err);
        return TDBG_OK;
    }
    TDBG_TRY(st);
    TDBG_FAIL_IF(!residual && tdbg_trace_has_digest(p->trace, site, row->step, row->evaluated) &&
                     tdbg_digest_fast(p->value, p->sites[site].dtype, n) != p->digests[site],
                 DAMAGED,
                 "%s: the stored value of %s at step %lld does not have its recorded digest",
                 tdbg_trace_path(p->trace), tdbg_site_label(&p->sites[site], label, sizeof label),
                 (long long)row->step);
    if (residual)
        TDBG_TRY(tdbg_trace_writer_put_predicted(p->writer, site, p->value, NULL,
                                                 tdbg_site_elems(&p->sites[site]), err));
    else if (store != TDBG_STORE_SAMPLES && store != TDBG_STORE_KEYFRAME)
        TDBG_TRY(tdbg_trace_writer_put_values(p->writer, site, p->value, n, err));
out:
    return st;
}

static enum tdbg_status copy_sites(struct pack *p, const struct tdbg_step_row *row,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_trace_read_digests(p->trace, row->step, p->digests, err));
    TDBG_TRY(tdbg_trace_read_step_stats(p->trace, row->step, p->stats, err));
    for (int32_t i = 0; i < p->n_sites; i++) {
        if (tdbg_trace_has_digest(p->trace, i, row->step, row->evaluated))
            tdbg_trace_writer_put_digest(p->writer, i, p->digests[i], &p->stats[i]);
        if (tdbg_trace_has_values(p->trace, i, row->step, row->evaluated) ||
            tdbg_trace_has_residual(p->trace, i, row->step, row->evaluated))
            TDBG_TRY(copy_value(p, row, i, err));
    }
out:
    return st;
}

static enum tdbg_status copy_step(struct pack *p, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    uint64_t recorded[TDBG_CHAIN_COUNT];
    TDBG_TRY(tdbg_trace_read_steps(p->trace, step, 1, &row, err));
    TDBG_TRY(copy_keyframe(p, step, err));
    TDBG_TRY(copy_samples(p, &row, err));
    TDBG_TRY(copy_sites(p, &row, err));
    memcpy(recorded, row.chain, sizeof recorded);
    TDBG_TRY(tdbg_trace_writer_commit_step(p->writer, &row, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        TDBG_FAIL_IF(recorded[c] != row.chain[c], DAMAGED,
                     "%s: chain %s does not follow from the digests of step %lld",
                     tdbg_trace_path(p->trace), tdbg_chain_name(c), (long long)step);
out:
    if (st != TDBG_OK && err)
        tdbg_err_prefix(err, "cannot pack step %lld", (long long)step);
    return st;
}

static enum tdbg_status copy_findings(struct pack *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_finding *findings = NULL;
    int64_t n = 0;
    TDBG_TRY(tdbg_trace_read_findings(p->trace, &findings, &n, err));
    for (int64_t i = 0; i < n; i++) {
        if (findings[i].step >= p->from && findings[i].step <= p->to)
            TDBG_TRY(tdbg_trace_writer_put_finding(p->writer, &findings[i], err));
    }
out:
    free(findings);
    return st;
}

static enum tdbg_status copy_steps(struct pack *p, const struct tdbg_pack_options *options,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(copy_findings(p, err));
    for (int64_t step = p->from; step <= p->to; step++) {
        TDBG_TRY(copy_step(p, step, err));
        TDBG_FAIL_IF(options->progress &&
                         options->progress(options->progress_context, step - p->from + 1,
                                           p->to - p->from + 1, tdbg_trace_writer_bytes(p->writer)),
                     INTERRUPTED, "stopped after step %lld", (long long)step);
    }
out:
    return st;
}

/* The file gets its name when it is whole. */
static enum tdbg_status write_file(struct pack *p, const char *path,
                                   const struct tdbg_pack_options *options, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(create_writer(p, path, options->force, err));
    st = copy_steps(p, options, err);
    if (st == TDBG_OK)
        st = tdbg_trace_writer_close(p->writer, err);
    else
        tdbg_trace_writer_abandon(p->writer, NULL);
out:
    return st;
}

enum tdbg_status tdbg_pack_trace(struct tdbg_trace *trace, const char *path,
                                 const struct tdbg_pack_options *options,
                                 struct tdbg_pack_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat file;
    struct pack p = {
        .trace = trace, .info = tdbg_trace_info(trace), .plans = tdbg_trace_plans(trace)};
    p.sites = tdbg_trace_sites(trace, &p.n_sites);
    p.items = tdbg_trace_keyframe_items(trace, &p.n_items);
    TDBG_TRY(check_range(&p, options, err));
    TDBG_TRY(check_output(&p, path, options->force, err));
    TDBG_TRY(make_buffers(&p, err));
    TDBG_TRY(find_state(&p, &options->session, err));
    TDBG_TRY(write_file(&p, path, options, err));
    *report = (struct tdbg_pack_report){.from = p.from,
                                        .to = p.to,
                                        .keyframe = p.keyframe,
                                        .file_bytes = stat(path, &file) == 0 ? file.st_size : 0};
out:
    free_buffers(&p);
    return st;
}
