/* tdbg record: train from a config and record. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/convert.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/init_from.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/source_live.h"
#include "recorder/record_options.h"
#include "recorder/recorder.h"
#include "replay/resume.h"
#include "trace/array_file.h"

struct record {
    const char *config_path;
    const char *output; /* NULL: record.path of the config */
    const char *resume; /* a trace to go on from instead of a config; or NULL */
    int64_t steps, threads, announce_fd, at_step;
    const char *isa;
    struct cli_list sets;
    bool force, quiet, print_config;
    bool failure_told; /* that recording had to stop */

    struct tdbg_trace *parent; /* that of --resume */
    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_source_live *live;
    struct tdbg_recorder *recorder;
    struct tdbg_engine *engine;
    char *path; /* of the trace */
    struct tdbg_step_info last;
    int64_t first_step, steps_done; /* steps_done counts from 0, also in a run that goes on */
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
    if (r->resume) {
        TDBG_TRY(tdbg_trace_open(r->resume, &r->parent, err));
        TDBG_TRY(tdbg_resume_config(r->parent, sets, n, &r->config, err));
        TDBG_TRY(tdbg_resume_step(r->parent, r->at_step, &r->first_step, err));
        r->config_path = tdbg_trace_info(r->parent)->config_path;
    } else {
        TDBG_TRY(tdbg_config_load(r->config_path, sets, n, &r->config, err));
    }
    tdbg_engine_check_options(r->config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(r->config);
    tdbg_dataset_check_files(r->config);
    TDBG_TRY(tdbg_config_result(r->config, err));
out:
    return st;
}

/* Sets the state to that of the trace, and checks that the rest of the run can follow it. */
static enum tdbg_status go_on(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t total = tdbg_engine_info(r->engine)->total_steps;
    TDBG_FAIL_IF(r->first_step >= total, USAGE,
                 "the run has %" PRId64 " steps, and the keyframe is that before step %" PRId64
                 "\nhint: --steps N makes the run longer, --at-step K begins earlier",
                 total, r->first_step);
    TDBG_TRY(tdbg_resume_state(r->parent, r->engine, r->first_step, err));
    r->steps_done = r->first_step;
out:
    return st;
}

