/* What a function of an expression gathers over its sites, and its result. All elements of all
 * sites count together, as if they were one tensor. */
#ifndef TDBG_REPLAY_EXPRESSION_VALUE_H
#define TDBG_REPLAY_EXPRESSION_VALUE_H

#include "base/digest.h"
#include "replay/expression.h"

/* Start with {0}. */
struct tdbg_expr_gathered {
    int64_t n_tensors, elems, finite;
    double min, max, sum, sum_of_squares; /* of the finite elements */
    double mean, rms;                     /* of the only tensor, to the last bit */
    uint64_t zeros, nans, infs;
    double update_squares, weight_squares; /* of update_ratio */
    int64_t differ;                        /* of rankdiff: sites */
};

/* Adds a tensor of so many elements with these statistics. */
void tdbg_expr_gather_stats(struct tdbg_expr_gathered *g, const struct tdbg_stats *stats,
                            int64_t elems);

/* Adds the slice that the term takes of a value with elems valid elements. scratch has room for
 * the whole value. */
void tdbg_expr_gather_slice(struct tdbg_expr_gathered *g, const struct tdbg_expr_term *term,
                            const struct tdbg_site *site, const void *data, int64_t elems,
                            void *scratch);

/* Adds a parameter before and after the step. */
void tdbg_expr_gather_update(struct tdbg_expr_gathered *g, const void *before, const void *after,
                             enum tdbg_dtype dtype, int64_t elems);

/* NaN where there is no element to tell from. */
double tdbg_expr_result(enum tdbg_expr_function function, const struct tdbg_expr_gathered *g);

#endif
