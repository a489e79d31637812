/* Inside of expression_eval.c: the state, what is read (expression_read.c), and what is executed
 * (expression_tap.c). */
#ifndef TDBG_REPLAY_EXPRESSION_EVAL_IMPL_H
#define TDBG_REPLAY_EXPRESSION_EVAL_IMPL_H

#include "replay/expression_eval.h"
#include "replay/expression_ranks.h"
#include "replay/expression_value.h"

enum { TDBG_EXPR_ROWS = 512 }; /* of /steps, read at once */

enum term_state { TERM_UNREAD, TERM_KNOWN, TERM_ABSENT, TERM_PENDING };

struct term_value {
    enum term_state state;
    struct tdbg_expr_gathered gathered;
    int32_t n_shown; /* sites that the executed step had */
    void **before;   /* of update_ratio: (n_sites) values before the step */
};

struct tdbg_expr_eval {
    struct tdbg_trace *trace; /* NULL over a running engine (expression_live.h) */
    struct tdbg_session_options options;
    struct tdbg_expr *expr;
    struct tdbg_session *session;  /* its own; NULL until a step has to be executed */
    struct tdbg_recompute *lender; /* whose session is used instead, or NULL */
    struct tdbg_expr_ranks *ranks; /* NULL where nothing compares them */
    struct tdbg_expr_zones *zones; /* NULL until one was asked for */
    const struct tdbg_site *sites;
    int32_t n_sites;
    int32_t *after; /* (n_sites): of a state/ site the one of the same tensor after a step, or -1 */
    struct term_value *value; /* (n_terms) */
    void *data, *scratch;     /* one value of the largest site that is read whole */
    /* Statistics of all sites of a step, for terms of many sites: of the last two steps that were
     * asked for, each at step % 2. */
    struct step_stats {
        int64_t step;
        struct tdbg_stats *stats; /* (n_sites); NULL: not yet */
    } of_step[2];
    struct tdbg_step_row rows[TDBG_EXPR_ROWS], row;
    int64_t rows_first, n_rows;
    struct tdbg_diverges *diverges; /* (n_diverges) */
    int64_t diverges_next;          /* the step whose values they want next */
    struct tdbg_diverges *kept;     /* (n_kept, n_diverges): as they were (expression_series.c) */
    int64_t n_kept, kept_room;
    struct tdbg_expr_cost cost;
};

/* Finds the sites that e->expr means and makes room for their values; what it allocates is freed by
 * tdbg_expr_eval_clear(), which leaves the rest of the evaluator alone. */
enum tdbg_status tdbg_expr_eval_bind(struct tdbg_expr_eval *e, const struct tdbg_site *sites,
                                     int32_t n_sites, int32_t world_size, struct tdbg_err *err);
void tdbg_expr_eval_clear(struct tdbg_expr_eval *e);

enum tdbg_status tdbg_expr_read_row(struct tdbg_expr_eval *e, int64_t step,
                                    struct tdbg_step_row *out, struct tdbg_err *err);

/* The series of every diverges() up to and with this step, over a trace. */
enum tdbg_status tdbg_expr_advance_series(struct tdbg_expr_eval *e, int64_t step,
                                          struct tdbg_err *err);

/* Adds a step's row to every diverges(): each step once, in order. */
void tdbg_expr_add_row(struct tdbg_expr_eval *e, const struct tdbg_step_row *row);

/* Value at the step of e->row, by what is known of the terms. */
struct tdbg_expr_value tdbg_expr_evaluate(const struct tdbg_expr_eval *e);

/* The tap (self: struct tdbg_expr_eval) that gathers the terms that are PENDING. */
extern const struct tdbg_tap_ops tdbg_expr_tap_ops;

/* For every state/ site the one that has the same value after the step before. */
void tdbg_expr_find_after(struct tdbg_expr_eval *e);

/* Gathers what is recorded of term i at e->row: its state becomes KNOWN, ABSENT or PENDING. */
enum tdbg_status tdbg_expr_read_term(struct tdbg_expr_eval *e, int i, struct tdbg_err *err);

/* Executes the step of the rows of n of them for the terms that are PENDING, which become KNOWN or
 * ABSENT, with the session of the first; n <= TDBG_EXPR_AT_ONCE. */
enum tdbg_status tdbg_expr_execute(struct tdbg_expr_eval *const *evals, int n,
                                   struct tdbg_err *err);

#endif
