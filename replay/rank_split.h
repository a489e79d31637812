/* Do the ranks of a run agree on what they have in common? By the digests in their files. */
#ifndef TDBG_REPLAY_RANK_SPLIT_H
#define TDBG_REPLAY_RANK_SPLIT_H

#include "trace/rank_group.h"

struct tdbg_rank_split {
    bool found;
    int64_t step;           /* the first in which they do not */
    int32_t site;           /* of the joined list: the first in dataflow order that differs there */
    int32_t n_odd, n_files; /* so many of the ranks that have it differ from most of them */
    char ranks[120];        /* "2" or "1, 3": which, as far as there is room */
};

/* Compares steps first .. first + n - 1, which all files that are there have, of the sites of the
 * whole step: chains by binary search, then the digests of one step. n_reads (may be NULL) grows by
 * the rows read. */
enum tdbg_status tdbg_rank_split_find(const struct tdbg_rank_group *group, int64_t first, int64_t n,
                                      struct tdbg_rank_split *out, int64_t *n_reads,
                                      struct tdbg_err *err);

/* Steps that every file that is there has: *first .. *first + *n - 1; *n may be 0. */
void tdbg_rank_split_steps(const struct tdbg_rank_group *group, int64_t *first, int64_t *n);

/* First step in [lo, hi) at which one of these chains (bit c: chain c) of two traces differs, or
 * hi; they have to be of the same sites and to agree before lo. Once a chain differs it differs in
 * every later step, and one row has them all: at most 2 + 2 log2(hi - lo) rows are read. */
enum tdbg_status tdbg_chain_search(struct tdbg_trace *a, struct tdbg_trace *b, uint32_t chains,
                                   int64_t lo, int64_t hi, int64_t *first, int64_t *n_reads,
                                   struct tdbg_err *err);

#endif
