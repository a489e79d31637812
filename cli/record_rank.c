/* One rank's part of `tdbg record`. See record_rank.h. */
#include "cli/record_rank.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "replay/init_from.h"
#include "engine/comm_nccl.h"
#include "engine/rank_check.h"
#include "replay/resume.h"
#include "trace/segment.h"

/* Name of the trace of a rank: that of rank 0 is the run's. */
static char *rank_path(const struct cli_recording *run, int32_t rank)
{
    if (rank == 0)
        return strdup(run->path);
    struct tdbg_arena *arena = tdbg_arena_create();
    char *path = arena ? strdup(tdbg_segment_path(arena, run->path, "rank", rank)) : NULL;
    tdbg_arena_destroy(arena);
    return path;
}

enum tdbg_status cli_rank_start(struct cli_rank *r, const struct cli_recording *run, int32_t rank,
                                int announce_fd, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    r->run = run;
    r->rank = rank;
    r->path = rank_path(run, rank);
    TDBG_FAIL_IF(!r->path, NO_MEMORY, "no memory for the name of the trace");
    TDBG_TRY(cli_check_output(r->path, run->force, err));
    TDBG_TRY(tdbg_recorder_create(tdbg_config_root(run->config), announce_fd, &r->recorder, err));
out:
    return st;
}

static int64_t end_step(const struct cli_rank *r)
{
    return r->run->end_step > 0 ? r->run->end_step : tdbg_engine_info(r->engine)->total_steps;
}

/* Sets the state to that of the trace, and checks that the rest of the run can follow it. */
static enum tdbg_status go_on(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t total = tdbg_engine_info(r->engine)->total_steps;
    const int64_t first = r->run->first_step;
    r->parent = r->run->parent;
    r->steps_done = first;
    if (r->run->fork)
        return tdbg_fork_set_state(r->run->fork, r->engine, err);
    TDBG_FAIL_IF(first >= total, USAGE,
                 "the run has %" PRId64 " steps, and the keyframe is that before step %" PRId64
                 "\nhint: --steps N makes the run longer, --at-step K begins earlier",
                 total, first);
    if (r->rank > 0) {
        r->parent = NULL;
        TDBG_TRY(tdbg_trace_open(tdbg_trace_rank_path(r->run->parent, r->rank), &r->parent, err));
    }
    TDBG_TRY(tdbg_resume_state(r->parent, r->engine, first, err));
out:
    return st;
}

enum tdbg_status cli_rank_open_device(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct cli_recording *run = r->run;
    const struct tdbg_cfg_node *root = tdbg_config_root(run->config);
    const struct tdbg_backend_choice choice = {
        .device = tdbg_cfg_string(root, "engine.device"),
        .fast = strcmp(tdbg_cfg_string(root, "engine.math"), "fast") == 0,
        .isa = run->isa,
        .threads = run->threads,
        .number = run->local_rank >= 0 ? run->local_rank : r->rank};
    TDBG_TRY(tdbg_backend_open(&choice, &r->backend, &r->passed_over, err));
out:
    return st;
}

/* Takes NCCL where the config and the other ranks let it. */
static enum tdbg_status connect_gpus(struct cli_rank *r, const char *wish, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->run->config);
    const double timeout_s = tdbg_cfg_float(root, "engine.comm.timeout_s");
    struct tdbg_comm *control = r->comm;
    bool takes = false;
    if (!control) {
        TDBG_TRY(tdbg_comm_threads_create(1, timeout_s, &r->alone, err));
        control = r->alone;
    }
    TDBG_TRY(tdbg_comm_choose_nccl(control, wish, r->backend, &takes, err));
    if (!takes)
        goto out;
    TDBG_TRY(tdbg_backend_cuda_same_gpu(r->backend, &r->adder, err));
    TDBG_TRY(tdbg_comm_nccl_create(control, r->backend, r->adder, &r->nccl, err));
out:
    if (st != TDBG_OK && st != TDBG_RANKS && takes)
        control->ops->give_up(control, err->message);
    return st;
}

enum tdbg_status cli_rank_connect(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct cli_recording *run = r->run;
    const char *wish = tdbg_cfg_string(tdbg_config_root(run->config), "engine.comm.backend");
    const bool are_processes = r->comm && run->launched;
    if (are_processes || (!r->comm && !run->alone && strcmp(wish, "nccl") == 0))
        TDBG_TRY(connect_gpus(r, wish, err));
    if (r->nccl)
        goto out;
    if (r->backend->on_host)
        r->adder = r->backend;
    else if (r->comm)
        TDBG_TRY(tdbg_backend_cpu_create(run->isa, run->threads, &r->adder, err));
out:
    return st;
}

