/* tdbg record: train from a config and record. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/convert.h"
#include "cli/commands.h"
#include "cli/record_ranks.h"
#include "cli/record_tui.h"
#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/resume.h"

struct record {
    const char *config_path;
    const char *output; /* NULL: record.path of the config */
    const char *resume; /* a trace to go on from instead of a config; or NULL */
    int64_t steps, threads, announce_fd, at_step;
    const char *isa, *device;
    struct cli_list sets;
    bool force, quiet, print_config, tui;
    bool device_told; /* what makes it slow */

    struct tdbg_trace *parent; /* that of --resume */
    struct tdbg_config *config;
    char *path;         /* of the trace */
    int64_t first_step; /* counts from 0, also in a run that goes on */
    struct cli_ranks ranks;
};

/* --steps, --threads and --device are short for --set; what stands later on the command line wins.
 */
static enum tdbg_status load_config(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *sets[CLI_MAX_LIST + 3];
    char steps[48], threads[48], device[80];
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
    if (r->device) {
        snprintf(device, sizeof device, "engine.device=%s", r->device);
        sets[n++] = device;
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

/* Before anything that takes long. */
static enum tdbg_status choose_path(struct record *r, struct tdbg_err *err)
{
    r->path = r->output ? strdup(r->output)
                        : tdbg_cfg_path(r->config, tdbg_config_root(r->config), "record.path");
    if (!r->path)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the name of the trace");
    return cli_check_output(r->path, r->force, err);
}

static const char *device_text(const struct tdbg_backend *backend, char *buf, size_t buf_bytes)
{
    if (backend->on_host)
        snprintf(buf, buf_bytes, "%s %s, %d thread%s", backend->name, backend->isa,
                 backend->threads, backend->threads == 1 ? "" : "s");
    else
        snprintf(buf, buf_bytes, "%s %s", backend->name, backend->isa);
    return buf;
}

static void announce(struct record *r)
{
    const struct cli_rank *first = &r->ranks.rank[0];
    const struct tdbg_engine_info *info = tdbg_engine_info(first->engine);
    const int64_t n_steps = info->total_steps - r->first_step;
    int32_t n_sites;
    char size[32], device[160], ranks[40] = "";
    tdbg_engine_sites(first->engine, &n_sites);
    if (info->world_size > 1)
        snprintf(ranks, sizeof ranks, ", %d ranks", (int)info->world_size);
    fprintf(stderr,
            "tdbg: recording %s into %s: %" PRId64 " steps of %" PRId64 " samples, %" PRId64
            " parameters, %d sites, at most %s; %s%s\n",
            r->config_path, r->path, n_steps, info->batch, info->param_elems, (int)n_sites,
            tdbg_convert_bytes_text(tdbg_recorder_estimate_bytes(first->recorder, n_steps) *
                                        info->world_size,
                                    size, sizeof size),
            device_text(first->backend, device, sizeof device), ranks);
    if (first->passed_over.status != TDBG_OK)
        fprintf(stderr, "tdbg: warning: the CPU computes: %s\n", first->passed_over.message);
    if (r->ranks.run.inject)
        fprintf(stderr, "tdbg: warning: %d fault%s of the config's `inject` will be planted\n",
                r->ranks.run.inject->n_child, r->ranks.run.inject->n_child == 1 ? "" : "s");
    cli_warn_device(first->engine, &r->device_told);
}

static void conclude(struct record *r)
{
    const struct cli_rank *first = &r->ranks.rank[0];
    char size[32], more[80] = "";
    if (r->quiet)
        return;
    cli_warn_device(first->engine, &r->device_told);
    if (first->failure_told) {
        fprintf(stderr, "tdbg: trained %" PRId64 " steps, last loss %.4g; %s %s\n",
                first->steps_done, (double)first->last.loss, r->path,
                access(r->path, F_OK) == 0 ? "holds those up to the failure" : "is gone");
        return;
    }
    int64_t bytes = 0;
    for (int32_t i = 0; i < r->ranks.n; i++)
        bytes += tdbg_recorder_bytes(r->ranks.rank[i].recorder);
    if (r->ranks.n > 1)
        snprintf(more, sizeof more, " and %d files of other ranks have", (int)r->ranks.n - 1);
    fprintf(stderr, "tdbg: %s%s %" PRId64 " of %" PRId64 " steps, %s, last loss %.4g\n", r->path,
            r->ranks.n > 1 ? more : " has", first->steps_done - r->first_step,
            tdbg_engine_info(first->engine)->total_steps,
            tdbg_convert_bytes_text(bytes, size, sizeof size), (double)first->last.loss);
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

/* As far as each process comes by itself. */
static enum tdbg_status prepare(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(load_config(r, err));
    if (!r->print_config)
        TDBG_TRY(choose_path(r, err));
    r->ranks.run = (struct cli_recording){.config_path = r->config_path,
                                          .isa = r->isa,
                                          .config = r->config,
                                          .parent = r->parent,
                                          .path = r->path,
                                          .first_step = r->first_step,
                                          .force = r->force,
                                          .quiet = r->quiet};
    if (!r->print_config)
        TDBG_TRY(cli_ranks_start(&r->ranks, (int)r->announce_fd, err));
out:
    return st;
}

static enum tdbg_status record(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool is_first = r->ranks.launch.rank == 0;
    TDBG_TRY(cli_ranks_join(&r->ranks, prepare(r, err), err));
    if (r->print_config)
        return is_first ? print_config(r, err) : TDBG_OK;
    TDBG_TRY(cli_ranks_set_up(&r->ranks, err));
    cli_catch_signals(!r->ranks.world); /* mpirun sends them to all ranks */
    signal(SIGPIPE, SIG_IGN); /* nobody reads the progress any more: no reason to stop training */
    if (!r->quiet && is_first)
        announce(r);
    TDBG_TRY(cli_ranks_train(&r->ranks, err));
    if (is_first)
        conclude(r);
out:
    return st;
}

/* Another rank has said why. */
static int fail_silently(struct tdbg_err *err)
{
    const int code = tdbg_status_exit_code(err->status);
    tdbg_err_clear(err);
    return code;
}

static void release(struct record *r)
{
    cli_ranks_release(&r->ranks);
    tdbg_trace_close(r->parent);
    tdbg_config_destroy(r->config);
    free(r->path);
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
    int stop_signal, code;
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
        {"--device", 0, CLI_STRING, "NAME", &r.device, 0, 0,
         "Where to compute: auto, cpu or cuda; never changes a bit."},
        {"--threads", 0, CLI_INT, "N", &r.threads, 0, 4096,
         "CPU threads (0 = all); never changes a bit."},
        {"--isa", 0, CLI_STRING, "SET", &r.isa, 0, 0,
         "Instruction set: auto, avx512, avx2 or portable; never changes a bit."},
        {"--force", 0, CLI_FLAG, NULL, &r.force, 0, 0, "Overwrite an existing trace."},
        {"--quiet", 'q', CLI_FLAG, NULL, &r.quiet, 0, 0, "Print nothing but errors."},
        {"--tui", 0, CLI_FLAG, NULL, &r.tui, 0, 0,
         "Show the run in the terminal while it trains; leaving it ends the training."},
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
    if (r.tui) {
        TDBG_TRY(load_config(&r, err));
        TDBG_TRY(choose_path(&r, err));
        TDBG_TRY(cli_record_in_terminal(argc, argv, r.path, &code, err));
        release(&r);
        return code;
    }
    tdbg_comm_launch_read(&r.ranks.launch);
    TDBG_TRY(record(&r, err));
out:
    failed = cli_ranks_have_failed(&r.ranks);
    stop_signal = r.ranks.n > 0 ? r.ranks.rank[0].stop_signal : 0;
    code = st == TDBG_OK ? 0 : r.ranks.is_silent ? fail_silently(err) : cli_fail(err);
    release(&r);
    if (code != 0)
        return code;
    if (stop_signal)
        return 128 + stop_signal;
    return failed ? tdbg_status_exit_code(TDBG_IO) : 0;
}

const struct cli_command cli_record = {
    .name = "record",
    .summary = "Train from a config file and record the run into a trace.",
    .usage = "CFG [-o FILE] [--steps N] [--set KEY=VALUE]... [--tui]",
    .examples = "  tdbg record examples/fashion_mlp.cfg -o a.h5\n"
                "  tdbg record train.cfg --steps 100 --set optimizer.lr=0.001 -o b.h5\n"
                "  tdbg record --resume a.h5 --steps 800 -o more.h5\n"
                "  tdbg record train.cfg --print-config\n",
    .run = run,
};
