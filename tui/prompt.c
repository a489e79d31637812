/* See prompt.h. */
#include "tui/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "tui/keys.h"

enum { MAX_TEXT_BYTES = TDBG_HISTORY_LINE_BYTES };

void tdbg_tui_prompt_open(struct tdbg_tui_prompt *prompt, const char *sign, const char *hint,
                          void (*accept)(struct tdbg_tui_app *app, const char *text))
{
    tdbg_tui_prompt_free(prompt);
    prompt->is_open = true;
    prompt->sign = sign;
    prompt->hint = hint;
    prompt->accept = accept;
}

void tdbg_tui_prompt_free(struct tdbg_tui_prompt *prompt)
{
    tdbg_strbuf_free(&prompt->text);
    tdbg_strbuf_free(&prompt->choices);
    free(prompt->typed);
    *prompt = (struct tdbg_tui_prompt){0};
}

const char *tdbg_tui_prompt_hint(const struct tdbg_tui_prompt *prompt)
{
    return prompt->choices.n_bytes > 0 ? prompt->choices.text : prompt->hint;
}

static const char *text_of(const struct tdbg_tui_prompt *prompt)
{
    return prompt->text.n_bytes > 0 ? prompt->text.text : "";
}

void tdbg_tui_prompt_replace(struct tdbg_tui_prompt *prompt, size_t from, const char *text)
{
    struct tdbg_strbuf sb = {0};
    const char *old = text_of(prompt);
    if (from + strlen(text) + prompt->text.n_bytes - prompt->at > MAX_TEXT_BYTES)
        return;
    tdbg_strbuf_add(&sb, old, from);
    tdbg_strbuf_puts(&sb, text);
    tdbg_strbuf_puts(&sb, old + prompt->at);
    prompt->at = from + strlen(text);
    tdbg_strbuf_free(&prompt->text);
    prompt->text = sb;
}

static void set_text(struct tdbg_tui_prompt *prompt, const char *text)
{
    prompt->at = prompt->text.n_bytes;
    tdbg_tui_prompt_replace(prompt, 0, text);
}

static void insert(struct tdbg_tui_prompt *prompt, uint32_t key)
{
    char utf8[TDBG_KEY_NAME_BYTES];
    /* the name of the space key is a word */
    tdbg_tui_prompt_replace(prompt, prompt->at, key == ' ' ? " " : tdbg_tui_key_name(key, utf8));
}

static bool is_inside(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80; /* of a character */
}

static size_t before(const struct tdbg_tui_prompt *prompt, size_t at)
{
    const char *text = text_of(prompt);
    while (at > 0 && is_inside(text[at - 1]))
        at--;
    return at > 0 ? at - 1 : 0;
}

static size_t after(const struct tdbg_tui_prompt *prompt, size_t at)
{
    const char *text = text_of(prompt);
    if (at < prompt->text.n_bytes)
        at++;
    while (at < prompt->text.n_bytes && is_inside(text[at]))
        at++;
    return at;
}

/* Where the word before the cursor begins. */
static size_t word_before(const struct tdbg_tui_prompt *prompt)
{
    const char *text = text_of(prompt);
    size_t at = prompt->at;
    while (at > 0 && text[at - 1] == ' ')
        at--;
    while (at > 0 && text[at - 1] != ' ')
        at--;
    return at;
}

/* Older lines for +1, newer ones for -1, and at the end what was typed. */
static void move_in_history(struct tdbg_tui_prompt *prompt, int by)
{
    const int n = prompt->history ? prompt->history->n : 0, to = prompt->history_at + by;
    if (to < 0 || to > n)
        return;
    if (prompt->history_at == 0) {
        free(prompt->typed);
        prompt->typed = strdup(text_of(prompt));
    }
    prompt->history_at = to;
    set_text(prompt, to > 0 ? prompt->history->line[n - to] : prompt->typed ? prompt->typed : "");
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

static void edit(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt, uint32_t key)
{
    switch (key) {
    case TDBG_KEY_BACKSPACE:
    case 8:
    case 127:
        prompt->is_open = prompt->text.n_bytes > 0; /* as in vi: nothing left to take back */
        tdbg_tui_prompt_replace(prompt, before(prompt, prompt->at), "");
        break;
    case TDBG_KEY_CTRL_U:
        tdbg_tui_prompt_replace(prompt, 0, "");
        break;
    case TDBG_KEY_CTRL_W:
        tdbg_tui_prompt_replace(prompt, word_before(prompt), "");
        break;
    case TDBG_KEY_LEFT:
        prompt->at = before(prompt, prompt->at);
        break;
    case TDBG_KEY_RIGHT:
        prompt->at = after(prompt, prompt->at);
        break;
    case TDBG_KEY_HOME:
    case TDBG_KEY_CTRL_A:
        prompt->at = 0;
        break;
    case TDBG_KEY_END:
    case TDBG_KEY_CTRL_E:
        prompt->at = prompt->text.n_bytes;
        break;
    case TDBG_KEY_UP:
    case TDBG_KEY_DOWN:
        move_in_history(prompt, key == TDBG_KEY_UP ? 1 : -1);
        break;
    case TDBG_KEY_TAB:
        if (prompt->complete)
            prompt->complete(app, prompt);
        break;
    default:
        if (key >= ' ' && key < TDBG_KEY_SPECIAL)
            insert(prompt, key);
    }
}

void tdbg_tui_prompt_key(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt, uint32_t key)
{
    tdbg_strbuf_free(&prompt->choices);
    if (key == TDBG_KEY_ENTER || key == '\n')
        accept(app, prompt);
    else if (key == TDBG_KEY_ESC || key == TDBG_KEY_CTRL_C)
        prompt->is_open = false;
    else
        edit(app, prompt, key);
}

/* Columns of the first `n` bytes. */
static int width_of(const struct tdbg_tui_grid *grid, const char *text, size_t n)
{
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_add(&sb, text, n);
    const int width = tdbg_tui_text_width(grid, sb.text ? sb.text : "");
    tdbg_strbuf_free(&sb);
    return width;
}

void tdbg_tui_prompt_draw(const struct tdbg_tui_prompt *prompt, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    const char *text = text_of(prompt);
    size_t at = prompt->at;
    int x = rect.x;
    x += tdbg_tui_grid_put_text(grid, x, rect.y, rect.width, TDBG_STYLE_BOLD, prompt->sign);
    const int room = rect.x + rect.width - x;
    /* of a long text the part up to the cursor is shown, where the typing happens */
    while (at > 0 && width_of(grid, text, at) > room - 1) {
        do {
            text++, at--;
        } while (at > 0 && is_inside(*text));
    }
    tdbg_tui_grid_put_text(grid, x, rect.y, room, 0, text);
    tdbg_tui_grid_set_cursor(grid, x + width_of(grid, text, at), rect.y);
    grid->cursor_is_text = true;
}
