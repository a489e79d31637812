/* The search through one run. See bisect.h. Whether an expression holds is not monotone over the
 * steps, so each is judged, from the first on. */
#include "replay/bisect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/bisect_carry.h"

static enum tdbg_status find_step(struct tdbg_expr_eval *eval, const struct tdbg_expr *expr,
                                  const struct tdbg_bisect_options *o, struct tdbg_bisect_report *r,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t total = o->to - o->from + 1;
    struct tdbg_expr_value value;
    for (int64_t step = o->from, n; step <= o->to && !r->is_found; step++) {
        n = tdbg_expr_eval_pass(&eval, 1, step, o->to, true);
        if (n > 0) {
            step += n - 1; /* the last of them */
        } else {
            TDBG_TRY(tdbg_expr_eval_at(eval, step, &value, err));
            r->is_found = value.is_known && value.number != 0;
            r->n_unknown += !value.is_known;
        }
        r->step = step;
        TDBG_FAIL_IF(o->progress && o->progress(o->progress_context, step - o->from + 1, total),
                     INTERRUPTED, "stopped after step %lld", (long long)step);
    }
    r->search = tdbg_expr_eval_cost(eval);
    TDBG_FAIL_IF(r->n_unknown == total, CANNOT_JUDGE, "'%s' has no value at any of the %lld steps",
                 expr->text, (long long)total);
out:
    return st;
}

/* Does the expression itself say that something was not finite, whatever is recorded? */
static bool asks_for_faults(const struct tdbg_expr *expr)
{
    for (int i = 0; i < expr->n_terms; i++) {
        if (expr->term[i].function == TDBG_EXPR_NAN || expr->term[i].function == TDBG_EXPR_INF)
            return true;
    }
    return false;
}

static void note_sample(struct tdbg_bisect_report *r, int64_t id, float loss)
{
    int at = r->n_samples;
    while (at > 0 && tdbg_bisect_is_larger((double)loss, (double)r->sample[at - 1].loss))
        at--;
    if (at == TDBG_BISECT_SAMPLES)
        return;
    const int kept = r->n_samples < TDBG_BISECT_SAMPLES ? r->n_samples++ : TDBG_BISECT_SAMPLES - 1;
    memmove(&r->sample[at + 1], &r->sample[at], (size_t)(kept - at) * sizeof r->sample[0]);
    r->sample[at] = (struct tdbg_bisect_sample){id, loss, NAN, NAN};
}

/* Losses of the samples of one lane and micro-batch; stored or executed. */
static enum tdbg_status read_losses(struct tdbg_trace *trace, struct tdbg_session *session,
                                    int32_t site, struct tdbg_bisect_report *r, double *sum,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    int64_t n = 0, id;
    const struct tdbg_site *s = &tdbg_trace_sites(trace, &n_sites)[site];
    float *loss = malloc((size_t)tdbg_site_elems(s) * sizeof *loss + 1);
    TDBG_FAIL_IF(!loss, NO_MEMORY, "no memory for %s", s->name);
    TDBG_TRY(tdbg_session_compute(session, r->step, site, loss, &n, err));
    for (int64_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_origin_sample(trace, r->step, s, i, &id, err));
        note_sample(r, id, loss[i]);
        *sum += (double)loss[i];
    }
out:
    free(loss);
    return st;
}

static enum tdbg_status find_samples(struct tdbg_trace *trace, struct tdbg_session *session,
                                     struct tdbg_bisect_report *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    double sum = 0;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n_sites);
    for (int32_t i = 0; i < n_sites; i++) {
        if (strcmp(sites[i].name, "loss/sample") == 0 && sites[i].dtype == TDBG_DTYPE_F32)
            TDBG_TRY(read_losses(trace, session, i, r, &sum, err));
    }
    for (int i = 0; i < r->n_samples && isfinite(sum) && sum > 0; i++)
        r->sample[i].share = (double)r->sample[i].loss / sum;
out:
    return st;
}

static enum tdbg_status explain(struct tdbg_trace *trace, struct tdbg_expr_eval *eval,
                                const struct tdbg_expr *expr,
                                const struct tdbg_session_options *options,
                                struct tdbg_bisect_report *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session;
    TDBG_TRY(tdbg_origin_has_evidence(trace, r->step, &r->is_nonfinite, err));
    r->is_nonfinite |= asks_for_faults(expr);
    TDBG_TRY(tdbg_expr_eval_session(eval, &session, err));
    if (r->is_nonfinite)
        TDBG_TRY(tdbg_origin_find(trace, session, r->step, &r->origin, err));
    TDBG_TRY(find_samples(trace, session, r, err));
    TDBG_TRY(tdbg_bisect_weigh_samples(trace, options, session, r, err));
out:
    return st;
}

static enum tdbg_status read_rows(struct tdbg_trace *trace, struct tdbg_bisect_report *r,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_trace_read_steps(trace, r->step, 1, &r->row, err));
    r->before.step = -1;
    if (r->step > tdbg_trace_first_step(trace))
        TDBG_TRY(tdbg_trace_read_steps(trace, r->step - 1, 1, &r->before, err));
out:
    return st;
}

enum tdbg_status tdbg_bisect_run(struct tdbg_trace *trace, struct tdbg_expr *expr,
                                 const struct tdbg_bisect_options *options,
                                 struct tdbg_bisect_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_eval *eval = NULL;
    struct tdbg_err fault = {0};
    *report = (struct tdbg_bisect_report){.from = options->from, .to = options->to};
    TDBG_TRY(tdbg_expr_eval_create(trace, &options->session, expr, &eval, err));
    TDBG_TRY(find_step(eval, expr, options, report, err));
    if (!report->is_found)
        goto out;
    TDBG_TRY(read_rows(trace, report, err));
    TDBG_TRY(tdbg_bisect_find_parameters(trace, report, err));
    st = explain(trace, eval, expr, &options->session, report, &fault);
    if (st == TDBG_CANNOT_JUDGE || st == TDBG_UNSUPPORTED) { /* the step stands all the same */
        report->not_executed = strdup(fault.message ? fault.message : tdbg_status_text(st));
        tdbg_err_clear(&fault);
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        *err = fault;
    }
    report->steps_executed += tdbg_expr_eval_cost(eval).steps_executed;
out:
    tdbg_expr_eval_destroy(eval);
    return st;
}

void tdbg_bisect_clear(struct tdbg_bisect_report *report)
{
    free(report->not_executed);
    report->not_executed = NULL;
}
