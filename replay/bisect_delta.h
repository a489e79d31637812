/* What is different between two runs, as a list of things each of which a trial takes from one run
 * or the other. A run is a function of four things, each of which is changed alone: its config, its
 * initial state, the order of its samples, and the samples. One key of the config, `seed`, decides
 * on several of them. */
#ifndef TDBG_REPLAY_BISECT_DELTA_H
#define TDBG_REPLAY_BISECT_DELTA_H

#include "base/arena.h"
#include "replay/bisect_side.h"
#include "replay/config_diff.h"

enum tdbg_delta_kind {
    TDBG_DELTA_CONFIG,       /* keys of the config that mean nothing one without the other */
    TDBG_DELTA_SEED,         /* of dropout and augmentation */
    TDBG_DELTA_STATE,        /* before the first step */
    TDBG_DELTA_ITEM,         /* of it: one tensor */
    TDBG_DELTA_ORDER,        /* which samples are in a step's batch */
    TDBG_DELTA_BATCH,        /* of it: the batches of a few steps, of two traces */
    TDBG_DELTA_DATA,         /* the samples */
    TDBG_DELTA_SAMPLE,       /* of them: one */
    TDBG_DELTA_RANK,         /* what a rank contributed to sums (bisect_contribution.h) */
    TDBG_DELTA_CONTRIBUTION, /* of it: one tensor in one step */
    TDBG_DELTA_NONE,         /* keys that change no bit */
};

struct tdbg_delta {
    enum tdbg_delta_kind kind;
    const char *name; /* "optimizer.lr", "initial parameters", "sample 17" */
    const char *unit; /* of CONFIG: as tdbg_config_merge() calls it */
    /* CONFIG: the keys that it is; STATE, ORDER, DATA: those that may have made it other. */
    struct tdbg_config_difference *keys;
    int n_keys;
    int whole;      /* what it is a part of, or -1: only where that is looked into */
    const char *of; /* ITEM, CONTRIBUTION: the tensor */
    int64_t sample; /* SAMPLE: its id */
    int32_t rank;   /* RANK, CONTRIBUTION: who contributed; -1: the sum */
    int64_t step; /* CONTRIBUTION: the step; RANK, ORDER, BATCH: the first (ORDER: -1: not known) */
    int64_t last; /* BATCH: the last */
};

struct tdbg_deltas {
    struct tdbg_arena *arena; /* owns the lists below */
    struct tdbg_delta *item;  /* wholes first */
    int n, n_wholes;
    struct tdbg_config_difference *idle; /* keys that differ and change no bit */
    int n_idle;
    int n_keys; /* that differ in all */
};

enum {
    TDBG_MOST_SAMPLE_DELTAS = 4096, /* where more differ, they are taken as one */
    TDBG_MOST_BATCH_DELTAS = 512,   /* where more differ, several neighbours are one */
};

struct tdbg_delta_options {
    int64_t first, end; /* the steps that count */
    bool is_live;       /* batches come from data sets, else from traces */
    bool with_eval;     /* evaluations matter */
};

/* What a key of the config acts on; evaluations matter. */
enum tdbg_delta_kind tdbg_delta_kind_of(const char *key);

/* The states are those before step `first`. Destroy with tdbg_deltas_clear(). */
enum tdbg_status tdbg_deltas_find(struct tdbg_bisect_side side[2],
                                  const struct tdbg_bisect_state state[2],
                                  const struct tdbg_delta_options *options, struct tdbg_deltas *out,
                                  struct tdbg_err *err);
void tdbg_deltas_clear(struct tdbg_deltas *deltas);

/* The first delta of a kind, or -1. */
int tdbg_deltas_first(const struct tdbg_deltas *deltas, enum tdbg_delta_kind kind);
/* That of a unit of the config, or -1: it changes no bit. */
int tdbg_deltas_unit(const struct tdbg_deltas *deltas, const char *unit);

/* Is the batch of one run cut otherwise than that of the other, so that what traces hold of batches
 * does not do? */
bool tdbg_deltas_need_data(const struct tdbg_bisect_side side[2]);

#endif
