/* Bisect between two runs: where they part, and the cause of it, or of what an expression says of
 * one of them. */
#ifndef TDBG_REPLAY_BISECT_PAIR_H
#define TDBG_REPLAY_BISECT_PAIR_H

#include "replay/bisect_cause.h"
#include "replay/bisect_part.h"
#include "replay/diff.h"
#include "replay/verify.h"

struct tdbg_pair_options {
    struct tdbg_session_options session;
    struct tdbg_expr *when; /* a condition; NULL: diverges(loss) where it holds in one run of the
                             * two, else the first difference */
    bool first_difference;  /* that is what is asked for */
    int64_t max_steps;      /* 0: no limit */
    const char *log_path;   /* NULL: none */
    bool resume;            /* go on with it */
    int (*progress)(void *context, const struct tdbg_bisect_runs *runs);
    void *progress_context;
};

struct tdbg_pair_report {
    struct tdbg_bisect_runs runs; /* with the differences that causes are named by */
    bool is_recorded;             /* both are traces, and `recorded` is what they say */
    struct tdbg_diff_report recorded;
    bool same; /* no step differs: nothing to look for */

    struct tdbg_bisect_part part; /* where they part, executed */

    struct tdbg_expr *when; /* what the cause was looked for of; NULL: of the first difference */
    struct tdbg_expr *own;  /* of it the one that is the report's */
    int64_t split_step;     /* rankdiff was asked for: where it holds in the bad run; else -1 */
    bool has_cause;         /* it was looked for */
    struct tdbg_cause_report cause;

    /* Where executing a trace again gives other bits than were recorded: no difference of the two
     * runs is the cause of that. Looked for where they do not explain what was recorded. */
    int faulty; /* side, or -1 */
    struct tdbg_verify_report fault;
    bool fault_is_alone; /* executing it gives what the other run has recorded there */
};

/* good and bad: traces or configs. Clear with tdbg_pair_report_clear() in any case. TDBG_USAGE
 * where the expression holds in the good run only, or asks for rankdiff and something else;
 * TDBG_CANNOT_JUDGE where it holds in both, or in neither.
 *
 * Ranks whose bits part are no difference of two runs: in a trial, which is one engine with the
 * lanes of all ranks, they cannot. So of rankdiff the cause is a fault that a trace has recorded.
 */
enum tdbg_status tdbg_bisect_pair(const char *good, const char *bad,
                                  const struct tdbg_pair_options *options,
                                  struct tdbg_pair_report *report, struct tdbg_err *err);
void tdbg_pair_report_clear(struct tdbg_pair_report *report);

#endif
