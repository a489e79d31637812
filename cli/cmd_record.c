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
#include "cli/record_rank.h"
#include "engine/engine_options.h"
#include "engine/rank_check.h"
#include "kernels/cpu.h"
#include "recorder/record_options.h"
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

    struct tdbg_trace *parent; /* that of --resume */
    struct tdbg_config *config;
    char *path;         /* of the trace */
    int64_t first_step; /* counts from 0, also in a run that goes on */
    struct cli_recording run;
    struct cli_rank *ranks; /* (n_ranks): of this process */
    struct tdbg_comm **comms;
    int32_t n_ranks;
    char *inject_text; /* NULL: none */
    struct tdbg_comm_launch launch;
    struct tdbg_comm *world; /* where ranks are processes; the comm of the only one here */
    bool speaks;             /* prints an error that ends all ranks */
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

/* Before anything that takes long. */
static enum tdbg_status choose_path(struct record *r, struct tdbg_err *err)
{
    r->path = r->output ? strdup(r->output)
                        : tdbg_cfg_path(r->config, tdbg_config_root(r->config), "record.path");
    if (!r->path)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the name of the trace");
    return cli_check_output(r->path, r->force, err);
}

/* The planted faults leave the config, which says what the user believes. */
static enum tdbg_status take_inject(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *list = tdbg_cfg_find(tdbg_config_root(r->config), "inject");
    r->run.inject_text = "";
    if (!list)
        return TDBG_OK;
    r->inject_text = tdbg_config_print(list, false);
    TDBG_FAIL_IF(!r->inject_text, NO_MEMORY, "no memory for the faults to inject");
    for (int i = 0; i < list->n_child; i++)
        TDBG_FAIL_IF(tdbg_cfg_int(list->child[i], "rank") >= r->run.world_size, CONFIG,
                     "inject[%d]: there is no rank %d", i,
                     (int)tdbg_cfg_int(list->child[i], "rank"));
    r->run.inject = list;
    r->run.inject_text = r->inject_text;
    tdbg_config_remove(r->config, "inject");
out:
    return st;
}

/* What all ranks share, and the ranks of this process. */
static enum tdbg_status plan_ranks(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const int threads = (int)tdbg_cfg_int(root, "engine.threads");
    const int32_t n = (int32_t)tdbg_cfg_int(root, "engine.ranks_in_process");
    const bool launched = r->launch.world_size > 1;
    TDBG_FAIL_IF(launched && n > 1, USAGE,
                 "engine.ranks_in_process = %d, but this is one of %d processes already", (int)n,
                 (int)r->launch.world_size);
    TDBG_FAIL_IF(!launched && strcmp(tdbg_cfg_string(root, "engine.comm.backend"), "mpi") == 0,
                 USAGE,
                 "engine.comm.backend = \"mpi\", but neither mpirun nor srun started this process");
    r->run = (struct cli_recording){.config_path = r->config_path,
                                    .isa = r->isa,
                                    .config = r->config,
                                    .parent = r->parent,
                                    .path = r->path,
                                    .first_step = r->first_step,
                                    .world_size = launched ? r->launch.world_size : n,
                                    .threads = threads,
                                    .local_rank = r->launch.local_rank,
                                    .force = r->force,
                                    .quiet = r->quiet};
    TDBG_TRY(take_inject(r, err));
    if (n > 1) { /* they share the processors */
        const int all = threads > 0 ? threads : tdbg_cpu_count();
        r->run.threads = all > n ? all / n : 1;
    }
    r->ranks = calloc((size_t)n, sizeof *r->ranks);
    r->comms = calloc((size_t)n, sizeof *r->comms);
    TDBG_FAIL_IF(!r->ranks || !r->comms, NO_MEMORY, "no memory for %d ranks", (int)n);
    r->n_ranks = n;
    TDBG_TRY(tdbg_recorder_make_uuid(r->run.uuid, err));
out:
    return st;
}

