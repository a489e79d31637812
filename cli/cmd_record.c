/* tdbg record: train from a config and record. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/convert.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/source_live.h"
#include "recorder/record_options.h"
#include "recorder/recorder.h"
#include "trace/array_file.h"

struct record {
    const char *config_path;
    const char *output; /* NULL: record.path of the config */
    int64_t steps, threads, announce_fd;
    const char *isa;
    struct cli_list sets;
    bool force, quiet, print_config;
    bool failure_told; /* that recording had to stop */

    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_source_live *live;
    struct tdbg_recorder *recorder;
    struct tdbg_engine *engine;
    char *path; /* of the trace */
    struct tdbg_step_info last;
    int64_t steps_done;
};

/* --steps and --threads are short for --set; what stands later on the command line wins. */
static enum tdbg_status load_config(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *sets[CLI_MAX_LIST + 2];
    char steps[48], threads[48];
    int n = r->sets.n;
    memcpy(sets, r->sets.item, (size_t)n * sizeof sets[0]);
    if (r->steps >= 0) {
        snprintf(steps, sizeof steps, "steps=%" PRId64, r->steps);
        sets[n++] = steps;
    }
    if (r->threads >= 0) {
        snprintf(threads, sizeof threads, "engine.threads=%" PRId64, r->threads);
        sets[n++] = threads;
    }
    TDBG_TRY(tdbg_config_load(r->config_path, sets, n, &r->config, err));
    tdbg_engine_check_options(r->config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(r->config);
    tdbg_dataset_check_files(r->config);
    TDBG_TRY(tdbg_config_result(r->config, err));
out:
    return st;
}

static enum tdbg_status build_engine(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    TDBG_TRY(tdbg_source_live_create(r->config, tdbg_array_file_read, &r->live, err));
    TDBG_TRY(tdbg_config_result(r->config, err));
    /* the writer process first: it is to inherit neither threads nor devices */
    TDBG_TRY(tdbg_recorder_create(tdbg_source_live_table(r->live), root, (int)r->announce_fd,
                                  &r->recorder, err));
    TDBG_TRY(tdbg_backend_cpu_create(r->isa, (int)tdbg_cfg_int(root, "engine.threads"), &r->backend,
                                     err));
    TDBG_TRY(tdbg_engine_create(r->config, r->backend, tdbg_recorder_source(r->recorder),
                                &r->engine, err));
    TDBG_TRY(tdbg_config_result(r->config, err));
    TDBG_TRY(tdbg_engine_init_state(r->engine, err));
out:
    return st;
}

static enum tdbg_status open_trace(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *environment = cli_environment_json(r->backend->isa, r->backend->threads);
    char *dataset = NULL;
    size_t dataset_bytes = 0;
    FILE *out = open_memstream(&dataset, &dataset_bytes);
    struct tdbg_json json;
    struct tdbg_tap tap;
    TDBG_FAIL_IF(!environment || !out, NO_MEMORY, "no memory to describe the run");
    tdbg_json_init(&json, out, false);
    tdbg_source_live_print_json(r->live, &json);
    fclose(out);
    r->path = r->output ? strdup(r->output)
                        : tdbg_cfg_path(r->config, tdbg_config_root(r->config), "record.path");
    TDBG_FAIL_IF(!r->path || !dataset, NO_MEMORY, "no memory to describe the run");
    TDBG_FAIL_IF(!r->force && access(r->path, F_OK) == 0, USAGE,
                 "%s exists already\nhint: --force overwrites it", r->path);
    const struct tdbg_recorder_run run = {
        .config_path = r->config_path, .environment = environment, .dataset = dataset};
    TDBG_TRY(
        tdbg_recorder_open(r->recorder, r->path, r->force, r->config, r->engine, &run, &tap, err));
    TDBG_TRY(tdbg_engine_set_taps(r->engine, &tap, 1, err));
out:
    free(environment);
    free(dataset);
    return st;
}

static void announce(const struct record *r)
{
    const struct tdbg_engine_info *info = tdbg_engine_info(r->engine);
    int32_t n_sites;
    char size[32];
    tdbg_engine_sites(r->engine, &n_sites);
    fprintf(stderr,
            "tdbg: recording %s into %s: %" PRId64 " steps of %" PRId64 " samples, %" PRId64
            " parameters, %d sites, at most %s; cpu %s, %d thread%s\n",
            r->config_path, r->path, info->total_steps, info->batch, info->param_elems,
            (int)n_sites,
            tdbg_convert_bytes_text(tdbg_recorder_estimate_bytes(r->recorder, info->total_steps),
                                    size, sizeof size),
            r->backend->isa, r->backend->threads, r->backend->threads == 1 ? "" : "s");
}

/* Once, as soon as it is known: the training goes on. */
static void tell_failure(struct record *r)
{
    const char *text = tdbg_recorder_failure(r->recorder);
    if (!text || r->failure_told)
        return;
    r->failure_told = true;
    fprintf(stderr, "%stdbg: error: recording has stopped, the training goes on: %s\n",
            isatty(STDERR_FILENO) && !r->quiet ? "\n" : "", text);
}

static enum tdbg_status train(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_engine_info *info = tdbg_engine_info(r->engine);
    struct tdbg_progress progress;
    tdbg_progress_start(&progress, stderr, r->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0,
                        info->total_steps, tdbg_clock_ns());
    do { /* at least one step: a trace without any cannot be opened */
        TDBG_TRY(tdbg_engine_run_step(r->engine, r->steps_done, &r->last, err));
        r->steps_done++;
        const double loss = (double)r->last.loss;
        tdbg_progress_update(&progress, r->steps_done, &loss, tdbg_recorder_bytes(r->recorder),
                             tdbg_clock_ns());
        tell_failure(r);
        if (cli_keep_signal())
            tdbg_recorder_keep(r->recorder);
    } while (r->steps_done < info->total_steps && !cli_stop_signal());
out:
    tdbg_progress_finish(&progress, tdbg_clock_ns());
    return st;
}

static void conclude(const struct record *r, int64_t bytes)
{
    char size[32];
    if (r->quiet)
        return;
    if (r->failure_told) {
        fprintf(stderr,
                "tdbg: trained %" PRId64
                " steps, last loss %.4g; %s holds those up to the failure\n",
                r->steps_done, (double)r->last.loss, r->path);
        return;
    }
    fprintf(stderr, "tdbg: %s has %" PRId64 " of %" PRId64 " steps, %s, last loss %.4g\n", r->path,
            r->steps_done, tdbg_engine_info(r->engine)->total_steps,
            tdbg_convert_bytes_text(bytes, size, sizeof size), (double)r->last.loss);
}

static enum tdbg_status record(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err close_err = {0};
    TDBG_TRY(build_engine(r, err));
    TDBG_TRY(open_trace(r, err));
    cli_catch_signals();
    if (!r->quiet)
        announce(r);
    st = train(r, err);
    int64_t bytes = tdbg_recorder_bytes(r->recorder);
    enum tdbg_status closed = tdbg_recorder_close(r->recorder, &close_err);
    tell_failure(r);
    if (st == TDBG_OK && closed != TDBG_OK)
        st = tdbg_err_set(err, closed, __FILE__, __LINE__, "cannot close %s: %s", r->path,
                          close_err.message);
    TDBG_TRY(st);
    conclude(r, bytes);
out:
    tdbg_err_clear(&close_err);
    return st;
}

static void release(struct record *r)
{
    tdbg_engine_destroy(r->engine);
    tdbg_recorder_destroy(r->recorder);
    tdbg_backend_cpu_destroy(r->backend);
    tdbg_source_live_destroy(r->live);
    tdbg_config_destroy(r->config);
    free(r->path);
}

static enum tdbg_status print_config(const struct record *r, struct tdbg_err *err)
{
    char *text = tdbg_config_print(tdbg_config_root(r->config), true);
    if (!text)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to print the config");
    fputs(text, stdout);
    free(text);
    return TDBG_OK;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct record r = {.steps = -1, .threads = -1, .announce_fd = -1, .isa = "auto"};
    bool helped, failed;
    int n_words;
    const struct cli_option options[] = {
        {"--output", 'o', CLI_STRING, "FILE", &r.output, 0, 0,
         "The trace (default: record.path of the config)."},
        {"--steps", 0, CLI_INT, "N", &r.steps, 1, INT32_MAX, "Length of the run."},
        {"--set", 0, CLI_LIST, "KEY=VALUE", &r.sets, 0, 0,
         "Set a key of the config; may be given several times."},
        {"--threads", 0, CLI_INT, "N", &r.threads, 0, 4096,
         "CPU threads (0 = all); never changes a bit."},
        {"--isa", 0, CLI_STRING, "SET", &r.isa, 0, 0,
         "Instruction set: auto, avx512, avx2 or portable; never changes a bit."},
        {"--force", 0, CLI_FLAG, NULL, &r.force, 0, 0, "Overwrite an existing trace."},
        {"--quiet", 'q', CLI_FLAG, NULL, &r.quiet, 0, 0, "Print nothing but errors."},
        {"--announce-fd", 0, CLI_INT, "FD", &r.announce_fd, 0, INT32_MAX,
         "Write \"K\" and a newline to this descriptor when step K is safe in the file."},
        {"--print-config", 0, CLI_FLAG, NULL, &r.print_config, 0, 0,
         "Print the whole effective config with the origin of every value, and stop."},
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            &r.config_path, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(load_config(&r, err));
    if (r.print_config)
        TDBG_TRY(print_config(&r, err));
    else
        TDBG_TRY(record(&r, err));
out:
    failed = r.failure_told;
    release(&r);
    if (st != TDBG_OK)
        return cli_fail(err);
    if (cli_stop_signal())
        return 128 + cli_stop_signal();
    return failed ? tdbg_status_exit_code(TDBG_IO) : 0;
}

const struct cli_command cli_record = {
    .name = "record",
    .summary = "Train from a config file and record the run into a trace.",
    .usage = "CFG [-o FILE] [--steps N] [--set KEY=VALUE]...",
    .examples = "  tdbg record examples/fashion_mlp.cfg -o a.h5\n"
                "  tdbg record train.cfg --steps 100 --set optimizer.lr=0.001 -o b.h5\n"
                "  tdbg record train.cfg --print-config\n",
    .run = run,
};
