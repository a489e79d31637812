/* Verify: re-execute recorded steps and compare every recorded site bit for bit. */
#ifndef TDBG_REPLAY_VERIFY_H
#define TDBG_REPLAY_VERIFY_H

#include "replay/compare.h"
#include "replay/session.h"

struct tdbg_verify_options {
    struct tdbg_session_options session;
    int64_t from, to;  /* steps, both inclusive; -1: the first, the last */
    bool digests_only; /* leave the stored values alone: the report has no elements */
    /* Called after every step for progress; may be NULL. Nonzero stops (TDBG_INTERRUPTED). */
    int (*progress)(void *context, int64_t step, int64_t done, int64_t total, float loss);
    void *progress_context;
};

/* What was found. differ counts (step, site, file) triples. */
struct tdbg_verify_report {
    int64_t n_steps, verified_steps; /* asked for; without any difference */
    int32_t n_sites;                 /* that have digests */
    int64_t differ;
    char no_evaluation[240]; /* why evaluations could not be executed, which were left out; or "" */
    bool sums_taken; /* the reductions are not strict, so that their sums were taken as recorded */
    /* The first difference, in step order and then dataflow order; valid if differ > 0. */
    int64_t step;
    int32_t rank;                /* whose file it is: the lowest that differs */
    int32_t site;                /* of that file; -1: all sites agree, but a hash chain does not */
    int32_t n_differ, n_places;  /* of the files that have this site, how many differ; */
    char ranks[120];             /* "2" or "1, 3": which, as far as there is room */
    int chain;                   /* whose h(step) is wrong, if site == -1 */
    uint64_t recorded, computed; /* digests (or chain values) */
    bool has_elements;           /* the recorded value is stored: elements holds the comparison */
    struct tdbg_tensor_difference elements; /* a = recorded, b = computed */
};

/* TDBG_OK whether or not something differs: see report->differ. Damaged data (a stored value that
 * does not have its recorded digest) is TDBG_DAMAGED and names step and site. */
enum tdbg_status tdbg_verify_trace(struct tdbg_trace *trace,
                                   const struct tdbg_verify_options *options,
                                   struct tdbg_verify_report *report, struct tdbg_err *err);

/* All ranks whose files are there, executed as one and compared with all of these files; every
 * reduction is computed from the lanes. Where reductions are not strict (engine.comm.algorithm),
 * one rank after another is executed, with the sums that were recorded. */
enum tdbg_status tdbg_verify_group(struct tdbg_rank_group *group,
                                   const struct tdbg_verify_options *options,
                                   struct tdbg_verify_report *report, struct tdbg_err *err);

/* The same with a session, which stands after step `to` when it is done; options->session is not
 * used. */
enum tdbg_status tdbg_verify_session(struct tdbg_session *session,
                                     const struct tdbg_verify_options *options,
                                     struct tdbg_verify_report *report, struct tdbg_err *err);

#endif
