/* The search for the cause. See bisect_cause.h.
 *
 *     good + all differences    does it (else it is in none of them)
 *     good + S                  does it, S made smaller by ddmin; again in a longer run
 *     bad - S                   does not: S is the cause. Does it: what is left holds another set
 *                               that is enough alone; it is found in the same way, and both go
 *
 * A trial that does it ends there; one that does not ends only with the run. So sets are first made
 * smaller in runs that are not much longer than the bad run took, and what that gives is then
 * proved in the whole run. */
#include "replay/bisect_cause.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

/* How long a short run is: the good run with the cause may take longer to do it than the bad run
 * with all the other differences, too. */
enum { TIMES_LONGER = 4, LONGER = 40 };

/* A trial of an expression may take the whole run, and a model has many tensors: where so many
 * trials do not tell which of them matter, they are named together. */
enum { MOST_PART_TRIALS = 32 };

struct search {
    struct tdbg_bisect_runs *runs;
    const struct tdbg_bisect_question *question;
    struct tdbg_cause_report *report;
    struct tdbg_bisect_log *log;
    int n;        /* deltas */
    int64_t end;  /* of a trial */
    int left;     /* trials that may still be made of the parts of something; -1: any number */
    bool *leaves; /* (n) scratch */
};

/* --- trials --- */

/* A whole is all of its parts: two ways to say the same are one trial. */
static const bool *as_parts(struct search *s, const bool *taken)
{
    const struct tdbg_deltas *d = &s->runs->deltas;
    for (int i = 0; i < s->n; i++) {
        const int whole = d->item[i].whole;
        s->leaves[i] = taken[i] || (whole >= 0 && taken[whole]);
    }
    for (int i = 0; i < d->n_wholes; i++) {
        bool has_parts = false, all = true;
        for (int k = d->n_wholes; k < s->n; k++) {
            has_parts |= d->item[k].whole == i;
            all &= d->item[k].whole != i || s->leaves[k];
        }
        s->leaves[i] = has_parts ? all : taken[i];
    }
    return s->leaves;
}

static enum tdbg_status try(struct search *s, const bool *taken, int64_t end,
                            enum tdbg_outcome *outcome, int64_t *step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_answer answer = {.outcome = TDBG_OUTCOME_UNRESOLVED};
    if (tdbg_bisect_log_find(s->log, as_parts(s, taken), end, outcome, step))
        return TDBG_OK;
    TDBG_TRY(tdbg_bisect_judge(s->runs, s->question, taken, end, &answer, err));
    *outcome = answer.outcome;
    *step = answer.step;
    s->report->n_unresolved += answer.outcome == TDBG_OUTCOME_UNRESOLVED;
    TDBG_TRY(tdbg_bisect_log_add(s->log, as_parts(s, taken), answer.outcome, answer.step, err));
out:
    free(answer.why);
    return st;
}

static enum tdbg_status test(void *context, const bool *taken, enum tdbg_outcome *out,
                             struct tdbg_err *err)
{
    struct search *s = context;
    int64_t step;
    if (s->left == 0)
        return TDBG_RAISE(err, CANNOT_JUDGE, "too many parts");
    s->left -= s->left > 0;
    return try(s, taken, s->end, out, &step, err);
}

/* --- one set --- */

static int64_t short_end(const struct search *s)
{
    const int64_t took = s->report->bad_step - s->runs->start + 1;
    const int64_t end = s->runs->start + TIMES_LONGER * took + LONGER;
    return end < s->runs->end ? end : s->runs->end;
}

static enum tdbg_status note_cause(struct search *s, const bool *taken, struct tdbg_err *err)
{
    struct tdbg_cause *c = &s->report->cause[s->report->n_causes];
    enum tdbg_outcome outcome;
    c->delta = malloc(((size_t)s->n + 1) * sizeof *c->delta);
    if (!c->delta)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a cause");
    c->n = 0;
    for (int i = 0; i < s->n; i++) {
        if (taken[i])
            c->delta[c->n++] = i;
    }
    s->report->n_causes++;
    if (!tdbg_bisect_log_find(s->log, as_parts(s, taken), s->runs->end, &outcome, &c->step))
        c->step = -1;
    return TDBG_OK;
}

