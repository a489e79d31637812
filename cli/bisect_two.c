/* Bisect between two runs, as text. See bisect_two.h; what is found how: replay/bisect_pair.h. */
#include "cli/bisect_two.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/progress.h"

struct pair_progress {
    struct tdbg_progress progress;
    bool quiet;
};

static int show_progress(void *context, const struct tdbg_bisect_runs *runs)
{
    struct pair_progress *p = context;
    if (!p->progress.out)
        tdbg_progress_start(&p->progress, stderr,
                            p->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0, runs->max_steps,
                            tdbg_clock_ns());
    tdbg_progress_update(&p->progress, runs->executed, NULL, -1, tdbg_clock_ns());
    return cli_stop_signal();
}

/* --- what differs --- */

static const char *value(const char *text)
{
    return text ? text : "(not there)";
}

static void print_keys(const struct tdbg_config_difference *keys, int n, const char *indent)
{
    for (int i = 0; i < n; i++)
        printf("%s%s: %s -> %s\n", indent, keys[i].key, value(keys[i].a), value(keys[i].b));
}

/* What the traces have of a rank's contributions that belong to a difference; the first alone where
 * they are many. */
static void print_contributions(const struct tdbg_bisect_runs *runs, int delta)
{
    enum { MOST_LINES = 4 };
    static const char *const names[2] = {"good", "bad"};
    const struct tdbg_contributions *all = &runs->contributions;
    char text[200], label[TDBG_MAX_SITE_NAME + 40];
    int n = 0;
    for (int i = 0; i < all->n; i++) {
        const struct tdbg_contribution *one = &all->list[i];
        if (one->item != delta && runs->deltas.item[one->item].whole != delta)
            continue;
        if (n++ >= MOST_LINES)
            continue;
        tdbg_site_label(&runs->side[one->side].group->sites[one->site], label, sizeof label);
        printf("    step %" PRId64 " of the %s run, %s: %s\n", one->step, names[one->side], label,
               tdbg_contribution_text(one, runs->side, text, sizeof text));
    }
    if (n > MOST_LINES)
        printf("    and %d more\n", n - MOST_LINES);
}

static void print_differences(const struct tdbg_bisect_runs *runs)
{
    const struct tdbg_deltas *d = &runs->deltas;
    if (d->n_keys > 0)
        printf("config: %d key%s differ%s\n", d->n_keys, d->n_keys > 1 ? "s" : "",
               d->n_keys > 1 ? "" : "s");
    for (int i = 0; i < d->n_wholes; i++) {
        const struct tdbg_delta *delta = &d->item[i];
        const bool is_config = delta->kind == TDBG_DELTA_CONFIG || delta->kind == TDBG_DELTA_SEED;
        if (is_config) {
            print_keys(delta->keys, delta->n_keys, "  ");
            continue;
        }
        printf("  %s\n", delta->name);
        print_contributions(runs, i);
        for (int k = 0; k < delta->n_keys; k++) {
            if (tdbg_deltas_unit(d, delta->keys[k].key) < 0) /* else it has a line of its own */
                print_keys(&delta->keys[k], 1, "    ");
        }
    }
    if (d->n_idle > 0)
        puts("  of no effect on what is asked:");
    print_keys(d->idle, d->n_idle, "    ");
}

/* --- where they part --- */

int32_t cli_bisect_rank(const struct tdbg_bisect_side *side, int32_t lane)
{
    if (!side->trace || lane < 0 || tdbg_trace_info(side->trace)->world_size < 2)
        return -1;
    return tdbg_rank_of_lane(tdbg_trace_info(side->trace), lane);
}

static void print_inputs(const struct tdbg_bisect_part *p)
{
    if (p->n_inputs == 0) {
        puts("  it is not computed in this step, but what the step begins with");
        return;
    }
    puts(p->inputs_same
             ? "  what it is computed from is the same in both runs: this op is where they "
               "part"
             : "  it is computed from:");
    for (int i = 0; i < p->n_inputs && !p->inputs_same; i++)
        printf("    %-40s %s\n", p->input[i].label,
               p->input[i].same      ? "the same"
               : p->input[i].in_both ? "differs"
                                     : "only in the bad run");
}

