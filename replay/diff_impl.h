/* What the files of a diff share: diff.c judges, diff_align.c pairs the tensors, diff_about.c
 * compares what the runs are, diff_search.c finds the step, diff_within.c does so with a tolerance,
 * diff_deep.c reads the values, diff_growth.c says how the difference grows. */
#ifndef TDBG_REPLAY_DIFF_IMPL_H
#define TDBG_REPLAY_DIFF_IMPL_H

#include "base/arena.h"
#include "replay/diff.h"
#include "replay/step_values.h"

/* One run: its files, and the digests of the step that is compared. */
struct tdbg_diff_side {
    struct tdbg_rank_group *group;
    struct tdbg_trace *first; /* of the lowest rank */
    int32_t *match;           /* (n_sites): the other side's site with comparable digests, or -1 */
    uint64_t **digests;       /* (world_size), in the order of the file; NULL: no file */
    struct tdbg_step_row row; /* of the first file */
    struct tdbg_step_values *values; /* NULL until some are asked for */
};

struct tdbg_diff {
    struct tdbg_diff_side a, b, noise; /* noise.group NULL: there is none */
    const struct tdbg_diff_options *options;
    struct tdbg_diff_report *report;
    int32_t *noise_site; /* (sites of a) the same tensor in the repeat, or -1 */
    uint32_t chains;     /* that were searched, bit by bit */
    bool *differs;       /* (sites of a) in the step that is compared, by digest */
};

/* Memory that the values of one step may take at once, per side. */
enum { TDBG_DIFF_VALUE_BYTES = 256 << 20 };

/* Fills match of a and b, and the report's pairs and lists of what has no partner. */
void tdbg_diff_align(struct tdbg_diff *d);

/* Sites of a and b that have no partner by name and are each other's under another: a[i] and b[i]
 * of the joined lists, of which there is room for all; returns how many. Fills the report's list of
 * names. */
int32_t tdbg_diff_find_renamed(struct tdbg_diff *d, int32_t *a, int32_t *b);

/* Config, environment, data, run and notes. */
enum tdbg_status tdbg_diff_about(struct tdbg_diff *d, struct tdbg_err *err);

/* Reads a step of both and marks what differs by digest: `differs`, and the report's
 * n_sites_differ. *differs: is there any? */
enum tdbg_status tdbg_diff_compare_step(struct tdbg_diff *d, int64_t step, bool *differs,
                                        struct tdbg_err *err);
enum tdbg_status tdbg_diff_read_side(struct tdbg_diff_side *side, int64_t step,
                                     struct tdbg_diff_report *report, struct tdbg_err *err);

/* Digest of a joined site in what was read last, as the file that stands for it has it; false:
 * that step has none. */
bool tdbg_diff_digest(const struct tdbg_diff_side *side, int32_t site, int64_t step,
                      uint64_t *digest);

/* The first step of the compared ones that differs by chains and digests, or the one behind the
 * last. */
enum tdbg_status tdbg_diff_find_step(struct tdbg_diff *d, int64_t *first, struct tdbg_err *err);

/* Loads the values of pairs (n) of a step, all at once, from one side. tdbg_diff_take() then gives
 * those of the k-th pair, parts put together: *data is to be freed; NULL: they cannot be had, *why
 * says why. */
enum tdbg_status tdbg_diff_load(struct tdbg_diff *d, struct tdbg_diff_side *side,
                                const int32_t *pairs, int32_t n, int64_t step, bool executes,
                                struct tdbg_err *err);
enum tdbg_status tdbg_diff_take(const struct tdbg_diff *d, const struct tdbg_diff_side *side,
                                const int32_t *pairs, int32_t k, void **data, int64_t *n_elems,
                                const char **why, struct tdbg_err *err);

/* How many of the pairs (n) fit into TDBG_DIFF_VALUE_BYTES together: the first, at least. */
int32_t tdbg_diff_batch(const struct tdbg_diff *d, const int32_t *pairs, int32_t n);

/* From step `from` on, up to the report's last: the first pair beyond the tolerance. Sets verdict,
 * step, at and elements. */
enum tdbg_status tdbg_diff_search_within(struct tdbg_diff *d, int64_t from, struct tdbg_err *err);

/* The same for pairs that are cut into other parts, in one step, bit for bit, and only those before
 * the pair `end`: *at is the first that differs, or `end`. */
enum tdbg_status tdbg_diff_compare_parts(struct tdbg_diff *d, int64_t step, int32_t end,
                                         int32_t *at, struct tdbg_err *err);

enum tdbg_status tdbg_diff_read_deep(struct tdbg_diff *d, int64_t end, struct tdbg_err *err);
enum tdbg_status tdbg_diff_measure_growth(struct tdbg_diff *d, struct tdbg_err *err);

/* TDBG_INTERRUPTED where somebody wants to stop. */
enum tdbg_status tdbg_diff_progress(const struct tdbg_diff *d, int64_t done, int64_t total,
                                    struct tdbg_err *err);

#endif
