/* A trial: the good run with some things taken from the bad one, executed from a common step on.
 * With nothing taken it is the good run itself, with all of it the bad one. */
#ifndef TDBG_REPLAY_BISECT_TRIAL_H
#define TDBG_REPLAY_BISECT_TRIAL_H

#include "replay/bisect_contribution.h"
#include "replay/bisect_source.h"

/* What all trials of a bisect share. */
struct tdbg_bisect_runs {
    struct tdbg_bisect_side side[2]; /* good, bad */
    struct tdbg_session_options session;
    struct tdbg_backend *backend;
    struct tdbg_deltas deltas;
    struct tdbg_contributions contributions; /* that some of the deltas are */
    struct tdbg_bisect_state state[2];       /* before step `start` */
    int64_t first;                           /* that both runs have */
    int64_t start, end;                      /* trials execute start .. end - 1 */
    bool is_live;                            /* samples are of data sets, else of traces */
    bool with_eval;                          /* evaluations are executed, too */

    int64_t executed;  /* steps so far */
    int64_t max_steps; /* TDBG_STOPPED where more would be needed; 0: no limit */
    /* Called after every step; may be NULL. Nonzero stops (TDBG_INTERRUPTED). */
    int (*progress)(void *context, const struct tdbg_bisect_runs *runs);
    void *progress_context;
};

/* Opens both runs, and their data sets where trials need them. `good` and `bad` are traces or
 * configs. Close with tdbg_bisect_runs_close(). */
enum tdbg_status tdbg_bisect_runs_open(struct tdbg_bisect_runs *runs, const char *good,
                                       const char *bad, struct tdbg_err *err);
void tdbg_bisect_runs_close(struct tdbg_bisect_runs *runs);

/* The state that trials begin with: that before `step` at the latest, or before an earlier one that
 * the good run has a keyframe of, so that it is the same in both where there is such a one; and the
 * differences from there on to step `end` - 1, as far as they can matter. */
enum tdbg_status tdbg_bisect_runs_start(struct tdbg_bisect_runs *runs, int64_t step, int64_t end,
                                        struct tdbg_err *err);

/* Looks in the trace of a side for what ranks contributed other than executing it gives, in steps
 * runs->start to `last`, and adds it to runs->contributions; these are no deltas yet. A run that
 * parts from its recording in another way is looked at up to there. */
enum tdbg_status tdbg_contributions_find(struct tdbg_bisect_runs *runs, int side, int64_t last,
                                         struct tdbg_err *err);

/* Moves the first step of trials on to `step`, up to which the two runs were found to be the same;
 * takes the states before it over. */
void tdbg_bisect_runs_go_on(struct tdbg_bisect_runs *runs, int64_t step,
                            struct tdbg_bisect_state before[2]);

struct tdbg_bisect_trial {
    struct tdbg_bisect_runs *runs;
    struct tdbg_config *config, *sampler; /* sampler: NULL: that of config */
    struct tdbg_bisect_source source;
    int64_t *swapped;
    struct tdbg_step_range *moved;
    struct tdbg_contribution_taps contributions;
    struct tdbg_engine *engine;
    int64_t at; /* the step that it stands before */
};

/* taken (runs->deltas.n): from the bad run; a whole takes all of its parts. *fits false: these do
 * not go together, and *why (free() it) says how that shows; there is no engine then. Close in any
 * case.
 */
enum tdbg_status tdbg_bisect_trial_open(struct tdbg_bisect_runs *runs, const bool *taken,
                                        struct tdbg_bisect_trial *out, bool *fits, char **why,
                                        struct tdbg_err *err);
void tdbg_bisect_trial_close(struct tdbg_bisect_trial *trial);

/* Has the engine show itself to a tap, or to none (NULL), from now on. */
enum tdbg_status tdbg_bisect_trial_watch(struct tdbg_bisect_trial *trial,
                                         const struct tdbg_tap *tap, struct tdbg_err *err);

/* Runs the next step with that tap. */
enum tdbg_status tdbg_bisect_trial_step(struct tdbg_bisect_trial *trial,
                                        struct tdbg_step_info *info, struct tdbg_err *err);

/* Steps that the run of this trial has. */
int64_t tdbg_bisect_trial_end(const struct tdbg_bisect_trial *trial);

#endif