static void print_repeats(const struct tdbg_bisect_part *p)
{
    static const char *const names[2] = {"good", "bad"};
    if (p->repeats[0] && p->repeats[1])
        printf("  executed %d times more, each run gives its bits again: repeatable\n",
               TDBG_PART_REPEATS);
    for (int k = 0; k < 2; k++) {
        if (!p->repeats[k])
            printf("  executed %d times more, the %s run gives other bits: transient\n",
                   TDBG_PART_REPEATS, names[k]);
        if (p->recorded[k] == 0)
            printf("  the trace of the %s run has other bits than executing it gives\n", names[k]);
    }
}

static void print_part(const struct tdbg_pair_report *r)
{
    const struct tdbg_bisect_part *p = &r->part;
    const int32_t rank = cli_bisect_rank(&r->runs.side[1], p->site.lane);
    char label[TDBG_MAX_SITE_NAME + 40];
    if (!p->is_found)
        return;
    printf("first difference: step %" PRId64 ", ", p->step);
    if (rank >= 0)
        printf("rank %d, ", (int)rank);
    printf("site %s (%s); %d of %d sites differ in this step\n",
           tdbg_site_label(&p->site, label, sizeof label), p->site.op, (int)p->n_differ,
           (int)p->n_sites);
    if (p->has_elements)
        tdbg_compare_print(&p->elements, &p->site, "  ", stdout);
    print_inputs(p);
    print_repeats(p);
}

/* --- the cause --- */

static void print_delta(const struct tdbg_bisect_runs *runs, int at)
{
    const struct tdbg_delta *delta = &runs->deltas.item[at];
    if (delta->kind == TDBG_DELTA_CONFIG || delta->kind == TDBG_DELTA_SEED) {
        print_keys(delta->keys, delta->n_keys, "  ");
        if (delta->kind == TDBG_DELTA_SEED)
            puts("    by the random numbers of dropout and augmentation");
        return;
    }
    printf("  %s\n", delta->name);
    print_contributions(runs, at);
    print_keys(delta->keys, delta->n_keys, "    ");
}

/* Steps of the batches that are enough: "9, 12 to 14". */
static void print_steps(const struct tdbg_deltas *d, const struct tdbg_cause *c)
{
    for (int i = 0, k; i < c->n_batches; i = k) {
        const int64_t first = d->item[c->batch[i]].step;
        int64_t last = d->item[c->batch[i]].last;
        for (k = i + 1; k < c->n_batches && d->item[c->batch[k]].step == last + 1; k++)
            last = d->item[c->batch[k]].last;
        printf(last > first ? "%s%" PRId64 " to %" PRId64 : "%s%" PRId64, i ? ", " : "", first,
               last);
    }
}

/* What of the order it takes. */
static void print_batches(const struct tdbg_pair_report *r, const struct tdbg_cause *c)
{
    const struct tdbg_deltas *d = &r->runs.deltas;
    const bool is_one = c->n_batches == 1 && d->item[c->batch[0]].step == d->item[c->batch[0]].last;
    const int order = tdbg_deltas_first(d, TDBG_DELTA_ORDER);
    printf("    the batches differ from step %" PRId64 " on; enough %s", d->item[order].step,
           is_one ? "is that of step " : "are those of steps ");
    print_steps(d, c);
    puts(c->is_least ? "" : " (or fewer: no more were tried)");
    if (c->without == TDBG_OUTCOME_TRUE)
        printf("    %s changed back in the bad run, of its order alone: still so at step %" PRId64
               "; others are enough, too\n",
               is_one ? "it is" : "they are", c->without_last);
    else if (c->without == TDBG_OUTCOME_FALSE && r->when)
        printf(
            "    %s changed back in the bad run, of its order alone: not true up to step %" PRId64
            "\n",
            is_one ? "it is" : "they are", c->without_last);
}

/* "true", or what it is that is true. */
static const char *question_text(const struct tdbg_pair_report *r)
{
    return r->when ? r->when->text : "the bits of the bad run at the first difference";
}

