/* A line that the user types: what to find, a command, an index. */
#ifndef TDBG_TUI_PROMPT_H
#define TDBG_TUI_PROMPT_H

#include "base/strbuf.h"
#include "tui/grid.h"
#include "tui/line_history.h"

struct tdbg_tui_app;

struct tdbg_tui_prompt {
    bool is_open;
    const char *sign; /* in front of the text, such as "/" */
    const char *hint; /* for the key row */
    struct tdbg_strbuf text;
    size_t at; /* byte of the text that the cursor stands on */
    /* Enter: the text, which may be empty. */
    void (*accept)(struct tdbg_tui_app *app, const char *text);

    /* Set after _open; NULL: the prompt has none. */
    void (*complete)(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt); /* Tab */
    const struct tdbg_tui_line_history *history;                                /* Up and Down */

    struct tdbg_strbuf choices; /* what Tab may mean, in place of the hint until the next key */
    int history_at;             /* how many lines back; 0: what was typed, which is */
    char *typed;                /* kept here meanwhile */
};

/* sign and hint are borrowed. */
void tdbg_tui_prompt_open(struct tdbg_tui_prompt *prompt, const char *sign, const char *hint,
                          void (*accept)(struct tdbg_tui_app *app, const char *text));
void tdbg_tui_prompt_free(struct tdbg_tui_prompt *prompt);

/* A key while it is open; ^L is the app's. */
void tdbg_tui_prompt_key(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt, uint32_t key);

/* Puts `text` in place of the bytes from `from` up to the cursor; for _complete. */
void tdbg_tui_prompt_replace(struct tdbg_tui_prompt *prompt, size_t from, const char *text);

/* Paints it and puts the cursor where the next character will be. */
void tdbg_tui_prompt_draw(const struct tdbg_tui_prompt *prompt, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect);

/* For the key row: the choices, or the hint. */
const char *tdbg_tui_prompt_hint(const struct tdbg_tui_prompt *prompt);

#endif
