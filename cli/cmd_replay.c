/* tdbg replay: the terminal over a trace, its summary without a terminal, and --verify. */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/replay_fork.h"
#include "replay/verify.h"
#include "tui/tui.h"

struct replay {
    const char *path;
    bool verify, as_json, ascii, mono, no_mouse, quiet;
    int64_t from, to;
    struct cli_execution execution;
    struct tdbg_progress progress; /* started with the first step */
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

static void print_difference(struct tdbg_trace *trace, const struct tdbg_verify_report *report)
{
    int32_t n;
    char label[TDBG_MAX_SITE_NAME + 40];
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    if (report->site < 0) {
        printf("first difference: step %" PRId64 ", chain %s: recorded %016" PRIx64
               ", re-executed %016" PRIx64 "\n  the digests of this step were rewritten, or a "
               "step before it is not what was recorded\n",
               report->step, tdbg_chain_name(report->chain), report->recorded, report->computed);
        return;
    }
    const struct tdbg_site *site = &sites[report->site];
    printf("first difference: step %" PRId64 ", site %s (%s)\n", report->step,
           tdbg_site_label(site, label, sizeof label), site->op);
    printf("  digest recorded %016" PRIx64 ", re-executed %016" PRIx64 "\n", report->recorded,
           report->computed);
    if (report->has_elements) {
        puts("  recorded and re-executed:");
        tdbg_compare_print(&report->elements, site, "  ", stdout);
    } else {
        puts("  the recorded value is not stored, only its digest");
    }
}

static void print_report_json(struct tdbg_trace *trace, const struct tdbg_verify_report *report)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_int(&json, "steps", report->n_steps);
    tdbg_json_int(&json, "verified_steps", report->verified_steps);
    tdbg_json_int(&json, "sites", report->n_sites);
    tdbg_json_int(&json, "differ", report->differ);
    if (report->differ > 0) {
        tdbg_json_object_begin(&json, "first");
        tdbg_json_int(&json, "step", report->step);
        tdbg_json_string(&json, "site", report->site < 0 ? NULL : sites[report->site].name);
        tdbg_json_string(&json, "chain", report->site < 0 ? tdbg_chain_name(report->chain) : NULL);
        tdbg_json_u64_hex(&json, "recorded", report->recorded);
        tdbg_json_u64_hex(&json, "reexecuted", report->computed);
        if (report->has_elements)
            tdbg_compare_print_json(&report->elements, &sites[report->site], "elements", &json);
        tdbg_json_object_end(&json);
    }
    tdbg_json_object_end(&json);
    putchar('\n');
}

static enum tdbg_status verify(struct replay *r, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    struct tdbg_verify_report report;
    TDBG_TRY(tdbg_trace_open(r->path, &trace, err));
    cli_warn_unclosed(trace);
    cli_catch_signals(true);
    const struct tdbg_verify_options options = {.session = cli_session_options(&r->execution),
                                                .from = r->from,
                                                .to = r->to,
                                                .progress = show_progress,
                                                .progress_context = r};
    st = tdbg_verify_trace(trace, &options, &report, err);
    if (r->progress.out)
        tdbg_progress_finish(&r->progress, tdbg_clock_ns());
    TDBG_TRY(st);
    if (r->as_json) {
        print_report_json(trace, &report);
    } else {
        printf("verified %" PRId64 " of %" PRId64 " steps, %d sites, %" PRId64 " differ\n",
               report.verified_steps, report.n_steps, (int)report.n_sites, report.differ);
        if (report.differ > 0)
            print_difference(trace, &report);
    }
    *exit_code = report.differ > 0 ? 1 : 0;
out:
    tdbg_trace_close(trace);
    return st;
}

static enum tdbg_status open_terminal(struct replay *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_trace trace = {0};
    TDBG_TRY(cli_open_trace(r->path, &r->execution, &trace, err));
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        TDBG_TRY(tdbg_tui_print_summary(trace.trace, stdout, err));
    } else {
        const struct tdbg_tui_options options = {
            .ascii = r->ascii, .mono = r->mono, .no_mouse = r->no_mouse};
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
    TDBG_FAIL_IF(!r->verify && r->as_json, USAGE, "--json belongs to --verify");
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

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct replay r = {.from = -1, .to = -1};
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
        {"--json", 0, CLI_FLAG, NULL, &r.as_json, 0, 0, "With --verify: print JSON (schema 1)."},
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
    TDBG_TRY(check_options(&r, &f, err));
    if (f.output)
        TDBG_TRY(fork_trace(&r, &f, &exit_code, err));
    else if (r.verify)
        TDBG_TRY(verify(&r, &exit_code, err));
    else
        TDBG_TRY(open_terminal(&r, err));
out:
    if (st == TDBG_INTERRUPTED)
        tdbg_err_clear(err);
    return st == TDBG_OK            ? exit_code
           : st == TDBG_INTERRUPTED ? 128 + cli_stop_signal()
                                    : cli_fail(err);
}

const struct cli_command cli_replay = {
    .name = "replay",
    .summary =
        "Move through a trace in the terminal; --verify re-executes it bit for bit; -o forks it.",
    .usage = "TRACE [--verify [--from A] [--to B]]\n"
             "       tdbg replay TRACE [--from A] [--to B] [--set KEY=VALUE]... -o FORK",
    .examples = "  tdbg replay a.h5\n  tdbg replay a.h5 --verify\n"
                "  tdbg replay a.h5 --verify --from 100 --to 120\n"
                "  tdbg replay a.h5 --from 120 --set optimizer.lr=0.001 -o fork.h5\n"
                "  tdbg replay a.h5 --from 120 --to 140 --drop-sample 5123 -o without.h5\n",
    .run = run,
};
