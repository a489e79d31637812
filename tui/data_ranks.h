/* The other ranks of a trace's run for the terminal: tui/data.h over trace/rank_group.h. */
#ifndef TDBG_TUI_DATA_RANKS_H
#define TDBG_TUI_DATA_RANKS_H

#include "tui/data.h"

struct tdbg_tui_rank_files;

/* Opens no file yet. The trace is borrowed. Close with _close after the last use of a table. */
enum tdbg_status tdbg_tui_rank_files_create(struct tdbg_trace *trace,
                                            struct tdbg_tui_rank_files **out, struct tdbg_err *err);
void tdbg_tui_rank_files_close(struct tdbg_tui_rank_files *files); /* NULL is fine */

/* The same over a recording that still runs, whose files are opened anew with _renew: the tables
 * stay where they are, and so do their lists of sites. on_open is told when another rank's file is
 * opened first, and its path. */
struct tdbg_tui_rank_files_following {
    const char *path;
    void (*on_open)(void *context, const char *path);
    void *context;
};
enum tdbg_status tdbg_tui_rank_files_open(const struct tdbg_tui_rank_files_following *following,
                                          struct tdbg_tui_rank_files **out, struct tdbg_err *err);

/* Opens all files anew that are open. What cannot be opened any more is left out and why is known,
 * unless it is the trace itself or the file of `needed`: an error. */
enum tdbg_status tdbg_tui_rank_files_renew(struct tdbg_tui_rank_files *files, int32_t needed,
                                           struct tdbg_err *err);

/* The table of the trace itself, with the other ranks, where it has any. */
const struct tdbg_tui_data *tdbg_tui_rank_files_data(const struct tdbg_tui_rank_files *files);

/* Of a rank's file that is open; NULL: it is not. */
const struct tdbg_tui_data *tdbg_tui_rank_files_of(const struct tdbg_tui_rank_files *files,
                                                   int32_t rank);

#endif
