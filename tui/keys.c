/* The tables of requests and of the keys that they are bound to at first. See keys.h. */
#include "tui/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

static const struct tdbg_tui_request_info requests[TDBG_REQUEST_COUNT] = {
    {NULL, NULL, NULL, NULL},
#define REQUEST_ROW(name, group, help, hint, keys) {group, help, hint, keys},
    TDBG_TUI_REQUEST_LIST(REQUEST_ROW)
#undef REQUEST_ROW
};

const struct tdbg_tui_binding tdbg_tui_bindings[] = {
    {'n', TDBG_REQUEST_STEP_NEXT},
    {'N', TDBG_REQUEST_STEP_PREV},
    {'p', TDBG_REQUEST_STEP_PREV},
    {'s', TDBG_REQUEST_OP_NEXT},
    {'S', TDBG_REQUEST_OP_PREV},
    {'f', TDBG_REQUEST_PHASE_END},
    {'F', TDBG_REQUEST_PHASE_START},
    {'c', TDBG_REQUEST_RUN},
    {'C', TDBG_REQUEST_RUN_BACK},
    {'g', TDBG_REQUEST_FIRST},
    {TDBG_KEY_HOME, TDBG_REQUEST_FIRST},
    {'G', TDBG_REQUEST_LAST},
    {TDBG_KEY_END, TDBG_REQUEST_LAST},
    {'l', TDBG_REQUEST_RIGHT},
    {TDBG_KEY_RIGHT, TDBG_REQUEST_RIGHT},
    {'h', TDBG_REQUEST_LEFT},
    {TDBG_KEY_LEFT, TDBG_REQUEST_LEFT},
    {'+', TDBG_REQUEST_ZOOM_IN},
    {'-', TDBG_REQUEST_ZOOM_OUT},
    {'0', TDBG_REQUEST_ZOOM_RESET},
    {'m', TDBG_REQUEST_MARK},
    {'\'', TDBG_REQUEST_JUMP},
    {'z', TDBG_REQUEST_UNDO},
    {TDBG_KEY_CTRL_R, TDBG_REQUEST_REDO},
    {'b', TDBG_REQUEST_BREAK},
    {'B', TDBG_REQUEST_BREAK_LIST},
    {'w', TDBG_REQUEST_WATCH},
    {'o', TDBG_REQUEST_ORIGIN},
    {'i', TDBG_REQUEST_INPUTS},
    {'u', TDBG_REQUEST_MODULE_UP},
    {'d', TDBG_REQUEST_MODULE_DOWN},
    {'r', TDBG_REQUEST_RANK_NEXT},
    {'R', TDBG_REQUEST_RANK_PREV},
    {'j', TDBG_REQUEST_DOWN},
    {TDBG_KEY_DOWN, TDBG_REQUEST_DOWN},
    {'k', TDBG_REQUEST_UP},
    {TDBG_KEY_UP, TDBG_REQUEST_UP},
    {TDBG_KEY_PAGE_DOWN, TDBG_REQUEST_PAGE_DOWN},
    {TDBG_KEY_PAGE_UP, TDBG_REQUEST_PAGE_UP},
    {TDBG_KEY_CTRL_D, TDBG_REQUEST_HALF_DOWN},
    {TDBG_KEY_CTRL_U, TDBG_REQUEST_HALF_UP},
    {TDBG_KEY_ENTER, TDBG_REQUEST_OPEN},
    {'\n', TDBG_REQUEST_OPEN},
    {'D', TDBG_REQUEST_DELETE},
    {'t', TDBG_REQUEST_SWITCH},
    {'/', TDBG_REQUEST_FIND},
    {']', TDBG_REQUEST_HIT_NEXT},
    {'[', TDBG_REQUEST_HIT_PREV},
    {TDBG_KEY_TAB, TDBG_REQUEST_PANE_NEXT},
    {TDBG_KEY_SHIFT_TAB, TDBG_REQUEST_PANE_PREV},
    {'v', TDBG_REQUEST_VIEW},
    {'@', TDBG_REQUEST_INDEX},
    {'=', TDBG_REQUEST_COMPARE},
    {'x', TDBG_REQUEST_LINK},
    {'L', TDBG_REQUEST_SCALE},
    {'e', TDBG_REQUEST_EXPORT},
    {'y', TDBG_REQUEST_COPY},
    {TDBG_KEY_F0 + 2, TDBG_REQUEST_SCREEN_MAIN},
    {TDBG_KEY_F0 + 3, TDBG_REQUEST_SCREEN_OPS},
    {TDBG_KEY_F0 + 4, TDBG_REQUEST_SCREEN_TENSOR},
    {TDBG_KEY_F0 + 5, TDBG_REQUEST_SCREEN_RANKS},
    {TDBG_KEY_F0 + 6, TDBG_REQUEST_SCREEN_INPUT},
    {TDBG_KEY_F0 + 7, TDBG_REQUEST_SCREEN_DIFF},
    {TDBG_KEY_F0 + 8, TDBG_REQUEST_SCREEN_FINDINGS},
    {TDBG_KEY_F0 + 9, TDBG_REQUEST_SCREEN_OPTIMIZER},
    {' ', TDBG_REQUEST_SCREEN_MENU},
    {TDBG_KEY_CTRL_L, TDBG_REQUEST_REDRAW},
    {TDBG_KEY_ESC, TDBG_REQUEST_CANCEL},
    {TDBG_KEY_CTRL_C, TDBG_REQUEST_CANCEL},
    {TDBG_KEY_CTRL_Z, TDBG_REQUEST_SUSPEND},
    {':', TDBG_REQUEST_COMMAND},
    {'?', TDBG_REQUEST_HELP},
    {TDBG_KEY_F0 + 1, TDBG_REQUEST_HELP},
    {'q', TDBG_REQUEST_BACK},
    {'Q', TDBG_REQUEST_QUIT},
};
const int tdbg_tui_n_bindings = sizeof tdbg_tui_bindings / sizeof tdbg_tui_bindings[0];