static void print_causes(const struct tdbg_pair_report *r)
{
    const struct tdbg_cause_report *c = &r->cause;
    const struct tdbg_deltas *d = &r->runs.deltas;
    const char *plural = d->n_wholes == 1 ? "" : "s";
    for (int i = 0; i < c->n_causes; i++) {
        const struct tdbg_cause *cause = &c->cause[i];
        if (c->n_causes > 1)
            printf("cause %d of %d, enough alone: %d of %d difference%s\n", i + 1, c->n_causes,
                   cause->n, d->n_wholes, plural);
        else if (c->verdict == TDBG_CAUSE_STOPPED)
            printf("not finished: the cause is among these %d of %d difference%s\n", cause->n,
                   d->n_wholes, plural);
        else
            printf("cause: %d of %d difference%s\n", cause->n, d->n_wholes, plural);
        for (int k = 0; k < cause->n; k++) {
            print_delta(&r->runs, cause->delta[k]);
            if (d->item[cause->delta[k]].kind == TDBG_DELTA_ORDER && cause->n_batches > 0)
                print_batches(r, cause);
        }
        if (cause->step >= 0)
            printf("  changed in the good run: %s at step %" PRId64 "\n",
                   r->when ? "true" : "the bad run's bits", cause->step);
    }
}

static void print_proof(const struct tdbg_pair_report *r)
{
    const struct tdbg_cause_report *c = &r->cause;
    const char *all = c->n_causes > 1 ? "all of them " : "";
    if (c->verdict == TDBG_CAUSE_PROVED && r->when)
        printf("  %schanged back in the bad run: not true up to step %" PRId64 "\n", all,
               c->without_last);
    else if (c->verdict == TDBG_CAUSE_PROVED)
        printf("  %schanged back in the bad run: other bits at step %" PRId64 "\n", all,
               c->without_last);
    else if (c->verdict == TDBG_CAUSE_ONE_WAY && c->without == TDBG_OUTCOME_TRUE)
        printf("  %schanged back in the bad run: still so; there are more causes\n", all);
    else if (c->verdict == TDBG_CAUSE_ONE_WAY)
        printf("  %schanged back in the bad run: what is left does not go together, so only one "
               "direction is proved\n",
               all);
}

static void print_cause(const struct tdbg_pair_report *r)
{
    const struct tdbg_cause_report *c = &r->cause;
    if (r->split_step >= 0) {
        printf("question: %s\n  %s: not true up to step %" PRId64 "\n  %s: true at step %" PRId64
               "\n",
               question_text(r), r->runs.side[0].path, r->runs.end - 1, r->runs.side[1].path,
               r->split_step);
        if (r->faulty < 0)
            puts("executed again, nothing that is recorded is faulty");
    }
    if (!r->has_cause)
        return;
    printf("question: %s\n", question_text(r));
    if (r->when && c->good_last >= 0 && c->verdict != TDBG_CAUSE_IN_GOOD_TOO)
        printf("  %s: not true up to step %" PRId64 "\n", r->runs.side[0].path, c->good_last);
    if (r->when && c->bad_step >= 0 && c->verdict != TDBG_CAUSE_NOT_REPRODUCED)
        printf("  %s: true at step %" PRId64 "\n", r->runs.side[1].path, c->bad_step);
    if (c->verdict == TDBG_CAUSE_NOT_REPRODUCED)
        puts("executed again, the bad run does not give it: no difference of config, state or "
             "samples is the cause");
    if (c->verdict == TDBG_CAUSE_IN_GOOD_TOO)
        puts("executed again, the good run gives it, too");
    print_causes(r);
    print_proof(r);
}

/* Is what is faulty the contribution that the cause names? */
static bool is_named(const struct tdbg_pair_report *r, const struct tdbg_site *site)
{
    for (int i = 0; i < r->cause.n_causes; i++) {
        for (int k = 0; k < r->cause.cause[i].n; k++) {
            const struct tdbg_delta *d = &r->runs.deltas.item[r->cause.cause[i].delta[k]];
            if ((d->kind == TDBG_DELTA_RANK || d->kind == TDBG_DELTA_CONTRIBUTION) &&
                d->step == r->fault.step && (!d->of || strcmp(d->of, tdbg_site_tensor(site)) == 0))
                return true;
        }
    }
    return false;
}