/* The writer processes first: they are to inherit neither threads nor devices. */
static enum tdbg_status start_writers(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < r->n_ranks; i++) {
        TDBG_TRY(cli_rank_start(&r->ranks[i], &r->run, r->launch.rank + i,
                                i == 0 ? (int)r->announce_fd : -1, err));
        TDBG_FAIL_IF(r->n_ranks > 1 && !tdbg_recorder_has_process(r->ranks[i].recorder),
                     UNSUPPORTED,
                     "several ranks in a process need the program tdbg-writer beside tdbg");
    }
out:
    return st;
}

static enum tdbg_status build_ranks(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    struct tdbg_source_live **live = &r->ranks[0].live;
    TDBG_TRY(tdbg_source_live_create(r->config, tdbg_array_file_read, live, err));
    TDBG_TRY(tdbg_config_result(r->config, err));
    if (r->n_ranks > 1)
        TDBG_TRY(tdbg_comm_threads_create(r->n_ranks, tdbg_cfg_float(root, "engine.comm.timeout_s"),
                                          r->comms, err));
    if (r->world)
        r->comms[0] = r->world;
    for (int32_t i = 0; i < r->n_ranks; i++) {
        struct cli_rank *rank = &r->ranks[i];
        rank->comm = r->comms[i];
        if (i > 0)
            TDBG_TRY(tdbg_source_live_share(*live, &rank->live, err));
        TDBG_TRY(cli_rank_build(rank, err));
    }
out:
    return st;
}

static enum tdbg_status open_traces(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < r->n_ranks; i++)
        TDBG_TRY(cli_rank_open(&r->ranks[i], err));
out:
    return st;
}

/* Where ranks are processes: what has failed on one of them ends all, and one of them says so. */
static enum tdbg_status meet(struct record *r, enum tdbg_status st, struct tdbg_err *err)
{
    return r->world ? tdbg_rank_meet(r->world, st, &r->speaks, err) : st;
}

/* Joins the other processes, even to tell them that this one has failed already. */
static enum tdbg_status join(struct record *r, enum tdbg_status st, struct tdbg_err *err)
{
    enum { NO_CONFIG_TIMEOUT_S = 60 };
    struct tdbg_err fault = {0};
    const double timeout_s =
        st == TDBG_OK ? tdbg_cfg_float(tdbg_config_root(r->config), "engine.comm.timeout_s")
                      : NO_CONFIG_TIMEOUT_S;
    if (r->launch.world_size == 1)
        return st;
    const enum tdbg_status joined = tdbg_comm_mpi_create(timeout_s, &r->world, &fault);
    if (st == TDBG_OK && joined != TDBG_OK)
        st = tdbg_err_set(err, joined, fault.file, fault.line, "%s", fault.message);
    tdbg_err_clear(&fault);
    if (st == TDBG_OK && r->world->world_size != r->launch.world_size)
        return TDBG_RAISE(err, RANKS,
                          "%d processes were started, but MPI knows %d: was it the mpirun of "
                          "another MPI library?",
                          (int)r->launch.world_size, (int)r->world->world_size);
    return meet(r, st, err);
}

/* What all ranks of the run do together before they open their traces. */
static enum tdbg_status compare_ranks(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!r->world)
        return TDBG_OK;
    uint8_t *uuids = malloc((size_t)r->world->world_size * sizeof r->run.uuid);
    TDBG_FAIL_IF(!uuids, NO_MEMORY, "no memory to reach the other ranks");
    TDBG_TRY(cli_rank_check(&r->ranks[0], err));
    TDBG_TRY(tdbg_comm_gather(r->world, r->run.uuid, sizeof r->run.uuid, uuids, err));
    memcpy(r->run.uuid, uuids, sizeof r->run.uuid);
out:
    free(uuids);
    return st;
}