const struct tdbg_tui_request_info *tdbg_tui_request_info(enum tdbg_tui_request request)
{
    TDBG_ASSERT(request > TDBG_REQUEST_NONE && request < TDBG_REQUEST_COUNT);
    return &requests[request];
}

/* One codepoint as UTF-8. */
static void encode(uint32_t c, char buf[TDBG_KEY_NAME_BYTES])
{
    const int extra = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf[0] = (char)(lead[extra] | c >> (6 * extra));
    for (int i = 1; i <= extra; i++)
        buf[i] = (char)(0x80 | (c >> (6 * (extra - i)) & 0x3f));
    buf[extra + 1] = 0;
}

const char *tdbg_tui_key_name(uint32_t key, char buf[TDBG_KEY_NAME_BYTES])
{
    static const char *const special[] = {"Up",   "Down", "Left", "Right",     "PgUp",
                                          "PgDn", "Home", "End",  "Backspace", "Shift-Tab"};
    if (key >= TDBG_KEY_BEYOND)
        snprintf(buf, TDBG_KEY_NAME_BYTES, "this key");
    else if (key > TDBG_KEY_F0)
        snprintf(buf, TDBG_KEY_NAME_BYTES, "F%u", (unsigned)(key - TDBG_KEY_F0));
    else if (key >= TDBG_KEY_SPECIAL && key < TDBG_KEY_F0)
        snprintf(buf, TDBG_KEY_NAME_BYTES, "%s", special[key - TDBG_KEY_SPECIAL]);
    else if (key == TDBG_KEY_TAB || key == TDBG_KEY_ENTER || key == TDBG_KEY_ESC || key == ' ')
        snprintf(buf, TDBG_KEY_NAME_BYTES, "%s",
                 key == TDBG_KEY_TAB     ? "Tab"
                 : key == TDBG_KEY_ENTER ? "Enter"
                 : key == ' '            ? "Space"
                                         : "Esc");
    else if (key == 127)
        snprintf(buf, TDBG_KEY_NAME_BYTES, "^?");
    else if (key < ' ')
        snprintf(buf, TDBG_KEY_NAME_BYTES, "^%c", (char)(key + '@'));
    else
        encode(key, buf);
    return buf;
}
