/* A line that the user types: what to find, a command, an index. */
#ifndef TDBG_TUI_PROMPT_H
#define TDBG_TUI_PROMPT_H

#include "base/strbuf.h"
#include "tui/grid.h"

struct tdbg_tui_app;

struct tdbg_tui_prompt {
    bool is_open;
    const char *sign; /* in front of the text, such as "/" */
    const char *hint; /* for the key row */
    struct tdbg_strbuf text;
    /* Enter: the text, which may be empty. */
    void (*accept)(struct tdbg_tui_app *app, const char *text);
};

/* sign and hint are borrowed. */
void tdbg_tui_prompt_open(struct tdbg_tui_prompt *prompt, const char *sign, const char *hint,
                          void (*accept)(struct tdbg_tui_app *app, const char *text));
void tdbg_tui_prompt_free(struct tdbg_tui_prompt *prompt);

/* A key while it is open; ^L is the app's. */
void tdbg_tui_prompt_key(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt, uint32_t key);

/* Paints it and puts the cursor behind its text. */
void tdbg_tui_prompt_draw(const struct tdbg_tui_prompt *prompt, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect);

#endif
