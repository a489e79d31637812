/* See fake_search.h. */
#include "tests/screen/fake_search.h"

#include <stdio.h>
#include <string.h>

#include "replay/expression_eval_impl.h"

/* An expression over the run's sites. */
struct judge {
    const struct fake_run *run;
    struct tdbg_expr *expr;
    struct tdbg_expr_eval eval;
};

static void close_judge(struct judge *j)
{
    tdbg_expr_eval_clear(&j->eval);
    tdbg_expr_destroy(j->expr);
}

static bool open_judge(struct judge *j, const struct fake_run *run, const char *text,
                       struct tdbg_err *err)
{
    struct tdbg_expr_fault fault;
    *j = (struct judge){.run = run, .expr = tdbg_expr_parse(text, &fault)};
    if (!j->expr) {
        tdbg_err_set(err, fault.status, __FILE__, __LINE__, "col %d: %s", fault.column, fault.text);
        return false;
    }
    j->eval.expr = j->expr;
    if (tdbg_expr_eval_bind(&j->eval, run->data.sites, run->data.n_sites, run->info.world_size,
                            err) == TDBG_OK)
        return true;
    close_judge(j);
    return false;
}

static void gather(struct judge *j, int i, int64_t step)
{
    const struct tdbg_expr_term *t = &j->expr->term[i];
    struct term_value *v = &j->eval.value[i];
    struct tdbg_stats stats;
    v->gathered = (struct tdbg_expr_gathered){0};
    v->state = TERM_ABSENT;
    for (int32_t k = 0; k < t->n_sites; k++) {
        fake_run_stats(j->run, step, t->sites[k], &stats);
        if (!tdbg_tui_stats_present(&stats))
            continue;
        v->state = TERM_KNOWN;
        tdbg_expr_gather_stats(&v->gathered, &stats, tdbg_site_elems(&j->run->sites[t->sites[k]]));
    }
}

/* diverges() wants every step up to this one, in order. */
static struct tdbg_expr_value judge_at(struct judge *j, int64_t step)
{
    struct tdbg_expr_eval *e = &j->eval;
    for (int i = 0; i < j->expr->n_terms; i++)
        gather(j, i, step);
    if (j->expr->n_diverges > 0) {
        memset(e->diverges, 0, (size_t)j->expr->n_diverges * sizeof *e->diverges);
        for (int64_t s = j->run->data.first_step; s <= step; s++) {
            fake_run_row(j->run, s, &e->row);
            tdbg_expr_add_row(e, &e->row);
        }
    }
    fake_run_row(j->run, step, &e->row);
    return tdbg_expr_evaluate(e);
}

double fake_search_value(const struct fake_run *run, const char *text, int64_t step, bool *is_known)
{
    struct judge j;
    struct tdbg_err err = {0};
    if (!open_judge(&j, run, text, &err))
        TDBG_BUG("%s: %s", text, err.message);
    const struct tdbg_expr_value value = judge_at(&j, step);
    close_judge(&j);
    *is_known = value.is_known;
    return value.number;
}

static enum tdbg_status search(struct fake_search *s, struct tdbg_tui_answer *out,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_NOT_FOUND;
    const struct tdbg_tui_job *job = &s->job;
    const int64_t by = job->to < job->step ? -1 : 1;
    struct judge judges[2];
    int n = 0;
    s->n_searches++;
    TDBG_ASSERT(job->n_expressions >= 1 && job->n_expressions <= 2);
    for (; n < job->n_expressions; n++) {
        if (!open_judge(&judges[n], s->run, s->text[n], err)) {
            st = err->status;
            goto out;
        }
    }
    for (int64_t step = job->step; st == TDBG_NOT_FOUND; step += by) {
        s->n_steps++;
        for (int i = n - 1; i >= 0; i--) {
            const struct tdbg_expr_value value = judge_at(&judges[i], step);
            if (value.is_known && value.number != 0) {
                st = TDBG_OK;
                out->step = step;
                out->expression = i;
            }
        }
        if (step == job->to)
            break;
    }
    if (st == TDBG_NOT_FOUND)
        tdbg_err_set(err, st, __FILE__, __LINE__, "no such step");
out:
    while (n > 0)
        close_judge(&judges[--n]);
    return st;
}

static enum tdbg_status evaluate(struct fake_search *s, struct tdbg_tui_answer *out,
                                 struct tdbg_err *err)
{
    struct judge j;
    if (!open_judge(&j, s->run, s->text[0], err))
        return err->status;
    const struct tdbg_expr_value value = judge_at(&j, s->job.step);
    close_judge(&j);
    out->step = s->job.step;
    out->is_known = value.is_known;
    out->number = value.number;
    return TDBG_OK;
}

/* Element i of a tensor is i + step / 1000. */
static enum tdbg_status read_tensor(struct fake_search *s, struct tdbg_tui_answer *out,
                                    struct tdbg_err *err)
{
    const struct tdbg_site *site = &s->run->sites[s->job.site];
    const int64_t n = tdbg_site_elems(site);
    if (site->dtype != TDBG_DTYPE_F32 || n > (int64_t)(sizeof s->values / sizeof s->values[0]))
        return TDBG_RAISE(err, NOT_FOUND, "no values of %s", site->name);
    for (int64_t i = 0; i < n; i++)
        s->values[i] = (float)i + (float)s->job.step / 1000;
    out->step = s->job.step;
    out->values = s->values;
    out->n_elems = n;
    fake_run_stats(s->run, s->job.step, s->job.site, &s->stats);
    out->stats = &s->stats;
    return TDBG_OK;
}

static int64_t submit(void *context, const struct tdbg_tui_job *job)
{
    struct fake_search *s = context;
    s->job = *job;
    s->is_waiting = true;
    for (int i = 0; i < job->n_expressions && i < 2; i++)
        snprintf(s->text[i], sizeof s->text[i], "%s", job->expression[i]);
    return ++s->id;
}

static void cancel(void *context, int64_t id)
{
    struct fake_search *s = context;
    if (id == s->id)
        s->is_waiting = false;
}

static bool take(void *context, struct tdbg_tui_answer *out)
{
    struct fake_search *s = context;
    struct tdbg_err err = {0};
    if (!s->is_waiting || s->is_slow)
        return false;
    s->is_waiting = false;
    *out = (struct tdbg_tui_answer){.id = s->id, .kind = s->job.kind, .fd = -1};
    if (s->job.kind == TDBG_JOB_SEARCH)
        out->status = search(s, out, &err);
    else if (s->job.kind == TDBG_JOB_EVALUATE)
        out->status = evaluate(s, out, &err);
    else if (s->job.kind == TDBG_JOB_TENSOR)
        out->status = read_tensor(s, out, &err);
    else
        out->status = TDBG_RAISE(&err, UNSUPPORTED, "not in a made-up run");
    snprintf(s->message, sizeof s->message, "%s", err.message ? err.message : "");
    out->message = s->message;
    tdbg_err_clear(&err);
    return true;
}

static bool progress(void *context, struct tdbg_tui_job_progress *out)
{
    (void)context, (void)out;
    return false;
}

static void destroy(void *context)
{
    (void)context;
}

const struct tdbg_tui_jobs *fake_search_make(struct fake_search *search, const struct fake_run *run)
{
    *search = (struct fake_search){.run = run,
                                   .jobs = {.context = search,
                                            .fd = -1,
                                            .submit = submit,
                                            .cancel = cancel,
                                            .take = take,
                                            .progress = progress,
                                            .destroy = destroy}};
    return &search->jobs;
}
