/* What `tdbg bisect` prints, read back: which lines say the answer, and where a line leads. */
#ifndef TDBG_TUI_VERDICT_H
#define TDBG_TUI_VERDICT_H

#include "tui/data.h"

/* A place that a line names. */
struct tdbg_tui_line_place {
    int64_t step;
    int32_t site; /* in the trace's list, or -1 */
    int32_t rank; /* -1: it names none */
};

/* The last step of the trace that the line names ("true at step 14", "step 6, site grad/fc1.bias"),
 * with a tensor and a rank where it names them as well; false: none. Steps of runs that are not
 * there to be looked at, which a trial has executed, are no places. */
bool tdbg_tui_line_place(const char *line, const struct tdbg_tui_data *data,
                         struct tdbg_tui_line_place *out);

/* Is it a line of the answer, and not of what led to it? */
bool tdbg_tui_line_is_verdict(const char *line);

/* The line of a text that one wants to go on from: of the answer the first one that leads to a
 * tensor, or to a step, else the last before it; *answer: where the answer begins. Both 0 where
 * there is none.
 */
int64_t tdbg_tui_verdict_line(const char *text, const struct tdbg_tui_data *data, int64_t *answer);

#endif
