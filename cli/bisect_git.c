/* Judging a commit. See bisect_git.h. A config is recorded into a temporary folder, so that what is
 * compared is what this program computes, and not what it makes of a recorded run. */
#include "cli/bisect_git.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/record_ranks.h"
#include "cli/temporary.h"
#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/bisect.h"
#include "replay/bisect_judge.h"
#include "replay/diff.h"
#include "trace/array_file.h"

/* --- a recording that nobody keeps --- */

struct temporary {
    char folder[CLI_TEMPORARY_PATH], path[CLI_TEMPORARY_PATH + 16];
    struct tdbg_config *config;
    struct cli_ranks ranks;
};

static void remove_temporary(struct temporary *t)
{
    cli_ranks_release(&t->ranks);
    tdbg_config_destroy(t->config);
    cli_temporary_remove(t->folder);
}

/* A run that is as long as the golden one, whose schedule and evaluations hang on that, and
 * recorded as it is. */
static enum tdbg_status load_config(struct temporary *t, const char *path,
                                    const struct tdbg_trace *golden, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char preset[80], steps[48];
    const char *const sets[] = {preset, steps, "record.window=0"};
    snprintf(preset, sizeof preset, "record.preset=%s", tdbg_trace_info(golden)->preset);
    snprintf(steps, sizeof steps, "steps=%" PRId64, tdbg_trace_info(golden)->planned_steps);
    TDBG_TRY(tdbg_config_load(path, sets, 3, &t->config, err));
    tdbg_engine_check_options(t->config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(t->config);
    tdbg_dataset_check_files(t->config);
    TDBG_TRY(tdbg_config_result(t->config, err));
out:
    return st;
}

/* Records the steps that the golden trace has. */
static enum tdbg_status record(struct temporary *t, const struct cli_bisect_git *g,
                               const struct tdbg_trace *golden, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t end = tdbg_trace_first_step(golden) + tdbg_trace_n_steps(golden);
    TDBG_FAIL_IF(tdbg_trace_first_step(golden) > 0, CANNOT_JUDGE,
                 "%s begins at step %" PRId64 ", and a run of %s at step 0", g->good,
                 tdbg_trace_first_step(golden), g->bad);
    TDBG_TRY(cli_temporary_make(t->folder, err));
    snprintf(t->path, sizeof t->path, "%s/run.h5", t->folder);
    TDBG_TRY(load_config(t, g->bad, golden, err));
    t->ranks.launch = (struct tdbg_comm_launch){.world_size = 1, .local_rank = -1, .local_size = 1};
    t->ranks.run = (struct cli_recording){.config_path = g->bad,
                                          .isa = cli_session_options(&g->execution).isa,
                                          .config = t->config,
                                          .path = t->path,
                                          .alone = true,
                                          .force = true,
                                          .quiet = true};
    TDBG_TRY(cli_ranks_start(&t->ranks, -1, err));
    TDBG_TRY(cli_ranks_set_up(&t->ranks, err));
    t->ranks.run.end_step = end;
    TDBG_TRY(cli_ranks_train(&t->ranks, err));
    TDBG_FAIL_IF(cli_ranks_have_failed(&t->ranks), IO, "recording %s had to stop", g->bad);
out:
    return st;
}

/* --- by bits --- */

static void print_verdict(const struct cli_bisect_git *g, const struct tdbg_rank_group *good,
                          const struct tdbg_diff_report *r)
{
    char label[TDBG_MAX_SITE_NAME + 40];
    if (r->same)
        printf("good: %s has the bits of %s in %" PRId64 " steps\n", g->bad, g->good, r->n_steps);
    else if (r->site_a < 0)
        printf("bad: %s parts from %s at step %" PRId64 "\n", g->bad, g->good, r->step);
    else
        printf("bad: %s parts from %s at step %" PRId64 ", site %s\n", g->bad, g->good, r->step,
               tdbg_site_label(&good->sites[r->site_a], label, sizeof label));
}

static enum tdbg_status compare(const struct cli_bisect_git *g, bool *is_bad, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct temporary t = {.folder = ""};
    struct tdbg_rank_group *good = NULL, *bad = NULL;
    struct tdbg_diff_report report = {0};
    const bool is_trace = tdbg_array_file_is_hdf5(g->bad);
    TDBG_TRY(tdbg_rank_group_open(g->good, &good, err));
    if (!is_trace)
        TDBG_TRY(record(&t, g, good->files[good->first].trace, err));
    TDBG_TRY(tdbg_rank_group_open(is_trace ? g->bad : t.path, &bad, err));
    TDBG_TRY(tdbg_diff_groups(good, bad, &report, err));
    *is_bad = !report.same;
    print_verdict(g, good, &report);
out:
    tdbg_diff_clear(&report);
    tdbg_rank_group_close(bad);
    tdbg_rank_group_close(good);
    remove_temporary(&t);
    return st;
}

/* --- by an expression --- */

static enum tdbg_status ask_trace(const struct cli_bisect_git *g, int64_t *step,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    struct tdbg_expr_eval *eval = NULL;
    const struct tdbg_session_options session = cli_session_options(&g->execution);
    TDBG_TRY(tdbg_trace_open(g->bad, &trace, err));
    TDBG_TRY(tdbg_expr_eval_create(trace, &session, g->when, &eval, err));
    const int64_t first = tdbg_trace_first_step(trace), n = tdbg_trace_n_steps(trace);
    for (int64_t at = first, passed; at < first + n && *step < 0; at++) {
        struct tdbg_expr_value value;
        passed = tdbg_expr_eval_pass(&eval, 1, at, first + n - 1, false);
        if (passed > 0) {
            at += passed - 1;
            continue;
        }
        TDBG_TRY(tdbg_expr_eval_at(eval, at, &value, err));
        *step = value.is_known && value.number != 0 ? at : -1;
    }
out:
    tdbg_expr_eval_destroy(eval);
    tdbg_trace_close(trace);
    return st;
}

static int heed_signal(void *context, const struct tdbg_bisect_runs *runs)
{
    (void)context;
    (void)runs;
    return cli_stop_signal();
}

/* The config with itself: nothing differs, and the good run is the one that is asked. */
static enum tdbg_status ask_config(const struct cli_bisect_git *g, int64_t *step,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool none = false;
    struct tdbg_bisect_runs runs = {
        .session = cli_session_options(&g->execution), .with_eval = true, .progress = heed_signal};
    const struct tdbg_bisect_question question = {.when = g->when};
    struct tdbg_bisect_answer answer = {.why = NULL};
    TDBG_TRY(tdbg_bisect_runs_open(&runs, g->bad, g->bad, err));
    TDBG_TRY(tdbg_bisect_runs_start(&runs, 0, runs.end, err));
    TDBG_TRY(tdbg_bisect_judge(&runs, &question, &none, runs.end, &answer, err));
    TDBG_FAIL_IF(answer.outcome == TDBG_OUTCOME_UNRESOLVED, CANNOT_JUDGE, "%s cannot be run: %s",
                 g->bad, answer.why);
    *step = answer.outcome == TDBG_OUTCOME_TRUE ? answer.step : -1;
out:
    free(answer.why);
    tdbg_bisect_runs_close(&runs);
    return st;
}

static enum tdbg_status ask(const struct cli_bisect_git *g, bool *is_bad, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t step = -1;
    TDBG_TRY(tdbg_array_file_is_hdf5(g->bad) ? ask_trace(g, &step, err)
                                             : ask_config(g, &step, err));
    *is_bad = step >= 0;
    if (*is_bad)
        printf("bad: '%s' holds in %s at step %" PRId64 "\n", g->when->text, g->bad, step);
    else
        printf("good: '%s' does not hold in %s\n", g->when->text, g->bad);
out:
    return st;
}

enum tdbg_status cli_bisect_git(const struct cli_bisect_git *g, bool *is_bad, struct tdbg_err *err)
{
    cli_catch_signals(true);
    return g->when ? ask(g, is_bad, err) : compare(g, is_bad, err);
}
