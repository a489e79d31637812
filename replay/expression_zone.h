/* What an expression can be over the steps of a zone (trace/schema.h), from the zone's bounds
 * alone; of diverges() from the rows of its steps. What zones do not tell of, slices and
 * update_ratio, statistics that were not recorded, can be anything there. See
 * expression_eval_impl.h. */
#ifndef TDBG_REPLAY_EXPRESSION_ZONE_H
#define TDBG_REPLAY_EXPRESSION_ZONE_H

#include "replay/expression_eval_impl.h"
#include "replay/value_range.h"

/* A zone as far as it has been read. */
struct tdbg_expr_zone_view {
    int64_t first, n; /* steps; n 0: none */
    struct tdbg_zone_steps steps;
    struct tdbg_zone_stats *stats; /* (n_sites); NULL: no room made yet */
    bool has_stats;
};

/* Over the steps of a zone: was a diverges() true there, and was it false? */
struct tdbg_expr_held {
    bool sometimes, not_always;
};

struct tdbg_expr_zones {
    struct tdbg_expr_zone_view view[2]; /* the current one, and the one before it where needed */
    int current;
    /* What was found of the zone that was asked for last. */
    int64_t judged; /* its first step, or -1 */
    struct tdbg_value_range result;
    struct tdbg_expr_held *held; /* (n_diverges), in the zone that begins at held_in; or NULL */
    int64_t held_in;             /* or -1 */
    bool is_pending; /* a term may have to be executed, at which what has no value may fail */
};

/* The view of the zone before the current one, with its statistics; NULL: it cannot be had. */
const struct tdbg_expr_zone_view *tdbg_expr_zone_before(struct tdbg_expr_eval *e);

/* What the i-th term can be in the current zone, whose statistics have been read. */
struct tdbg_value_range tdbg_expr_zone_term(struct tdbg_expr_eval *e, int i);

/* What the expression can be in the zone that begins at step `first`, of n steps. Failing to read
 * is not knowing anything. */
struct tdbg_value_range tdbg_expr_zone_range(struct tdbg_expr_eval *e, int64_t first, int64_t n);

void tdbg_expr_zones_free(struct tdbg_expr_zones *zones); /* NULL is fine */

#endif
