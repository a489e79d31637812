/* Going on with a recorded run: `tdbg record --resume`. */
#ifndef TDBG_REPLAY_RESUME_H
#define TDBG_REPLAY_RESUME_H

#include "base/config.h"
#include "engine/engine.h"
#include "engine/source_live.h"
#include "trace/reader.h"

/* The config that the trace was recorded with, and `sets` (as in tdbg_config_load) applied to it.
 * The caller checks and destroys it. Relative paths count from where the config file was. */
enum tdbg_status tdbg_resume_config(const struct tdbg_trace *trace, const char *const *sets,
                                    int n_sets, struct tdbg_config **out, struct tdbg_err *err);

/* The step that the run goes on with: at_step, which has to be one of a keyframe, or with -1 that
 * of the last keyframe. TDBG_USAGE where there is no such keyframe, naming those beside it. */
enum tdbg_status tdbg_resume_step(const struct tdbg_trace *trace, int64_t at_step, int64_t *step,
                                  struct tdbg_err *err);

/* Sets the engine, built of a config as above, to the state before that step. TDBG_USAGE where the
 * config has been changed so that the state does not fit. */
enum tdbg_status tdbg_resume_state(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                   int64_t step, struct tdbg_err *err);

/* Is the data set that is described as in struct tdbg_recorder_run the one that was recorded? By
 * fingerprints. TDBG_DATA says it is not. */
enum tdbg_status tdbg_resume_check_dataset(const struct tdbg_trace *trace, const char *dataset,
                                           struct tdbg_err *err);

/* The same of the data set that a live source reads. */
enum tdbg_status tdbg_resume_check_source(const struct tdbg_trace *trace,
                                          const struct tdbg_source_live *live,
                                          struct tdbg_err *err);

#endif
