/* rankdiff: in which sites the ranks of a run differ, by the digests in their files. */
#ifndef TDBG_REPLAY_EXPRESSION_RANKS_H
#define TDBG_REPLAY_EXPRESSION_RANKS_H

#include "replay/expression.h"
#include "trace/rank_group.h"

struct tdbg_expr_ranks;

/* Opens the files of all ranks of the trace's run. TDBG_CANNOT_JUDGE where fewer than two of them
 * can be read. */
enum tdbg_status tdbg_expr_ranks_open(struct tdbg_trace *trace, struct tdbg_expr_ranks **out,
                                      struct tdbg_err *err);
void tdbg_expr_ranks_close(struct tdbg_expr_ranks *ranks); /* NULL is fine */

/* How many of the term's sites (numbers of the trace's own list, of the whole step) have other
 * digests in one rank's file than in another's. *is_known false: at this step fewer than two files
 * have digests of them. */
enum tdbg_status tdbg_expr_ranks_count(struct tdbg_expr_ranks *ranks,
                                       const struct tdbg_expr_term *term, int64_t step,
                                       bool evaluated, int64_t *n, bool *is_known,
                                       struct tdbg_err *err);

/* The same over the n steps of a zone from `first` on (trace/schema.h): can one of the sites differ
 * at one of them, and is it known at all of them whether? false: the files' zones do not tell. */
bool tdbg_expr_ranks_compare_zone(struct tdbg_expr_ranks *ranks, const struct tdbg_expr_term *term,
                                  int64_t first, int64_t n, bool *may_differ, bool *is_known);

#endif
