/* Answers by running a trial. See bisect_judge.h. */
#include "replay/bisect_judge.h"

#include <stdlib.h>
#include <string.h>

/* --- the digest of one site at one step --- */

struct glance {
    int32_t site;
    uint64_t digest;
    bool seen;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct glance *g = self;
    (void)sites;
    (void)n_sites;
    (void)err;
    wants[g->site] = (struct tdbg_want){TDBG_WANT_DIGEST | TDBG_WANT_STOP, 1};
    return TDBG_OK;
}

static enum tdbg_status see(void *self, int64_t step, int32_t site,
                            const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct glance *g = self;
    enum tdbg_status st = TDBG_OK;
    (void)step;
    (void)site;
    TDBG_TRY(tdbg_handle_digest(handle, &g->digest, NULL, err));
    g->seen = true;
    st = TDBG_STOPPED;
out:
    return st;
}

static const struct tdbg_tap_ops glance_ops = {plan, NULL, see, NULL};

static enum tdbg_status unresolved(struct tdbg_bisect_answer *out, const char *why)
{
    out->outcome = TDBG_OUTCOME_UNRESOLVED;
    out->why = strdup(why);
    return TDBG_OK;
}

static enum tdbg_status compare_bits(struct tdbg_bisect_trial *t,
                                     const struct tdbg_bisect_question *q,
                                     struct tdbg_bisect_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_site *sites = tdbg_engine_sites(t->engine, &n);
    struct glance glance = {.site = tdbg_bisect_find_site(sites, n, q->site)};
    const struct tdbg_tap tap = {&glance_ops, &glance};
    struct tdbg_step_info info;
    if (glance.site < 0)
        return unresolved(out, "the site is not there");
    if (tdbg_bisect_trial_end(t) <= q->step)
        return unresolved(out, "the run ends before that step");
    while (t->at < q->step)
        TDBG_TRY(tdbg_bisect_trial_step(t, &info, err));
    TDBG_TRY(tdbg_bisect_trial_watch(t, &tap, err));
    st = tdbg_bisect_trial_step(t, &info, err);
    if (st == TDBG_STOPPED && glance.seen) {
        tdbg_err_clear(err);
        st = TDBG_OK;
    }
    TDBG_TRY(st);
    if (!glance.seen)
        return unresolved(out, "the site has no value at that step");
    out->step = q->step;
    out->outcome = glance.digest == q->digest ? TDBG_OUTCOME_TRUE : TDBG_OUTCOME_FALSE;
out:
    return st;
}

/* --- an expression --- */

/* The steps before the first that is run are those of the good run: there the two are the same. */
static enum tdbg_status add_past(const struct tdbg_bisect_runs *runs, struct tdbg_expr_live *live,
                                 struct tdbg_err *err)
{
    enum { ROWS = 64 };
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row rows[ROWS];
    for (int64_t step = runs->first; step < runs->start; step += ROWS) {
        const int64_t left = runs->start - step, n = left < ROWS ? left : ROWS;
        TDBG_TRY(tdbg_trace_read_steps(runs->side[0].trace, step, n, rows, err));
        for (int64_t i = 0; i < n; i++)
            tdbg_expr_live_add_past(live, &rows[i]);
    }
out:
    return st;
}

static enum tdbg_status watch(struct tdbg_bisect_trial *t, const struct tdbg_bisect_question *q,
                              int64_t end, struct tdbg_bisect_answer *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    struct tdbg_expr_live *live = NULL;
    const struct tdbg_site *sites = tdbg_engine_sites(t->engine, &n);
    TDBG_TRY(tdbg_expr_live_create(q->when, sites, n, &live, err));
    TDBG_TRY(add_past(t->runs, live, err));
    const struct tdbg_tap tap = tdbg_expr_live_tap(live);
    TDBG_TRY(tdbg_bisect_trial_watch(t, &tap, err));
    out->outcome = TDBG_OUTCOME_FALSE;
    out->step = end - 1; /* also where the run ends before */
    while (t->at < end && t->at < tdbg_bisect_trial_end(t) && out->outcome == TDBG_OUTCOME_FALSE) {
        struct tdbg_step_info info;
        const int64_t step = t->at;
        TDBG_TRY(tdbg_bisect_trial_step(t, &info, err));
        const struct tdbg_expr_value value = tdbg_expr_live_value(live, &info);
        if (value.is_known && value.number != 0) {
            out->outcome = TDBG_OUTCOME_TRUE;
            out->step = step;
        }
    }
out:
    tdbg_expr_live_destroy(live);
    return st;
}

enum tdbg_status tdbg_bisect_judge(struct tdbg_bisect_runs *runs,
                                   const struct tdbg_bisect_question *q, const bool *taken,
                                   int64_t end, struct tdbg_bisect_answer *out,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_trial trial;
    bool fits;
    *out = (struct tdbg_bisect_answer){.outcome = TDBG_OUTCOME_UNRESOLVED, .step = -1};
    TDBG_TRY(tdbg_bisect_trial_open(runs, taken, &trial, &fits, &out->why, err));
    if (!fits)
        goto out;
    st = q->when ? watch(&trial, q, end, out, err) : compare_bits(&trial, q, out, err);
out:
    tdbg_bisect_trial_close(&trial);
    return st;
}
