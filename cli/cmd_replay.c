/* tdbg replay: the terminal over a trace, its summary without a terminal, and --verify. */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/replay_fork.h"
#include "replay/verify.h"
#include "tui/batch.h"

struct replay {
    const char *path;
    bool verify, as_json, ascii, mono, no_mouse, quiet;
    int64_t from, to, rank;
    bool batch, follow;
    const char *place;
    struct cli_list commands, files;
    struct cli_execution execution;
    struct tdbg_progress progress; /* started with the first step */
    int64_t search_start_ns;
};

static int show_progress(void *context, int64_t step, int64_t done, int64_t total, float loss)
{
    (void)step;
    struct replay *r = context;
    const double value = (double)loss;
    if (done == 1)
        tdbg_progress_start(&r->progress, stderr,
                            r->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0, total,
                            tdbg_clock_ns());
    tdbg_progress_update(&r->progress, done, &value, -1, tdbg_clock_ns());
    return cli_stop_signal();
}

/* "rank 2, ", "all 4 ranks, " or, where there is only one, "". */
static const char *who_text(const struct tdbg_run_info *info,
                            const struct tdbg_verify_report *report, char buf[40])
{
    buf[0] = '\0';
    if (info->world_size > 1 && report->n_places > 1 && report->n_differ == report->n_places)
        snprintf(buf, 40, "all %d ranks, ", (int)report->n_places);
    else if (info->world_size > 1)
        snprintf(buf, 40, "rank %d, ", (int)report->rank);
    return buf;
}

/* trace: of report->rank. */
static void print_difference(struct tdbg_trace *trace, const struct tdbg_verify_report *report)
{
    int32_t n;
    char label[TDBG_MAX_SITE_NAME + 40], who[40];
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    who_text(tdbg_trace_info(trace), report, who);
    if (report->site < 0) {
        printf("first difference: step %" PRId64 ", %schain %s: recorded %016" PRIx64
               ", re-executed %016" PRIx64 "\n  the digests of this step were rewritten, or a "
               "step before it is not what was recorded\n",
               report->step, who, tdbg_chain_name(report->chain), report->recorded,
               report->computed);
        return;
    }
    const struct tdbg_site *site = &sites[report->site];
    printf("first difference: step %" PRId64 ", %ssite %s (%s)\n", report->step, who,
           tdbg_site_label(site, label, sizeof label), site->op);
    if (report->n_differ < report->n_places)
        printf("  rank%s %s differ%s from the others, which are as re-executed\n",
               report->n_differ > 1 ? "s" : "", report->ranks, report->n_differ > 1 ? "" : "s");
    if (report->dropped >= 0)
        printf("  what rank %d put in is missing: the others' shares add up to what was recorded\n",
               (int)report->dropped);
    printf("  digest recorded %016" PRIx64 ", re-executed %016" PRIx64 "\n", report->recorded,
           report->computed);
    if (report->has_elements) {
        puts("  recorded and re-executed:");
        tdbg_compare_print(&report->elements, site, "  ", stdout);
    } else {
        puts("  the recorded value is not stored, only its digest");
    }
}

static void print_first_json(struct tdbg_trace *trace, const struct tdbg_verify_report *report,
                             struct tdbg_json *json)
{
    int32_t n;
    const struct tdbg_site *site =
        report->site < 0 ? NULL : &tdbg_trace_sites(trace, &n)[report->site];
    tdbg_json_object_begin(json, "first");
    tdbg_json_int(json, "step", report->step);
    tdbg_json_int(json, "rank", report->rank);
    tdbg_json_string(json, "site", site ? site->name : NULL);
    tdbg_json_string(json, "chain", site ? NULL : tdbg_chain_name(report->chain));
    if (site) {
        tdbg_json_int(json, "lane", site->lane);
        tdbg_json_int(json, "micro", site->micro);
        tdbg_json_int(json, "ranks_differ", report->n_differ);
        tdbg_json_int(json, "ranks_compared", report->n_places);
    }
    if (report->dropped >= 0)
        tdbg_json_int(json, "missing_rank", report->dropped);
    tdbg_json_u64_hex(json, "recorded", report->recorded);
    tdbg_json_u64_hex(json, "reexecuted", report->computed);
    if (report->has_elements)
        tdbg_compare_print_json(&report->elements, site, "elements", json);
    tdbg_json_object_end(json);
}