enum tdbg_status cli_rank_build(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct cli_recording *run = r->run;
    struct tdbg_source source =
        run->fork ? tdbg_fork_source(run->fork) : tdbg_source_live_table(r->live);
    if (r->comm || r->nccl) {
        const char *algorithm =
            tdbg_cfg_string(tdbg_config_root(run->config), "engine.comm.algorithm");
        TDBG_TRY(tdbg_source_ranks_create(source, r->nccl ? r->nccl : r->comm, r->adder,
                                          strcmp(algorithm, "native") == 0, &r->others, err));
        source = tdbg_source_ranks_table(r->others);
    }
    TDBG_TRY(tdbg_engine_create(run->config, r->backend, tdbg_recorder_source(r->recorder, source),
                                &r->engine, err));
    TDBG_TRY(tdbg_config_result(run->config, err));
    if (run->parent) {
        TDBG_TRY(go_on(r, err));
    } else {
        TDBG_TRY(tdbg_engine_init_state(r->engine, err));
        TDBG_TRY(tdbg_init_from(run->config, r->engine, err));
    }
out:
    return st;
}

enum tdbg_status cli_rank_check(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->run->config);
    char *text = tdbg_config_print(root, false);
    TDBG_FAIL_IF(!text, NO_MEMORY, "no memory to compare the ranks");
    struct tdbg_rank_facts facts = {
        .program = tdbg_rank_program_digest(),
        .config = tdbg_digest_fast(text, TDBG_DTYPE_U8, (int64_t)strlen(text)),
        .dataset = tdbg_source_live_fingerprint(r->live),
        .world_size = r->run->world_size,
        .first_step = r->run->first_step,
        .numerics_version = tdbg_engine_numerics_version()};
    TDBG_TRY(tdbg_rank_state_digest(r->engine, &facts.state, err));
    TDBG_TRY(tdbg_rank_check(r->comm, &facts, err));
out:
    free(text);
    return st;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The trace to go on from, for the new one; chain is memory for it. */
static enum tdbg_status describe_parent(const struct cli_rank *r, const char *dataset,
                                        struct tdbg_recorder_parent *out, uint64_t *chain,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_resume_check_dataset(r->parent, dataset, err));
    TDBG_FAIL_IF(same_file(r->path, tdbg_trace_path(r->parent)), USAGE,
                 "%s is the trace to go on from", r->path);
    TDBG_TRY(tdbg_trace_read_chain_before(r->parent, r->run->first_step, chain, err));
    *out = (struct tdbg_recorder_parent){.uuid = tdbg_trace_info(r->parent)->uuid,
                                         .chain = chain,
                                         .first_step = r->run->first_step,
                                         .plans = tdbg_trace_plans(r->parent)};
    out->sites = tdbg_trace_sites(r->parent, &out->n_sites);
out:
    return st;
}

/* The data set as JSON, for the trace; free() it. A fork has its parent's. */
static char *describe_data(const struct cli_rank *r)
{
    char *text = NULL;
    size_t bytes = 0;
    struct tdbg_json json;
    FILE *out;
    if (r->run->fork)
        return strdup(tdbg_trace_info(r->parent)->dataset);
    out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    tdbg_json_init(&json, out, false);
    tdbg_source_live_print_json(r->live, &json);
    fclose(out);
    return text;
}

/* What its tokens stand for: *out is made, or borrowed from a fork's parent. */
static enum tdbg_status find_vocabulary(const struct cli_rank *r, struct tdbg_vocabulary *made,
                                        const struct tdbg_vocabulary **out, struct tdbg_err *err)
{
    if (r->run->fork)
        return tdbg_trace_vocabulary(r->parent, out, err);
    *out = made;
    return tdbg_source_live_vocabulary(r->live, made, err);
}

enum tdbg_status cli_rank_open(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_vocabulary made = {0};
    const struct tdbg_vocabulary *vocabulary = NULL;
    char *environment = cli_environment_json(r->backend, r->adder, r->run->local_rank,
                                             r->nccl ? tdbg_comm_nccl_version(r->nccl) : 0);
    char *dataset = describe_data(r);
    struct tdbg_tap taps[3];
    int n_taps = 0;
    struct tdbg_recorder_parent parent;
    uint64_t chain[TDBG_CHAIN_COUNT];
    TDBG_FAIL_IF(!environment || !dataset, NO_MEMORY, "no memory to describe the run");
    TDBG_TRY(find_vocabulary(r, &made, &vocabulary, err));
    const struct tdbg_recorder_run run = {.uuid = r->run->uuid,
                                          .config_path = r->run->config_path,
                                          .environment = environment,
                                          .dataset = dataset,
                                          .vocabulary = vocabulary,
                                          .inject = r->run->inject_text,
                                          .parent = r->parent ? &parent : NULL};
    if (r->parent)
        TDBG_TRY(describe_parent(r, dataset, &parent, chain, err));
    TDBG_TRY(tdbg_faults_create(r->run->inject, r->rank, &r->faults, err));
    if (r->faults) {
        taps[n_taps++] = tdbg_faults_tap_before(r->faults);
        taps[1] = tdbg_faults_tap_behind(r->faults);
        TDBG_TRY(tdbg_engine_set_taps(r->engine, taps, 2, err)); /* before there is a file */
    }
    TDBG_TRY(tdbg_recorder_open(r->recorder, r->path, r->run->force, r->run->config, r->engine,
                                &run, &taps[n_taps++], err));
    r->has_trace = true;
    if (r->faults)
        taps[n_taps++] = tdbg_faults_tap_behind(r->faults);
    TDBG_TRY(tdbg_engine_set_taps(r->engine, taps, n_taps, err));
out:
    tdbg_vocabulary_free(&made);
    free(environment);
    free(dataset);
    return st;
}

