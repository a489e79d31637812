/* Expressions over steps: their value, and the next step at which one holds. See job_run.h.
 *
 * Backward, steps are looked at in parts that begin at keyframes, each part from its first step to
 * its last: so every step is executed once, and series such as diverges() go forward.
 *
 *     keyframe          keyframe          from
 *     |---- part 2 ---->|---- part 1 ---->|        the last hit of part 1, else that of part 2
 *
 * Either way steps are passed over in which, by the index of the trace, nothing can hold. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tui/job_run_impl.h"

enum { MOST_PART_STEPS = 512 };

static void forget(struct tdbg_tui_bound *b)
{
    tdbg_expr_eval_destroy(b->eval);
    tdbg_expr_destroy(b->expr);
    free(b->text);
    *b = (struct tdbg_tui_bound){0};
}

void tdbg_tui_runner_forget_expressions(struct tdbg_tui_runner *r)
{
    for (size_t i = 0; i < sizeof r->bound / sizeof r->bound[0]; i++)
        forget(&r->bound[i]);
}

/* One line, for the message row: "col 3: unknown name 'los'; did you mean 'loss'?" */
static enum tdbg_status raise_fault(const struct tdbg_expr_fault *fault, struct tdbg_err *err)
{
    tdbg_err_set(err, fault->status, __FILE__, __LINE__, "col %d: %s%s%s", fault->column,
                 fault->text, *fault->hint ? "; " : "", fault->hint);
    return fault->status;
}

static enum tdbg_status bind(struct tdbg_tui_runner *r, const char *text, struct tdbg_tui_bound *b,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_fault fault;
    struct tdbg_expr *check = NULL;
    int32_t n_sites;
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, &n_sites);
    b->text = strdup(text);
    TDBG_FAIL_IF(!b->text, NO_MEMORY, "no memory for an expression");
    b->expr = tdbg_expr_parse(text, &fault);
    check = tdbg_expr_parse(text, &fault); /* bound twice, an expression would leak */
    if (!b->expr || !check ||
        !tdbg_expr_bind(check, sites, n_sites, tdbg_trace_info(r->trace)->world_size, &fault)) {
        st = raise_fault(&fault, err);
        goto out;
    }
    TDBG_TRY(tdbg_expr_eval_create(r->trace, &r->options, b->expr, &b->eval, err));
    tdbg_expr_eval_share(b->eval, r->recompute);
    for (size_t i = 0; i < sizeof r->bound / sizeof r->bound[0]; i++) {
        if (r->bound[i].eval && &r->bound[i] != b)
            tdbg_expr_eval_learn(b->eval, r->bound[i].eval);
    }
out:
    tdbg_expr_destroy(check);
    if (st != TDBG_OK)
        forget(b);
    return st;
}

/* Expressions are kept: watches are asked for at every step. */
static enum tdbg_status find_eval(struct tdbg_tui_runner *r, const char *text,
                                  struct tdbg_expr_eval **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_bound *oldest = &r->bound[0];
    for (size_t i = 0; i < sizeof r->bound / sizeof r->bound[0]; i++) {
        struct tdbg_tui_bound *b = &r->bound[i];
        if (b->text && strcmp(b->text, text) == 0) {
            b->used_at = r->n_jobs;
            *out = b->eval;
            return TDBG_OK;
        }
        if (b->used_at < oldest->used_at)
            oldest = b;
    }
    forget(oldest);
    TDBG_TRY(bind(r, text, oldest, err));
    oldest->used_at = r->n_jobs;
    *out = oldest->eval;
out:
    return st;
}

enum tdbg_status tdbg_tui_runner_evaluate(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                          struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_eval *eval;
    struct tdbg_expr_value value;
    TDBG_FAIL_IF(job->n_expressions != 1, USAGE, "one expression is evaluated at a time");
    r->n_jobs++;
    TDBG_TRY(find_eval(r, job->expression[0], &eval, err));
    const int64_t before = tdbg_expr_eval_cost(eval).reexecuted;
    TDBG_TRY(tdbg_expr_eval_at(eval, job->step, &value, err));
    out->is_executed = tdbg_expr_eval_cost(eval).reexecuted > before;
    out->is_known = value.is_known;
    out->number = value.number;
out:
    return st;
}

