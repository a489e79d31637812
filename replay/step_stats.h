/* Statistics of all sites of one step, by executing it. */
#ifndef TDBG_REPLAY_STEP_STATS_H
#define TDBG_REPLAY_STEP_STATS_H

#include "replay/session.h"

/* out (the session's sites): absent ones (an evaluation that was not due) have min = NaN and all
 * counts 0, as where they are read from a trace. The errors of tdbg_session_seek(). */
enum tdbg_status tdbg_step_stats_compute(struct tdbg_session *session, int64_t step,
                                         struct tdbg_stats *out, struct tdbg_err *err);

#endif