static void print_fault_site(const struct tdbg_pair_report *r)
{
    char label[TDBG_MAX_SITE_NAME + 40];
    const struct tdbg_verify_report *f = &r->fault;
    const struct tdbg_bisect_side *side = &r->runs.side[r->faulty];
    const struct tdbg_site *site =
        f->site < 0 ? NULL : &tdbg_trace_sites(side->group->files[f->rank].trace, NULL)[f->site];
    const bool is_cause = !r->has_cause || r->cause.n_causes == 0; /* else it led to it */
    if (site && r->has_cause && is_named(r, site))
        return;
    printf("%s: what %s has recorded is not what executing it gives, first in step %" PRId64 ", ",
           is_cause ? "cause" : "fault", side->path, f->step);
    if (tdbg_trace_info(side->trace)->world_size > 1)
        printf("rank %d, ", (int)f->rank);
    if (!site) {
        printf("chain %s\n", tdbg_chain_name(f->chain));
        return;
    }
    printf("site %s (%s)\n", tdbg_site_label(site, label, sizeof label), site->op);
    if (f->dropped >= 0)
        printf("  what rank %d put in is missing\n", (int)f->dropped);
    if (f->has_elements)
        tdbg_compare_print(&f->elements, site, "  ", stdout);
}

static void print_fault(const struct tdbg_pair_report *r)
{
    if (r->faulty < 0)
        return;
    print_fault_site(r);
    if (r->fault.site < 0)
        return;
    if (r->fault_is_alone)
        puts("  executing it gives what the other run has there");
    puts(
        "  its inputs were recorded, and give other bits: a fault of the machine or of the program "
        "that recorded it");
}

static void print_text(const struct tdbg_pair_report *r)
{
    print_differences(&r->runs);
    if (r->same) {
        printf("same: the two runs do not differ in steps %" PRId64 " to %" PRId64 "\n",
               r->runs.first, r->runs.end - 1);
    } else {
        print_part(r);
        print_cause(r);
        print_fault(r);
    }
    printf("executed %" PRId64 " steps", r->runs.executed);
    if (r->has_cause)
        printf(", %d trials", r->cause.n_trials);
    if (r->runs.start > 0)
        printf(", from the state before step %" PRId64, r->runs.start);
    putchar('\n');
}

/* --- the command --- */

static int exit_code_of(const struct tdbg_pair_report *r)
{
    const int cannot_judge = tdbg_status_exit_code(TDBG_CANNOT_JUDGE);
    if (r->same)
        return 1;
    if (r->faulty >= 0 && (!r->has_cause || r->cause.n_causes == 0))
        return 0;
    return r->has_cause && r->cause.verdict == TDBG_CAUSE_PROVED ? 0 : cannot_judge;
}

static void warn_side(const struct tdbg_bisect_side *side)
{
    for (int32_t i = 0; side->group && i < side->group->world_size; i++) {
        if (side->group->files[i].trace)
            cli_warn_unclosed(side->group->files[i].trace);
    }
    if (side->had_inject && !side->trace)
        fprintf(stderr, "tdbg: warning: the faults that %s injects are left out\n", side->path);
}

enum tdbg_status cli_bisect_two(const struct cli_bisect_two *pair, int *exit_code,
                                struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct pair_progress progress = {.quiet = pair->quiet};
    const struct tdbg_pair_options options = {.session = cli_session_options(&pair->execution),
                                              .when = pair->when,
                                              .first_difference = pair->first_difference,
                                              .max_steps = pair->max_steps,
                                              .log_path = pair->log_path,
                                              .resume = pair->resume,
                                              .progress = show_progress,
                                              .progress_context = &progress};
    struct tdbg_pair_report report;
    cli_catch_signals(true);
    st = tdbg_bisect_pair(pair->good, pair->bad, &options, &report, err);
    if (progress.progress.out)
        tdbg_progress_finish(&progress.progress, tdbg_clock_ns());
    TDBG_TRY(st);
    for (int k = 0; k < 2; k++)
        warn_side(&report.runs.side[k]);
    if (pair->as_json)
        cli_bisect_two_print_json(&report, stdout);
    else
        print_text(&report);
    if (pair->json_file)
        cli_bisect_two_print_json(&report, pair->json_file);
    if (report.has_cause && report.cause.verdict == TDBG_CAUSE_STOPPED)
        fprintf(stderr, "tdbg: stopped by --max-steps%s%s\n",
                pair->log_path ? "; go on with --resume " : "",
                pair->log_path ? pair->log_path : "");
    *exit_code = exit_code_of(&report);
out:
    tdbg_pair_report_clear(&report);
    return st;
}