struct search {
    struct tdbg_tui_runner *r;
    struct tdbg_expr_eval *eval[TDBG_JOB_EXPRESSIONS];
    int n;
    int64_t hit; /* -1: none so far */
    int expression;
};

/* How many steps from `step` on towards `to` the index tells that there is no hit. */
static int64_t pass(struct search *s, int64_t step, int64_t to)
{
    const int64_t n = tdbg_expr_eval_pass(s->eval, s->n, step, to, false);
    s->r->progress.done += n;
    return n;
}

/* The first or, with `last`, the last hit among steps from .. to. */
static enum tdbg_status search_part(struct search *s, int64_t from, int64_t to, bool last,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_value value[TDBG_JOB_EXPRESSIONS];
    for (int64_t step = from, n; step <= to; step += n > 0 ? n : 1) {
        s->r->progress.step = step;
        TDBG_FAIL_IF(!tdbg_tui_runner_ask(s->r, &s->r->progress), INTERRUPTED,
                     "stopped before step %" PRId64, step);
        n = pass(s, step, to);
        if (n > 0)
            continue;
        TDBG_TRY(tdbg_expr_eval_all_at(s->eval, s->n, step, value, err));
        s->r->progress.done++;
        for (int i = s->n - 1; i >= 0; i--) { /* the first one that holds is told */
            if (!value[i].is_known || value[i].number == 0)
                continue;
            s->hit = step;
            s->expression = i;
        }
        if (s->hit >= 0 && !last)
            break;
    }
out:
    return st;
}

static int64_t part_start(const struct search *s, int64_t to, int64_t end)
{
    int64_t start = to;
    for (int i = 0; i < s->n; i++) {
        const int64_t keyframe = tdbg_expr_eval_may_execute(s->eval[i])
                                     ? tdbg_trace_keyframe_before(s->r->trace, end)
                                     : to;
        start = keyframe > start ? keyframe : start;
    }
    if (start < end - MOST_PART_STEPS + 1)
        start = end - MOST_PART_STEPS + 1;
    return start;
}

/* The last hit from step `from` back to `to`. */
static enum tdbg_status search_back(struct search *s, int64_t from, int64_t to,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int64_t end = from, start; s->hit < 0 && end >= to; end = start - 1) {
        int64_t last = end, n = 1;
        start = part_start(s, to, end);
        while (last >= start && n > 0) {
            n = pass(s, last, start);
            last -= n;
        }
        s->r->progress.step = end;
        TDBG_FAIL_IF(!tdbg_tui_runner_ask(s->r, &s->r->progress), INTERRUPTED,
                     "stopped before step %" PRId64, end);
        TDBG_TRY(search_part(s, start, last, true, err));
    }
out:
    return st;
}

enum tdbg_status tdbg_tui_runner_search(struct tdbg_tui_runner *r, const struct tdbg_tui_job *job,
                                        struct tdbg_tui_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct search s = {.r = r, .n = job->n_expressions, .hit = -1};
    const int64_t n = llabs(job->to - job->step) + 1;
    TDBG_FAIL_IF(s.n < 1 || s.n > TDBG_JOB_EXPRESSIONS, USAGE,
                 "1 to %d conditions are searched for", (int)TDBG_JOB_EXPRESSIONS);
    r->n_jobs++;
    for (int i = 0; i < s.n; i++)
        TDBG_TRY(find_eval(r, job->expression[i], &s.eval[i], err));
    r->is_searching = true;
    r->progress = (struct tdbg_tui_job_progress){.total = n, .step = job->step};
    if (job->to >= job->step)
        TDBG_TRY(search_part(&s, job->step, job->to, false, err));
    else
        TDBG_TRY(search_back(&s, job->step, job->to, err));
    TDBG_FAIL_IF(s.hit < 0, NOT_FOUND, "none of steps %" PRId64 " to %" PRId64, job->step, job->to);
    out->step = s.hit;
    out->expression = s.expression;
out:
    r->is_searching = false;
    return st;
}