/* Looks into the parts of what is taken, where these are known; kept only where changing just these
 * parts back is enough. */
static enum tdbg_status refine(struct search *s, bool *taken, bool *scratch, bool *fixed,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_deltas *d = &s->runs->deltas;
    for (int whole = 0; whole < d->n_wholes; whole++) {
        enum tdbg_outcome outcome;
        int64_t step;
        int n_parts = 0;
        if (!taken[whole] || d->item[whole].kind == TDBG_DELTA_ORDER) /* see narrow_order() */
            continue;
        memcpy(scratch, taken, (size_t)s->n * sizeof *scratch);
        for (int i = 0; i < s->n; i++) {
            const bool is_part = d->item[i].whole == whole;
            scratch[i] |= is_part;
            fixed[i] = !is_part;
            n_parts += is_part;
        }
        scratch[whole] = false;
        if (n_parts == 0)
            continue;
        if (n_parts == 1) { /* the same by another name */
            memcpy(taken, scratch, (size_t)s->n * sizeof *taken);
            continue;
        }
        s->left = s->question->when ? MOST_PART_TRIALS : -1;
        st = tdbg_ddmin(s->n, scratch, fixed, test, s, err);
        if (st == TDBG_CANNOT_JUDGE && s->left == 0) {
            tdbg_err_clear(err);
            st = TDBG_OK;
            continue;
        }
        TDBG_TRY(st);
        for (int i = 0; i < s->n; i++) /* all others, and what of the whole is not needed */
            fixed[i] = d->item[i].whole == whole ? !scratch[i] : i < d->n_wholes && !taken[i];
        for (int c = 0; c < s->report->n_causes; c++) {
            for (int k = 0; k < s->report->cause[c].n; k++)
                fixed[s->report->cause[c].delta[k]] = false;
        }
        TDBG_TRY(try(s, fixed, s->runs->end, &outcome, &step, err));
        if (outcome == TDBG_OUTCOME_FALSE)
            memcpy(taken, scratch, (size_t)s->n * sizeof *taken);
    }
out:
    return st;
}

/* Makes `taken`, which does it, as small as it goes. */
static enum tdbg_status minimize(struct search *s, bool *taken, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool *scratch = calloc((size_t)s->n + 1, sizeof *scratch);
    bool *fixed = calloc((size_t)s->n + 1, sizeof *fixed);
    TDBG_FAIL_IF(!scratch || !fixed, NO_MEMORY, "no memory for a cause");
    s->left = -1;
    s->end = short_end(s);
    TDBG_TRY(tdbg_ddmin(s->n, taken, NULL, test, s, err));
    s->end = s->runs->end;
    TDBG_TRY(tdbg_ddmin(s->n, taken, NULL, test, s, err));
    TDBG_TRY(refine(s, taken, scratch, fixed, err));
out:
    free(scratch);
    free(fixed);
    return st;
}

/* --- all sets --- */

/* The good and the bad run themselves; *does: there is something to look for. */
static enum tdbg_status judge_ends(struct search *s, bool good_is_known, bool *taken, bool *does,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_cause_report *r = s->report;
    enum tdbg_outcome outcome = TDBG_OUTCOME_FALSE;
    r->good_last = s->question->when ? s->runs->end - 1 : s->question->step;
    *does = false;
    memset(taken, 0, (size_t)s->n * sizeof *taken);
    if (!good_is_known)
        TDBG_TRY(try(s, taken, s->runs->end, &outcome, &r->good_last, err));
    if (outcome != TDBG_OUTCOME_FALSE) {
        r->verdict = TDBG_CAUSE_IN_GOOD_TOO;
        goto out;
    }
    for (int i = 0; i < s->n; i++)
        taken[i] = i < s->runs->deltas.n_wholes;
    if (s->n > 0)
        TDBG_TRY(try(s, taken, s->runs->end, &outcome, &r->bad_step, err));
    *does = outcome == TDBG_OUTCOME_TRUE;
    r->verdict = *does ? TDBG_CAUSE_ONE_WAY : TDBG_CAUSE_NOT_REPRODUCED;
out:
    return st;
}

