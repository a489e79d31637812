/* The commands that were typed, the newest last, kept in a file from one run of the program to the
 * next. A file that cannot be read or written is no fault: the history is then this run's. */
#ifndef TDBG_TUI_LINE_HISTORY_H
#define TDBG_TUI_LINE_HISTORY_H

#include <stdbool.h>

enum { TDBG_HISTORY_LINES = 500, TDBG_HISTORY_LINE_BYTES = 1000 };

/* Start with {0}. */
struct tdbg_tui_line_history {
    char *path; /* NULL: in no file */
    char *line[TDBG_HISTORY_LINES];
    int n;
    int n_in_file; /* lines; the file is cut down when they are twice what is kept */
};

/* path (copied): NULL for none. */
void tdbg_tui_line_history_open(struct tdbg_tui_line_history *history, const char *path);
void tdbg_tui_line_history_free(struct tdbg_tui_line_history *history);

/* An empty line, and one that is the same as the one before, is not kept. The file is made where
 * there is none, with its folders, for its owner alone. */
void tdbg_tui_line_history_add(struct tdbg_tui_line_history *history, const char *line);

/* "$XDG_STATE_HOME/tdbg/history"-like paths: the variable where it is an absolute path, else
 * `fallback` in $HOME. The caller frees it; NULL: neither is set. */
char *tdbg_tui_user_path(const char *variable, const char *fallback, const char *name);

#endif
