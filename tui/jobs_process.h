/* Jobs that are done in a process of its own, which holds the engine, its memory and its own handle
 * of the trace, so that the terminal stays small and never waits:
 *
 *     terminal                    socket pair               worker (the same program, started anew)
 *     queue -> [the first job] -- JOB, CANCEL -->           job_run.c
 *              answer, progress <-- PROGRESS, ANSWER --     values in a sealed memory file
 *
 * It is started at the first job. When it dies, the job it was at is answered with what killed it,
 * and the next job starts another one. */
#ifndef TDBG_TUI_JOBS_PROCESS_H
#define TDBG_TUI_JOBS_PROCESS_H

#include "replay/session.h"
#include "tui/jobs.h"

/* path (copied): the trace; options: how to execute, as in tdbg_tui_runner_create(). Nothing is
 * started yet. Free with its destroy(), which ends the worker. */
enum tdbg_status tdbg_tui_jobs_process(const char *path, const struct tdbg_session_options *options,
                                       struct tdbg_tui_jobs *out, struct tdbg_err *err);

/* The worker's process; -1: none runs. */
int tdbg_tui_jobs_worker(const struct tdbg_tui_jobs *jobs);

/* A program that has such jobs begins its main() with this: in the worker it never returns. */
void tdbg_tui_worker_begin(int argc, char **argv);

#endif