/* What is left to the bad run without the causes so far. */
static void take_rest(const struct search *s, bool *taken)
{
    const struct tdbg_deltas *d = &s->runs->deltas;
    bool split;
    for (int i = 0; i < s->n; i++)
        taken[i] = i < d->n_wholes;
    for (int c = 0; c < s->report->n_causes; c++) {
        const struct tdbg_cause *cause = &s->report->cause[c];
        for (int k = 0; k < cause->n; k++) {
            const int whole = d->item[cause->delta[k]].whole;
            split = whole >= 0 && taken[whole];
            for (int i = d->n_wholes; split && i < s->n; i++)
                taken[i] |= d->item[i].whole == whole;
            if (whole >= 0)
                taken[whole] = false;
            taken[cause->delta[k]] = false;
        }
    }
}

static enum tdbg_status find_causes(struct search *s, bool *taken, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_cause_report *r = s->report;
    r->without = TDBG_OUTCOME_TRUE;
    while (r->without == TDBG_OUTCOME_TRUE && r->n_causes < TDBG_MOST_CAUSES) {
        st = minimize(s, taken, err);
        if (st == TDBG_OK || st == TDBG_STOPPED) {
            const enum tdbg_status noted = note_cause(s, taken, st == TDBG_OK ? err : NULL);
            st = st == TDBG_OK ? noted : st;
        }
        TDBG_TRY(st);
        take_rest(s, taken);
        TDBG_TRY(try(s, taken, s->runs->end, &r->without, &r->without_last, err));
    }
    if (r->without == TDBG_OUTCOME_FALSE)
        r->verdict = TDBG_CAUSE_PROVED;
out:
    return st;
}

/* --- which batches of an order --- */

static bool is_batch_until(const struct tdbg_delta *d, int64_t last)
{
    return d->kind == TDBG_DELTA_BATCH && d->step <= last;
}

/* Does the bad run stop where of the order of one cause these batches alone are changed back? */
static enum tdbg_status try_without(struct search *s, struct tdbg_cause *c, int order, bool *taken,
                                    struct tdbg_err *err)
{
    const struct tdbg_deltas *d = &s->runs->deltas;
    take_rest(s, taken);
    for (int i = 0; i < s->n; i++)
        taken[i] |= d->item[i].whole == order;
    for (int i = 0; i < c->n_batches; i++)
        taken[c->batch[i]] = false;
    return try(s, taken, s->runs->end, &c->without, &c->without_last, err);
}

/* Up to the step where the good run does it with this cause: what comes after it does not matter.
 */
static enum tdbg_status narrow_order(struct search *s, struct tdbg_cause *c, int order, bool *taken,
                                     bool *fixed, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_deltas *d = &s->runs->deltas;
    memset(taken, 0, (size_t)s->n * sizeof *taken);
    for (int k = 0; k < c->n; k++)
        taken[c->delta[k]] = c->delta[k] != order;
    for (int i = 0; i < s->n; i++) {
        taken[i] |= is_batch_until(&d->item[i], c->step);
        fixed[i] = d->item[i].kind != TDBG_DELTA_BATCH;
    }
    s->left = s->question->when ? MOST_PART_TRIALS : -1;
    s->end = short_end(s);
    s->end = s->end > c->step + LONGER ? s->end : c->step + LONGER;
    s->end = s->end < s->runs->end ? s->end : s->runs->end;
    st = tdbg_ddmin(s->n, taken, fixed, test, s, err);
    c->is_least = st == TDBG_OK;
    if (st == TDBG_CANNOT_JUDGE && s->left == 0) {
        tdbg_err_clear(err);
        st = TDBG_OK;
    }
    c->batch = malloc(((size_t)s->n + 1) * sizeof *c->batch);
    if (!c->batch)
        return TDBG_RAISE(st == TDBG_OK ? err : NULL, NO_MEMORY, "no memory for a cause");
    for (int i = 0; i < s->n; i++) {
        if (taken[i] && d->item[i].kind == TDBG_DELTA_BATCH)
            c->batch[c->n_batches++] = i;
    }
    TDBG_TRY(st);
    if (s->question->when) {
        TDBG_TRY(try_without(s, c, order, taken, err));
    } else { /* of one step, before which no batch differs: it is the order */
        c->without = s->report->without;
        c->without_last = s->report->without_last;
    }
out:
    return st;
}

