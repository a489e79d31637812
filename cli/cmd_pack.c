/* tdbg pack: a trace, or some of its steps, as one file of its own. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/convert.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "replay/pack.h"

struct pack {
    const char *trace_path, *output, *steps;
    bool force, quiet;
    struct cli_execution execution;
    struct tdbg_progress progress; /* started with the first step */
};

static int show_progress(void *context, int64_t done, int64_t total, int64_t bytes)
{
    struct pack *p = context;
    if (done == 1)
        tdbg_progress_start(&p->progress, stderr,
                            p->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0, total,
                            tdbg_clock_ns());
    tdbg_progress_update(&p->progress, done, NULL, bytes, tdbg_clock_ns());
    return cli_stop_signal();
}

/* runs/a.h5 -> runs/a-packed.h5, or runs/a-100-120.h5, and runs/a.rank2.h5 ->
 * runs/a-packed.rank2.h5, so that packed ranks find each other. The caller frees it. */
static char *default_output(struct tdbg_trace *opened, bool whole, int64_t from, int64_t to)
{
    char *path = NULL, part[48] = "packed", rank[24] = "";
    const struct tdbg_run_info *info = tdbg_trace_info(opened);
    const char *trace = tdbg_trace_rank_path(opened, 0);
    if (info->rank > 0 && trace != tdbg_trace_path(opened))
        snprintf(rank, sizeof rank, ".rank%d", (int)info->rank);
    size_t n = strlen(trace);
    if (n > 3 && strcmp(trace + n - 3, ".h5") == 0)
        n -= 3;
    if (!whole)
        snprintf(part, sizeof part, "%" PRId64 "-%" PRId64, from, to);
    return asprintf(&path, "%.*s-%s%s.h5", (int)n, trace, part, rank) < 0 ? NULL : path;
}

static void conclude(const struct pack *p, const char *path, const struct tdbg_pack_report *report)
{
    char size[32], computed[80] = "";
    if (p->quiet)
        return;
    if (report->keyframe >= 0)
        snprintf(computed, sizeof computed, ", the state before them computed from step %" PRId64,
                 report->keyframe);
    fprintf(stderr, "tdbg: %s has steps %" PRId64 " to %" PRId64 ", %s%s\n", path, report->from,
            report->to, tdbg_convert_bytes_text(report->file_bytes, size, sizeof size), computed);
}

static enum tdbg_status pack(struct pack *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_trace trace = {0};
    struct tdbg_pack_report report;
    struct tdbg_pack_options options = {.session = cli_session_options(&p->execution),
                                        .force = p->force,
                                        .progress = show_progress,
                                        .progress_context = p};
    char *made = NULL;
    TDBG_TRY(cli_open_trace(p->trace_path, &p->execution, &trace, err));
    TDBG_TRY(cli_parse_steps(p->steps, trace.trace, &options.from, &options.to, err));
    if (!p->output)
        made = default_output(trace.trace, !p->steps, options.from, options.to);
    const char *path = p->output ? p->output : made;
    TDBG_FAIL_IF(!path, NO_MEMORY, "no memory for the name of the file");
    TDBG_TRY(cli_check_output(path, p->force, err));
    cli_catch_signals(true);
    st = tdbg_pack_trace(trace.trace, path, &options, &report, err);
    if (p->progress.out)
        tdbg_progress_finish(&p->progress, tdbg_clock_ns());
    TDBG_TRY(st);
    conclude(p, path, &report);
out:
    free(made);
    cli_close_trace(&trace);
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct pack p = {0};
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--steps", 0, CLI_STRING, "A:B", &p.steps, 0, 0,
         "Steps A to B, both included (A: and :B are open ranges; default: all)."},
        {"--output", 'o', CLI_STRING, "FILE", &p.output, 0, 0,
         "The file (default: TRACE-packed.h5 or TRACE-A-B.h5, with .rankR for a rank of several)."},
        {"--force", 0, CLI_FLAG, NULL, &p.force, 0, 0, "Overwrite an existing file."},
        {"--quiet", 'q', CLI_FLAG, NULL, &p.quiet, 0, 0, "Print nothing but errors."},
        CLI_EXECUTION_OPTIONS(p.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            &p.trace_path, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(pack(&p, err));
out:
    if (st == TDBG_INTERRUPTED)
        tdbg_err_clear(err);
    return st == TDBG_OK ? 0 : st == TDBG_INTERRUPTED ? 128 + cli_stop_signal() : cli_fail(err);
}

const struct cli_command cli_pack = {
    .name = "pack",
    .summary = "Write a trace, or some of its steps, into one file that verifies alone.",
    .usage = "TRACE [--steps A:B] [-o FILE] [--force]",
    .examples = "  tdbg pack a.h5\n  tdbg pack a.h5 --steps 100:120 -o part.h5\n"
                "  tdbg pack ranks.rank2.h5 --steps 100:120    one rank of several\n",
    .run = run,
};
