/* See job_run.h. The searches for a step are in job_search.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay/step_stats.h"
#include "tui/job_run_impl.h"

struct tdbg_tui_runner *tdbg_tui_runner_create(const char *path,
                                               const struct tdbg_session_options *options,
                                               tdbg_tui_goes_on *goes_on, void *context)
{
    struct tdbg_tui_runner *r = calloc(1, sizeof *r);
    if (r)
        r->path = strdup(path);
    if (!r || !r->path) {
        free(r);
        return NULL;
    }
    r->options = *options;
    r->goes_on = goes_on;
    r->context = context;
    r->rank = -1;
    r->fd = -1;
    return r;
}

static void close_rank(struct tdbg_tui_runner *r)
{
    tdbg_tui_kept_values_free(&r->kept);
    tdbg_tui_runner_forget_expressions(r);
    tdbg_recompute_destroy(r->recompute);
    tdbg_trace_close(r->trace);
    r->recompute = NULL;
    r->trace = NULL;
    r->rank = -1;
}

static void drop_data(struct tdbg_tui_runner *r)
{
    if (r->data)
        munmap(r->data, r->data_bytes);
    if (r->fd >= 0)
        close(r->fd);
    r->data = NULL;
    r->fd = -1;
}

static enum tdbg_status make_data(struct tdbg_tui_runner *r, const struct tdbg_site *site,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t bytes = (size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype);
    drop_data(r);
    r->data_bytes = bytes > 0 ? bytes : 1;
    r->fd = memfd_create("tdbg-tensor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r->fd >= 0 && ftruncate(r->fd, (off_t)r->data_bytes) == 0)
        r->data = mmap(NULL, r->data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    r->data = r->data == MAP_FAILED ? NULL : r->data;
    TDBG_FAIL_IF(!r->data, NO_MEMORY, "no memory for %s: %zu bytes", site->name, bytes);
out:
    return st;
}

void tdbg_tui_runner_destroy(struct tdbg_tui_runner *r)
{
    if (!r)
        return;
    close_rank(r);
    tdbg_tui_runner_close_other(r);
    tdbg_err_clear(&r->err);
    drop_data(r);
    free(r->stats);
    free(r->path);
    free(r);
}

bool tdbg_tui_runner_ask(struct tdbg_tui_runner *r, const struct tdbg_tui_job_progress *progress)
{
    return !r->goes_on || r->goes_on(r->context, progress);
}

/* Within a search its own count of steps is what matters. */
static bool session_goes_on(void *context, const struct tdbg_session_way *way)
{
    struct tdbg_tui_runner *r = context;
    const struct tdbg_tui_job_progress of_way = {
        .done = way->at - way->from, .total = way->to - way->from + 1, .step = way->at};
    return tdbg_tui_runner_ask(r, r->is_searching ? &r->progress : &of_way);
}

struct tdbg_session_options tdbg_tui_runner_options(struct tdbg_tui_runner *r)
{
    struct tdbg_session_options options = r->options;
    options.goes_on = session_goes_on;
    options.goes_on_context = r;
    return options;
}

/* One rank's file is open at a time. */
static enum tdbg_status open_rank(struct tdbg_tui_runner *r, int32_t rank, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_session_options options = tdbg_tui_runner_options(r);
    if (r->trace && r->rank == rank)
        return TDBG_OK;
    close_rank(r);
    TDBG_TRY(tdbg_recompute_open(r->path, rank, &options, &r->trace, &r->recompute, err));
    r->rank = rank;
out:
    return st;
}

static enum tdbg_status check_step(const struct tdbg_tui_runner *r, int64_t step,
                                   struct tdbg_err *err)
{
    const int64_t first = tdbg_trace_first_step(r->trace);
    const int64_t last = first + tdbg_trace_n_steps(r->trace) - 1;
    if (step < first || step > last)
        return TDBG_RAISE(err, NOT_FOUND,
                          "step %" PRId64 " is not recorded: there are %" PRId64 " to %" PRId64,
                          step, first, last);
    return TDBG_OK;
}