/* Which batches are enough, where the order is a cause. What --max-steps leaves of it is kept. */
static enum tdbg_status narrow_orders(struct search *s, bool *taken, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int order = tdbg_deltas_first(&s->runs->deltas, TDBG_DELTA_ORDER);
    bool *fixed = calloc((size_t)s->n + 1, sizeof *fixed);
    TDBG_FAIL_IF(!fixed, NO_MEMORY, "no memory for a cause");
    for (int i = 0; order >= 0 && i < s->report->n_causes; i++) {
        struct tdbg_cause *c = &s->report->cause[i];
        c->without = TDBG_OUTCOME_UNRESOLVED;
        for (int k = 0; k < c->n; k++) {
            if (c->delta[k] == order && s->runs->deltas.item[order].step >= 0 && c->step >= 0)
                TDBG_TRY(narrow_order(s, c, order, taken, fixed, err));
        }
    }
out:
    free(fixed);
    if (st == TDBG_STOPPED) {
        tdbg_err_clear(err);
        st = TDBG_OK;
    }
    return st;
}

uint64_t tdbg_cause_number(const struct tdbg_bisect_runs *runs)
{
    const struct tdbg_deltas *d = &runs->deltas;
    uint64_t h = tdbg_chain_absorb(0, (uint64_t)runs->start);
    h = tdbg_chain_absorb(h, (uint64_t)runs->end);
    for (int k = 0; k < 2; k++) {
        char *text = tdbg_config_print(tdbg_config_root(runs->side[k].config), false);
        h = tdbg_chain_absorb_text(h, text ? text : "");
        free(text);
        for (int32_t i = 0; i < runs->state[k].n; i++) {
            const struct tdbg_bisect_item *item = &runs->state[k].item[i];
            h = tdbg_chain_absorb(h, tdbg_digest_fast(item->data, TDBG_DTYPE_F32, item->elems));
        }
    }
    for (int i = 0; i < d->n; i++)
        h = tdbg_chain_absorb_text(h, d->item[i].name);
    return h;
}

static uint64_t number_of_question(const struct tdbg_bisect_question *q)
{
    uint64_t h = tdbg_chain_absorb_text(0, q->when ? q->when->text : q->site->name);
    if (!q->when) {
        h = tdbg_chain_absorb(h, (uint64_t)q->step);
        h = tdbg_chain_absorb(h, q->digest);
    }
    return h;
}

enum tdbg_status tdbg_cause_find(struct tdbg_bisect_runs *runs,
                                 const struct tdbg_bisect_question *question,
                                 struct tdbg_bisect_log *log, bool good_is_known,
                                 struct tdbg_cause_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct search s = {
        .runs = runs, .question = question, .report = report, .log = log, .n = runs->deltas.n};
    const int known = tdbg_bisect_log_count(log);
    bool *taken = calloc((size_t)s.n + 1, sizeof *taken), does = false;
    *report = (struct tdbg_cause_report){.bad_step = -1, .without_last = -1};
    s.leaves = calloc((size_t)s.n + 1, sizeof *s.leaves);
    TDBG_FAIL_IF(!taken || !s.leaves, NO_MEMORY, "no memory to look for a cause");
    tdbg_bisect_log_ask(log, number_of_question(question));
    st = judge_ends(&s, good_is_known, taken, &does, err);
    if (st == TDBG_OK && does)
        st = find_causes(&s, taken, err);
    if (st == TDBG_OK && does)
        st = narrow_orders(&s, taken, err);
    if (st == TDBG_STOPPED) {
        report->verdict = TDBG_CAUSE_STOPPED;
        tdbg_err_clear(err);
        st = TDBG_OK;
    }
    report->n_trials = tdbg_bisect_log_count(log) - known;
out:
    free(taken);
    free(s.leaves);
    return st;
}

void tdbg_cause_report_clear(struct tdbg_cause_report *report)
{
    for (int i = 0; i < report->n_causes; i++) {
        free(report->cause[i].delta);
        free(report->cause[i].batch);
    }
    *report = (struct tdbg_cause_report){0};
}
