/* Weights for init_from out of another trace. */
#ifndef TDBG_REPLAY_INIT_TRACE_H
#define TDBG_REPLAY_INIT_TRACE_H

#include "base/array.h"

/* Calls visit for the parameters and running statistics that the trace's run had before `step`
 * (-1: after its last step): by going there from the keyframe before it, or, where another program
 * made the trace, out of the values that are stored. Errors: TDBG_DATA where the trace has no such
 * step or does not hold its values; TDBG_DAMAGED and others of reader and session. */
enum tdbg_status tdbg_init_trace_visit(const char *path, int64_t step, tdbg_array_visit_fn visit,
                                       void *self, struct tdbg_err *err);

#endif