static void announce(const struct record *r)
{
    const struct cli_rank *first = &r->ranks[0];
    const struct tdbg_engine_info *info = tdbg_engine_info(first->engine);
    const int64_t n_steps = info->total_steps - r->first_step;
    int32_t n_sites;
    char size[32], ranks[40] = "";
    tdbg_engine_sites(first->engine, &n_sites);
    if (info->world_size > 1)
        snprintf(ranks, sizeof ranks, ", %d ranks", (int)info->world_size);
    fprintf(stderr,
            "tdbg: recording %s into %s: %" PRId64 " steps of %" PRId64 " samples, %" PRId64
            " parameters, %d sites, at most %s; cpu %s, %d thread%s%s\n",
            r->config_path, r->path, n_steps, info->batch, info->param_elems, (int)n_sites,
            tdbg_convert_bytes_text(tdbg_recorder_estimate_bytes(first->recorder, n_steps) *
                                        info->world_size,
                                    size, sizeof size),
            first->backend->isa, first->backend->threads, first->backend->threads == 1 ? "" : "s",
            ranks);
    if (r->run.inject)
        fprintf(stderr, "tdbg: warning: %d fault%s of the config's `inject` will be planted\n",
                r->run.inject->n_child, r->run.inject->n_child == 1 ? "" : "s");
}

static void *train_rank(void *self)
{
    struct cli_rank *r = self;
    r->status = cli_rank_train(r, &r->fault);
    if (r->status != TDBG_OK && r->status != TDBG_RANKS && r->comm)
        r->comm->ops->give_up(r->comm, r->fault.message);
    return NULL;
}

/* The rank whose error is the cause of the others'; -1: none failed. */
static int32_t find_culprit(const struct record *r)
{
    int32_t found = -1;
    for (int32_t i = 0; i < r->n_ranks; i++) {
        const enum tdbg_status st = r->ranks[i].status;
        if (st != TDBG_OK &&
            (found < 0 || (st != TDBG_RANKS && r->ranks[found].status == TDBG_RANKS)))
            found = i;
    }
    return found;
}

/* Rank 0 in this thread, the others in their own. */
static enum tdbg_status train(struct record *r, struct tdbg_err *err)
{
    int32_t n_started = 1;
    for (; n_started < r->n_ranks; n_started++) {
        struct cli_rank *rank = &r->ranks[n_started];
        if (pthread_create(&rank->thread, NULL, train_rank, rank) != 0) {
            rank->status = TDBG_RAISE(&rank->fault, NO_MEMORY, "no thread for the rank");
            rank->comm->ops->give_up(rank->comm, rank->fault.message);
            break;
        }
    }
    train_rank(&r->ranks[0]);
    for (int32_t i = 1; i < n_started; i++)
        pthread_join(r->ranks[i].thread, NULL);
    const int32_t culprit = find_culprit(r);
    if (culprit < 0)
        return TDBG_OK;
    const struct tdbg_err *fault = &r->ranks[culprit].fault;
    const enum tdbg_status st = r->ranks[culprit].status;
    if (r->ranks[culprit].comm && st != TDBG_RANKS)
        return tdbg_err_set(err, st, fault->file, fault->line, "rank %d: %s",
                            (int)r->ranks[culprit].rank, fault->message);
    return tdbg_err_set(err, st, fault->file, fault->line, "%s", fault->message);
}

static void conclude(const struct record *r)
{
    const struct cli_rank *first = &r->ranks[0];
    char size[32], more[80] = "";
    if (r->quiet)
        return;
    if (first->failure_told) {
        fprintf(stderr, "tdbg: trained %" PRId64 " steps, last loss %.4g; %s %s\n",
                first->steps_done, (double)first->last.loss, r->path,
                access(r->path, F_OK) == 0 ? "holds those up to the failure" : "is gone");
        return;
    }
    int64_t bytes = 0;
    for (int32_t i = 0; i < r->n_ranks; i++)
        bytes += tdbg_recorder_bytes(r->ranks[i].recorder);
    if (r->n_ranks > 1)
        snprintf(more, sizeof more, " and %d files of other ranks have", (int)r->n_ranks - 1);
    fprintf(stderr, "tdbg: %s%s %" PRId64 " of %" PRId64 " steps, %s, last loss %.4g\n", r->path,
            r->n_ranks > 1 ? more : " has", first->steps_done - r->first_step,
            tdbg_engine_info(first->engine)->total_steps,
            tdbg_convert_bytes_text(bytes, size, sizeof size), (double)first->last.loss);
}

