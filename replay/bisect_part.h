/* Where two runs part: both are executed side by side, every tensor of every step is compared, and
 * the step in which the first differs is run again. What the traces hold of it does not matter. */
#ifndef TDBG_REPLAY_BISECT_PART_H
#define TDBG_REPLAY_BISECT_PART_H

#include "replay/bisect_trial.h"
#include "replay/compare.h"
#include "replay/dataflow.h"

enum { TDBG_PART_REPEATS = 2 };

struct tdbg_part_input {
    const char *label; /* "fwd/fc1 lane 0 micro 0" */
    bool in_both;      /* the other run has such a tensor, */
    bool same;         /* with the same bits */
};

struct tdbg_bisect_part {
    struct tdbg_arena *arena; /* owns the texts below */
    bool is_found;            /* false: up to the last step that was asked for nothing differs */
    int64_t step;
    struct tdbg_site site;     /* of the good run: the first in dataflow order */
    uint64_t digest[2];        /* good, bad */
    int32_t n_sites, n_differ; /* that both runs have, and that differ in this step */

    struct tdbg_part_input input[TDBG_DATAFLOW_INPUTS]; /* that it is computed from */
    int n_inputs;
    bool inputs_same; /* all of them are there in both runs, with the same bits */

    bool repeats[2];     /* executed twice more, this run gives the same bits each time */
    int32_t recorded[2]; /* is the digest in the trace the one that was executed? 1, 0; -1: none */
    bool has_elements;
    struct tdbg_tensor_difference elements;
    struct tdbg_bisect_state before[2]; /* that step, of each run */
};

/* Executes the good and the bad run from runs->start up to step `last` at the most. Clear the
 * result with tdbg_bisect_part_clear(). */
enum tdbg_status tdbg_bisect_part_find(struct tdbg_bisect_runs *runs, int64_t last,
                                       struct tdbg_bisect_part *out, struct tdbg_err *err);
void tdbg_bisect_part_clear(struct tdbg_bisect_part *part);

#endif
