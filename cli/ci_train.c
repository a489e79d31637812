/* Training for tdbg ci. See ci_train.h. */
#include "cli/ci_train.h"

#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/record_ranks.h"
#include "cli/temporary.h"
#include "engine/engine_options.h"
#include "recorder/record_options.h"

enum { ROWS_AT_ONCE = 256 };

/* Digests of everything, values of nothing: and one keyframe only, whose state is that before the
 * first step. What a config says of recording has no part in it. */
static const char *const record_sets[] = {
    "record={preset=\"standard\";keyframe=1000000000;solo_replay=false;on_error=\"stop\";"
    "stages={grad=\"digest\";reduce_in=\"digest\";reduce_out=\"digest\";};}"};
enum { N_RECORD_SETS = sizeof record_sets / sizeof record_sets[0] };

struct ci_sets {
    const char *item[CLI_MAX_LIST + N_RECORD_SETS + 5];
    int n;
    char steps[48], threads[48], device[80], lanes[48];
};

static void list_sets(const struct ci_training *t, struct ci_sets *s)
{
    s->n = t->sets->n;
    memcpy(s->item, t->sets->item, (size_t)s->n * sizeof s->item[0]);
    for (int i = 0; i < N_RECORD_SETS; i++)
        s->item[s->n++] = record_sets[i];
    if (t->steps > 0) {
        snprintf(s->steps, sizeof s->steps, "steps=%" PRId64, t->steps);
        s->item[s->n++] = s->steps;
    }
    if (t->threads >= 0) {
        snprintf(s->threads, sizeof s->threads, "engine.threads=%" PRId64, t->threads);
        s->item[s->n++] = s->threads;
    }
    if (t->device) {
        snprintf(s->device, sizeof s->device, "engine.device=%s", t->device);
        s->item[s->n++] = s->device;
    }
}

static enum tdbg_status load_checked(const char *path, const struct ci_sets *s,
                                     struct tdbg_config **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_config_load(path, s->item, s->n, out, err));
    tdbg_engine_check_options(*out, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(*out);
    tdbg_dataset_check_files(*out);
    TDBG_TRY(tdbg_config_result(*out, err));
out:
    return st;
}

/* One rank that has all lanes: the same bits as several, with all of them in one file. */
static enum tdbg_status load_config(const struct ci_training *t, struct tdbg_config **out,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct ci_sets sets;
    list_sets(t, &sets);
    TDBG_TRY(load_checked(t->config_path, &sets, out, err));
    const struct tdbg_cfg_node *root = tdbg_config_root(*out);
    const int64_t ranks = tdbg_cfg_int(root, "engine.ranks_in_process");
    const int64_t lanes = tdbg_cfg_int(root, "engine.lanes");
    if (ranks == 1)
        goto out;
    snprintf(sets.lanes, sizeof sets.lanes, "engine.lanes=%" PRId64, lanes > 0 ? lanes : ranks);
    sets.item[sets.n++] = sets.lanes;
    sets.item[sets.n++] = "engine.ranks_in_process=1";
    tdbg_config_destroy(*out);
    *out = NULL;
    TDBG_TRY(load_checked(t->config_path, &sets, out, err));
out:
    return st;
}

/* --- what was recorded --- */

static enum tdbg_status read_chains(const char *path, struct tdbg_arena *arena,
                                    struct ci_golden *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    struct tdbg_step_row *rows = tdbg_arena_alloc(arena, ROWS_AT_ONCE * sizeof *rows);
    uint64_t before[TDBG_CHAIN_COUNT];
    TDBG_TRY(tdbg_trace_open(path, &trace, err));
    out->numerics_version = tdbg_trace_info(trace)->numerics_version;
    out->n_steps = tdbg_trace_n_steps(trace);
    out->chain = tdbg_arena_alloc(arena, (size_t)out->n_steps * sizeof *out->chain);
    tdbg_trace_chain_before(trace, before);
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        out->has_chain[c] = before[c] != 0; /* 0: no site belongs to it */
    for (int64_t at = 0; at < out->n_steps; at += ROWS_AT_ONCE) {
        const int64_t n = out->n_steps - at < ROWS_AT_ONCE ? out->n_steps - at : ROWS_AT_ONCE;
        TDBG_TRY(tdbg_trace_read_steps(trace, at, n, rows, err));
        for (int64_t i = 0; i < n; i++)
            memcpy(out->chain[at + i], rows[i].chain, sizeof rows[i].chain);
    }
out:
    tdbg_trace_close(trace);
    return st;
}

static enum tdbg_status record(const struct ci_training *t, struct tdbg_config *config,
                               const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_ranks ranks = {0};
    tdbg_comm_launch_read(&ranks.launch);
    TDBG_FAIL_IF(ranks.launch.world_size > 1, UNSUPPORTED,
                 "tdbg ci trains in one process\nhint: --set engine.lanes=%d gives the bits of %d "
                 "ranks",
                 (int)ranks.launch.world_size, (int)ranks.launch.world_size);
    ranks.run = (struct cli_recording){.config_path = t->config_path,
                                       .isa = t->isa,
                                       .config = config,
                                       .path = path,
                                       .alone = true,
                                       .quiet = true};
    TDBG_TRY(cli_ranks_join(&ranks, cli_ranks_start(&ranks, -1, err), err));
    TDBG_TRY(cli_ranks_set_up(&ranks, err));
    cli_catch_signals(false);
    TDBG_TRY(cli_ranks_train(&ranks, err));
    TDBG_FAIL_IF(cli_stop_signal(), INTERRUPTED, "stopped");
    TDBG_FAIL_IF(cli_ranks_have_failed(&ranks), IO, "the steps could not be recorded in %s", path);
out:
    cli_ranks_release(&ranks);
    return st;
}

enum tdbg_status ci_train(const struct ci_training *training, struct tdbg_arena *arena,
                          struct ci_golden *out, const char **why_not, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_config *config = NULL;
    char folder[CLI_TEMPORARY_PATH] = "", path[CLI_TEMPORARY_PATH + 16];
    *out = (struct ci_golden){0};
    TDBG_TRY(load_config(training, &config, err));
    ci_golden_take_config(out, tdbg_config_root(config), arena);
    if (strcmp(tdbg_cfg_string(tdbg_config_root(config), "engine.math"), "fast") == 0)
        *why_not = "engine.math = \"fast\" does not promise the same bits on another machine";
    TDBG_TRY(cli_temporary_make(folder, err));
    snprintf(path, sizeof path, "%s/ci.h5", folder);
    TDBG_TRY(record(training, config, path, err));
    TDBG_TRY(read_chains(path, arena, out, err));
    TDBG_FAIL_IF(out->n_steps > CI_MOST_STEPS, USAGE, "more than %d steps\nhint: --steps N",
                 CI_MOST_STEPS);
out:
    cli_temporary_remove(folder);
    tdbg_config_destroy(config);
    return st;
}
