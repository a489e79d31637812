/* record --tui: a process of its own trains and records, and the terminal follows it. */
#ifndef TDBG_CLI_RECORD_TUI_H
#define TDBG_CLI_RECORD_TUI_H

#include "base/status.h"

/* argv: of the command, with --tui, which is left out for the process that records; path: of the
 * trace. Leaving the terminal ends the training as Ctrl-C would. *exit_code: that of the recording.
 */
enum tdbg_status cli_record_in_terminal(int argc, char **argv, const char *path, int *exit_code,
                                        struct tdbg_err *err);

#endif