static enum tdbg_status print_config(const struct record *r, struct tdbg_err *err)
{
    if (r->launch.rank > 0)
        return TDBG_OK;
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
    if (r->print_config)
        return TDBG_OK;
    TDBG_TRY(choose_path(r, err));
    TDBG_TRY(plan_ranks(r, err));
    TDBG_TRY(start_writers(r, err));
out:
    return st;
}

/* Ready for the first step. */
static enum tdbg_status set_up(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(join(r, prepare(r, err), err));
    if (r->print_config)
        return print_config(r, err);
    TDBG_TRY(meet(r, build_ranks(r, err), err));
    TDBG_TRY(meet(r, compare_ranks(r, err), err));
    TDBG_TRY(meet(r, open_traces(r, err), err));
out:
    return st;
}

static enum tdbg_status record(struct record *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(set_up(r, err));
    if (r->print_config)
        return TDBG_OK;
    cli_catch_signals(!r->world); /* mpirun sends them to all ranks */
    signal(SIGPIPE, SIG_IGN); /* nobody reads the progress any more: no reason to stop training */
    if (!r->quiet && r->launch.rank == 0)
        announce(r);
    st = train(r, err);
    for (int32_t i = 0; i < r->n_ranks; i++) { /* all of them, whatever has happened */
        const enum tdbg_status closed = cli_rank_close(&r->ranks[i], st == TDBG_OK ? err : NULL);
        st = st == TDBG_OK ? closed : st;
    }
    if (r->world)
        r->speaks = !r->world->has_failed || st != TDBG_RANKS || tdbg_comm_is_speaker(r->world);
    TDBG_TRY(st);
    if (r->launch.rank == 0)
        conclude(r);
out:
    return st;
}

static bool has_failed(const struct record *r)
{
    for (int32_t i = 0; i < r->n_ranks; i++) {
        if (r->ranks[i].failure_told)
            return true;
    }
    return false;
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
    for (int32_t i = r->n_ranks - 1; i >= 0; i--) { /* rank 0 has the data sets */
        cli_rank_release(&r->ranks[i]);
        if (r->comms[i] != r->world)
            tdbg_comm_destroy(r->comms[i]);
    }
    tdbg_comm_destroy(r->world);
    free(r->ranks);
    free(r->comms);
    tdbg_trace_close(r->parent);
    tdbg_config_destroy(r->config);
    free(r->inject_text);
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
    struct record r = {.steps = -1,
                       .threads = -1,
                       .announce_fd = -1,
                       .at_step = -1,
                       .isa = "auto",
                       .speaks = true};
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
    tdbg_comm_launch_read(&r.launch);
    TDBG_TRY(record(&r, err));
out:
    failed = has_failed(&r);
    stop_signal = r.n_ranks > 0 ? r.ranks[0].stop_signal : 0;
    code = st == TDBG_OK ? 0 : r.speaks ? cli_fail(err) : fail_silently(err);
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
    .usage = "CFG [-o FILE] [--steps N] [--set KEY=VALUE]...",
    .examples = "  tdbg record examples/fashion_mlp.cfg -o a.h5\n"
                "  tdbg record train.cfg --steps 100 --set optimizer.lr=0.001 -o b.h5\n"
                "  tdbg record --resume a.h5 --steps 800 -o more.h5\n"
                "  tdbg record train.cfg --print-config\n",
    .run = run,
};
