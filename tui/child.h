/* Another program that runs beside the terminal: its lines are taken as they come. One reader. */
#ifndef TDBG_TUI_CHILD_H
#define TDBG_TUI_CHILD_H

#include <stdbool.h>

#include "base/status.h"
#include "base/strbuf.h"

struct tdbg_tui_child;

/* argv ends with NULL; argv[0] is the program. Its standard input is empty. file: a descriptor that
 * it gets as its number TDBG_CHILD_FILE, borrowed; -1: none. */
#define TDBG_CHILD_FILE_TEXT "3"
enum { TDBG_CHILD_FILE = 3 };
enum tdbg_status tdbg_tui_child_start(const char *const *argv, int file,
                                      struct tdbg_tui_child **out, struct tdbg_err *err);

/* Ends it where it still runs. NULL is fine. */
void tdbg_tui_child_destroy(struct tdbg_tui_child *child);

/* Readable when there is something to read, or it has ended. */
int tdbg_tui_child_fd(const struct tdbg_tui_child *child);

/* Adds what it printed to out, and what it said on standard error to errors; does not wait. true:
 * it goes on; false: it has ended, with *status as waitpid(2) has it. */
bool tdbg_tui_child_read(struct tdbg_tui_child *child, struct tdbg_strbuf *out,
                         struct tdbg_strbuf *errors, int *status);

/* As ^C would, the first time; then for good. */
void tdbg_tui_child_interrupt(struct tdbg_tui_child *child);

#endif
