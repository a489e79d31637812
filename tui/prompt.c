/* See prompt.h. */
#include "tui/prompt.h"

#include <string.h>

#include "tui/keys.h"

enum { MAX_TEXT_BYTES = 1000 };

void tdbg_tui_prompt_open(struct tdbg_tui_prompt *prompt, const char *sign, const char *hint,
                          void (*accept)(struct tdbg_tui_app *app, const char *text))
{
    tdbg_strbuf_free(&prompt->text);
    prompt->is_open = true;
    prompt->sign = sign;
    prompt->hint = hint;
    prompt->accept = accept;
}

void tdbg_tui_prompt_free(struct tdbg_tui_prompt *prompt)
{
    tdbg_strbuf_free(&prompt->text);
}

static void add_codepoint(struct tdbg_strbuf *sb, uint32_t key)
{
    char utf8[TDBG_KEY_NAME_BYTES];
    if (key == ' ')
        tdbg_strbuf_putc(sb, ' '); /* its key name is a word */
    else
        tdbg_strbuf_puts(sb, tdbg_tui_key_name(key, utf8));
}

static void drop_last_char(struct tdbg_strbuf *sb)
{
    while (sb->n_bytes > 0 && ((unsigned char)sb->text[sb->n_bytes - 1] & 0xc0) == 0x80)
        sb->n_bytes--;
    if (sb->n_bytes > 0)
        sb->n_bytes--;
    if (sb->text)
        sb->text[sb->n_bytes] = 0;
}

/* The text may open another prompt: it is taken out first. */
static void accept(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt)
{
    struct tdbg_strbuf text = prompt->text;
    prompt->text = (struct tdbg_strbuf){0};
    prompt->is_open = false;
    prompt->accept(app, text.text ? text.text : "");
    tdbg_strbuf_free(&text);
}

void tdbg_tui_prompt_key(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt, uint32_t key)
{
    if (key == TDBG_KEY_ENTER || key == '\n') {
        accept(app, prompt);
    } else if (key == TDBG_KEY_ESC || key == TDBG_KEY_CTRL_C) {
        prompt->is_open = false;
    } else if (key == TDBG_KEY_BACKSPACE || key == 8 || key == 127) {
        prompt->is_open = prompt->text.n_bytes > 0; /* as in vi: nothing left to take back */
        drop_last_char(&prompt->text);
    } else if (key == TDBG_KEY_CTRL_U) {
        tdbg_strbuf_free(&prompt->text);
    } else if (key >= ' ' && key < TDBG_KEY_SPECIAL && prompt->text.n_bytes < MAX_TEXT_BYTES) {
        add_codepoint(&prompt->text, key);
    }
}

void tdbg_tui_prompt_draw(const struct tdbg_tui_prompt *prompt, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    const char *text = prompt->text.n_bytes > 0 ? prompt->text.text : "";
    int x = rect.x;
    x += tdbg_tui_grid_put_text(grid, x, rect.y, rect.width, TDBG_STYLE_BOLD, prompt->sign);
    const int room = rect.x + rect.width - x;
    /* a long text shows its end, where the typing happens */
    while (*text && tdbg_tui_text_width(grid, text) > room - 1) {
        text++;
        while (((unsigned char)*text & 0xc0) == 0x80)
            text++;
    }
    x += tdbg_tui_grid_put_text(grid, x, rect.y, room, 0, text);
    tdbg_tui_grid_set_cursor(grid, x, rect.y);
    grid->cursor_is_text = true;
}
