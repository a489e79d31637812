/* The other ranks of a trace's run for the terminal: tui/data.h over trace/rank_group.h. */
#ifndef TDBG_TUI_DATA_RANKS_H
#define TDBG_TUI_DATA_RANKS_H

#include "tui/data.h"

struct tdbg_tui_rank_files;

/* Opens no file yet. The trace is borrowed. Close with _close after the last use of a table. */
enum tdbg_status tdbg_tui_rank_files_create(struct tdbg_trace *trace,
                                            struct tdbg_tui_rank_files **out, struct tdbg_err *err);
void tdbg_tui_rank_files_close(struct tdbg_tui_rank_files *files); /* NULL is fine */

/* The table of the trace itself, with the other ranks, where it has any. */
const struct tdbg_tui_data *tdbg_tui_rank_files_data(const struct tdbg_tui_rank_files *files);

#endif
