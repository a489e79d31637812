/* Diff of two traces: what is different in config, environment, data and the lists of sites, then
 * the first step and site where the runs part, and how the difference grows from there. Trusts
 * digests and chains, unless it is asked to read the values as well. */
#ifndef TDBG_REPLAY_DIFF_H
#define TDBG_REPLAY_DIFF_H

#include "replay/compare.h"
#include "replay/config_diff.h"
#include "replay/rank_split.h"
#include "replay/session.h"

enum tdbg_diff_verdict { TDBG_DIFF_SAME, TDBG_DIFF_DIFFERS, TDBG_DIFF_CANNOT_JUDGE };

/* How a tensor of A found the one of B that it is compared with. */
enum tdbg_diff_how {
    TDBG_DIFF_EXACT,   /* name, lane, micro-batch, dtype and shape */
    TDBG_DIFF_BY_NAME, /* name, dtype and shape; the lane is numbered otherwise */
    TDBG_DIFF_RENAMED, /* place in the dataflow, op, lane, micro-batch, dtype and shape */
    TDBG_DIFF_BY_PARTS /* name, dtype and the whole batch's shape: it is cut into other lanes or
                        * micro-batches, which are put together again, so that only values can be
                        * compared */
};

struct tdbg_diff_pair {
    enum tdbg_diff_how how;
    struct tdbg_site site; /* as in A; BY_PARTS: of the whole batch, without a lane */
    const int32_t *a, *b;  /* sites of the joined lists: one, or the parts in order */
    int32_t n_a, n_b;
};

/* One tensor's distance at the growth's steps; NaN where it is not known or not finite. */
struct tdbg_diff_growth_row {
    int32_t pair;
    double *relative; /* (n_steps) rms(a - b) / rms(a) */
    double *largest;  /* (n_steps) |a - b| */
};

struct tdbg_diff_growth {
    int64_t *step; /* (n_steps), from the first that differs to the last common one */
    double *loss_a, *loss_b;
    int n_steps;
    struct tdbg_diff_growth_row *row; /* (n_rows), in dataflow order */
    int n_rows, n_left_out; /* tensors that would have been read, but for the limit of bytes */
};

/* A value that does not have the digest that is recorded beside it. */
struct tdbg_diff_changed {
    bool in_b;
    int32_t rank, site; /* of the joined list of that side */
    int64_t step;
};

struct tdbg_diff_report {
    struct tdbg_arena *arena; /* owns the lists below; tdbg_diff_clear() frees it */
    struct tdbg_config_difference *config, *environment, *run, *data;
    int n_config, n_environment, n_run, n_data;
    bool data_differs;  /* the data sets have other fingerprints */
    const char **notes; /* what of that is reason enough for other bits, in sentences */
    int n_notes;

    /* Tensors of all ranks whose files are there. */
    struct tdbg_diff_pair *pair; /* (n_pairs) in A's dataflow order */
    int32_t n_pairs, n_by_name, n_by_parts, n_by_place;
    const char **renamed; /* layers of the RENAMED pairs, "fc1 -> in" */
    int32_t n_renamed;
    const char **only_a, **only_b; /* names without a partner, "fwd/fc3 (4 parts)" */
    const char **reshaped;         /* names that are in both with nothing in common but that */
    int32_t n_only_a, n_only_b, n_reshaped;

    int64_t first_step, n_steps; /* compared: those that all files of both have */
    int64_t n_steps_a, n_steps_b;
    int64_t n_chain_reads; /* rows of /steps, */
    int64_t n_reads;       /* and with rows of digests, to find the answer */
    int64_t steps_executed;

    enum tdbg_diff_verdict verdict;
    bool same;              /* verdict is SAME */
    const char *reason;     /* of CANNOT_JUDGE */
    bool has_step;          /* a step and what follows are known */
    int64_t step;           /* the first step that differs */
    int32_t at;             /* pair: the first in dataflow order, or -1: only a chain differs; */
    int32_t site_a, site_b; /* its sites, of the joined lists, or -1 */
    int32_t rank_a, rank_b; /* whose files were compared there, */
    int32_t n_ranks_a, n_ranks_b; /* and how many of each side's differ from the other side's */
    int chain;                    /* whose h(step) differs, when at == -1 */
    int64_t n_sites_differ;       /* of A, in that step, by digest */
    bool *pair_differs;           /* (n_pairs) likewise */
    bool has_elements;
    struct tdbg_tensor_difference elements;
    const char *elements_missing; /* why there are none, or NULL */

    /* With a tolerance: where the bits part, which may be earlier; and what was looked at. */
    bool is_within;                           /* a tolerance was used, */
    int64_t bits_step, n_compared, n_unknown; /* -1: nowhere; tensors compared by their values */
    const char *unknown_why;                  /* of the first that could not be */
    double allowed;                           /* |a - b| at `at` by --noise; NaN: there is none */

    bool is_deep; /* stored values were read, */
    int64_t n_read_deep;
    bool has_changed; /* and one does not have its digest */
    struct tdbg_diff_changed changed;

    struct tdbg_diff_growth growth;

    /* Where the ranks of one run part from each other, whatever the other run does. */
    struct tdbg_rank_split split_a, split_b;
};

struct tdbg_diff_options {
    struct tdbg_tolerance tolerance;
    struct tdbg_rank_group *noise; /* a repeat of A, for a tolerance per tensor; NULL: none */
    bool deep;                     /* re-hash all stored values of the steps that are compared */
    bool grows;    /* how the difference grows, of tensors whose values are stored */
    bool executes; /* growth: of the others too, by executing the steps again */
    struct tdbg_session_options execution;
    int (*progress)(void *context, int64_t done,
                    int64_t total); /* steps; not 0 stops; NULL: none */
    void *progress_context;
};

/* |a - b| may be this much larger than the largest difference between A and its repeat so far. */
#define TDBG_DIFF_NOISE_FACTOR 4.0

/* Bits, nothing more. */
struct tdbg_diff_options tdbg_diff_default_options(void);

/* Compares runs of one or more ranks; the number of ranks may differ. TDBG_OK with a verdict, also
 * where nothing can be judged: no step or site in common; bits that differ between runs of which
 * one does not promise to repeat them; a tolerance where values cannot be had. Values that are not
 * stored are recomputed if the traces have recompute functions registered. TDBG_INTERRUPTED when
 * the progress function says so. */
enum tdbg_status tdbg_diff_runs(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                const struct tdbg_diff_options *options,
                                struct tdbg_diff_report *report, struct tdbg_err *err);

/* The same for who wants to know where the bits part, and nothing more. TDBG_CANNOT_JUDGE where the
 * runs have no step or no site in common. */
enum tdbg_status tdbg_diff_groups(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err);
void tdbg_diff_clear(struct tdbg_diff_report *report);

#endif
