/* What a trial is asked: does an expression hold in it, or has it the bits of the bad run where the
 * two runs part? */
#ifndef TDBG_REPLAY_BISECT_JUDGE_H
#define TDBG_REPLAY_BISECT_JUDGE_H

#include "replay/bisect_trial.h"
#include "replay/ddmin.h"
#include "replay/expression_live.h"

struct tdbg_bisect_question {
    struct tdbg_expr *when; /* a condition: does it hold at any step? NULL: the question below */

    /* Has this site, of this step, this digest? */
    int64_t step;
    const struct tdbg_site *site;
    uint64_t digest;
};

struct tdbg_bisect_answer {
    enum tdbg_outcome outcome;
    int64_t step; /* TRUE: where it is so; FALSE: the last that was looked at */
    char *why;    /* UNRESOLVED: how that shows; free() it */
};

/* Runs a trial as far as it takes, up to step `end` - 1 at the most. TDBG_OK with an answer;
 * TDBG_STOPPED and TDBG_INTERRUPTED are those of tdbg_bisect_trial_step(). */
enum tdbg_status tdbg_bisect_judge(struct tdbg_bisect_runs *runs,
                                   const struct tdbg_bisect_question *question, const bool *taken,
                                   int64_t end, struct tdbg_bisect_answer *out,
                                   struct tdbg_err *err);

#endif
