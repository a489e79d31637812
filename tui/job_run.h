/* Does one job at a time on a trace: reads what is stored, executes the rest. Used by jobs_inline.c
 * in the terminal's own process and by jobs_worker.c in another one. */
#ifndef TDBG_TUI_JOB_RUN_H
#define TDBG_TUI_JOB_RUN_H

#include "replay/session.h"
#include "tui/jobs.h"

struct tdbg_tui_runner;

/* Asked between steps; false: the job is given up (TDBG_INTERRUPTED). */
typedef bool tdbg_tui_goes_on(void *context, const struct tdbg_tui_job_progress *progress);

/* path (copied): the file of any rank; it is opened at the first job. options: how to execute; its
 * members goes_on are not used. goes_on may be NULL. NULL: no memory. */
struct tdbg_tui_runner *tdbg_tui_runner_create(const char *path,
                                               const struct tdbg_session_options *options,
                                               tdbg_tui_goes_on *goes_on, void *context);
void tdbg_tui_runner_destroy(struct tdbg_tui_runner *runner); /* NULL is fine */

/* Does the job; what went wrong is in the answer, whose id is left 0. What it points to is borrowed
 * until the next job; the values of a tensor are in a memory file from the start, so that handing
 * them to another process copies nothing. */
void tdbg_tui_runner_do(struct tdbg_tui_runner *runner, const struct tdbg_tui_job *job,
                        struct tdbg_tui_answer *out);

/* Sites of the trace that the last job was about. */
int32_t tdbg_tui_runner_n_sites(const struct tdbg_tui_runner *runner);

#endif
