/* The values of several sites of one step, out of one execution of it. */
#ifndef TDBG_REPLAY_STEP_GRAB_H
#define TDBG_REPLAY_STEP_GRAB_H

#include "replay/session.h"

/* Executes `step` and copies n sites of the session: data[k] has room for the largest shape of
 * sites[k], elems[k] is how many elements are valid, -1 where the step has no such value. */
enum tdbg_status tdbg_step_grab(struct tdbg_session *session, int64_t step, const int32_t *sites,
                                int32_t n, void *const *data, int64_t *elems, struct tdbg_err *err);

#endif
