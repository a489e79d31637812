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

enum { MOST_NEXT = 64 };

void tdbg_tui_runner_close_other(struct tdbg_tui_runner *r)
{
    tdbg_tui_kept_values_free(&r->other_kept);
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

/* What is compared of one trace, and the sites that are likely to be asked for next. */
struct side {
    struct tdbg_trace *trace;
    struct tdbg_recompute *recompute;
    struct tdbg_tui_kept_values *kept;
    int64_t step;
    int32_t site, also[MOST_NEXT], n_also;
    void *data; /* owned */
    int64_t n;
};

static enum tdbg_status read_side(struct side *side, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site *s = &tdbg_trace_sites(side->trace, NULL)[side->site];
    const int64_t first = tdbg_trace_first_step(side->trace);
    const int64_t end = first + tdbg_trace_n_steps(side->trace);
    TDBG_FAIL_IF(side->step < first || side->step >= end, NOT_FOUND, "%s has no step %" PRId64,
                 tdbg_trace_path(side->trace), side->step);
    side->data = malloc((size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype) + 1);
    TDBG_FAIL_IF(!side->data, NO_MEMORY, "no memory for %s", s->name);
    TDBG_TRY(tdbg_tui_read_values(side->kept, side->trace, side->recompute, side->step, side->site,
                                  side->also, side->n_also, side->data, &side->n, err));
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

static int32_t find_other(struct tdbg_tui_runner *r, int32_t site)
{
    const struct tdbg_site *s = &tdbg_trace_sites(r->trace, NULL)[site];
    return tdbg_trace_find_site(r->other, s->name, s->lane, s->micro);
}

/* The numbers in the text are sites of A; those that B has as well go to both. */
static void take_next(struct tdbg_tui_runner *r, const char *text, struct side *a, struct side *b)
{
    int32_t n_sites;
    char *end;
    tdbg_trace_sites(r->trace, &n_sites);
    for (long site; a->n_also < MOST_NEXT; text = end) {
        site = strtol(text, &end, 10);
        if (end == text)
            return;
        const int32_t other = site < 0 || site >= n_sites ? -1 : find_other(r, (int32_t)site);
        if (other < 0)
            continue;
        a->also[a->n_also++] = (int32_t)site;
        b->also[b->n_also++] = other;
    }
}

static enum tdbg_status compare_site(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    struct side a = {.step = job->step, .site = job->site}, b = {.step = job->to};
    TDBG_TRY(open_other(r, job->expression[0], job->rank, err));
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, &n_sites);
    TDBG_FAIL_IF(job->site < 0 || job->site >= n_sites, NOT_FOUND, "there is no site %d",
                 (int)job->site);
    const struct tdbg_site *site = &sites[job->site];
    a.trace = r->trace;
    a.recompute = r->recompute;
    a.kept = &r->kept;
    b.trace = r->other;
    b.recompute = r->other_recompute;
    b.kept = &r->other_kept;
    b.site = find_other(r, job->site);
    TDBG_FAIL_IF(b.site < 0, NOT_FOUND, "%s has no %s of the same lane", job->expression[0],
                 site->name);
    if (job->n_expressions > 1)
        take_next(r, job->expression[1], &a, &b);
    TDBG_TRY(read_side(&a, err));
    TDBG_TRY(read_side(&b, err));
    TDBG_FAIL_IF(a.n != b.n || tdbg_trace_sites(r->other, NULL)[b.site].dtype != site->dtype,
                 CANNOT_JUDGE, "%s has another size or type in the other trace", site->name);
    fill_elements(&r->parting, a.data, b.data, site->dtype, a.n);
out:
    free(a.data);
    free(b.data);
    return st;
}

enum tdbg_status tdbg_tui_runner_diff(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                      struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(job->n_expressions >= 1);
    memset(&r->parting, 0, sizeof r->parting);
    if (job->kind == TDBG_JOB_DIFF)
        TDBG_TRY(find_parting(r, job->expression[0], err));
    else
        TDBG_TRY(compare_site(r, job, err));
    out->parting = &r->parting;
out:
    return st;
}
