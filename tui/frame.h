/* The rows that all screens have in common, and the body between them: a pure function of the size.
 *
 *     position    file, step, epoch, op, rank, loss
 *     tabs        F2 main  F3 ops ...; where there are at least 24 rows
 *     body        the screen's own
 *     message     message, question or : line
 *     keys        what the keys do here */
#ifndef TDBG_TUI_FRAME_H
#define TDBG_TUI_FRAME_H

#include "tui/grid.h"

enum { TDBG_SCREEN_MIN_WIDTH = 40, TDBG_SCREEN_MIN_HEIGHT = 10 };
/* From here on a screen has room for its panes together; below it shows one at a time. */
enum { TDBG_SCREEN_FULL_WIDTH = 80, TDBG_SCREEN_FULL_HEIGHT = 24 };

/* A rectangle of height 0 is not shown. */
struct tdbg_tui_frame {
    bool too_small, has_room; /* for panes together */
    struct tdbg_tui_rect position, tabs, body, message, keys;
};

struct tdbg_tui_frame tdbg_tui_frame_lay_out(int width, int height);

#endif
