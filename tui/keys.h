/* Keys are bound to named requests, and each screen has actions for requests. The tables here also
 * make the help screen and the key row, so that neither can be out of date. */
#ifndef TDBG_TUI_KEYS_H
#define TDBG_TUI_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* A key is a Unicode codepoint (control characters included) or one of these. */
enum {
    TDBG_KEY_CTRL_A = 1,
    TDBG_KEY_CTRL_C = 3,
    TDBG_KEY_CTRL_D = 4,
    TDBG_KEY_CTRL_E = 5,
    TDBG_KEY_TAB = 9,
    TDBG_KEY_CTRL_L = 12,
    TDBG_KEY_ENTER = 13,
    TDBG_KEY_CTRL_R = 18,
    TDBG_KEY_CTRL_U = 21,
    TDBG_KEY_CTRL_W = 23,
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
    TDBG_KEY_PASTE,                     /* what follows is pasted, up to _PASTE_END */
    TDBG_KEY_PASTE_END,
};

/* X(NAME, group, help, hint in the key row or NULL, keys in the key row or NULL) in the order of
 * the help. Lower case forward, Shift backward. */
#define TDBG_TUI_REQUEST_LIST(X)                                                                   \
    X(STEP_NEXT, "time", "next step", "step", "n/N")                                               \
    X(STEP_PREV, "time", "previous step", NULL, NULL)                                              \
    X(OP_NEXT, "time", "next op, over the end of the step", "op", "s/S")                           \
    X(OP_PREV, "time", "previous op, over the start of the step", NULL, NULL)                      \
    X(PHASE_END, "time", "end of this phase: forward, backward, ...", "phase", "f/F")              \
    X(PHASE_START, "time", "start of this phase", NULL, NULL)                                      \
    X(RUN, "time", "run to the next event: a breakpoint or a finding", "run", "c/C")               \
    X(RUN_BACK, "time", "run back to the event before", NULL, NULL)                                \
    X(FIRST, "time", "first step; in a list its first row", NULL, NULL)                            \
    X(LAST, "time", "last step, with a count that step; in a list its rows", NULL, NULL)           \
    X(RIGHT, "time", "one column of the chart or tensor on; a token", NULL, NULL)                  \
    X(LEFT, "time", "one column of the chart or tensor back; a token", NULL, NULL)                 \
    X(ZOOM_IN, "time", "zoom in around the focus", "zoom", "+/-")                                  \
    X(ZOOM_OUT, "time", "zoom out", NULL, NULL)                                                    \
    X(ZOOM_RESET, "time", "all of it again", NULL, NULL)                                           \
    X(MARK, "places", "mark this place with the letter that follows", NULL, NULL)                  \
    X(JUMP, "places", "to the mark of that letter; twice: to the last place", NULL, NULL)          \
    X(UNDO, "places", "undo a move", NULL, NULL)                                                   \
    X(REDO, "places", "redo a move", NULL, NULL)                                                   \
    X(BREAK, "places", "break where the site under the cursor has NaN or Inf", "break", "b")       \
    X(BREAK_LIST, "places", "list of breakpoints, watches and marks", NULL, NULL)                  \
    X(WATCH, "places", "watch the tensor under the cursor", "watch", "w")                          \
    X(ORIGIN, "dataflow", "origin: the op where it first went wrong", "origin", "o")               \
    X(INPUTS, "dataflow", "to the first input; again: the next one", "inputs", "i")                \
    X(MODULE_UP, "dataflow", "the module around this op", "module", "u/d")                         \
    X(MODULE_DOWN, "dataflow", "into the module", NULL, NULL)                                      \
    X(RANK_NEXT, "dataflow", "next rank", "rank", "r/R")                                           \
    X(RANK_PREV, "dataflow", "previous rank", NULL, NULL)                                          \
    X(DOWN, "list", "down", NULL, NULL)                                                            \
    X(UP, "list", "up", NULL, NULL)                                                                \
    X(PAGE_DOWN, "list", "page down", NULL, NULL)                                                  \
    X(PAGE_UP, "list", "page up", NULL, NULL)                                                      \
    X(HALF_DOWN, "list", "half a page down", NULL, NULL)                                           \
    X(HALF_UP, "list", "half a page up", NULL, NULL)                                               \
    X(OPEN, "list", "open what is under the cursor", "open", "Enter")                              \
    X(DELETE, "list", "delete the row under the cursor", "delete", "D")                            \
    X(SWITCH, "list", "switch the breakpoint under the cursor on or off", "on/off", "t")           \
    X(FIND, "list", "find by name; * ? [ are wild, Enter alone repeats", "find", "/")              \
    X(HIT_NEXT, "list", "next hit; else the next tensor, on the input screen sample", "hit",       \
      "]/[")                                                                                       \
    X(HIT_PREV, "list", "previous hit", NULL, NULL)                                                \
    X(VIEW, "screen", "next view", "view", "v")                                                    \
    X(INDEX, "screen", "go to an element by its index", "index", "@")                              \
    X(COMPARE, "screen", "compare with the step before", "vs prev", "=")                           \
    X(LINK, "screen", "link the two sides, or not", "link", "x")                                   \
    X(PANE_NEXT, "screen", "next pane", "pane", "Tab")                                             \
    X(PANE_PREV, "screen", "previous pane", NULL, NULL)                                            \
    X(SCALE, "screen", "logarithmic or linear", "log", "L")                                        \
    X(EXPORT, "screen", "write what is shown to a file", "export", "e")                            \
    X(COPY, "screen", "copy the place as a command line", NULL, NULL)                              \
    X(SCREEN_MAIN, "screens", "main: where in the run, how it went", NULL, NULL)                   \
    X(SCREEN_OPS, "screens", "ops of the step, and what went in and out", NULL, NULL)              \
    X(SCREEN_TENSOR, "screens", "tensor: histogram, heat map, elements, history", NULL, NULL)      \
    X(SCREEN_RANKS, "screens", "ranks and what each put into an all-reduce", NULL, NULL)           \
    X(SCREEN_INPUT, "screens", "input: the samples of the step", NULL, NULL)                       \
    X(SCREEN_DIFF, "screens", "diff with another trace", NULL, NULL)                               \
    X(SCREEN_FINDINGS, "screens", "findings: what is wrong in this run", NULL, NULL)               \
    X(SCREEN_OPTIMIZER, "screens", "optimizer: groups, schedule, state", NULL, NULL)               \
    X(SCREEN_MENU, "screens", "then the letter of a screen: m o t r i d f p", NULL, NULL)          \
    X(REDRAW, "screen", "draw the screen anew", NULL, NULL)                                        \
    X(CANCEL, "screen", "drop a count, a message, a search", NULL, NULL)                           \
    X(SUSPEND, "screen", "back to the shell; fg returns", NULL, NULL)                              \
    X(COMMAND, "screen", "a command; Tab completes, Up is the one before", "cmd", ":")             \
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

/* What the keys do before anybody rebinds them (keymap.h). Digits are always counts. */
struct tdbg_tui_binding {
    uint32_t key;
    enum tdbg_tui_request request;
};
extern const struct tdbg_tui_binding tdbg_tui_bindings[];
extern const int tdbg_tui_n_bindings;

/* "n", "^D", "PgUp", "F1", or "this key" into buf; returns buf. */
enum { TDBG_KEY_NAME_BYTES = 16 };
const char *tdbg_tui_key_name(uint32_t key, char buf[TDBG_KEY_NAME_BYTES]);

#endif
