/* The cause of what one run does and another does not: the smallest set of their differences that,
 * changed in the good run, makes it do so, and, changed back in the bad run, makes it stop. Both
 * are executed. */
#ifndef TDBG_REPLAY_BISECT_CAUSE_H
#define TDBG_REPLAY_BISECT_CAUSE_H

#include "replay/bisect_judge.h"
#include "replay/bisect_log.h"

enum { TDBG_MOST_CAUSES = 8 };

enum tdbg_cause_verdict {
    TDBG_CAUSE_PROVED,         /* in both directions */
    TDBG_CAUSE_ONE_WAY,        /* changed back, the bad run cannot be judged, or does it still */
    TDBG_CAUSE_NOT_REPRODUCED, /* executed, the bad run does not do it: it is in no difference */
    TDBG_CAUSE_IN_GOOD_TOO,    /* executed, the good run does it as well */
    TDBG_CAUSE_STOPPED,        /* by the budget: what is found so far */
};

/* One set that is enough alone. */
struct tdbg_cause {
    int *delta; /* (n) of runs->deltas, ascending */
    int n;
    int64_t step; /* where the good run does it with these; -1: not known yet */

    /* Of the data order, where it is one of them: batches that are enough, of runs->deltas. */
    int *batch; /* (n_batches); none: it was not looked into */
    int n_batches;
    bool is_least;             /* and none of them can be left out; else trials ran out */
    enum tdbg_outcome without; /* the bad run with all causes changed back, but of this order */
    int64_t without_last;      /* these batches alone */
};

struct tdbg_cause_report {
    enum tdbg_cause_verdict verdict;
    struct tdbg_cause cause[TDBG_MOST_CAUSES]; /* each of them is enough alone */
    int n_causes;
    int64_t bad_step;     /* where the bad run does it */
    int64_t good_last;    /* the good run does not up to this step */
    int64_t without_last; /* the bad run with all causes changed back does not up to this step, */
    enum tdbg_outcome without;
    int n_trials;     /* that were run, beside those that the log knew */
    int n_unresolved; /* of these: things that do not go together */
};

/* A number for the two runs, from where trials begin: that of their log. */
uint64_t tdbg_cause_number(const struct tdbg_bisect_runs *runs);

/* runs->start and runs->deltas are set; trials that the log knows are not run. good_is_known: not
 * to do it, so that this trial is not run. TDBG_OK with any verdict. Clear with
 * tdbg_cause_report_clear(). */
enum tdbg_status tdbg_cause_find(struct tdbg_bisect_runs *runs,
                                 const struct tdbg_bisect_question *question,
                                 struct tdbg_bisect_log *log, bool good_is_known,
                                 struct tdbg_cause_report *report, struct tdbg_err *err);
void tdbg_cause_report_clear(struct tdbg_cause_report *report);

#endif
