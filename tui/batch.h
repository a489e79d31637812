/* Commands without a terminal: the same language, answered as text or JSON. */
#ifndef TDBG_TUI_BATCH_H
#define TDBG_TUI_BATCH_H

#include <stdio.h>

#include "tui/tui.h"

/* Does the options' commands on the trace, which stays the caller's, and prints what they answer.
 * *exit_code: 0; 1: something that was looked for is not there; or what another program ended with.
 * Errors, which end it: those of the commands (TDBG_USAGE with the column), TDBG_INTERRUPTED where
 * goes_on says no, TDBG_IO. */
enum tdbg_status tdbg_tui_batch(struct tdbg_trace *trace, const struct tdbg_tui_options *options,
                                bool as_json, FILE *out, int *exit_code, struct tdbg_err *err);

#endif
