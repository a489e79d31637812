/* The state of an engine from a keyframe of a trace. */
#ifndef TDBG_REPLAY_KEYFRAME_H
#define TDBG_REPLAY_KEYFRAME_H

#include "engine/engine.h"
#include "trace/reader.h"

/* Do the trace's keyframes hold the tensors that the engine's state has? TDBG_DAMAGED says which
 * does not fit. *largest (elements; may be NULL) is the largest of them. */
enum tdbg_status tdbg_keyframe_check(const struct tdbg_trace *trace,
                                     const struct tdbg_engine *engine, int64_t *largest,
                                     struct tdbg_err *err);

/* Sets the state to that before `step`, at which the trace has a keyframe. buffer has room for the
 * largest item; after an error the state is undefined. */
enum tdbg_status tdbg_keyframe_load(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                    int64_t step, void *buffer, struct tdbg_err *err);

#endif
