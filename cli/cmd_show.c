/* tdbg show: one tensor of one step, its statistics or its values. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/convert.h"
#include "base/json.h"
#include "cli/commands.h"

struct show {
    const char *words[2]; /* trace, site */
    int64_t step, lane, micro;
    bool stats, values, as_json;
    struct cli_execution execution;
};

/* The site of that name: with --lane and --micro, else the only or the first one. */
static enum tdbg_status find_site(const struct tdbg_trace *trace, const struct show *show,
                                  int32_t *out, struct tdbg_err *err)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    const char *name = show->words[1];
    bool known = false;
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(sites[i].name, name) != 0)
            continue;
        known = true;
        if ((show->lane < 0 || sites[i].lane == show->lane) &&
            (show->micro < 0 || sites[i].micro == show->micro)) {
            *out = i;
            return TDBG_OK;
        }
    }
    if (known)
        return TDBG_RAISE(err, NOT_FOUND, "%s has '%s', but not for that lane and micro-batch",
                          tdbg_trace_path(trace), name);
    const char **names = malloc((size_t)n * sizeof *names);
    for (int32_t i = 0; names && i < n; i++)
        names[i] = sites[i].name;
    const char *near = names ? tdbg_suggest(name, names, (int)n) : NULL;
    free(names);
    if (near)
        return TDBG_RAISE(err, NOT_FOUND, "%s has no site '%s'\nhint: did you mean '%s'?",
                          tdbg_trace_path(trace), name, near);
    return TDBG_RAISE(err, NOT_FOUND,
                      "%s has no site '%s'\nhint: tdbg info %s --json lists all sites",
                      tdbg_trace_path(trace), name, tdbg_trace_path(trace));
}

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

static void print_json(const struct show *show, const struct tdbg_site *site, const void *data,
                       int64_t n, const struct tdbg_stats *stats)
{
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, false);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "site", site->name);
    tdbg_json_int(&json, "step", show->step);
    tdbg_json_int(&json, "lane", site->lane);
    tdbg_json_int(&json, "micro", site->micro);
    tdbg_json_string(&json, "dtype", tdbg_dtype_text(site->dtype));
    tdbg_json_array_begin(&json, "shape");
    int64_t row = 1;
    for (int32_t d = 1; d < site->ndim; d++)
        row *= site->dims[d];
    for (int32_t d = 0; d < site->ndim; d++) /* a short batch has fewer rows */
        tdbg_json_int(&json, NULL, d == 0 ? n / row : site->dims[d]);
    tdbg_json_array_end(&json);
    if (show->stats) {
        tdbg_json_object_begin(&json, "stats");
        tdbg_json_double(&json, "min", stats->min);
        tdbg_json_double(&json, "max", stats->max);
        tdbg_json_double(&json, "mean", stats->mean);
        tdbg_json_double(&json, "rms", stats->rms);
        tdbg_json_int(&json, "zeros", (int64_t)stats->zeros);
        tdbg_json_int(&json, "nans", (int64_t)stats->nans);
        tdbg_json_int(&json, "infs", (int64_t)stats->infs);
        tdbg_json_object_end(&json);
    }
    if (show->values)
        tdbg_json_elems(&json, "values", data, site->dtype, n);
    tdbg_json_object_end(&json);
    putchar('\n');
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
    TDBG_TRY(find_site(trace, show, &id, err));
    const struct tdbg_site *site = &tdbg_trace_sites(trace, &n_sites)[id];
    data = malloc((size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype));
    TDBG_FAIL_IF(!data, NO_MEMORY, "no memory for %s", site->name);
    TDBG_TRY(tdbg_trace_read_values(trace, show->step, id, data, &n, err));
    tdbg_stats_reference(data, site->dtype, n, &stats);
    if (show->as_json) {
        print_json(show, site, data, n, &stats);
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
    struct show show = {.step = -1, .lane = -1, .micro = -1};
    struct cli_trace trace = {0};
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--step", 0, CLI_INT, "K", &show.step, 0, INT64_MAX, "The step (required)."},
        {"--stats", 0, CLI_FLAG, NULL, &show.stats, 0, 0, "Print statistics (the default)."},
        {"--values", 0, CLI_FLAG, NULL, &show.values, 0, 0,
         "Print every element, so that it reads back to the same bits."},
        {"--json", 0, CLI_FLAG, NULL, &show.as_json, 0, 0, "Print JSON (schema 1)."},
        {"--lane", 0, CLI_INT, "L", &show.lane, 0, INT32_MAX, "Of this lane (default: the first)."},
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
    TDBG_TRY(cli_open_trace(show.words[0], &show.execution, &trace, err));
    TDBG_TRY(show_site(trace.trace, &show, err));
out:
    cli_close_trace(&trace);
    return st == TDBG_OK ? 0 : cli_fail(err);
}

const struct cli_command cli_show = {
    .name = "show",
    .summary = "Print a tensor of a step, computed again where it is not stored.",
    .usage = "TRACE SITE --step K [--stats|--values] [--json]",
    .examples = "  tdbg show a.h5 grad/fc1.weight --step 7\n"
                "  tdbg show a.h5 fwd/fc2 --step 120 --values --json\n",
    .run = run,
};
