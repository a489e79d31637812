/* tdbg recover: makes a recording readable again that was cut off or damaged. */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/percent.h"
#include "trace/recover.h"

static void show_progress(void *context, const char *what, int64_t done, int64_t total)
{
    cli_percent_show(context, what, done, total);
}

static void print_steps(const struct tdbg_recover_report *r)
{
    printf("%" PRId64 " steps, %" PRId64 " to %" PRId64, r->n_steps, r->first_step,
           r->first_step + r->n_steps - 1);
}

static void print_rebuilt(const struct tdbg_recover_report *r)
{
    printf("%s: rebuilt from %" PRId64 " chunks: ", r->result, r->n_chunks);
    print_steps(r);
    printf("\n  what was wrong: %s\n", r->reason);
    if (r->steps_left > 0)
        printf("  steps at the end that were not complete: %" PRId64 "\n", r->steps_left);
    if (r->chunks_damaged > 0)
        printf("  damaged chunks, left out: %" PRId64 "\n", r->chunks_damaged);
    if (r->chunks_unplaced > 0)
        printf("  chunks without a place: %" PRId64 "\n", r->chunks_unplaced);
    if (r->chunks_damaged > 0 || r->steps_damaged > 0)
        printf("  'tdbg fsck %s' says which steps and sites are damaged\n", r->result);
    if (r->kept)
        printf("  the damaged file is kept as %s\n", r->kept);
}

static void print_report(const struct tdbg_recover_report *r)
{
    switch (r->outcome) {
    case TDBG_RECOVER_NOTHING:
        printf(r->closed ? "%s: closed, and its metadata is whole; nothing to do: "
                         : "%s: cut off, but every program can open it; nothing to do: ",
               r->result);
        print_steps(r);
        putchar('\n');
        break;
    case TDBG_RECOVER_COPIED:
        printf("%s: a copy, and nothing had to be mended: ", r->result);
        print_steps(r);
        putchar('\n');
        break;
    case TDBG_RECOVER_CLEARED:
        printf("%s: cut off but whole; other programs can open it again: ", r->result);
        print_steps(r);
        putchar('\n');
        break;
    case TDBG_RECOVER_REBUILT:
        print_rebuilt(r);
        break;
    }
}

/* A recording may go on in other files. One without a step was only just begun. */
static enum tdbg_status recover_all(const char *path, struct tdbg_recover_options *how, bool quiet,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_percent *percent = how->progress_context;
    struct tdbg_recover_report report = {0};
    TDBG_TRY(tdbg_recover(path, how, &report, err));
    for (;;) {
        struct tdbg_recover_report before = report;
        cli_percent_clear(percent);
        if (!quiet)
            print_report(&report);
        if (!before.next || how->output)
            break;
        st = tdbg_recover(before.next, how, &report, err);
        tdbg_recover_clear(&before);
        if (st == TDBG_NO_TRACE) {
            tdbg_err_clear(err);
            st = TDBG_OK;
            break;
        }
        TDBG_TRY(st);
    }
out:
    cli_percent_clear(percent);
    tdbg_recover_clear(&report);
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct cli_percent percent = {0};
    struct tdbg_recover_options how = {.progress = show_progress, .progress_context = &percent};
    const char *words[1];
    bool quiet = false, helped;
    int n_words;
    const struct cli_option options[] = {
        {"--output", 'o', CLI_STRING, "FILE", &how.output, 0, 0,
         "Write the readable trace there; default: in its place."},
        {"--quiet", 'q', CLI_FLAG, NULL, &quiet, 0, 0, "Print nothing but errors."},
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            words, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    percent.quiet = quiet;
    tdbg_trace_on_damage(NULL); /* it is what is repaired */
    TDBG_TRY(recover_all(words[0], &how, quiet, err));
out:
    return st == TDBG_OK ? 0 : cli_fail(err);
}

const struct cli_command cli_recover = {
    .name = "recover",
    .summary = "Make a trace readable again that was cut off or damaged.",
    .usage = "TRACE [-o FILE] [-q]",
    .examples = "  tdbg recover run.h5               in place; a damaged file is kept beside it\n"
                "  tdbg recover run.h5 -o good.h5    leave run.h5 as it is\n",
    .run = run,
};