static void print_report_json(const struct tdbg_rank_group *group, struct tdbg_trace *trace,
                              const struct tdbg_verify_report *report)
{
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_int(&json, "steps", report->n_steps);
    tdbg_json_int(&json, "verified_steps", report->verified_steps);
    tdbg_json_int(&json, "sites", report->n_sites);
    tdbg_json_int(&json, "differ", report->differ);
    tdbg_json_array_begin(&json, "not_verified");
    for (int32_t r = 0; r < group->world_size; r++) {
        if (group->files[r].state == TDBG_RANK_THERE)
            continue;
        tdbg_json_object_begin(&json, NULL);
        tdbg_json_int(&json, "rank", r);
        tdbg_json_string(&json, "why", group->files[r].why);
        tdbg_json_object_end(&json);
    }
    tdbg_json_array_end(&json);
    if (report->sums_taken)
        tdbg_json_bool(&json, "sums_not_verified", true);
    if (*report->no_evaluation)
        tdbg_json_string(&json, "evaluation_not_verified", report->no_evaluation);
    if (report->differ > 0)
        print_first_json(trace, report, &json);
    tdbg_json_object_end(&json);
    putchar('\n');
}

/* Which ranks are not in the answer, and where they begin or end. */
static void print_others(const struct tdbg_rank_group *group)
{
    int64_t first, n;
    tdbg_rank_group_steps(group, &first, &n);
    for (int32_t r = 0; r < group->world_size; r++) {
        const struct tdbg_rank_file *file = &group->files[r];
        if (!file->trace) {
            printf("not verified: rank %d: %s\n", (int)r, file->why);
            continue;
        }
        const int64_t from = tdbg_trace_first_step(file->trace);
        const int64_t to = from + tdbg_trace_n_steps(file->trace) - 1;
        if (from > first || to < first + n - 1)
            printf("rank %d has steps %" PRId64 " to %" PRId64 " only\n", (int)r, from, to);
    }
}

static void print_report(const struct replay *r, const struct tdbg_rank_group *group,
                         struct tdbg_trace *one, const struct tdbg_verify_report *report)
{
    struct tdbg_trace *trace = one ? one : group->files[report->rank].trace;
    if (r->as_json) {
        print_report_json(group, trace, report);
        return;
    }
    printf("verified %" PRId64 " of %" PRId64 " steps, %d sites", report->verified_steps,
           report->n_steps, (int)report->n_sites);
    if (group->world_size > 1 && one)
        printf(" of rank %d of %d", (int)tdbg_trace_info(one)->rank, (int)group->world_size);
    else if (group->world_size > 1)
        printf(", %d of %d ranks", (int)group->n_there, (int)group->world_size);
    printf(", %" PRId64 " differ\n", report->differ);
    if (*report->no_evaluation)
        printf("not verified: eval: %s\n", report->no_evaluation);
    if (report->sums_taken)
        puts("not verified: the sums over ranks, whose order is not known "
             "(engine.comm.algorithm = \"native\")");
    if (!one)
        print_others(group);
    if (report->differ > 0)
        print_difference(trace, report);
}

static void warn_group(const struct tdbg_rank_group *group, const struct tdbg_trace *one)
{
    for (int32_t r = 0; r < group->world_size; r++) {
        if (group->files[r].trace && (!one || one == group->files[r].trace))
            cli_warn_unclosed(group->files[r].trace);
    }
}

