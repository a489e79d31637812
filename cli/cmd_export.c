/* tdbg export: a tensor of one or many steps for other programs, stored or computed again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/npy.h"
#include "base/tensor_file.h"
#include "cli/commands.h"
#include "cli/tensor.h"
#include "trace/new_file.h"

struct exporter;

/* A format: what stands before the values, and the n valid elements of one step. */
struct format {
    const char *name;
    void (*begin)(const struct exporter *e);
    void (*step)(const struct exporter *e, int64_t step, int64_t n);
};

struct exporter {
    const char *words[2]; /* trace, site */
    const char *steps, *format_name, *output;
    int64_t step, rank, lane, micro;
    bool force;
    struct cli_execution execution;

    struct tdbg_trace *trace;
    const struct format *format;
    const struct tdbg_site *site;
    int32_t site_id;
    int64_t *at; /* (n_at) steps to export */
    int64_t n_at;
    void *data;        /* value of one step; what a short batch lacks is zero */
    int64_t n_first;   /* valid elements of the first step */
    int64_t n_shorter; /* steps with fewer elements than the site's shape */
    FILE *out;
};

/* A single step has its own shape; of many, all have the site's. */
static void npy_begin(const struct exporter *e)
{
    int64_t dims[TDBG_NPY_MAX_DIMS] = {e->n_at};
    int32_t many = e->step < 0;
    tdbg_tensor_dims(e->site, many ? tdbg_site_elems(e->site) : e->n_first, dims + many);
    tdbg_npy_write_header(e->out, e->site->dtype, e->site->ndim + many, dims);
}

static void npy_step(const struct exporter *e, int64_t step, int64_t n)
{
    (void)step;
    tdbg_npy_write_elems(e->out, e->site->dtype, e->data,
                         e->step < 0 ? tdbg_site_elems(e->site) : n);
}

static void csv_begin(const struct exporter *e)
{
    tdbg_tensor_write_csv_head(e->out, e->site);
}

static void csv_step(const struct exporter *e, int64_t step, int64_t n)
{
    tdbg_tensor_write_csv(e->out, e->site, step, 0, n, e->data);
}

static void json_begin(const struct exporter *e)
{
    (void)e;
}

static void json_step(const struct exporter *e, int64_t step, int64_t n)
{
    tdbg_tensor_write_json(e->out, e->site, step, n, NULL, e->data);
}

static const struct format formats[] = {
    {"npy", npy_begin, npy_step},
    {"csv", csv_begin, csv_step},
    {"json", json_begin, json_step},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static enum tdbg_status check_arguments(struct exporter *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(!e->format_name, USAGE, "which format? for example: --format npy");
    for (int i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i].name, e->format_name) == 0)
            e->format = &formats[i];
    }
    TDBG_FAIL_IF(!e->format, USAGE, "'--format' wants npy, csv or json, not '%s'", e->format_name);
    TDBG_FAIL_IF(e->step >= 0 && e->steps, USAGE, "'--step' and '--steps' exclude each other");
    if (e->output && (strcmp(e->output, "-") == 0 || strcmp(e->output, "/dev/stdout") == 0))
        e->output = NULL;
    TDBG_FAIL_IF(!e->output && e->format == &formats[0] && isatty(STDOUT_FILENO), USAGE,
                 "npy is no text for a terminal\nhint: -o FILE writes it into a file");
    if (e->output)
        TDBG_TRY(cli_check_output(e->output, e->force, err));
out:
    return st;
}

/* The steps of the range; of an evaluation site, those that evaluated. */
static enum tdbg_status list_steps(struct exporter *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t from = e->step, to = e->step;
    struct tdbg_step_row row;
    if (e->step < 0)
        TDBG_TRY(cli_parse_steps(e->steps, e->trace, &from, &to, err));
    e->at = malloc((size_t)(to - from + 1) * sizeof *e->at);
    TDBG_FAIL_IF(!e->at, NO_MEMORY, "no memory for a list of steps");
    for (int64_t step = from; step <= to; step++) {
        if (e->step < 0 && e->site->stage == TDBG_STAGE_EVAL) {
            TDBG_TRY(tdbg_trace_read_steps(e->trace, step, 1, &row, err));
            if (!row.evaluated)
                continue;
        }
        e->at[e->n_at++] = step;
    }
    TDBG_FAIL_IF(e->n_at == 0, NOT_FOUND,
                 "%s: no step from %" PRId64 " to %" PRId64 " was evaluated", e->site->name, from,
                 to);
    if (e->n_at < to - from + 1)
        fprintf(stderr,
                "tdbg: note: only steps that evaluated have %s: %" PRId64 " of %" PRId64 "\n",
                e->site->name, e->n_at, to - from + 1);
out:
    return st;
}

