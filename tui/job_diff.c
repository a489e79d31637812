/* The job that compares the trace with another one: where they part, or one tensor's elements. See
 * job_run.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "replay/diff.h"
#include "tui/job_run_impl.h"

void tdbg_tui_runner_close_other(struct tdbg_tui_runner *r)
{
    tdbg_recompute_destroy(r->other_recompute);
    tdbg_trace_close(r->other);
    free(r->other_path);
    r->other = NULL;
    r->other_recompute = NULL;
    r->other_path = NULL;
}

/* The same rank's file where the run has that, else the one that was named. */
static enum tdbg_status open_other(struct tdbg_tui_runner *r, const char *path, int32_t rank,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_session_options options = tdbg_tui_runner_options(r);
    if (r->other && r->other_rank == rank && strcmp(r->other_path, path) == 0)
        return TDBG_OK;
    tdbg_tui_runner_close_other(r);
    r->other_path = strdup(path);
    TDBG_FAIL_IF(!r->other_path, NO_MEMORY, "no memory for a path");
    r->other_rank = rank;
    if (tdbg_recompute_open(path, rank, &options, &r->other, &r->other_recompute, NULL) != TDBG_OK)
        TDBG_TRY(tdbg_recompute_open(path, -1, &options, &r->other, &r->other_recompute, err));
out:
    if (st != TDBG_OK)
        tdbg_tui_runner_close_other(r);
    return st;
}

static int tell(void *context, int64_t done, int64_t total)
{
    const struct tdbg_tui_job_progress progress = {.done = done, .total = total, .step = done};
    return !tdbg_tui_runner_ask(context, &progress);
}

static void fill_parting(struct tdbg_tui_parting *p, const struct tdbg_diff_report *report)
{
    p->is_same = report->same;
    p->first_step = report->first_step;
    p->n_steps = report->n_steps;
    p->has_step = report->has_step;
    p->step = report->step;
    p->n_sites_differ = report->n_sites_differ;
    p->lane = TDBG_LANE_ALL;
    if (report->at >= 0) {
        snprintf(p->site, sizeof p->site, "%s", report->pair[report->at].site.name);
        p->lane = report->pair[report->at].site.lane;
    }
    if (report->verdict == TDBG_DIFF_CANNOT_JUDGE && report->reason)
        snprintf(p->reason, sizeof p->reason, "%s", report->reason);
    else if (report->n_notes > 0)
        snprintf(p->reason, sizeof p->reason, "%s", report->notes[0]);
}

static enum tdbg_status find_parting(struct tdbg_tui_runner *r, const char *path,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_rank_group *a = NULL, *b = NULL;
    struct tdbg_diff_report report = {0};
    struct tdbg_diff_options how = tdbg_diff_default_options();
    how.progress = tell;
    how.progress_context = r;
    TDBG_TRY(tdbg_rank_group_open(r->path, &a, err));
    TDBG_TRY(tdbg_rank_group_open(path, &b, err));
    TDBG_TRY(tdbg_diff_runs(a, b, &how, &report, err));
    fill_parting(&r->parting, &report);
out:
    tdbg_diff_clear(&report);
    tdbg_rank_group_close(a);
    tdbg_rank_group_close(b);
    return st;
}

static enum tdbg_status read_side(struct tdbg_trace *trace, int64_t step, int32_t site, void **data,
                                  int64_t *n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    const struct tdbg_site *s = &tdbg_trace_sites(trace, &n_sites)[site];
    const int64_t first = tdbg_trace_first_step(trace), end = first + tdbg_trace_n_steps(trace);
    TDBG_FAIL_IF(step < first || step >= end, NOT_FOUND, "%s has no step %" PRId64,
                 tdbg_trace_path(trace), step);
    *data = malloc((size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype) + 1);
    TDBG_FAIL_IF(!*data, NO_MEMORY, "no memory for %s", s->name);
    TDBG_TRY(tdbg_trace_read_values(trace, step, site, *data, n, err));
out:
    return st;
}

/* The first elements that differ, or the first ones. */
static void fill_elements(struct tdbg_tui_parting *p, const void *a, const void *b,
                          enum tdbg_dtype dtype, int64_t n)
{
    const size_t width = tdbg_dtype_bytes(dtype);
    tdbg_compare_tensors(a, b, dtype, n, &p->elements);
    p->has_elements = true;
    for (int64_t i = 0; i < n; i++) {
        const bool differs = memcmp((const char *)a + (size_t)i * width,
                                    (const char *)b + (size_t)i * width, width) != 0;
        if (!differs && p->elements.n_differ > 0)
            continue;
        const double x = tdbg_convert_elem_to_f64(a, dtype, i);
        const double y = tdbg_convert_elem_to_f64(b, dtype, i);
        const double larger = fmax(fabs(x), fabs(y));
        if (isfinite(x) && isfinite(y) && larger > 0)
            p->most_relative = fmax(p->most_relative, fabs(x - y) / larger);
        if (p->n_shown < TDBG_PARTING_ELEMENTS) {
            p->element[p->n_shown].index = i;
            p->element[p->n_shown].a = x;
            p->element[p->n_shown].b = y;
            p->element[p->n_shown++].differs = differs;
        } else if (p->elements.n_differ == 0) {
            break;
        }
    }
}

static enum tdbg_status compare_site(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                     const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    void *a = NULL, *b = NULL;
    int64_t n_a = 0, n_b = 0;
    TDBG_TRY(open_other(r, path, job->rank, err));
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, &n_sites);
    TDBG_FAIL_IF(job->site < 0 || job->site >= n_sites, NOT_FOUND, "there is no site %d",
                 (int)job->site);
    const struct tdbg_site *site = &sites[job->site];
    const int32_t other = tdbg_trace_find_site(r->other, site->name, site->lane, site->micro);
    TDBG_FAIL_IF(other < 0, NOT_FOUND, "%s has no %s of the same lane", path, site->name);
    TDBG_TRY(read_side(r->trace, job->step, job->site, &a, &n_a, err));
    TDBG_TRY(read_side(r->other, job->to, other, &b, &n_b, err));
    TDBG_FAIL_IF(n_a != n_b || tdbg_trace_sites(r->other, &n_sites)[other].dtype != site->dtype,
                 CANNOT_JUDGE, "%s has another size or type in the other trace", site->name);
    fill_elements(&r->parting, a, b, site->dtype, n_a);
out:
    free(a);
    free(b);
    return st;
}

enum tdbg_status tdbg_tui_runner_diff(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                      struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(job->n_expressions == 1);
    memset(&r->parting, 0, sizeof r->parting);
    if (job->kind == TDBG_JOB_DIFF)
        TDBG_TRY(find_parting(r, job->expression[0], err));
    else
        TDBG_TRY(compare_site(r, job, job->expression[0], err));
    out->parting = &r->parting;
out:
    return st;
}
