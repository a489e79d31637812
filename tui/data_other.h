/* A second trace for the terminal, to compare with. */
#ifndef TDBG_TUI_DATA_OTHER_H
#define TDBG_TUI_DATA_OTHER_H

#include "tui/data.h"

struct tdbg_tui_other;

/* Errors are those of tdbg_trace_open(). Close with _close, which is fine with NULL. */
enum tdbg_status tdbg_tui_other_open(const char *path, struct tdbg_tui_other **out,
                                     struct tdbg_err *err);
void tdbg_tui_other_close(struct tdbg_tui_other *other);

const struct tdbg_tui_data *tdbg_tui_other_data(const struct tdbg_tui_other *other);

#endif
