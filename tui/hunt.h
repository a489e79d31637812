/* The next event of a run, or the one before: a step at which a condition becomes true. That is, it
 * is true there, and at the last step before at which it has a value it is false, or there is no
 * such step.
 *
 * Here are only the questions, one search after another: who asks them may do so at once or in the
 * background.
 *
 *     while (tdbg_tui_hunt_ask(&hunt, &job))
 *         tdbg_tui_hunt_take(&hunt, <what the search of job found>); */
#ifndef TDBG_TUI_HUNT_H
#define TDBG_TUI_HUNT_H

#include "tui/jobs.h"

enum { TDBG_HUNT_CONDITIONS = 64 };

/* Where a condition is in its search. Forward: the next step where it holds; if it held before as
 * well, where it ends to hold, and where it holds again. Backward: the last step where it holds,
 * where it did not hold before that, and where it began between the two. */
enum tdbg_tui_hunt_phase {
    TDBG_HUNT_NEXT_TRUE,
    TDBG_HUNT_WAS_TRUE,      /* at the step before, */
    TDBG_HUNT_WAS_TRUE_LONG, /* or, without a value there, at one before that */
    TDBG_HUNT_NEXT_FALSE,
    TDBG_HUNT_TRUE_AGAIN,
    TDBG_HUNT_LAST_TRUE,
    TDBG_HUNT_LAST_FALSE,
    TDBG_HUNT_BEGAN,
};

struct tdbg_tui_hunt {
    int64_t first, last; /* steps of the trace */
    int64_t from;        /* the event is after it, or before it */
    bool is_backward;
    int n;
    char *condition[TDBG_HUNT_CONDITIONS], *negation[TDBG_HUNT_CONDITIONS];

    int at; /* the condition that is looked for */
    enum tdbg_tui_hunt_phase phase;
    int64_t held, not_held; /* of that condition; -1: not known */

    /* The answer so far; of two conditions at the same step it is the last: those that cost little
     * are best asked for first, and what comes after them is searched no farther than they hold. */
    bool is_found;
    int64_t step, before; /* where it was false; -1: at no step before */
    int which;            /* condition */
};

/* texts (n <= TDBG_HUNT_CONDITIONS) are copied. Free with _free. */
void tdbg_tui_hunt_start(struct tdbg_tui_hunt *hunt, int64_t first, int64_t last, int64_t from,
                         bool is_backward, const char *const *texts, int n);
void tdbg_tui_hunt_free(struct tdbg_tui_hunt *hunt); /* {0} is fine */

/* Fills the search to make now; false: the answer is there. The texts are the hunt's. */
bool tdbg_tui_hunt_ask(struct tdbg_tui_hunt *hunt, struct tdbg_tui_job *job);

/* What that search found: the step, and which of its expressions. */
void tdbg_tui_hunt_take(struct tdbg_tui_hunt *hunt, bool is_found, int64_t step, int expression);

/* An expression that holds where `text`, which is one, has a value and does not hold. The caller
 * frees it; NULL: no memory. */
char *tdbg_tui_hunt_negate(const char *text);

#endif