/* The trace of --rank R, or that of a run of one rank; NULL: all ranks. */
static enum tdbg_status choose_rank(const struct replay *r, const struct tdbg_rank_group *group,
                                    struct tdbg_trace **one, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(r->rank >= group->world_size, USAGE, "'--rank %" PRId64 "': the run of %s has %d",
                 r->rank, r->path, (int)group->world_size);
    TDBG_TRY(tdbg_rank_group_refuse_foreign(group, err));
    if (r->rank < 0 && group->world_size > 1)
        goto out;
    const struct tdbg_rank_file *file = &group->files[r->rank < 0 ? 0 : r->rank];
    TDBG_FAIL_IF(file->state == TDBG_RANK_BROKEN, DAMAGED, "%s", file->why);
    TDBG_FAIL_IF(!file->trace, NO_TRACE, "%s", file->why);
    *one = file->trace;
out:
    return st;
}

static enum tdbg_status verify(struct replay *r, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_rank_group *group = NULL;
    struct tdbg_trace *one = NULL;
    struct tdbg_verify_report report;
    TDBG_TRY(tdbg_rank_group_open(r->path, &group, err));
    TDBG_TRY(choose_rank(r, group, &one, err));
    warn_group(group, one);
    cli_catch_signals(true);
    const struct tdbg_verify_options options = {.session = cli_session_options(&r->execution),
                                                .from = r->from,
                                                .to = r->to,
                                                .progress = show_progress,
                                                .progress_context = r};
    st = one ? tdbg_verify_trace(one, &options, &report, err)
             : tdbg_verify_group(group, &options, &report, err);
    if (r->progress.out)
        tdbg_progress_finish(&r->progress, tdbg_clock_ns());
    TDBG_TRY(st);
    print_report(r, group, one, &report);
    *exit_code = report.differ > 0 ? 1 : 0;
    for (int32_t k = 0; k < group->world_size && !one && *exit_code == 0; k++) {
        if (group->files[k].state == TDBG_RANK_BROKEN)
            *exit_code = tdbg_status_exit_code(TDBG_DAMAGED);
    }
out:
    tdbg_rank_group_close(group);
    return st;
}

static void end_progress(struct replay *r)
{
    if (r->progress.out)
        tdbg_progress_finish(&r->progress, tdbg_clock_ns());
    r->progress.out = NULL;
}

/* How far a search is that --batch does, where it takes longer than a second; false: a signal came.
 */
static bool goes_on(void *context, const struct tdbg_tui_job_progress *p)
{
    enum { A_SECOND_NS = 1000000000 };
    struct replay *r = context;
    const int64_t now = tdbg_clock_ns();
    if (p->done == 0) {
        end_progress(r);
        r->search_start_ns = now;
    } else if (p->total > 1 && now - r->search_start_ns > A_SECOND_NS) {
        if (!r->progress.out)
            tdbg_progress_start(&r->progress, stderr,
                                r->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, p->done - 1,
                                p->total, now);
        tdbg_progress_update(&r->progress, p->done, NULL, -1, now);
    }
    return cli_stop_signal() == 0;
}

