/* Recording a fork. See replay_fork.h; what a fork is: replay/fork.h. */
#include "cli/replay_fork.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/record_ranks.h"
#include "replay/fork.h"

static enum tdbg_status parse_ids(const struct cli_list *list, int64_t *ids, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int i = 0; i < list->n; i++) {
        char *end;
        errno = 0;
        ids[i] = strtoll(list->item[i], &end, 10);
        TDBG_FAIL_IF(errno != 0 || end == list->item[i] || *end || ids[i] < 0, USAGE,
                     "'--drop-sample %s' is not the number of a sample", list->item[i]);
    }
out:
    return st;
}

static enum tdbg_status create(const struct cli_fork *f, struct tdbg_trace *parent,
                               struct tdbg_fork **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t ids[CLI_MAX_LIST];
    const char *sets[CLI_MAX_LIST + 2];
    char threads[48], device[80];
    struct cli_execution way = f->execution; /* to the first state: before processes are started */
    int n = f->sets.n;
    memcpy(sets, f->sets.item, (size_t)n * sizeof sets[0]);
    if (f->execution.threads > 0) {
        snprintf(threads, sizeof threads, "engine.threads=%" PRId64, f->execution.threads);
        sets[n++] = threads;
    }
    if (f->execution.device) {
        snprintf(device, sizeof device, "engine.device=%s", f->execution.device);
        sets[n++] = device;
    }
    way.device = NULL;
    TDBG_TRY(parse_ids(&f->drops, ids, err));
    const struct tdbg_fork_options options = {.from = f->from,
                                              .to = f->to,
                                              .sets = sets,
                                              .n_sets = n,
                                              .drop = ids,
                                              .n_drop = f->drops.n,
                                              .session = cli_session_options(&way)};
    TDBG_TRY(tdbg_fork_create(parent, &options, out, err));
out:
    return st;
}

static void announce(const struct cli_fork *f, const struct tdbg_fork *fork)
{
    const char *text = tdbg_fork_description(fork);
    if (f->quiet)
        return;
    fprintf(stderr, "tdbg: forking %s into %s: steps %" PRId64 " to %" PRId64 "\n%s", f->path,
            f->output, tdbg_fork_first_step(fork), tdbg_fork_last_step(fork),
            *text ? text : "nothing is changed: the same bits are to come out\n");
}

/* Where the two runs stand at the fork's last step. */
static void conclude(const struct cli_fork *f, struct tdbg_trace *parent, const struct cli_rank *r)
{
    struct tdbg_step_row row;
    struct tdbg_err ignored = {0};
    if (f->quiet)
        return;
    fprintf(stderr, "tdbg: %s has steps %" PRId64 " to %" PRId64 ", last loss %.4g", f->output,
            r->run->first_step, r->steps_done - 1, (double)r->last.loss);
    if (tdbg_trace_read_steps(parent, r->steps_done - 1, 1, &row, &ignored) == TDBG_OK)
        fprintf(stderr, "; that of %s there: %.4g", f->path, (double)row.loss);
    fputc('\n', stderr);
    tdbg_err_clear(&ignored);
}

static enum tdbg_status record(const struct cli_fork *f, struct tdbg_trace *parent,
                               struct tdbg_fork *fork, struct cli_ranks *ranks,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    ranks->launch = (struct tdbg_comm_launch){.world_size = 1, .local_rank = -1, .local_size = 1};
    ranks->run = (struct cli_recording){.config_path = tdbg_trace_info(parent)->config_path,
                                        .isa = cli_session_options(&f->execution).isa,
                                        .config = tdbg_fork_config(fork),
                                        .parent = parent,
                                        .path = f->output,
                                        .first_step = tdbg_fork_first_step(fork),
                                        .end_step = tdbg_fork_last_step(fork) + 1,
                                        .fork = fork,
                                        .alone = true,
                                        .force = f->force,
                                        .quiet = f->quiet};
    TDBG_TRY(cli_ranks_start(ranks, -1, err));
    announce(f, fork);
    TDBG_TRY(cli_ranks_set_up(ranks, err));
    cli_catch_signals(true);
    signal(SIGPIPE, SIG_IGN);
    TDBG_TRY(cli_ranks_train(ranks, err));
    if (!cli_ranks_have_failed(ranks))
        conclude(f, parent, &ranks->rank[0]);
out:
    return st;
}

enum tdbg_status cli_fork_record(const struct cli_fork *f, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *parent = NULL;
    struct tdbg_fork *fork = NULL;
    struct cli_ranks ranks = {.n = 0};
    TDBG_TRY(cli_check_output(f->output, f->force, err));
    TDBG_TRY(tdbg_trace_open(f->path, &parent, err));
    TDBG_TRY(create(f, parent, &fork, err));
    TDBG_TRY(record(f, parent, fork, &ranks, err));
    if (cli_ranks_have_failed(&ranks))
        *exit_code = tdbg_status_exit_code(TDBG_IO);
    if (ranks.rank[0].stop_signal)
        *exit_code = 128 + ranks.rank[0].stop_signal;
out:
    cli_ranks_release(&ranks);
    tdbg_fork_destroy(fork);
    tdbg_trace_close(parent);
    return st;
}
