/* What the terminal reads: a small table of functions, so that tests can show a run that was never
 * recorded. data_trace.c fills it from a trace; everything else in tui/ knows only this table. */
#ifndef TDBG_TUI_DATA_H
#define TDBG_TUI_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/vocabulary.h"
#include "trace/schema.h"

struct tdbg_trace;
struct tdbg_rank_split;
struct tdbg_tui_data;

/* The files of the other ranks of the run, which are opened when they are first asked for. */
struct tdbg_tui_ranks {
    void *context; /* first argument of the functions */
    int32_t n;     /* ranks of the run */

    /* The table of a rank's file, which outlives the terminal; its sites have the same numbers in
     * every rank's. NULL: it is not there, and *why says why. */
    const struct tdbg_tui_data *(*open)(void *context, int32_t rank, const char **why);

    /* The first step at which files differ in what all have (replay/rank_split.h). */
    enum tdbg_status (*find_split)(void *context, struct tdbg_rank_split *out,
                                   struct tdbg_err *err);

    /* Digest of what the values of reduce_in that are stored fold to, for a site of reduce_out.
     * TDBG_NOT_FOUND, and others, where they are not all there. */
    enum tdbg_status (*fold)(void *context, int64_t step, int32_t site, uint64_t *digest,
                             struct tdbg_err *err);
};

/* Everything pointed to is borrowed and outlives the terminal. n_steps >= 1, n_sites >= 0. */
struct tdbg_tui_data {
    void *context; /* first argument of the functions */
    const char *path;
    const struct tdbg_run_info *info;
    const struct tdbg_site *sites; /* (n_sites), in dataflow order */
    int32_t n_sites;
    int64_t first_step, n_steps;
    bool closed; /* the writer finished the file */

    /* n rows from step `first` on into rows (n). */
    enum tdbg_status (*read_steps)(void *context, int64_t first, int64_t n,
                                   struct tdbg_step_row *rows, struct tdbg_err *err);

    /* Statistics of all sites of one step into out (n_sites); absent ones have min = NaN and all
     * counts 0. */
    enum tdbg_status (*read_step_stats)(void *context, int64_t step, struct tdbg_stats *out,
                                        struct tdbg_err *err);

    /* The zone (trace/schema.h) that a step is in: *n steps from *first on, and of which sites one
     * of them has NaN or infinities, as far as is recorded, into is_faulty (n_sites). false: none
     * covers it. NULL: the trace has no zones. */
    bool (*find_faults)(void *context, int64_t step, int64_t *first, int64_t *n, bool *is_faulty);

    /* Statistics of one site. TDBG_NOT_FOUND where none were recorded. */
    enum tdbg_status (*read_stats)(void *context, int64_t step, int32_t site,
                                   struct tdbg_stats *out, struct tdbg_err *err);

    /* The last keyframe at or before `step`: its step, or -1. */
    int64_t (*keyframe_before)(void *context, int64_t step);

    /* Direct inputs of a site, ascending, into out (TDBG_DATAFLOW_INPUTS): returns how many, or -1
     * where no graph is known. NULL: none is. */
    int (*inputs)(void *flow, int32_t site, int32_t *out);
    void *flow;
    /* Digests of all sites of one step into out (n_sites); 0 where none was taken. */
    enum tdbg_status (*read_digests)(void *context, int64_t step, uint64_t *out,
                                     struct tdbg_err *err);

    const struct tdbg_samples_spec *samples; /* of the training set; NULL: there are none */
    /* Sample ids of the step's batch, of all ranks: ids has room for info->batch; *n: how many. */
    enum tdbg_status (*read_batch_ids)(void *context, int64_t step, int64_t *ids, int64_t *n,
                                       struct tdbg_err *err);
    /* Raw training samples by id: x (n, x_dims), y (n, y_dims). */
    enum tdbg_status (*read_samples)(void *context, int64_t n, const int64_t *ids, void *x, void *y,
                                     struct tdbg_err *err);

    /* What the tokens of samples stand for, until the next call of anything else; n_tokens 0: it is
     * not recorded. */
    enum tdbg_status (*read_vocabulary)(void *context, const struct tdbg_vocabulary **out,
                                        struct tdbg_err *err);

    const struct tdbg_tui_ranks *ranks; /* NULL: the run has one */
};

/* The table over an open trace; it borrows the trace. */
struct tdbg_tui_data tdbg_tui_data_from_trace(struct tdbg_trace *trace);

/* Adds the dataflow, which is found when it is first asked for. */
void tdbg_tui_data_add_flow(struct tdbg_tui_data *data, struct tdbg_trace *trace);
void tdbg_tui_data_free_flow(struct tdbg_tui_data *data);

/* Were these statistics recorded? (An empty part of a batch looks the same: nothing to show.) */
bool tdbg_tui_stats_present(const struct tdbg_stats *stats);

/* L2 norm of a tensor by its statistics: NaN or Inf where there are any. false: none were recorded.
 */
bool tdbg_tui_stats_norm(const struct tdbg_site *site, const struct tdbg_stats *stats,
                         double *norm);

/* Statistics of a site that was not recorded. */
extern const struct tdbg_stats tdbg_tui_stats_absent;

#endif
