/* The value of an expression at a step of a trace: from step rows and recorded statistics where
 * they suffice, from stored values (slices, update_ratio) where those are there, else by executing
 * the step again with a tap that wants the sites in question only. What is decided without them
 * (`false and ...`) executes nothing. */
#ifndef TDBG_REPLAY_EXPRESSION_EVAL_H
#define TDBG_REPLAY_EXPRESSION_EVAL_H

#include "replay/expression.h"
#include "replay/session.h"

struct tdbg_expr_eval;

/* is_known false: a site that the value hangs on does not exist at that step (an evaluation that
 * was not due). A condition holds where is_known and number != 0. */
struct tdbg_expr_value {
    bool is_known;
    double number;
};

/* The cost so far. */
struct tdbg_expr_cost {
    int64_t read;           /* steps whose value came from what is recorded, */
    int64_t passed;         /* of these, steps that zones told of */
    int64_t reexecuted;     /* steps that had to be executed for their value */
    int64_t steps_executed; /* these, and those since the keyframes before them */
};

/* Binds expr, which is borrowed like trace. A name that means nothing there is raised as
 * tdbg_expr_raise does. */
enum tdbg_status tdbg_expr_eval_create(struct tdbg_trace *trace,
                                       const struct tdbg_session_options *options,
                                       struct tdbg_expr *expr, struct tdbg_expr_eval **out,
                                       struct tdbg_err *err);
void tdbg_expr_eval_destroy(struct tdbg_expr_eval *eval); /* NULL is fine */

/* Value at a recorded step; steps in ascending order cost one pass. TDBG_CANNOT_JUDGE where the
 * step would have to be executed and cannot be. */
enum tdbg_status tdbg_expr_eval_at(struct tdbg_expr_eval *eval, int64_t step,
                                   struct tdbg_expr_value *out, struct tdbg_err *err);

/* false: every step's value comes from its row, and from those before it. */
bool tdbg_expr_eval_may_execute(const struct tdbg_expr_eval *eval);

/* It executes with the session of recompute from now on, which has to outlive it. */
void tdbg_expr_eval_share(struct tdbg_expr_eval *eval, struct tdbg_recompute *recompute);

/* Takes over how the series of diverges() went in another evaluator, where both are over the same
 * trace and hang on the same series: they need not be gone through from the first step again. */
void tdbg_expr_eval_learn(struct tdbg_expr_eval *eval, const struct tdbg_expr_eval *from);

/* Values of n expressions over one trace at a step: out (n). What several of them want is executed
 * together, TDBG_EXPR_AT_ONCE at a time; for that they share a session, or n is 1. */
enum { TDBG_EXPR_AT_ONCE = TDBG_MAX_TAPS };
enum tdbg_status tdbg_expr_eval_all_at(struct tdbg_expr_eval *const *evals, int n, int64_t step,
                                       struct tdbg_expr_value *out, struct tdbg_err *err);

/* How many steps from `step` on towards `to`, both included, need no look: by the zones of the
 * trace (trace/schema.h) none of n expressions over it holds there, and each has a value, if that
 * is asked for. 0: the step has to be looked at. Judges one zone at most, and each once. */
int64_t tdbg_expr_eval_pass(struct tdbg_expr_eval *const *evals, int n, int64_t step, int64_t to,
                            bool with_value);

struct tdbg_expr_cost tdbg_expr_eval_cost(const struct tdbg_expr_eval *eval);

/* The session, for those who go on executing; it is created where there is none yet. Borrowed. */
enum tdbg_status tdbg_expr_eval_session(struct tdbg_expr_eval *eval, struct tdbg_session **out,
                                        struct tdbg_err *err);

/* A series that diverges, step after step: not finite, or the mean of the last 20 values above 1.5
 * times the smallest mean of 20 successive ones so far (where that is above 0). Start with {0}. */
enum { TDBG_DIVERGES_STEPS = 20 };
struct tdbg_diverges {
    double last[TDBG_DIVERGES_STEPS];
    int64_t n;       /* values so far */
    double smallest; /* mean; valid from 20 values on */
    double mean;     /* of the last 20 */
    bool result;
};
bool tdbg_diverges_add(struct tdbg_diverges *diverges, double value);

#endif