static enum tdbg_status do_tensor(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                  struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    struct tdbg_step_row row;
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, &n_sites);
    TDBG_FAIL_IF(job->site < 0 || job->site >= n_sites, NOT_FOUND, "there is no site %d",
                 (int)job->site);
    const struct tdbg_site *site = &sites[job->site];
    TDBG_TRY(make_data(r, site, err));
    TDBG_TRY(tdbg_trace_read_steps(r->trace, job->step, 1, &row, err));
    out->is_executed = !tdbg_trace_has_values(r->trace, job->site, job->step, row.evaluated != 0);
    TDBG_TRY(tdbg_trace_read_values(r->trace, job->step, job->site, r->data, &out->n_elems, err));
    if (out->is_executed)
        TDBG_TRY(tdbg_tui_check_digest(r->trace, job->step, job->site, row.evaluated != 0, r->data,
                                       out->n_elems, err));
    tdbg_stats_fast(r->data, site->dtype, out->n_elems, &r->tensor_stats);
    out->values = r->data;
    out->fd = r->fd;
    out->stats = &r->tensor_stats;
out:
    return st;
}

static enum tdbg_status do_stats(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                 struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    struct tdbg_session *session;
    tdbg_trace_sites(r->trace, &n_sites);
    free(r->stats);
    r->stats = malloc(((size_t)n_sites + 1) * sizeof *r->stats);
    TDBG_FAIL_IF(!r->stats, NO_MEMORY, "no memory for the statistics of a step");
    TDBG_TRY(tdbg_recompute_session(r->recompute, &session, err));
    TDBG_TRY(tdbg_step_stats_compute(session, job->step, r->stats, err));
    out->is_executed = true;
    out->stats = r->stats;
out:
    return st;
}

static enum tdbg_status do_origin(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                  struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session;
    TDBG_TRY(tdbg_recompute_session(r->recompute, &session, err));
    TDBG_TRY(tdbg_origin_find(r->trace, session, job->step, &r->origin, err));
    out->is_executed = true;
    out->origin = &r->origin;
    out->step = r->origin.step;
out:
    return st;
}

/* A recording that goes on has more steps than when it was opened. */
static enum tdbg_status open_for(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t last = job->kind == TDBG_JOB_SEARCH && job->to > job->step ? job->to : job->step;
    const bool was_open = r->trace != NULL;
    TDBG_TRY(open_rank(r, job->rank, err));
    if (was_open && !tdbg_trace_is_closed(r->trace) &&
        last >= tdbg_trace_first_step(r->trace) + tdbg_trace_n_steps(r->trace)) {
        close_rank(r);
        TDBG_TRY(open_rank(r, job->rank, err));
    }
out:
    return st;
}

static enum tdbg_status dispatch(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                 struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(open_for(r, job, err));
    TDBG_TRY(check_step(r, job->step, err));
    switch (job->kind) {
    case TDBG_JOB_TENSOR:
        return do_tensor(r, job, out, err);
    case TDBG_JOB_STATS:
        return do_stats(r, job, out, err);
    case TDBG_JOB_ORIGIN:
        return do_origin(r, job, out, err);
    case TDBG_JOB_EVALUATE:
        return tdbg_tui_runner_evaluate(r, job, out, err);
    case TDBG_JOB_DIFF:
    case TDBG_JOB_ELEMENTS:
        return tdbg_tui_runner_diff(r, job, out, err);
    case TDBG_JOB_SEARCH:
        TDBG_TRY(check_step(r, job->to, err));
        return tdbg_tui_runner_search(r, job, out, err);
    default:
        TDBG_BUG("job of kind %d", (int)job->kind);
    }
out:
    return st;
}

void tdbg_tui_runner_do(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                        struct tdbg_tui_answer *out)
{
    const bool is_open = r->trace && r->rank == job->rank;
    const int64_t before = is_open ? tdbg_recompute_executed(r->recompute) : 0;
    *out = (struct tdbg_tui_answer){.kind = job->kind, .step = job->step, .fd = -1};
    tdbg_err_clear(&r->err);
    r->is_searching = false;
    out->status = dispatch(r, job, out, &r->err);
    out->steps_executed = r->trace ? tdbg_recompute_executed(r->recompute) - before : 0;
    if (job->kind == TDBG_JOB_SEARCH)
        out->is_executed = out->steps_executed > 0;
    if (out->status != TDBG_OK)
        out->message = r->err.message ? r->err.message : tdbg_status_text(out->status);
}

int32_t tdbg_tui_runner_n_sites(const struct tdbg_tui_runner *r)
{
    int32_t n = 0;
    if (r->trace)
        tdbg_trace_sites(r->trace, &n);
    return n;
}
