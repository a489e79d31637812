/* Diff of two traces: what is different in config and data, and the first step and site where the
 * runs part. Trusts digests and chains. */
#ifndef TDBG_REPLAY_DIFF_H
#define TDBG_REPLAY_DIFF_H

#include "replay/compare.h"
#include "replay/config_diff.h"
#include "trace/reader.h"

struct tdbg_diff_report {
    struct tdbg_arena *arena; /* owns the lists below; tdbg_diff_clear() frees it */
    struct tdbg_config_difference *config;
    int n_config;
    bool data_differs; /* the data sets have other fingerprints */

    /* Sites by name, lane, micro-batch, shape and dtype. */
    int32_t n_common;
    const char **only_a, **only_b; /* labels */
    int32_t n_only_a, n_only_b;

    int64_t first_step, n_steps; /* compared: those that both have */
    int64_t n_steps_a, n_steps_b;
    int64_t n_reads; /* of step rows and digest rows, to find the answer */

    bool same;              /* all that could be compared is equal */
    int64_t step;           /* the first step that differs */
    int32_t site_a, site_b; /* the first site in dataflow order, or -1: only a chain differs */
    int chain;              /* whose h(step) differs, when site_a == -1 */
    int64_t n_sites_differ; /* in that step */
    bool has_elements;
    struct tdbg_tensor_difference elements;
    char *elements_missing; /* why there are none, or NULL; in the arena */
};

/* TDBG_OK with report->same or the first difference; TDBG_CANNOT_JUDGE when the traces have no step
 * or no site in common. Values that are not stored are recomputed if the traces have recompute
 * functions registered. */
enum tdbg_status tdbg_diff_traces(struct tdbg_trace *a, struct tdbg_trace *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err);
void tdbg_diff_clear(struct tdbg_diff_report *report);

#endif
