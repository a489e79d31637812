/* The recorded source: what crossed the engine's edge, from a trace instead of a data set. */
#ifndef TDBG_REPLAY_SOURCE_RECORDED_H
#define TDBG_REPLAY_SOURCE_RECORDED_H

#include "engine/source.h"
#include "trace/reader.h"

/* The table over an open trace; valid as long as the trace is. */
struct tdbg_source tdbg_source_recorded_table(struct tdbg_trace *trace);

/* Are the samples of a trace of a kind that an engine can be given? */
bool tdbg_source_recorded_is_ours(const struct tdbg_trace *trace);

#endif
