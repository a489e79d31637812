/* Jobs that are done at once, by whoever asks: for tests, and for what runs without a screen. */
#ifndef TDBG_TUI_JOBS_INLINE_H
#define TDBG_TUI_JOBS_INLINE_H

#include "tui/job_run.h"

/* As tdbg_tui_runner_create(). Free with its destroy(). */
enum tdbg_status tdbg_tui_jobs_inline(const char *path, const struct tdbg_session_options *options,
                                      tdbg_tui_goes_on *goes_on, void *context,
                                      struct tdbg_tui_jobs *out, struct tdbg_err *err);

#endif