/* Before anything that takes long. */
static enum tdbg_status choose_path(struct record *r, struct tdbg_err *err)
{
    r->path = r->output ? strdup(r->output)
                        : tdbg_cfg_path(r->config, tdbg_config_root(r->config), "record.path");
    if (!r->path)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the name of the trace");
    return cli_check_output(r->path, r->force, err);
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
    if (r->resume) {
        TDBG_TRY(go_on(r, err));
    } else {
        TDBG_TRY(tdbg_engine_init_state(r->engine, err));
        TDBG_TRY(cli_init_from(r->config, r->engine, err));
    }
out:
    return st;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The trace to go on from, for the new one; chain is memory for it. */
static enum tdbg_status describe_parent(const struct record *r, const char *dataset,
                                        struct tdbg_recorder_parent *out, uint64_t *chain,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_resume_check_dataset(r->parent, dataset, err));
    TDBG_FAIL_IF(same_file(r->path, r->resume), USAGE, "%s is the trace to go on from", r->path);
    TDBG_TRY(tdbg_trace_read_chain_before(r->parent, r->first_step, chain, err));
    *out = (struct tdbg_recorder_parent){.uuid = tdbg_trace_info(r->parent)->uuid,
                                         .chain = chain,
                                         .plans = tdbg_trace_plans(r->parent)};
    out->sites = tdbg_trace_sites(r->parent, &out->n_sites);
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
    struct tdbg_recorder_parent parent;
    uint64_t chain[TDBG_CHAIN_COUNT];
    TDBG_FAIL_IF(!environment || !out, NO_MEMORY, "no memory to describe the run");
    tdbg_json_init(&json, out, false);
    tdbg_source_live_print_json(r->live, &json);
    fclose(out);
    TDBG_FAIL_IF(!dataset, NO_MEMORY, "no memory to describe the run");
    const struct tdbg_recorder_run run = {.config_path = r->config_path,
                                          .environment = environment,
                                          .dataset = dataset,
                                          .parent = r->parent ? &parent : NULL};
    if (r->parent)
        TDBG_TRY(describe_parent(r, dataset, &parent, chain, err));
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
            r->config_path, r->path, info->total_steps - r->first_step, info->batch,
            info->param_elems, (int)n_sites,
            tdbg_convert_bytes_text(
                tdbg_recorder_estimate_bytes(r->recorder, info->total_steps - r->first_step), size,
                sizeof size),
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

/* What is still in the queue may take a while to write; who has pressed Ctrl-C waits for that. */
static void tell_backlog(const struct record *r)
{
    enum { WORTH_TELLING = 200 };
    const int64_t n = r->steps_done - 1 - tdbg_recorder_durable(r->recorder);
    if (!r->quiet && !r->failure_told && n >= WORTH_TELLING)
        fprintf(stderr, "tdbg: writing the last %" PRId64 " steps\n", n);
}

static void conclude(const struct record *r)
{
    char size[32];
    if (r->quiet)
        return;
    if (r->failure_told) {
        fprintf(stderr, "tdbg: trained %" PRId64 " steps, last loss %.4g; %s %s\n", r->steps_done,
                (double)r->last.loss, r->path,
                access(r->path, F_OK) == 0 ? "holds those up to the failure" : "is gone");
        return;
    }
    fprintf(stderr, "tdbg: %s has %" PRId64 " of %" PRId64 " steps, %s, last loss %.4g\n", r->path,
            r->steps_done - r->first_step, tdbg_engine_info(r->engine)->total_steps,
            tdbg_convert_bytes_text(tdbg_recorder_bytes(r->recorder), size, sizeof size),
            (double)r->last.loss);
}

static enum tdbg_status record(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err close_err = {0};
    TDBG_TRY(choose_path(r, err));
    TDBG_TRY(build_engine(r, err));
    TDBG_TRY(open_trace(r, err));
    cli_catch_signals();
    signal(SIGPIPE, SIG_IGN); /* nobody reads the progress any more: no reason to stop training */
    if (!r->quiet)
        announce(r);
    st = train(r, err);
    tell_backlog(r);
    enum tdbg_status closed = tdbg_recorder_close(r->recorder, &close_err);
    tell_failure(r);
    if (st == TDBG_OK && closed != TDBG_OK)
        st = tdbg_err_set(err, closed, __FILE__, __LINE__, "cannot close %s: %s", r->path,
                          close_err.message);
    TDBG_TRY(st);
    conclude(r);
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
    tdbg_trace_close(r->parent);
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

/* Who goes on with a trace gives no config. */
static bool resumes(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--resume", 8) == 0 && (argv[i][8] == '\0' || argv[i][8] == '='))
            return true;
    }
    return false;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct record r = {.steps = -1, .threads = -1, .announce_fd = -1, .at_step = -1, .isa = "auto"};
    bool helped, failed;
    int n_words;
    const struct cli_option options[] = {
        {"--output", 'o', CLI_STRING, "FILE", &r.output, 0, 0,
         "The trace (default: record.path of the config)."},
        {"--steps", 0, CLI_INT, "N", &r.steps, 1, INT32_MAX, "Length of the run."},
        {"--resume", 0, CLI_STRING, "TRACE", &r.resume, 0, 0,
         "Go on with a recorded run, with its own config, from its last keyframe."},
        {"--at-step", 0, CLI_INT, "K", &r.at_step, 0, INT64_MAX,
         "With --resume: go on from the keyframe before step K."},
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
                            &r.config_path, resumes(argc, argv) ? 0 : 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_FAIL_IF(r.at_step >= 0 && !r.resume, USAGE, "--at-step goes with --resume TRACE");
    TDBG_FAIL_IF(r.announce_fd >= 0 && fcntl((int)r.announce_fd, F_GETFD) < 0, USAGE,
                 "'--announce-fd %" PRId64 "': no such descriptor is open", r.announce_fd);
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
                "  tdbg record --resume a.h5 --steps 800 -o more.h5\n"
                "  tdbg record train.cfg --print-config\n",
    .run = run,
};