static enum tdbg_status write_steps(struct exporter *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n = e->n_first, whole = tdbg_site_elems(e->site);
    e->format->begin(e);
    for (int64_t i = 0; i < e->n_at; i++) {
        if (i > 0) /* the first one was read to see whether there is anything to write */
            TDBG_TRY(tdbg_trace_read_values(e->trace, e->at[i], e->site_id, e->data, &n, err));
        e->n_shorter += n < whole;
        e->format->step(e, e->at[i], n);
        TDBG_FAIL_IF(ferror(e->out), IO, "cannot write: %s", strerror(errno));
        TDBG_FAIL_IF(cli_stop_signal(), INTERRUPTED, "stopped after step %" PRId64, e->at[i]);
    }
    TDBG_FAIL_IF(fflush(e->out) != 0, IO, "cannot write: %s", strerror(errno));
out:
    return st;
}

/* The file gets its name when it is whole. */
static enum tdbg_status write_file(struct exporter *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_new_file file = TDBG_NEW_FILE_NONE;
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_FAIL_IF(!arena, NO_MEMORY, "no memory for a file");
    TDBG_TRY(tdbg_new_file_create(&file, arena, e->output, e->force, err));
    e->out = fdopen(fcntl(file.fd, F_DUPFD_CLOEXEC, 0), "wb");
    TDBG_FAIL_IF(!e->out, NO_MEMORY, "no memory to write %s", e->output);
    cli_catch_signals(true); /* half a file is to go */
    st = write_steps(e, err);
    if (fclose(e->out) != 0 && st == TDBG_OK)
        st = TDBG_RAISE(err, IO, "cannot write: %s", strerror(errno));
    if (st == TDBG_OK)
        st = tdbg_new_file_place(&file, err);
    if (st != TDBG_OK)
        tdbg_err_prefix(err, "cannot export to %s", e->output);
out:
    tdbg_new_file_release(&file);
    tdbg_arena_destroy(arena);
    return st;
}

static enum tdbg_status export_site(struct exporter *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    TDBG_TRY(cli_find_site(e->trace, e->words[1], e->lane, e->micro, &e->site_id, err));
    e->site = &tdbg_trace_sites(e->trace, &n_sites)[e->site_id];
    TDBG_TRY(list_steps(e, err));
    TDBG_TRY(cli_tensor_buffer(e->site, &e->data, err));
    TDBG_TRY(tdbg_trace_read_values(e->trace, e->at[0], e->site_id, e->data, &e->n_first, err));
    e->out = stdout;
    TDBG_TRY(e->output ? write_file(e, err) : write_steps(e, err));
    if (e->format == &formats[0] && e->site->dtype == TDBG_DTYPE_BF16)
        fputs("tdbg: note: numpy has no bf16; the values are float32, whose upper 16 bits are "
              "theirs\n",
              stderr);
    if (e->format == &formats[0] && e->step < 0 && e->n_shorter > 0)
        fprintf(stderr,
                "tdbg: note: %" PRId64 " of %" PRId64 " steps have fewer samples; what they "
                "lack is zero\n",
                e->n_shorter, e->n_at);
out:
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct exporter e = {.step = -1, .rank = -1, .lane = -1, .micro = -1};
    struct cli_trace trace = {0};
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--format", 0, CLI_STRING, "FORMAT", &e.format_name, 0, 0, "npy, csv or json (required)."},
        {"--step", 0, CLI_INT, "K", &e.step, 0, INT64_MAX, "One step."},
        {"--steps", 0, CLI_STRING, "A:B", &e.steps, 0, 0,
         "Steps A to B, both included (A: and :B are open ranges; default: all)."},
        CLI_RANK_OPTION(e.rank),
        {"--lane", 0, CLI_INT, "L", &e.lane, 0, INT32_MAX,
         "Of this lane, from the file of its rank (default: the first)."},
        {"--micro", 0, CLI_INT, "M", &e.micro, 0, INT32_MAX,
         "Of this micro-batch (default: the first)."},
        {"--output", 'o', CLI_STRING, "FILE", &e.output, 0, 0, "The file (default: -, stdout)."},
        {"--force", 0, CLI_FLAG, NULL, &e.force, 0, 0, "Overwrite an existing file."},
        CLI_EXECUTION_OPTIONS(e.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            e.words, 2, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(check_arguments(&e, err));
    TDBG_TRY(cli_open_rank(e.words[0], e.rank, e.lane, &e.execution, &trace, err));
    e.trace = trace.trace;
    TDBG_TRY(export_site(&e, err));
out:
    free(e.at);
    free(e.data);
    cli_close_trace(&trace);
    if (st == TDBG_INTERRUPTED)
        tdbg_err_clear(err);
    return st == TDBG_OK ? 0 : st == TDBG_INTERRUPTED ? 128 + cli_stop_signal() : cli_fail(err);
}

const struct cli_command cli_export = {
    .name = "export",
    .summary = "Write a tensor of one or many steps for other programs, stored or not.",
    .usage = "TRACE SITE [--step K | --steps A:B] [--rank R] --format npy|csv|json [-o FILE]",
    .examples = "  tdbg export a.h5 grad/fc1.weight --format npy -o grad.npy\n"
                "  tdbg export a.h5 fwd/fc2 --step 120 --format csv\n"
                "  tdbg export a.h5 eval/accuracy --format json\n",
    .run = run,
};
