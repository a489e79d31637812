/* The real terminal: puts grids on it and reads keys from it. The only file besides
 * terminal_signals.c that knows of ncurses or of escape sequences. One at a time. */
#ifndef TDBG_TUI_TERMINAL_H
#define TDBG_TUI_TERMINAL_H

#include "tui/app.h"
#include "tui/tui.h"

enum tdbg_tui_event_kind {
    TDBG_EVENT_NONE, /* nothing to read, and waiting was not wanted */
    TDBG_EVENT_KEY,
    TDBG_EVENT_MOUSE,
    TDBG_EVENT_RESIZE,
    TDBG_EVENT_END, /* the terminal went away */
};

struct tdbg_tui_event {
    enum tdbg_tui_event_kind kind;
    uint32_t key;
    int x, y; /* mouse */
    enum tdbg_tui_button button;
};

struct tdbg_tui_terminal;

/* Takes over standard input and output. TDBG_USAGE: TERM names no terminal that can do it. While it
 * is open, what anyone writes to standard error is kept and shown after the close. */
enum tdbg_status tdbg_tui_terminal_open(const struct tdbg_tui_options *options,
                                        struct tdbg_tui_terminal **out, struct tdbg_err *err);
void tdbg_tui_terminal_close(struct tdbg_tui_terminal *terminal); /* NULL is fine */

/* Does it show ASCII only (by option or by locale)? */
bool tdbg_tui_terminal_is_ascii(const struct tdbg_tui_terminal *terminal);
int tdbg_tui_terminal_colours(const struct tdbg_tui_terminal *terminal); /* for pictures */
void tdbg_tui_terminal_size(const struct tdbg_tui_terminal *terminal, int *width, int *height);

/* Shows a grid; only what changed is sent. everything: send all of it anew. */
void tdbg_tui_terminal_show(struct tdbg_tui_terminal *terminal, const struct tdbg_tui_grid *grid,
                            bool everything);

/* A wait also ends when fd can be read. */
void tdbg_tui_terminal_watch(struct tdbg_tui_terminal *terminal, int fd);

/* Busy: it waits for what is being computed, and is not idle (TDBG_TEST_SYNC). */
void tdbg_tui_terminal_set_busy(struct tdbg_tui_terminal *terminal, bool is_busy);

/* Whether mouse events are taken, or left to the terminal program. */
void tdbg_tui_terminal_use_mouse(struct tdbg_tui_terminal *terminal, bool uses_mouse);

/* The next event; wait: sleep until something happens, which may turn out to be none. */
struct tdbg_tui_event tdbg_tui_terminal_read(struct tdbg_tui_terminal *terminal, bool wait);

/* Asks the terminal program to put text on the clipboard (OSC 52); not all do. */
void tdbg_tui_terminal_copy(struct tdbg_tui_terminal *terminal, const char *text);

/* Gives the terminal to the shell until the job is continued. */
void tdbg_tui_terminal_suspend(struct tdbg_tui_terminal *terminal);

/* Between these two a fatal signal leaves the terminal as it was found (terminal_signals.c):
 * `reset` (kept by reference) is written to out_fd, the line discipline of in_fd is set back to
 * what it is at _guard, and what stderr_fd holds (-1: nothing) is copied to saved_stderr. */
struct tdbg_tui_guard {
    const char *reset;
    size_t reset_bytes;
    int in_fd, out_fd, kept_stderr, saved_stderr;
};
void tdbg_tui_terminal_guard(const struct tdbg_tui_guard *guard);
void tdbg_tui_terminal_arm(void); /* catches the signals, once ncurses has set its own handlers */
void tdbg_tui_terminal_unguard(void);

#endif