/* "rank 2: " where there are several. */
enum { RANK_TEXT_BYTES = 24 };
static const char *name_rank(const struct cli_rank *r, char buf[RANK_TEXT_BYTES])
{
    snprintf(buf, RANK_TEXT_BYTES, r->comm ? "rank %d: " : "", (int)r->rank);
    return buf;
}

/* Once, as soon as it is known: the training goes on. */
static void tell_failure(struct cli_rank *r)
{
    const char *text = tdbg_recorder_failure(r->recorder);
    char who[RANK_TEXT_BYTES];
    if (!text || r->failure_told)
        return;
    r->failure_told = true;
    fprintf(stderr, "%stdbg: error: %srecording has stopped, the training goes on: %s\n",
            isatty(STDERR_FILENO) && !r->run->quiet ? "\n" : "", name_rank(r, who), text);
}

/* Signals that came to any rank, so that all stop after the same step. */
static enum tdbg_status agree(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char mine[2] = {(unsigned char)cli_stop_signal(), cli_keep_signal()};
    unsigned char all[2 * TDBG_MAX_RANKS];
    int32_t n = 1;
    if (r->comm) {
        TDBG_TRY(tdbg_comm_gather(r->comm, mine, sizeof mine, all, err));
        n = r->comm->world_size;
    } else {
        memcpy(all, mine, sizeof mine);
    }
    for (int32_t i = 0; i < n; i++) {
        if (all[2 * i] && !r->stop_signal)
            r->stop_signal = all[2 * i];
        if (all[2 * i + 1])
            tdbg_recorder_keep(r->recorder);
    }
out:
    return st;
}

enum tdbg_status cli_rank_train(struct cli_rank *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t total = end_step(r);
    const bool quiet = r->run->quiet || r->rank > 0;
    struct tdbg_progress progress;
    tdbg_progress_start(&progress, stderr, quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0,
                        total, tdbg_clock_ns());
    do { /* at least one step: a trace without any cannot be opened */
        TDBG_TRY(tdbg_engine_run_step(r->engine, r->steps_done, &r->last, err));
        r->steps_done++;
        const double loss = (double)r->last.loss;
        tdbg_progress_update(&progress, r->steps_done, &loss, tdbg_recorder_bytes(r->recorder),
                             tdbg_clock_ns());
        tell_failure(r);
        TDBG_TRY(agree(r, err));
    } while (r->steps_done < total && !r->stop_signal);
out:
    tdbg_progress_finish(&progress, tdbg_clock_ns());
    return st;
}

/* What is still in the queue may take a while to write; who has pressed Ctrl-C waits for that. */
static void tell_backlog(const struct cli_rank *r)
{
    enum { WORTH_TELLING = 200 };
    const int64_t n = r->steps_done - 1 - tdbg_recorder_durable(r->recorder);
    if (!r->run->quiet && r->rank == 0 && !r->failure_told && n >= WORTH_TELLING)
        fprintf(stderr, "tdbg: writing the last %" PRId64 " steps\n", n);
}

enum tdbg_status cli_rank_close(struct cli_rank *r, struct tdbg_err *err)
{
    struct tdbg_err close_err = {0};
    char who[RANK_TEXT_BYTES];
    tell_backlog(r);
    enum tdbg_status st = tdbg_recorder_close(r->recorder, &close_err);
    if (r->status == TDBG_OK) /* else the training has not gone on */
        tell_failure(r);
    if (st != TDBG_OK)
        st = tdbg_err_set(err, st, __FILE__, __LINE__, "%scannot close %s: %s", name_rank(r, who),
                          r->path, close_err.message);
    tdbg_err_clear(&close_err);
    return st;
}

void cli_rank_discard(struct cli_rank *r)
{
    if (!r->has_trace)
        return;
    tdbg_recorder_close(r->recorder, NULL);
    unlink(r->path);
}

void cli_rank_release(struct cli_rank *r)
{
    tdbg_engine_destroy(r->engine);
    tdbg_faults_destroy(r->faults);
    tdbg_recorder_destroy(r->recorder);
    tdbg_source_ranks_destroy(r->others);
    tdbg_comm_destroy(r->nccl);
    tdbg_comm_destroy(r->alone);
    if (r->adder != r->backend)
        tdbg_backend_destroy(r->adder);
    tdbg_backend_destroy(r->backend);
    tdbg_err_clear(&r->passed_over);
    tdbg_source_live_destroy(r->live);
    if (r->rank > 0)
        tdbg_trace_close(r->parent);
    tdbg_err_clear(&r->fault);
    free(r->path);
}
