/* Before the first step: have all ranks been started with the same things, and is each ready? */
#ifndef TDBG_ENGINE_RANK_CHECK_H
#define TDBG_ENGINE_RANK_CHECK_H

#include "engine/comm.h"
#include "engine/engine.h"

/* What has to be the same on all ranks, as digests. */
struct tdbg_rank_facts {
    uint64_t program; /* the executable file; 0: not known */
    uint64_t config;  /* as it took effect */
    uint64_t dataset; /* samples and targets */
    uint64_t state;   /* parameters and optimizer state before the first step */
    int64_t world_size, first_step;
    int64_t numerics_version;
};

/* Digest of the running program's file; 0: it cannot be read. */
uint64_t tdbg_rank_program_digest(void);

/* Digest of the parameters and the optimizer state, but not of running statistics, which are each
 * rank's own. */
enum tdbg_status tdbg_rank_state_digest(const struct tdbg_engine *engine, uint64_t *digest,
                                        struct tdbg_err *err);

/* Compares with those of rank 0. TDBG_RANKS on all ranks, with the same message, which names the
 * first rank that differs, and in what. */
enum tdbg_status tdbg_rank_check(struct tdbg_comm *comm, const struct tdbg_rank_facts *mine,
                                 struct tdbg_err *err);

/* All ranks tell each other how far they have come: st with its error, or TDBG_OK. Returns
 * TDBG_OK where all are well, else the failure of this rank or that of the first which has one.
 * *speaks: this rank is the one to say so, because no rank before it has the same failure. */
enum tdbg_status tdbg_rank_meet(struct tdbg_comm *comm, enum tdbg_status st, bool *speaks,
                                struct tdbg_err *err);

#endif
