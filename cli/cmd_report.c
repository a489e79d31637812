/* tdbg report: a run, or where two part, as one HTML page. Exit 0 whatever it says. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report_page.h"
#include "cli/tolerance.h"
#include "trace/new_file.h"

struct report_command {
    const char *words[2];
    const char *output;
    bool force, executes;
    struct cli_tolerance tolerance;
    struct cli_execution execution;
    struct cli_run runs[2];
    struct cli_report report;
};

static enum tdbg_status read_run(struct report_command *c, int i, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_report_run *run = &c->report.run[i];
    TDBG_TRY(cli_open_run(c->words[i], &c->execution, &c->runs[i], err));
    run->group = c->runs[i].group;
    run->trace = run->group->files[run->group->first].trace;
    TDBG_TRY(cli_series_read(run->trace, c->report.arena, &run->series, err));
    TDBG_TRY(tdbg_trace_read_sizes(run->trace, &run->sizes, err));
out:
    return st;
}

static enum tdbg_status gather(struct report_command *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_report *r = &c->report;
    struct tdbg_diff_options options = tdbg_diff_default_options();
    options.grows = true;
    options.executes = c->executes;
    options.execution = cli_session_options(&c->execution);
    TDBG_TRY(cli_tolerance_read(&c->tolerance, &options, err));
    r->arena = tdbg_arena_create();
    TDBG_FAIL_IF(!r->arena, NO_MEMORY, "no memory for a report");
    cli_tolerance_text(&c->tolerance, r->tolerance, sizeof r->tolerance);
    for (int i = 0; i < r->n_runs; i++)
        TDBG_TRY(read_run(c, i, err));
    TDBG_TRY(cli_tolerance_open(&c->tolerance, &c->execution, &options, err));
    if (r->n_runs == 2)
        TDBG_TRY(tdbg_diff_runs(r->run[0].group, r->run[1].group, &options, &r->diff, err));
out:
    return st;
}

/* The file gets its name when it is whole. */
static enum tdbg_status write_file(const struct report_command *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_new_file file = TDBG_NEW_FILE_NONE;
    TDBG_TRY(tdbg_new_file_create(&file, c->report.arena, c->output, c->force, err));
    FILE *out = fdopen(fcntl(file.fd, F_DUPFD_CLOEXEC, 0), "wb");
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to write %s", c->output);
    cli_report_write(out, &c->report);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        st = TDBG_RAISE(err, IO, "cannot write %s: %s", c->output, strerror(errno));
    TDBG_TRY(st);
    TDBG_TRY(tdbg_new_file_place(&file, err));
out:
    tdbg_new_file_release(&file);
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct report_command c = {.tolerance = CLI_NO_TOLERANCE};
    bool helped;
    const struct cli_option options[] = {
        {"--output", 'o', CLI_STRING, "FILE", &c.output, 0, 0,
         "The page (required; '-': the standard output)."},
        {"--force", 0, CLI_FLAG, NULL, &c.force, 0, 0, "Overwrite an existing file."},
        {"--execute", 0, CLI_FLAG, NULL, &c.executes, 0, 0,
         "Say how the difference grows in tensors that are not stored, too."},
        CLI_TOLERANCE_OPTIONS(c.tolerance),
        CLI_EXECUTION_OPTIONS(c.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            c.words, 2, &c.report.n_runs, &helped, err));
    if (helped)
        return 0;
    TDBG_FAIL_IF(!c.output, USAGE, "into which file? for example: -o report.html");
    TDBG_FAIL_IF(
        c.report.n_runs < 2 && cli_tolerance_is_given(&c.tolerance), USAGE,
        "'--rtol', '--atol', '--ulp' and '--noise' say how much two runs may differ, and this "
        "is one");
    const bool to_stdout = strcmp(c.output, "-") == 0;
    if (!to_stdout)
        TDBG_TRY(cli_check_output(c.output, c.force, err));
    TDBG_TRY(gather(&c, err));
    if (to_stdout)
        cli_report_write(stdout, &c.report);
    else
        TDBG_TRY(write_file(&c, err));
out:
    for (int i = 0; i < 2; i++)
        cli_close_run(&c.runs[i]);
    cli_tolerance_close(&c.tolerance);
    if (c.report.n_runs == 2)
        tdbg_diff_clear(&c.report.diff);
    tdbg_arena_destroy(c.report.arena);
    return st == TDBG_OK ? 0 : cli_fail(err);
}

const struct cli_command cli_report_command = {
    .name = "report",
    .summary = "Write a run, or where two part, as one HTML page with its plots.",
    .usage = "A [B] -o FILE [--rtol X] [--atol X] [--ulp N] [--noise A2] [--execute] [--force]",
    .examples = "  tdbg report good.h5 bad.h5 -o report.html\n"
                "  tdbg report a.h5 -o a.html\n",
    .n_optional = 1,
    .run = run,
};
