/* One rank of a recording: its engine, its trace and its steps. Ranks are threads of this process
 * or have one each; cmd_record.c decides that. */
#ifndef TDBG_CLI_RECORD_RANK_H
#define TDBG_CLI_RECORD_RANK_H

#include <pthread.h>

#include "engine/comm.h"
#include "engine/engine.h"
#include "engine/source_live.h"
#include "engine/source_ranks.h"
#include "recorder/fault.h"
#include "recorder/recorder.h"
#include "replay/fork.h"
#include "trace/reader.h"

/* What all ranks share. */
struct cli_recording {
    const char *config_path, *isa;
    struct tdbg_config *config;
    struct tdbg_trace *parent;    /* the trace to go on from, of rank 0; NULL: none */
    const char *path;             /* of rank 0's trace */
    int64_t first_step, end_step; /* end_step 0: that of the config */
    struct tdbg_fork *fork;       /* what-if: samples and first state; NULL: none */
    bool force, quiet;
    bool alone; /* one process, whatever carries numbers between those of the config */

    bool launched;               /* ranks are processes */
    int32_t world_size, threads; /* threads: of each rank */
    int32_t local_rank;          /* of this process on its machine; -1: not known */
    uint8_t uuid[TDBG_UUID_BYTES];
    const struct tdbg_cfg_node *inject; /* faults to plant, no longer in config; NULL: none */
    const char *inject_text;            /* "": none */
};

struct cli_rank {
    const struct cli_recording *run;
    int32_t rank;
    char *path;                    /* of its trace */
    struct tdbg_comm *comm;        /* NULL: it is the only one */
    struct tdbg_comm *alone;       /* in place of comm where the only one wants NCCL; or NULL */
    struct tdbg_comm *nccl;        /* carries what ranks contribute, instead of comm; or NULL */
    struct tdbg_source_live *live; /* borrowed from run or owned */
    struct tdbg_source_ranks *others;
    struct tdbg_backend *backend; /* computes */
    /* Adds what ranks contribute: in the host's memory, or with NCCL on the GPU; NULL: there is
     * nothing to add. */
    struct tdbg_backend *adder;
    struct tdbg_err passed_over; /* why a GPU is not used that seems to be there */
    struct tdbg_recorder *recorder;
    struct tdbg_faults *faults; /* NULL: none */
    struct tdbg_engine *engine;
    struct tdbg_trace *parent; /* the trace to go on from, of this rank; NULL: none */
    struct tdbg_step_info last;
    int64_t steps_done; /* from 0, also in a run that goes on */
    bool failure_told;  /* that recording had to stop */
    bool has_trace;     /* was opened */
    int stop_signal;    /* of any rank, after which all have stopped */
    pthread_t thread;
    enum tdbg_status status;
    struct tdbg_err fault; /* with status */
};

/* In this order. start: names the trace and starts the writer process, before threads and devices
 * are; open_device, with comm and live set; connect: how what ranks contribute travels (ranks that
 * are processes call it at once); build: engine and state; check: that the other ranks have the
 * same (all of them call it at once); open: the trace; train: all steps, on any thread; close:
 * waits until the trace is whole. */
enum tdbg_status cli_rank_start(struct cli_rank *r, const struct cli_recording *run, int32_t rank,
                                int announce_fd, struct tdbg_err *err);
enum tdbg_status cli_rank_open_device(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_connect(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_build(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_check(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_open(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_train(struct cli_rank *r, struct tdbg_err *err);
enum tdbg_status cli_rank_close(struct cli_rank *r, struct tdbg_err *err);
/* Instead of train: the other ranks could not begin, and the trace without a step goes. */
void cli_rank_discard(struct cli_rank *r);
void cli_rank_release(struct cli_rank *r); /* not comm */

#endif
