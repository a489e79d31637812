/* Diff of two traces: what is different in config and data, and the first step and site where the
 * runs part. Trusts digests and chains. */
#ifndef TDBG_REPLAY_DIFF_H
#define TDBG_REPLAY_DIFF_H

#include "replay/compare.h"
#include "replay/config_diff.h"
#include "replay/rank_split.h"

struct tdbg_diff_report {
    struct tdbg_arena *arena; /* owns the lists below; tdbg_diff_clear() frees it */
    struct tdbg_config_difference *config;
    int n_config;
    bool data_differs; /* the data sets have other fingerprints */

    /* Sites of all ranks whose files are there, by name, lane, micro-batch, shape and dtype. */
    int32_t n_common;
    const char **only_a, **only_b; /* labels */
    int32_t n_only_a, n_only_b;

    int64_t first_step, n_steps; /* compared: those that all files of both have */
    int64_t n_steps_a, n_steps_b;
    int64_t n_reads; /* of step rows and digest rows, to find the answer */

    bool same;              /* all that could be compared is equal */
    int64_t step;           /* the first step that differs */
    int32_t site_a, site_b; /* of the joined lists: the first in dataflow order, or -1: only a chain
                             * differs */
    int32_t rank_a, rank_b; /* whose files were compared there, */
    int32_t n_ranks_a, n_ranks_b; /* and how many of each side's differ from the other side's */
    int chain;                    /* whose h(step) differs, when site_a == -1 */
    int64_t n_sites_differ;       /* in that step */
    bool has_elements;
    struct tdbg_tensor_difference elements;
    char *elements_missing; /* why there are none, or NULL; in the arena */

    /* Where the ranks of one run part from each other, whatever the other run does. */
    struct tdbg_rank_split split_a, split_b;
};

/* Compares runs of one or more ranks; the number of ranks may differ. TDBG_OK with report->same or
 * the first difference; TDBG_CANNOT_JUDGE when the traces have no step or no site in common. Values
 * that are not stored are recomputed if the traces have recompute functions registered. */
enum tdbg_status tdbg_diff_groups(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err);
void tdbg_diff_clear(struct tdbg_diff_report *report);

#endif
