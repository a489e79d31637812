/* What a value can be, of which is known only that it lies between bounds: arithmetic, comparisons
 * and truth over sets of possible values. Whatever an operation gives for values of its operands'
 * ranges is in the range of its result; ranges may be too wide, never too narrow.
 *
 * Bounds are computed in doubles as the values are: rounding to the nearest is monotone, so the
 * rounded result of the bounds bounds the rounded results. */
#ifndef TDBG_REPLAY_VALUE_RANGE_H
#define TDBG_REPLAY_VALUE_RANGE_H

#include <math.h>
#include <stdbool.h>

#include "replay/expression.h"

struct tdbg_value_range {
    double low, high;   /* of the numbers, infinite ones too; low > high: it is no number */
    bool may_be_nan;    /* besides */
    bool may_be_absent; /* it may have no value (expression_eval.h) */
};

static inline struct tdbg_value_range tdbg_value_between(double low, double high, bool may_be_nan)
{
    return (struct tdbg_value_range){low, high, may_be_nan, false};
}

static inline struct tdbg_value_range tdbg_value_no_number(bool may_be_nan)
{
    return tdbg_value_between((double)INFINITY, -(double)INFINITY, may_be_nan);
}

/* Nothing is known of it. */
static inline struct tdbg_value_range tdbg_value_any(void)
{
    return (struct tdbg_value_range){-(double)INFINITY, (double)INFINITY, true, true};
}

/* What is in either. */
struct tdbg_value_range tdbg_value_union(struct tdbg_value_range a, struct tdbg_value_range b);

/* Of an operator of the tree, over its operands; b is not looked at where it has one. */
struct tdbg_value_range tdbg_value_compute(enum tdbg_expr_code code, struct tdbg_value_range a,
                                           struct tdbg_value_range b);

/* Can it have a value that is true (not 0), or one that is false? */
bool tdbg_value_may_hold(struct tdbg_value_range range);
bool tdbg_value_may_fail(struct tdbg_value_range range);

#endif
