/* tdbg show: one tensor of one step, its statistics or its values. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/convert.h"
#include "base/tensor_file.h"
#include "cli/commands.h"
#include "cli/tensor.h"

struct show {
    const char *words[2]; /* trace, site */
    int64_t step, rank, lane, micro;
    bool stats, values, as_json;
    struct cli_execution execution;
};

static void print_stats(const struct tdbg_stats *s)
{
    printf("min    %.9g\nmax    %.9g\nmean   %.9g\nrms    %.9g\n", s->min, s->max, s->mean, s->rms);
    printf("zeros  %" PRIu64 "\nnans   %" PRIu64 "\ninfs   %" PRIu64 "\n", s->zeros, s->nans,
           s->infs);
}

static void print_values(const struct tdbg_site *site, const void *data, int64_t n)
{
    int64_t row = site->ndim > 0 ? site->dims[site->ndim - 1] : 1;
    char text[TDBG_ELEM_TEXT_BYTES];
    for (int64_t i = 0; i < n; i++) {
        tdbg_convert_elem_to_json(data, site->dtype, i, text);
        fputs(text, stdout);
        putchar(i + 1 == n || (i + 1) % row == 0 ? '\n' : ' ');
    }
}

static enum tdbg_status show_site(struct tdbg_trace *trace, const struct show *show,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t id, n_sites;
    int64_t n;
    char label[TDBG_MAX_SITE_NAME + 40], shape[200];
    struct tdbg_stats stats;
    void *data = NULL;
    TDBG_TRY(cli_find_site(trace, show->words[1], show->lane, show->micro, &id, err));
    const struct tdbg_site *site = &tdbg_trace_sites(trace, &n_sites)[id];
    TDBG_TRY(cli_tensor_buffer(site, &data, err));
    TDBG_TRY(tdbg_trace_read_values(trace, show->step, id, data, &n, err));
    tdbg_stats_fast(data, site->dtype, n, &stats);
    if (show->as_json) {
        tdbg_tensor_write_json(stdout, site, show->step, n, show->stats ? &stats : NULL,
                               show->values ? data : NULL);
    } else {
        if (show->stats)
            printf("%s  step %" PRId64 "  %s %s\n", tdbg_site_label(site, label, sizeof label),
                   show->step, tdbg_dtype_text(site->dtype),
                   tdbg_site_shape_text(site, shape, sizeof shape));
        if (show->stats)
            print_stats(&stats);
        if (show->values)
            print_values(site, data, n);
    }
out:
    free(data);
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct show show = {.step = -1, .rank = -1, .lane = -1, .micro = -1};
    struct cli_trace trace = {0};
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--step", 0, CLI_INT, "K", &show.step, 0, INT64_MAX, "The step (required)."},
        {"--stats", 0, CLI_FLAG, NULL, &show.stats, 0, 0, "Print statistics (the default)."},
        {"--values", 0, CLI_FLAG, NULL, &show.values, 0, 0,
         "Print every element, so that it reads back to the same bits."},
        {"--json", 0, CLI_FLAG, NULL, &show.as_json, 0, 0, "Print JSON (schema 1)."},
        CLI_RANK_OPTION(show.rank),
        {"--lane", 0, CLI_INT, "L", &show.lane, 0, INT32_MAX,
         "Of this lane, from the file of its rank (default: the first)."},
        {"--micro", 0, CLI_INT, "M", &show.micro, 0, INT32_MAX,
         "Of this micro-batch (default: the first)."},
        CLI_EXECUTION_OPTIONS(show.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            show.words, 2, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_FAIL_IF(show.step < 0, USAGE, "which step? for example: --step 7");
    show.stats |= !show.values;
    TDBG_TRY(cli_open_rank(show.words[0], show.rank, show.lane, &show.execution, &trace, err));
    TDBG_TRY(show_site(trace.trace, &show, err));
out:
    cli_close_trace(&trace);
    return st == TDBG_OK ? 0 : cli_fail(err);
}

const struct cli_command cli_show = {
    .name = "show",
    .summary = "Print a tensor of a step, computed again where it is not stored.",
    .usage = "TRACE SITE --step K [--rank R] [--stats|--values] [--json]",
    .examples = "  tdbg show a.h5 grad/fc1.weight --step 7\n"
                "  tdbg show a.h5 fwd/fc2 --step 120 --values --json\n",
    .run = run,
};
