/* Bisect in one run: the first step at which an expression holds, where what is not finite in it
 * began, and the samples that carry most of its loss. */
#ifndef TDBG_REPLAY_BISECT_H
#define TDBG_REPLAY_BISECT_H

#include "replay/expression_eval.h"
#include "replay/origin.h"

enum { TDBG_BISECT_SAMPLES = 5, TDBG_BISECT_PARAMETERS = 3 };

struct tdbg_bisect_options {
    struct tdbg_session_options session;
    int64_t from, to; /* steps, both inclusive */
    /* Called after every step for progress; may be NULL. Nonzero stops (TDBG_INTERRUPTED). */
    int (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
};

struct tdbg_bisect_sample {
    int64_t id;
    float loss;
    double share;     /* of the losses' sum, 0..1; NaN where that is not finite or not above 0 */
    double grad_norm; /* L2 of its own gradient, all other weights 0; NaN: not known */
};

/* A parameter, or a layer: all parameters that share what is in front of the last dot. */
struct tdbg_bisect_part_of_gradient {
    char name[TDBG_MAX_SITE_NAME + 1];
    double norm, share; /* L2; its square in that of all gradients, NaN where that is not finite */
};

struct tdbg_bisect_report {
    bool is_found;
    int64_t from, to, step;
    int64_t n_unknown;            /* steps at which the expression has no value */
    struct tdbg_step_row row;     /* of the step; and of the one before it, where there is one */
    struct tdbg_step_row before;  /* step -1: there is none */
    struct tdbg_expr_cost search; /* of finding the step */
    int64_t steps_executed;       /* in all */
    bool is_nonfinite;            /* something at the step is NaN or Inf: origin was looked for */
    struct tdbg_origin origin;
    char *not_executed; /* why neither origin nor samples are known; NULL: they are */
    struct tdbg_bisect_sample sample[TDBG_BISECT_SAMPLES]; /* largest loss first */
    int n_samples;
    struct tdbg_bisect_part_of_gradient parameter[TDBG_BISECT_PARAMETERS]; /* largest first */
    struct tdbg_bisect_part_of_gradient layer[TDBG_BISECT_PARAMETERS];
    int n_parameters, n_layers;
};

/* expr is a condition; it is bound to the trace. Found or not is TDBG_OK. TDBG_CANNOT_JUDGE where a
 * step would have to be executed and cannot be, or where expr has a value at no step. */
enum tdbg_status tdbg_bisect_run(struct tdbg_trace *trace, struct tdbg_expr *expr,
                                 const struct tdbg_bisect_options *options,
                                 struct tdbg_bisect_report *report, struct tdbg_err *err);
void tdbg_bisect_clear(struct tdbg_bisect_report *report);

#endif