static enum tdbg_status open_terminal(struct replay *r, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_trace trace = {0};
    const struct tdbg_tui_options options = {.ascii = r->ascii,
                                             .mono = r->mono,
                                             .no_mouse = r->no_mouse,
                                             .session = cli_session_options(&r->execution),
                                             .program = "/proc/self/exe",
                                             .place = r->place,
                                             .files = r->files.item,
                                             .n_files = r->files.n,
                                             .commands = r->commands.item,
                                             .n_commands = r->commands.n,
                                             .goes_on = goes_on,
                                             .goes_on_context = r};
    const bool is_seen = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    TDBG_FAIL_IF(!r->batch && !is_seen && (r->place || r->files.n > 0 || r->commands.n > 0), USAGE,
                 "-e, -x and --goto want a terminal\nhint: without one, add --batch");
    if (r->follow) {
        TDBG_FAIL_IF(!is_seen || r->batch || r->rank >= 0, USAGE,
                     "--follow wants a terminal, and the file of the rank that is to be followed");
        TDBG_TRY(tdbg_tui_run_following(r->path, cli_is_recording, &options, err));
        goto out;
    }
    TDBG_TRY(cli_open_rank(r->path, r->rank, -1, &r->execution, &trace, err));
    if (r->batch) {
        cli_catch_signals(true);
        st = tdbg_tui_batch(trace.trace, &options, r->as_json, stdout, exit_code, err);
        end_progress(r);
    } else if (!is_seen) {
        TDBG_TRY(tdbg_tui_print_summary(trace.trace, stdout, err));
    } else {
        TDBG_TRY(tdbg_tui_run(trace.trace, &options, err));
    }
out:
    cli_close_trace(&trace);
    return st;
}

/* Which options go with which of the three things that the command does. */
static enum tdbg_status check_options(const struct replay *r, const struct cli_fork *f,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(f->output && r->verify, USAGE,
                 "--verify and -o are two commands: verify the fork when it is there");
    TDBG_FAIL_IF(!f->output && (f->sets.n > 0 || f->drops.n > 0 || f->force), USAGE,
                 "--set, --drop-sample and --force belong to a fork, which wants a name\nhint: -o "
                 "FORK");
    TDBG_FAIL_IF(!r->verify && !r->batch && r->as_json, USAGE,
                 "--json belongs to --verify or to --batch");
    TDBG_FAIL_IF(r->batch && (r->verify || f->output), USAGE,
                 "--batch does commands (-e, -x); --verify and -o are others");
    TDBG_FAIL_IF((r->verify || f->output) &&
                     (r->follow || r->place || r->files.n > 0 || r->commands.n > 0),
                 USAGE, "--goto, -e, -x and --follow belong to the terminal or to --batch");
    TDBG_FAIL_IF(r->batch && r->files.n == 0 && r->commands.n == 0, USAGE,
                 "--batch does what?\nhint: -e 'first nan' -e when, or -x FILE");
    TDBG_FAIL_IF(!r->verify && !f->output && (r->from >= 0 || r->to >= 0), USAGE,
                 "--from and --to belong to --verify or to a fork (-o FORK)");
out:
    return st;
}

static enum tdbg_status fork_trace(const struct replay *r, struct cli_fork *f, int *exit_code,
                                   struct tdbg_err *err)
{
    f->path = r->path;
    f->from = r->from;
    f->to = r->to;
    f->quiet = r->quiet;
    f->execution = r->execution;
    return cli_fork_record(f, exit_code, err);
}

