/* All ranks of a recording that this process has: one, several that are threads, or one of those
 * that mpirun or srun has started, which all fail together when one of them does. */
#ifndef TDBG_CLI_RECORD_RANKS_H
#define TDBG_CLI_RECORD_RANKS_H

#include "cli/record_rank.h"

struct cli_ranks {
    struct cli_recording run; /* up to `quiet` the caller's to fill in */
    struct tdbg_comm_launch launch;
    struct cli_rank *rank;    /* (n) */
    struct tdbg_comm **comms; /* (n) */
    int32_t n;
    struct tdbg_comm *world; /* where ranks are processes: that of the only one here */
    bool is_silent;          /* another rank says what has failed */
    char *inject_text;
};

/* In this order. start: makes the ranks and starts their writer processes, before MPI and threads;
 * join: where this is one of several processes, finds the others, even if only to tell them that
 * this one has failed with st already; set_up: up to the first step; train: all steps, and closes
 * the traces whatever happens. */
enum tdbg_status cli_ranks_start(struct cli_ranks *r, int announce_fd, struct tdbg_err *err);
enum tdbg_status cli_ranks_join(struct cli_ranks *r, enum tdbg_status st, struct tdbg_err *err);
enum tdbg_status cli_ranks_set_up(struct cli_ranks *r, struct tdbg_err *err);
enum tdbg_status cli_ranks_train(struct cli_ranks *r, struct tdbg_err *err);
void cli_ranks_release(struct cli_ranks *r);

/* Had recording to stop on one of them, while the training went on? */
bool cli_ranks_have_failed(const struct cli_ranks *r);

#endif
