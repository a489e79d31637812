/* How a recording begins that goes on from another one: its hash chains, and a keyframe of its own
 * where the first step is between two. */
#ifndef TDBG_RECORDER_GO_ON_H
#define TDBG_RECORDER_GO_ON_H

#include "recorder/recorder.h"
#include "trace/stream.h"

/* h of every chain (TDBG_CHAIN_COUNT) before the first step: the parent's where the same sites are
 * recorded at the same steps, else that of a chain that begins. spec: sites and plans of the new
 * recording. */
enum tdbg_status tdbg_recorder_begin_chains(const struct tdbg_trace_spec *spec,
                                            const struct tdbg_recorder_parent *parent,
                                            uint64_t *chain, struct tdbg_err *err);

/* The engine's state as a keyframe before the first step. */
enum tdbg_status tdbg_recorder_put_keyframe(struct tdbg_stream *stream,
                                            const struct tdbg_engine *engine, struct tdbg_err *err);

#endif
