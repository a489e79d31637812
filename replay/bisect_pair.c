/* Bisect between two runs. See bisect_pair.h. */
#include "replay/bisect_pair.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    const struct tdbg_pair_options *options;
    struct tdbg_pair_report *report;
    struct tdbg_bisect_log *log;
    struct tdbg_expr *when; /* what is asked; NULL: for the first difference */
    bool is_known;          /* where it holds, from what is recorded */
    int64_t step;           /* the last in which the first difference may be */
    int64_t first, last;    /* that can matter to what is asked */
};

/* --- what is recorded --- */

static bool asks_for_evaluation(const struct tdbg_expr *expr)
{
    for (int i = 0; expr && i < expr->n_terms; i++) {
        if (strncmp(expr->term[i].pattern, "eval", 4) == 0 || expr->term[i].pattern[0] == '*')
            return true;
    }
    return false;
}

static enum tdbg_status compare_recorded(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    struct tdbg_bisect_side *side = r->runs.side;
    p->step = r->runs.end - 1;
    if (!side[0].trace || !side[1].trace)
        return TDBG_OK;
    r->is_recorded = true;
    TDBG_TRY(tdbg_diff_groups(side[0].group, side[1].group, &r->recorded, err));
    r->same = r->recorded.same;
    if (r->same)
        goto out;
    p->step = r->recorded.step;
    if (r->recorded.site_a >= 0 &&
        side[0].group->sites[r->recorded.site_a].stage == TDBG_STAGE_EVAL)
        r->runs.with_eval = true;
out:
    return st;
}

/* The first step of a trace at which an expression holds, or -1. */
static enum tdbg_status find_step(struct pair *p, int side, struct tdbg_expr *expr, int64_t *out,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_runs *runs = &p->report->runs;
    struct tdbg_expr_eval *eval = NULL;
    *out = -1;
    TDBG_TRY(tdbg_expr_eval_create(runs->side[side].trace, &runs->session, expr, &eval, err));
    for (int64_t step = runs->first, passed; step < runs->end && *out < 0; step++) {
        struct tdbg_expr_value value;
        passed = tdbg_expr_eval_pass(&eval, 1, step, runs->end - 1, false);
        if (passed > 0) {
            step += passed - 1;
            continue;
        }
        TDBG_TRY(tdbg_expr_eval_at(eval, step, &value, err));
        *out = value.is_known && value.number != 0 ? step : -1;
    }
    runs->executed += tdbg_expr_eval_cost(eval).steps_executed;
out:
    tdbg_expr_eval_destroy(eval);
    return st;
}

/* --- a recorded value that is not what its inputs give --- */

static enum tdbg_status verify(struct pair *p, int side, int64_t last, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    struct tdbg_bisect_side *s = &r->runs.side[side];
    const struct tdbg_verify_options options = {
        .session = r->runs.session, .from = p->first, .to = last};
    if (tdbg_trace_info(s->trace)->world_size > 1)
        TDBG_TRY(tdbg_verify_group(s->group, &options, &r->fault, err));
    else
        TDBG_TRY(tdbg_verify_trace(s->trace, &options, &r->fault, err));
    r->runs.executed += r->fault.n_steps;
    if (r->fault.differ > 0)
        r->faulty = side;
out:
    return st;
}

/* Has the other trace there what executing the faulty one gives? */
static enum tdbg_status ask_other(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    struct tdbg_rank_group *faulty = r->runs.side[r->faulty].group;
    const struct tdbg_bisect_side *other = &r->runs.side[!r->faulty];
    uint64_t digest;
    int32_t n;
    if (!other->trace || r->fault.site < 0 || r->fault.step >= other->end)
        return TDBG_OK;
    const struct tdbg_site *site =
        &tdbg_trace_sites(faulty->files[r->fault.rank].trace, &n)[r->fault.site];
    TDBG_TRY(
        tdbg_bisect_recorded_digest(other, r->fault.step, site, &digest, &r->fault_is_alone, err));
    r->fault_is_alone = r->fault_is_alone && digest == r->fault.computed;
out:
    return st;
}

