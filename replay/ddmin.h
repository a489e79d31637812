/* Delta debugging: of many differences the few that matter, by as few trials as it takes.
 * A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE TSE 28,
 * 2002), the algorithm ddmin. */
#ifndef TDBG_REPLAY_DDMIN_H
#define TDBG_REPLAY_DDMIN_H

#include <stdbool.h>

#include "base/status.h"

enum tdbg_outcome {
    TDBG_OUTCOME_FALSE,
    TDBG_OUTCOME_TRUE,
    TDBG_OUTCOME_UNRESOLVED, /* these do not go together */
};

/* What comes out where exactly the items that are `taken` (n) are there. Anything but TDBG_OK stops
 * the search. */
typedef enum tdbg_status (*tdbg_ddmin_test_fn)(void *context, const bool *taken,
                                               enum tdbg_outcome *out, struct tdbg_err *err);

/* Reduces `taken` (n), for which the test gives TRUE, to a subset for which it does and from which
 * no single item can be left out. The empty set is taken for FALSE and never tested. Items for
 * which `fixed` (n, or NULL) is set stay as they are: only the others are tried. After an error
 * `taken` is the smallest set so far. */
enum tdbg_status tdbg_ddmin(int n, bool *taken, const bool *fixed, tdbg_ddmin_test_fn test,
                            void *context, struct tdbg_err *err);

#endif
