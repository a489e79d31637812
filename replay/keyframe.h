/* The state of an engine from a keyframe of a trace. */
#ifndef TDBG_REPLAY_KEYFRAME_H
#define TDBG_REPLAY_KEYFRAME_H

#include "engine/engine.h"
#include "trace/rank_group.h"

/* Do the trace's keyframes hold the tensors that the engine's state has? TDBG_DAMAGED says which
 * does not fit. *largest (elements; may be NULL) is the largest of them. */
enum tdbg_status tdbg_keyframe_check(const struct tdbg_trace *trace,
                                     const struct tdbg_engine *engine, int64_t *largest,
                                     struct tdbg_err *err);

/* Sets the state to that before `step`, at which the trace has a keyframe. buffer has room for the
 * largest item; after an error the state is undefined. */
enum tdbg_status tdbg_keyframe_load(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                    int64_t step, void *buffer, struct tdbg_err *err);

/* The same for an engine with the lanes of all ranks: what all ranks have from the lowest rank's
 * file that can be read, running statistics from that of the lane's rank. Lanes of a rank whose
 * file is not there get those of another lane: nothing that is recorded elsewhere hangs on them.
 * TDBG_NOT_FOUND where no file has a keyframe before this step. */
enum tdbg_status tdbg_keyframe_check_group(const struct tdbg_rank_group *group,
                                           const struct tdbg_engine *engine, int64_t *largest,
                                           struct tdbg_err *err);
enum tdbg_status tdbg_keyframe_load_group(const struct tdbg_rank_group *group,
                                          struct tdbg_engine *engine, int64_t step, void *buffer,
                                          struct tdbg_err *err);

#endif