static enum tdbg_status find_fault(struct pair *p, int64_t last, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    for (int side = 1; side >= 0 && r->faulty < 0; side--) {
        if (r->runs.side[side].trace)
            TDBG_TRY(verify(p, side, last, err));
    }
    if (r->faulty >= 0)
        TDBG_TRY(ask_other(p, err));
out:
    return st;
}

/* --- the cause --- */

static enum tdbg_status ask_when(struct pair *p, struct tdbg_expr *expr, bool good_is_known,
                                 struct tdbg_err *err)
{
    struct tdbg_pair_report *r = p->report;
    const struct tdbg_bisect_question question = {.when = expr};
    r->when = expr;
    r->has_cause = true;
    tdbg_cause_report_clear(&r->cause);
    return tdbg_cause_find(&r->runs, &question, p->log, good_is_known, &r->cause, err);
}

/* Where the runs part, both have the same state behind them: trials begin there. For an expression
 * the steps before have to be recorded, as it may hang on their losses. */
static void skip_what_is_the_same(struct pair *p)
{
    struct tdbg_pair_report *r = p->report;
    if (r->part.is_found && r->part.step > r->runs.start)
        tdbg_bisect_runs_go_on(&r->runs, r->part.step, r->part.before);
}

static enum tdbg_status ask_first(struct pair *p, struct tdbg_err *err)
{
    struct tdbg_pair_report *r = p->report;
    const struct tdbg_bisect_question question = {
        .step = r->part.step, .site = &r->part.site, .digest = r->part.digest[1]};
    r->when = NULL;
    if (!r->part.is_found)
        return TDBG_OK;
    skip_what_is_the_same(p);
    r->has_cause = true;
    tdbg_cause_report_clear(&r->cause);
    return tdbg_cause_find(&r->runs, &question, p->log, true, &r->cause, err);
}

static enum tdbg_status refuse(const struct pair *p, const char *text, bool in_good, bool in_bad,
                               struct tdbg_err *err)
{
    const struct tdbg_bisect_side *side = p->report->runs.side;
    if (in_good && !in_bad)
        return TDBG_RAISE(err, USAGE,
                          "'%s' holds in %s, and not in %s: the first is to be the good run\nhint: "
                          "tdbg bisect %s %s",
                          text, side[0].path, side[1].path, side[1].path, side[0].path);
    return TDBG_RAISE(err, CANNOT_JUDGE,
                      "'%s' holds in %s of the two runs\nhint: --first-difference asks where they "
                      "part",
                      text, in_good ? "both" : "neither");
}

/* Of two traces it is known where an expression holds, and with it what there is to ask. */
static enum tdbg_status look_up(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool is_default = !p->options->when;
    int64_t step[2];
    for (int side = 0; side < 2; side++)
        TDBG_TRY(find_step(p, side, p->when, &step[side], err));
    if (step[0] < 0 && step[1] >= 0) {
        p->last = step[1];
        goto out;
    }
    if (!is_default || (step[0] >= 0 && step[1] < 0))
        TDBG_TRY(refuse(p, p->when->text, step[0] >= 0, step[1] >= 0, err));
    p->when = NULL;
out:
    return st;
}

/* Of a config it is known when it has run. */
static enum tdbg_status ask_and_see(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    TDBG_TRY(ask_when(p, p->when, false, err));
    const bool in_good = r->cause.verdict == TDBG_CAUSE_IN_GOOD_TOO;
    const bool in_neither = r->cause.verdict == TDBG_CAUSE_NOT_REPRODUCED;
    if (!in_good && (!in_neither || r->is_recorded)) /* of a trace a fault may be the cause */
        goto out;
    r->has_cause = false;
    if (!p->options->when)
        TDBG_TRY(ask_first(p, err));
    else
        TDBG_TRY(refuse(p, p->when->text, in_good, in_good, err));
out:
    return st;
}

