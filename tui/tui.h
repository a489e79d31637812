/* The terminal over a trace, and its text summary for where there is no terminal. */
#ifndef TDBG_TUI_TUI_H
#define TDBG_TUI_TUI_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "replay/session.h"
#include "tui/follow.h"
#include "tui/job_run.h"

struct tdbg_trace;

struct tdbg_tui_options {
    bool ascii;    /* only ASCII bytes; implied where the locale is not UTF-8 */
    bool mono;     /* no colours; implied by a non-empty NO_COLOR */
    bool no_mouse; /* leave the mouse to the terminal program */
    struct tdbg_session_options session; /* how to compute what is not stored */
    const char *diff; /* a second trace, which the diff screen begins with; NULL: none */

    pid_t recorder;      /* that :pause stops; 0: none */
    const char *program; /* that subcommands are run with; NULL: none are */
    const char *place;   /* to go to first, as :goto takes it; NULL: the first step */
    const char *const *files, *const *commands; /* (n_files) of commands, (n_commands): done then */
    int n_files, n_commands;
    tdbg_tui_goes_on *goes_on; /* asked between steps that batch.h executes; may be NULL */
    void *goes_on_context;
};

/* Runs the terminal on standard input and output until the user quits. The trace stays the
 * caller's; a recompute function that is registered with it is used. A value or step that cannot be
 * read is said in the message row and is no error of this function.
 * Errors: TDBG_USAGE (TERM is missing, dumb or unknown), TDBG_IO (the terminal went away),
 * TDBG_NO_MEMORY. The terminal is left as it was found in every case, fatal signals included. */
enum tdbg_status tdbg_tui_run(struct tdbg_trace *trace, const struct tdbg_tui_options *options,
                              struct tdbg_err *err);

/* The same over a recording that may still run: new steps appear, and the focus stays on the last
 * one while it is there. Errors: also those of the reader. */
enum tdbg_status tdbg_tui_run_following(const char *path, tdbg_tui_is_recording *is_recording,
                                        const struct tdbg_tui_options *options,
                                        struct tdbg_err *err);

/* Prints what a trace holds as ASCII text: file, steps, learning rate, loss, evaluation, sites,
 * keyframes, chain, and a small chart of the loss. Reads every row of the steps once.
 * Errors: those of the reader; TDBG_IO when out cannot be written. */
enum tdbg_status tdbg_tui_print_summary(struct tdbg_trace *trace, FILE *out, struct tdbg_err *err);

#endif
