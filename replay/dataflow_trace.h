/* The dataflow of a trace's sites, without an engine: the graph alone, built from the config and
 * the shapes of the samples that the trace holds. */
#ifndef TDBG_REPLAY_DATAFLOW_TRACE_H
#define TDBG_REPLAY_DATAFLOW_TRACE_H

#include "replay/dataflow.h"
#include "trace/reader.h"

struct tdbg_dataflow;

/* trace is borrowed. TDBG_CANNOT_JUDGE: another program recorded it, and there is no graph;
 * TDBG_DAMAGED: config and samples make none. */
enum tdbg_status tdbg_dataflow_open(struct tdbg_trace *trace, struct tdbg_dataflow **out,
                                    struct tdbg_err *err);
void tdbg_dataflow_close(struct tdbg_dataflow *dataflow); /* NULL is fine */

/* As tdbg_dataflow_inputs(). */
int tdbg_dataflow_inputs_of(const struct tdbg_dataflow *dataflow, int32_t site, int32_t *out);

#endif