static enum tdbg_status ask(struct pair *p, struct tdbg_err *err)
{
    if (!p->when)
        return ask_first(p, err);
    if (!p->is_known)
        return ask_and_see(p, err);
    skip_what_is_the_same(p);
    return ask_when(p, p->when, true, err);
}

/* No file has all lanes of a run of several ranks, and trials have. */
static bool has_ranks(const struct tdbg_pair_report *r)
{
    return tdbg_trace_info(r->runs.side[0].trace)->world_size > 1 ||
           tdbg_trace_info(r->runs.side[1].trace)->world_size > 1;
}

/* Terms of an expression that are rankdiff. */
static int count_rankdiffs(const struct tdbg_expr *expr)
{
    int n = 0;
    for (int i = 0; i < expr->n_terms; i++)
        n += expr->term[i].function == TDBG_EXPR_RANKDIFF;
    return n;
}

/* Where the ranks of the bad run part, by the digests in their files. */
static enum tdbg_status find_split(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    TDBG_FAIL_IF(
        !r->is_recorded, CANNOT_JUDGE,
        "rankdiff compares the files of the ranks of a run, and %s is a config\nhint: record "
        "it",
        r->runs.side[r->runs.side[0].trace != NULL].path);
    TDBG_FAIL_IF(count_rankdiffs(p->when) < p->when->n_terms, USAGE,
                 "'%s' asks for rankdiff and for other tensors: between two runs rankdiff is asked "
                 "alone, or with step, loss, lr and grad_norm",
                 p->when->text);
    TDBG_TRY(look_up(p, err));
    r->when = p->when;
    r->split_step = p->last;
out:
    return st;
}

/* What is asked, as far as that is known before anything is executed. */
static enum tdbg_status choose_question(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    struct tdbg_expr_fault fault;
    p->last = p->step;
    if (p->options->first_difference)
        return TDBG_OK;
    p->when = p->options->when;
    if (!p->when) {
        p->when = r->own = tdbg_expr_parse("diverges(loss)", &fault);
        TDBG_FAIL_IF(!r->own, NO_MEMORY, "no memory for an expression");
    }
    if (count_rankdiffs(p->when) > 0)
        return find_split(p, err);
    p->is_known = r->is_recorded && (p->when->n_terms == 0 || !has_ranks(r));
    if (p->is_known)
        TDBG_TRY(look_up(p, err));
    else if (r->is_recorded)
        p->last = r->runs.end - 1;
out:
    return st;
}

/* What ranks contributed, as far as it can matter: those of a run whose files are all there. */
static enum tdbg_status find_contributions(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_runs *runs = &p->report->runs;
    for (int k = 0; k < 2; k++) {
        const struct tdbg_rank_group *g = runs->side[k].group;
        if (g && g->world_size > 1 && g->n_there == g->world_size)
            TDBG_TRY(tdbg_contributions_find(runs, k, p->when ? runs->end - 1 : p->step, err));
    }
    TDBG_TRY(tdbg_contributions_join(&runs->contributions, runs->side, &runs->deltas, err));
out:
    return st;
}

/* The first step of a contribution that is part of the cause, or -1. */
static int64_t contributed_at(const struct tdbg_pair_report *r)
{
    int64_t first = -1;
    for (int i = 0; r->has_cause && i < r->cause.n_causes; i++) {
        for (int k = 0; k < r->cause.cause[i].n; k++) {
            const struct tdbg_delta *d = &r->runs.deltas.item[r->cause.cause[i].delta[k]];
            const bool is = d->kind == TDBG_DELTA_RANK || d->kind == TDBG_DELTA_CONTRIBUTION;
            first = is && (first < 0 || d->step < first) ? d->step : first;
        }
    }
    return first;
}

