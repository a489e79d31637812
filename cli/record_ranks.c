/* The ranks of a process, from the config to the end. See record_ranks.h. */
#include "cli/record_ranks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/rank_check.h"
#include "kernels/cpu.h"
#include "trace/array_file.h"

/* The planted faults leave the config, which says what the user believes. */
static enum tdbg_status take_inject(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *list = tdbg_cfg_find(tdbg_config_root(r->run.config), "inject");
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
    tdbg_config_remove(r->run.config, "inject");
out:
    return st;
}

/* Threads of each of n ranks that are on one machine: of `threads`, or 0: of the processors that
 * this process may use. Where mpirun has given each its own, these are not shared. */
static int share_processors(int threads, int n)
{
    const int here = tdbg_cpu_count();
    const bool own = threads == 0 && n > 1 && here < sysconf(_SC_NPROCESSORS_ONLN);
    const int all = threads > 0 ? threads : here;
    return own || n < 1 ? all : all > n ? all / n : 1;
}

/* What all ranks share, and the ranks of this process. */
static enum tdbg_status plan(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->run.config);
    const int threads = (int)tdbg_cfg_int(root, "engine.threads");
    const int32_t n = (int32_t)tdbg_cfg_int(root, "engine.ranks_in_process");
    const bool launched = r->launch.world_size > 1;
    TDBG_FAIL_IF(launched && n > 1, USAGE,
                 "engine.ranks_in_process = %d, but this is one of %d processes already", (int)n,
                 (int)r->launch.world_size);
    TDBG_FAIL_IF(!launched && !r->run.alone &&
                     strcmp(tdbg_cfg_string(root, "engine.comm.backend"), "mpi") == 0,
                 USAGE,
                 "engine.comm.backend = \"mpi\", but neither mpirun nor srun started this process");
    r->run.launched = launched;
    r->run.world_size = launched ? r->launch.world_size : n;
    r->run.threads = threads;
    r->run.local_rank = r->launch.local_rank;
    TDBG_TRY(take_inject(r, err));
    if (threads == 0 || n > 1)
        r->run.threads = share_processors(threads, n > 1 ? n : r->launch.local_size);
    r->rank = calloc((size_t)n, sizeof *r->rank);
    r->comms = calloc((size_t)n, sizeof *r->comms);
    TDBG_FAIL_IF(!r->rank || !r->comms, NO_MEMORY, "no memory for %d ranks", (int)n);
    r->n = n;
    TDBG_TRY(tdbg_recorder_make_uuid(r->run.uuid, err));
out:
    return st;
}

/* The writer processes first: they are to inherit neither threads nor devices. */
static enum tdbg_status start_writers(struct cli_ranks *r, int announce_fd, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < r->n; i++) {
        TDBG_TRY(cli_rank_start(&r->rank[i], &r->run, r->launch.rank + i, i == 0 ? announce_fd : -1,
                                err));
        TDBG_FAIL_IF(r->n > 1 && !tdbg_recorder_has_process(r->rank[i].recorder), UNSUPPORTED,
                     "several ranks in a process need the program tdbg-writer beside tdbg");
    }
out:
    return st;
}

static enum tdbg_status open_devices(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->run.config);
    struct tdbg_source_live **live = &r->rank[0].live;
    if (!r->run.fork)
        TDBG_TRY(tdbg_source_live_create(r->run.config, tdbg_array_file_read, live, err));
    TDBG_TRY(tdbg_config_result(r->run.config, err));
    if (r->n > 1)
        TDBG_TRY(tdbg_comm_threads_create(r->n, tdbg_cfg_float(root, "engine.comm.timeout_s"),
                                          r->comms, err));
    if (r->world)
        r->comms[0] = r->world;
    for (int32_t i = 0; i < r->n; i++) {
        struct cli_rank *rank = &r->rank[i];
        rank->comm = r->comms[i];
        if (i > 0)
            TDBG_TRY(tdbg_source_live_share(*live, &rank->live, err));
        TDBG_TRY(cli_rank_open_device(rank, err));
    }
out:
    return st;
}

static enum tdbg_status for_each_rank(struct cli_ranks *r,
                                      enum tdbg_status (*function)(struct cli_rank *rank,
                                                                   struct tdbg_err *err),
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < r->n; i++)
        TDBG_TRY(function(&r->rank[i], err));
out:
    return st;
}

/* Where ranks are processes: what has failed on one of them ends all, and one of them says so. */
static enum tdbg_status meet(struct cli_ranks *r, enum tdbg_status st, struct tdbg_err *err)
{
    bool speaks = true;
    if (r->world)
        st = tdbg_rank_meet(r->world, st, &speaks, err);
    r->is_silent = !speaks;
    return st;
}

