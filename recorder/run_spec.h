/* What a new file says of its run: config, graph, keyframe items, samples, and where it comes from.
 */
#ifndef TDBG_RECORDER_RUN_SPEC_H
#define TDBG_RECORDER_RUN_SPEC_H

#include "recorder/recorder.h"
#include "trace/stream.h"

struct tdbg_run_spec {
    struct tdbg_trace_spec spec;
    /* What it points to, besides what the caller has. */
    struct tdbg_keyframe_item *items;
    char *config, *graph;
    uint64_t chain[TDBG_CHAIN_COUNT]; /* before the first step, of a run that goes on */
};

/* Sites, their plans and the distance of keyframes are in out->spec already. shapes
 * (TDBG_SET_COUNT): of the data. Borrows from config, engine and run. Free with _free, also where
 * it fails. */
enum tdbg_status tdbg_run_spec_make(struct tdbg_config *config, const struct tdbg_engine *engine,
                                    const struct tdbg_data_shape *shapes,
                                    const struct tdbg_recorder_run *run, struct tdbg_run_spec *out,
                                    struct tdbg_err *err);
void tdbg_run_spec_free(struct tdbg_run_spec *described);

#endif