/* Without stored values verifying does not tell whose contribution a sum lacks. */
static void note_missing(struct tdbg_pair_report *r)
{
    const struct tdbg_contributions *c = &r->runs.contributions;
    if (r->faulty < 0 || r->fault.site < 0 || r->fault.dropped >= 0)
        return;
    const struct tdbg_bisect_side *side = &r->runs.side[r->faulty];
    const struct tdbg_site *sum =
        &tdbg_trace_sites(side->group->files[r->fault.rank].trace, NULL)[r->fault.site];
    for (int i = 0; sum->stage == TDBG_STAGE_REDUCE_OUT && i < c->n; i++) {
        const struct tdbg_contribution *one = &c->list[i];
        if (one->side == r->faulty && one->step == r->fault.step &&
            one->how == TDBG_CONTRIBUTION_MISSING &&
            strcmp(tdbg_site_tensor(&side->group->sites[one->site]), tdbg_site_tensor(sum)) == 0)
            r->fault.dropped = one->rank;
    }
}

/* The recorded value that is faulty, where that is the cause or leads to it. */
static enum tdbg_status look_for_fault(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    const int64_t contributed = contributed_at(r);
    if (r->has_cause && r->cause.verdict == TDBG_CAUSE_STOPPED)
        return TDBG_OK;
    if (contributed >= 0)
        TDBG_TRY(find_fault(p, contributed, err));
    else if (!r->has_cause || r->cause.verdict == TDBG_CAUSE_NOT_REPRODUCED)
        TDBG_TRY(find_fault(p, p->last > p->step ? p->last : p->step, err));
    note_missing(r);
out:
    return st;
}

static enum tdbg_status open_log(struct pair *p, struct tdbg_err *err)
{
    const struct tdbg_bisect_runs *runs = &p->report->runs;
    return tdbg_bisect_log_open(p->options->log_path, p->options->resume, tdbg_cause_number(runs),
                                runs->deltas.n, &p->log, err);
}

static enum tdbg_status judge(struct pair *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_pair_report *r = p->report;
    TDBG_TRY(compare_recorded(p, err));
    if (r->same)
        goto out;
    TDBG_TRY(choose_question(p, err));
    TDBG_TRY(tdbg_bisect_runs_start(&r->runs, p->step, p->when ? r->runs.end : p->step + 1, err));
    p->first = r->runs.start;
    if (r->split_step >= 0)
        return find_fault(p, r->split_step, err);
    TDBG_TRY(find_contributions(p, err));
    r->same = r->runs.deltas.n == 0 && !r->is_recorded;
    if (r->same)
        goto out;
    TDBG_TRY(open_log(p, err));
    TDBG_TRY(tdbg_bisect_part_find(&r->runs, p->step, &r->part, err));
    r->same = !r->part.is_found && !r->is_recorded;
    if (r->same)
        goto out;
    TDBG_TRY(ask(p, err));
    TDBG_TRY(look_for_fault(p, err));
out:
    return st;
}

enum tdbg_status tdbg_bisect_pair(const char *good, const char *bad,
                                  const struct tdbg_pair_options *options,
                                  struct tdbg_pair_report *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct pair p = {.options = options, .report = r};
    *r = (struct tdbg_pair_report){.faulty = -1, .split_step = -1};
    r->runs.session = options->session;
    r->runs.max_steps = options->max_steps;
    r->runs.progress = options->progress;
    r->runs.progress_context = options->progress_context;
    r->runs.with_eval = asks_for_evaluation(options->when);
    TDBG_TRY(tdbg_bisect_runs_open(&r->runs, good, bad, err));
    st = judge(&p, err);
    if (st == TDBG_STOPPED) { /* before there was anything to tell */
        tdbg_err_clear(err);
        st = TDBG_RAISE(err, CANNOT_JUDGE,
                        "'--max-steps %lld': these were executed before the two runs parted",
                        (long long)options->max_steps);
    }
out:
    tdbg_bisect_log_close(p.log);
    return st;
}

void tdbg_pair_report_clear(struct tdbg_pair_report *r)
{
    if (r->is_recorded)
        tdbg_diff_clear(&r->recorded);
    tdbg_bisect_part_clear(&r->part);
    tdbg_cause_report_clear(&r->cause);
    tdbg_expr_destroy(r->own);
    tdbg_bisect_runs_close(&r->runs);
}