enum tdbg_status cli_ranks_join(struct cli_ranks *r, enum tdbg_status st, struct tdbg_err *err)
{
    enum { NO_CONFIG_TIMEOUT_S = 60 };
    struct tdbg_err fault = {0};
    const double timeout_s =
        st == TDBG_OK ? tdbg_cfg_float(tdbg_config_root(r->run.config), "engine.comm.timeout_s")
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
static enum tdbg_status compare(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!r->world)
        return TDBG_OK;
    uint8_t *uuids = malloc((size_t)r->world->world_size * sizeof r->run.uuid);
    TDBG_FAIL_IF(!uuids, NO_MEMORY, "no memory to reach the other ranks");
    TDBG_TRY(cli_rank_check(&r->rank[0], err));
    TDBG_TRY(tdbg_comm_gather(r->world, r->run.uuid, sizeof r->run.uuid, uuids, err));
    memcpy(r->run.uuid, uuids, sizeof r->run.uuid);
out:
    free(uuids);
    return st;
}

enum tdbg_status cli_ranks_start(struct cli_ranks *r, int announce_fd, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(plan(r, err));
    TDBG_TRY(start_writers(r, announce_fd, err));
out:
    return st;
}

enum tdbg_status cli_ranks_set_up(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(meet(r, open_devices(r, err), err));
    TDBG_TRY(meet(r, for_each_rank(r, cli_rank_connect, err), err));
    TDBG_TRY(meet(r, for_each_rank(r, cli_rank_build, err), err));
    TDBG_TRY(meet(r, compare(r, err), err));
    TDBG_TRY(meet(r, for_each_rank(r, cli_rank_open, err), err));
out:
    for (int32_t i = 0; st != TDBG_OK && i < r->n; i++)
        cli_rank_discard(&r->rank[i]);
    return st;
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
static int32_t find_culprit(const struct cli_ranks *r)
{
    int32_t found = -1;
    for (int32_t i = 0; i < r->n; i++) {
        const enum tdbg_status st = r->rank[i].status;
        if (st != TDBG_OK &&
            (found < 0 || (st != TDBG_RANKS && r->rank[found].status == TDBG_RANKS)))
            found = i;
    }
    return found;
}

/* Rank 0 in this thread, the others in their own. */
static enum tdbg_status train(struct cli_ranks *r, struct tdbg_err *err)
{
    int32_t n_started = 1;
    for (; n_started < r->n; n_started++) {
        struct cli_rank *rank = &r->rank[n_started];
        if (pthread_create(&rank->thread, NULL, train_rank, rank) != 0) {
            rank->status = TDBG_RAISE(&rank->fault, NO_MEMORY, "no thread for the rank");
            rank->comm->ops->give_up(rank->comm, rank->fault.message);
            break;
        }
    }
    train_rank(&r->rank[0]);
    for (int32_t i = 1; i < n_started; i++)
        pthread_join(r->rank[i].thread, NULL);
    const int32_t culprit = find_culprit(r);
    if (culprit < 0)
        return TDBG_OK;
    const struct tdbg_err *fault = &r->rank[culprit].fault;
    const enum tdbg_status st = r->rank[culprit].status;
    if (r->rank[culprit].comm && st != TDBG_RANKS)
        return tdbg_err_set(err, st, fault->file, fault->line, "rank %d: %s",
                            (int)r->rank[culprit].rank, fault->message);
    return tdbg_err_set(err, st, fault->file, fault->line, "%s", fault->message);
}

enum tdbg_status cli_ranks_train(struct cli_ranks *r, struct tdbg_err *err)
{
    enum tdbg_status st = train(r, err);
    for (int32_t i = 0; i < r->n; i++) { /* all of them, whatever has happened */
        const enum tdbg_status closed = cli_rank_close(&r->rank[i], st == TDBG_OK ? err : NULL);
        st = st == TDBG_OK ? closed : st;
    }
    if (r->world)
        r->is_silent = r->world->has_failed && st == TDBG_RANKS && !tdbg_comm_is_speaker(r->world);
    return st;
}

bool cli_ranks_have_failed(const struct cli_ranks *r)
{
    for (int32_t i = 0; i < r->n; i++) {
        if (r->rank[i].failure_told)
            return true;
    }
    return false;
}

void cli_ranks_release(struct cli_ranks *r)
{
    for (int32_t i = r->n - 1; i >= 0; i--) { /* rank 0 has the data sets */
        cli_rank_release(&r->rank[i]);
        if (r->comms[i] != r->world)
            tdbg_comm_destroy(r->comms[i]);
    }
    tdbg_comm_destroy(r->world);
    free(r->rank);
    free(r->comms);
    free(r->inject_text);
}
