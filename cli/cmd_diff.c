/* tdbg diff: where two traces part. Exit 0: same, 1: different, 125: cannot judge. */
#include <unistd.h>

#include "base/clock.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/diff_print.h"
#include "cli/tolerance.h"
#include "tui/tui.h"

struct diff {
    const char *words[2];
    struct cli_tolerance tolerance;
    bool as_json, quiet, deep, executes;
    bool tui, ascii, mono, no_mouse;
    struct cli_execution execution;
    struct tdbg_progress progress; /* started with the first step */
};

static int show_progress(void *context, int64_t done, int64_t total)
{
    struct diff *d = context;
    if (!d->progress.out || d->progress.n_steps != total)
        tdbg_progress_start(&d->progress, stderr,
                            d->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0, total,
                            tdbg_clock_ns());
    tdbg_progress_update(&d->progress, done, NULL, -1, tdbg_clock_ns());
    return cli_stop_signal();
}

static enum tdbg_status read_options(struct diff *d, struct tdbg_diff_options *out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *out = tdbg_diff_default_options();
    TDBG_TRY(cli_tolerance_read(&d->tolerance, out, err));
    out->deep = d->deep;
    out->grows = true;
    out->executes = d->executes;
    out->execution = cli_session_options(&d->execution);
    out->progress = show_progress;
    out->progress_context = d;
out:
    return st;
}

static enum tdbg_status check_options(const struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(
        d->tui && (d->deep || d->executes || d->as_json || cli_tolerance_is_given(&d->tolerance)),
        USAGE,
        "--tui compares bit for bit: tolerances, --deep, --execute and --json belong "
        "to the report\nhint: leave --tui out");
    TDBG_FAIL_IF(!d->tui && (d->ascii || d->mono || d->no_mouse), USAGE,
                 "--ascii, --mono and --no-mouse belong to --tui");
out:
    return st;
}

/* The terminal over the first trace, with the diff screen over both. */
static enum tdbg_status open_terminal(const struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_trace trace = {0};
    const struct tdbg_tui_options options = {.program = "/proc/self/exe",
                                             .ascii = d->ascii,
                                             .mono = d->mono,
                                             .no_mouse = d->no_mouse,
                                             .session = cli_session_options(&d->execution),
                                             .diff = d->words[1]};
    TDBG_TRY(cli_open_rank(d->words[0], -1, -1, &d->execution, &trace, err));
    TDBG_TRY(tdbg_tui_run(trace.trace, &options, err));
out:
    cli_close_trace(&trace);
    return st;
}

static int exit_code(enum tdbg_status st, const struct tdbg_diff_report *report,
                     struct tdbg_err *err)
{
    if (st == TDBG_INTERRUPTED && cli_stop_signal()) {
        cli_fail(err);
        return 128 + cli_stop_signal();
    }
    if (st != TDBG_OK)
        return cli_fail(err);
    return report->verdict == TDBG_DIFF_SAME      ? 0
           : report->verdict == TDBG_DIFF_DIFFERS ? 1
                                                  : tdbg_status_exit_code(TDBG_CANNOT_JUDGE);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct cli_run a = {0}, b = {0};
    struct tdbg_diff_report report = {0};
    struct tdbg_diff_options how;
    struct diff d = {.tolerance = CLI_NO_TOLERANCE};
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--deep", 0, CLI_FLAG, NULL, &d.deep, 0, 0,
         "Read all stored values, too, and compare them with their digests."},
        CLI_TOLERANCE_OPTIONS(d.tolerance),
        {"--execute", 0, CLI_FLAG, NULL, &d.executes, 0, 0,
         "Say how the difference grows in tensors that are not stored, too."},
        {"--json", 0, CLI_FLAG, NULL, &d.as_json, 0, 0, "Print JSON (schema 1)."},
        {"--quiet", 'q', CLI_FLAG, NULL, &d.quiet, 0, 0, "No progress."},
        {"--tui", 0, CLI_FLAG, NULL, &d.tui, 0, 0,
         "Both side by side in the terminal; without a terminal the report."},
        {"--ascii", 0, CLI_FLAG, NULL, &d.ascii, 0, 0, "With --tui: ASCII characters only."},
        {"--mono", 0, CLI_FLAG, NULL, &d.mono, 0, 0, "With --tui: no colours."},
        {"--no-mouse", 0, CLI_FLAG, NULL, &d.no_mouse, 0, 0, "With --tui: leave the mouse alone."},
        CLI_EXECUTION_OPTIONS(d.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            d.words, 2, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(check_options(&d, err));
    if (d.tui && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
        st = open_terminal(&d, err);
        return st == TDBG_OK ? 0 : cli_fail(err);
    }
    TDBG_TRY(read_options(&d, &how, err));
    TDBG_TRY(cli_open_run(d.words[0], &d.execution, &a, err));
    TDBG_TRY(cli_open_run(d.words[1], &d.execution, &b, err));
    TDBG_TRY(cli_tolerance_open(&d.tolerance, &d.execution, &how, err));
    cli_catch_signals(false);
    TDBG_TRY(tdbg_diff_runs(a.group, b.group, &how, &report, err));
    tdbg_progress_clear(&d.progress);
    if (d.as_json)
        cli_diff_print_json(a.group, b.group, &report);
    else
        cli_diff_print(a.group, b.group, &report);
out:
    cli_close_run(&a);
    cli_close_run(&b);
    cli_tolerance_close(&d.tolerance);
    int code = exit_code(st, &report, err);
    tdbg_diff_clear(&report);
    return code;
}

const struct cli_command cli_diff = {
    .name = "diff",
    .summary = "Say where two runs part: config, then the first step, site and element.",
    .usage = "A B [--deep] [--rtol X] [--atol X] [--ulp N] [--noise A2] [--json]\n"
             "       tdbg diff --tui A B [--ascii] [--mono] [--no-mouse]",
    .examples = "  tdbg diff good.h5 bad.h5\n"
                "  tdbg diff gpu.h5 gpu2.h5 --noise gpu-again.h5\n"
                "  tdbg diff a.h5 b.h5 --rtol 1e-5 --atol 1e-8 --json\n"
                "  tdbg diff --tui a.h5 b.h5\n",
    .run = run,
};
