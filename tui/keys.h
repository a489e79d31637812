/* Keys are bound to named requests, and each screen has actions for requests. The tables here also
 * make the help screen and the key row, so that neither can be out of date. */
#ifndef TDBG_TUI_KEYS_H
#define TDBG_TUI_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* A key is a Unicode codepoint (control characters included) or one of these. */
enum {
    TDBG_KEY_CTRL_C = 3,
    TDBG_KEY_CTRL_D = 4,
    TDBG_KEY_TAB = 9,
    TDBG_KEY_CTRL_L = 12,
    TDBG_KEY_ENTER = 13,
    TDBG_KEY_CTRL_U = 21,
    TDBG_KEY_CTRL_Z = 26,
    TDBG_KEY_ESC = 27,
    TDBG_KEY_SPECIAL = 0x110000, /* beyond Unicode */
    TDBG_KEY_UP = TDBG_KEY_SPECIAL,
    TDBG_KEY_DOWN,
    TDBG_KEY_LEFT,
    TDBG_KEY_RIGHT,
    TDBG_KEY_PAGE_UP,
    TDBG_KEY_PAGE_DOWN,
    TDBG_KEY_HOME,
    TDBG_KEY_END,
    TDBG_KEY_BACKSPACE,
    TDBG_KEY_SHIFT_TAB,
    TDBG_KEY_F0,                        /* F1 is TDBG_KEY_F0 + 1, and so on to F12 */
    TDBG_KEY_BEYOND = TDBG_KEY_F0 + 13, /* from here on: a key without a name */
};

/* X(NAME, group, help, hint in the key row or NULL, keys in the key row or NULL) in the order of
 * the help. Lower case forward, Shift backward. */
#define TDBG_TUI_REQUEST_LIST(X)                                                                   \
    X(STEP_NEXT, "time", "next step", "step", "n/N")                                               \
    X(STEP_PREV, "time", "previous step", NULL, NULL)                                              \
    X(OP_NEXT, "time", "next op, over the end of the step", "op", "s/S")                           \
    X(OP_PREV, "time", "previous op, over the start of the step", NULL, NULL)                      \
    X(FIRST, "time", "first step; in a list its first row", "first/last", "g/G")                   \
    X(LAST, "time", "last step, with a count that step; in a list its rows", NULL, NULL)           \
    X(RIGHT, "time", "one column of the chart on", NULL, NULL)                                     \
    X(LEFT, "time", "one column of the chart back", NULL, NULL)                                    \
    X(DOWN, "list", "down", NULL, NULL)                                                            \
    X(UP, "list", "up", NULL, NULL)                                                                \
    X(PAGE_DOWN, "list", "page down", NULL, NULL)                                                  \
    X(PAGE_UP, "list", "page up", NULL, NULL)                                                      \
    X(HALF_DOWN, "list", "half a page down", NULL, NULL)                                           \
    X(HALF_UP, "list", "half a page up", NULL, NULL)                                               \
    X(FIND, "list", "find by name; * ? [ are wild, Enter alone repeats", "find", "/")              \
    X(HIT_NEXT, "list", "next hit", "hit", "]/[")                                                  \
    X(HIT_PREV, "list", "previous hit", NULL, NULL)                                                \
    X(PANE_NEXT, "screen", "next pane: chart, metrics, sites", "pane", "Tab")                      \
    X(PANE_PREV, "screen", "previous pane", NULL, NULL)                                            \
    X(SCALE, "screen", "logarithmic or linear chart", "log", "L")                                  \
    X(REDRAW, "screen", "draw the screen anew", NULL, NULL)                                        \
    X(CANCEL, "screen", "drop a count, a message, a search", NULL, NULL)                           \
    X(SUSPEND, "screen", "back to the shell; fg returns", NULL, NULL)                              \
    X(HELP, "screen", "this help", "help", "?")                                                    \
    X(BACK, "screen", "back; on the main screen quit", "quit", "q")                                \
    X(QUIT, "screen", "quit from anywhere", NULL, NULL)

enum tdbg_tui_request {
    TDBG_REQUEST_NONE,
#define TDBG_TUI_REQUEST_ENUM(name, group, help, hint, keys) TDBG_REQUEST_##name,
    TDBG_TUI_REQUEST_LIST(TDBG_TUI_REQUEST_ENUM)
#undef TDBG_TUI_REQUEST_ENUM
        TDBG_REQUEST_COUNT
};

struct tdbg_tui_request_info {
    const char *group, *help;
    const char *hint, *hint_keys; /* NULL: not in the key row */
};

/* Never TDBG_REQUEST_NONE. */
const struct tdbg_tui_request_info *tdbg_tui_request_info(enum tdbg_tui_request request);

/* The request of a key, or TDBG_REQUEST_NONE. */
enum tdbg_tui_request tdbg_tui_key_request(uint32_t key);

/* "n", "^D", "PgUp", "F1", or "this key" into buf; returns buf. */
enum { TDBG_KEY_NAME_BYTES = 16 };
const char *tdbg_tui_key_name(uint32_t key, char buf[TDBG_KEY_NAME_BYTES]);

/* All keys of a request, "N p", into buf; returns buf. */
const char *tdbg_tui_request_keys(enum tdbg_tui_request request, char *buf, size_t buf_bytes);

#endif