/* One of the three. */
static enum tdbg_status act(struct replay *r, struct cli_fork *f, int *exit_code,
                            struct tdbg_err *err)
{
    const enum tdbg_status st = check_options(r, f, err);
    if (st != TDBG_OK)
        return st;
    if (f->output)
        return fork_trace(r, f, exit_code, err);
    return r->verify ? verify(r, exit_code, err) : open_terminal(r, exit_code, err);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct replay r = {.from = -1, .to = -1, .rank = -1};
    struct cli_fork f = {.output = NULL};
    bool helped;
    int n_words, exit_code = 0;
    const struct cli_option options[] = {
        {"--verify", 0, CLI_FLAG, NULL, &r.verify, 0, 0,
         "Re-execute and compare every recorded site, bit for bit."},
        {"--from", 0, CLI_INT, "A", &r.from, 0, INT64_MAX,
         "With --verify or -o: the first step (-o: any; default: that of the last keyframe)."},
        {"--to", 0, CLI_INT, "B", &r.to, 0, INT64_MAX,
         "With --verify or -o: the last step (default: the last one recorded)."},
        {"--output", 'o', CLI_STRING, "FORK", &f.output, 0, 0,
         "What-if: compute the steps again with the changes below, into a trace of their own."},
        {"--set", 0, CLI_LIST, "KEY=VALUE", &f.sets, 0, 0,
         "With -o: change a key of the config; may be given several times."},
        {"--drop-sample", 0, CLI_LIST, "ID", &f.drops, 0, 0,
         "With -o: give a sample the weight 0 in the loss; may be given several times."},
        {"--force", 0, CLI_FLAG, NULL, &f.force, 0, 0, "With -o: overwrite an existing trace."},
        {"--rank", 0, CLI_INT, "R", &r.rank, 0, INT32_MAX,
         "Of several ranks this one: executed alone, with what the others contributed from the "
         "trace (default: with --verify all of them, else the rank of the file)."},
        {"--json", 0, CLI_FLAG, NULL, &r.as_json, 0, 0,
         "With --verify or --batch: print JSON (schema 1)."},
        {"--goto", 0, CLI_STRING, "PLACE", &r.place, 0, 0,
         "Terminal, --batch: begin at this step: STEP, STEP/PHASE, STEP/PHASE/OP."},
        {"--command", 'e', CLI_LIST, "COMMAND", &r.commands, 0, 0,
         "Terminal, --batch: do this command first (docs/tui-commands.md); may be given several "
         "times."},
        {"--commands", 'x', CLI_LIST, "FILE", &r.files, 0, 0,
         "Terminal, --batch: do the commands of a file, one per line, before those of -e."},
        {"--batch", 0, CLI_FLAG, NULL, &r.batch, 0, 0,
         "Do the commands of -x and -e without a terminal and print what they answer."},
        {"--follow", 0, CLI_FLAG, NULL, &r.follow, 0, 0,
         "Terminal: show new steps of a recording that still runs."},
        {"--quiet", 'q', CLI_FLAG, NULL, &r.quiet, 0, 0, "No progress."},
        {"--ascii", 0, CLI_FLAG, NULL, &r.ascii, 0, 0, "Terminal: ASCII characters only."},
        {"--mono", 0, CLI_FLAG, NULL, &r.mono, 0, 0, "Terminal: no colours."},
        {"--no-mouse", 0, CLI_FLAG, NULL, &r.no_mouse, 0, 0, "Terminal: leave the mouse alone."},
        CLI_EXECUTION_OPTIONS(r.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            &r.path, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(act(&r, &f, &exit_code, err));
out:
    if (st == TDBG_OK)
        return exit_code;
    if (st == TDBG_INTERRUPTED) {
        tdbg_err_clear(err);
        return 128 + cli_stop_signal();
    }
    const int code = cli_fail(err);
    return exit_code > 1 ? exit_code : code; /* of another command that --batch ran */
}

const struct cli_command cli_replay = {
    .name = "replay",
    .summary =
        "Move through a trace in the terminal; --verify re-executes it bit for bit; -o forks it.",
    .usage =
        "TRACE [--rank R] [--goto PLACE] [-x FILE] [-e COMMAND]... [--batch [--json] | --follow]\n"
        "       tdbg replay TRACE [--rank R] --verify [--from A] [--to B]\n"
        "       tdbg replay TRACE [--from A] [--to B] [--set KEY=VALUE]... -o FORK",
    .examples = "  tdbg replay a.h5\n  tdbg replay a.h5 --goto 120/bwd -e 'b loss > 10'\n"
                "  tdbg replay a.h5 --batch -e 'first nan' -e when --json\n"
                "  tdbg replay a.h5 --verify\n"
                "  tdbg replay a.h5 --verify --from 100 --to 120\n"
                "  tdbg replay ranks.h5 --verify --rank 3\n"
                "  tdbg replay a.h5 --from 120 --set optimizer.lr=0.001 -o fork.h5\n"
                "  tdbg replay a.h5 --from 120 --to 140 --drop-sample 5123 -o without.h5\n",
    .run = run,
};
