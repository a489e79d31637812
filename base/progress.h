/* Progress of a recording on a terminal or in a log. Prints to the given stream (stderr) and
 * nothing else; time is given by the caller, so that nothing here needs a clock.
 *
 *     terminal:   one line of at most 79 columns, rewritten at most 10 times a second
 *     otherwise:  one plain line every 10 s
 *     quiet:      nothing */
#ifndef TDBG_BASE_PROGRESS_H
#define TDBG_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum tdbg_progress_mode {
    TDBG_PROGRESS_AUTO, /* TERMINAL where isatty() says so, else PLAIN */
    TDBG_PROGRESS_TERMINAL,
    TDBG_PROGRESS_PLAIN,
    TDBG_PROGRESS_QUIET,
};

/* All fields are private. */
struct tdbg_progress {
    FILE *out;
    enum tdbg_progress_mode mode;
    int64_t n_steps;    /* of the whole run; 0: not known */
    int64_t step;       /* steps done */
    int64_t shown_step; /* steps done when a line was last printed, -1: never */
    int64_t start_ns;
    int64_t shown_ns;    /* and when that was, or the start */
    int64_t advanced_ns; /* when `step` last grew */
    double step_ns;      /* smoothed duration of a step, 0: not known */
    double loss;         /* NaN is a loss; see has_loss */
    bool has_loss;
    int64_t trace_bytes; /* -1: not known */
    int shown_columns;   /* width of the line on the terminal, 0: none */
};

/* first_step steps are done already, of n_steps (0: not known) in all. */
void tdbg_progress_start(struct tdbg_progress *progress, FILE *out, enum tdbg_progress_mode mode,
                         int64_t first_step, int64_t n_steps, int64_t now_ns);

/* steps_done counts from the beginning of the run. loss may be NULL (not known), trace_bytes -1.
 * Prints if it is time to. now_ns must not go back. */
void tdbg_progress_update(struct tdbg_progress *progress, int64_t steps_done, const double *loss,
                          int64_t trace_bytes, int64_t now_ns);

/* Wipes the line off the terminal so that a message can be printed; the next update repaints. */
void tdbg_progress_clear(struct tdbg_progress *progress);

/* Prints the last state if it was not shown yet, and ends the line. */
void tdbg_progress_finish(struct tdbg_progress *progress, int64_t now_ns);

#endif
