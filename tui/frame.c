/* See frame.h. */
#include "tui/frame.h"

struct tdbg_tui_frame tdbg_tui_frame_lay_out(int width, int height)
{
    struct tdbg_tui_frame f = {0};
    f.too_small = width < TDBG_SCREEN_MIN_WIDTH || height < TDBG_SCREEN_MIN_HEIGHT;
    if (f.too_small)
        return f;
    f.has_room = width >= TDBG_SCREEN_FULL_WIDTH && height >= TDBG_SCREEN_FULL_HEIGHT;
    const int tabs = height >= TDBG_SCREEN_FULL_HEIGHT ? 1 : 0;
    f.position = (struct tdbg_tui_rect){0, 0, width, 1};
    f.tabs = (struct tdbg_tui_rect){0, 1, width, tabs};
    f.body = (struct tdbg_tui_rect){0, 1 + tabs, width, height - 3 - tabs};
    f.message = (struct tdbg_tui_rect){0, height - 2, width, 1};
    f.keys = (struct tdbg_tui_rect){0, height - 1, width, 1};
    return f;
}
