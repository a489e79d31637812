/* The row of tabs, one per screen that has a key, and how to go to one. Where they do not all fit,
 * the gaps between them shrink; where that is not enough, the row shows those around the current
 * one, and arrows:
 *
 *      F2 main  F3 ops  F4 tensor  F5 ranks  F6 input  F7 diff  F8 findings  F9 optimizer
 *     <F5 ranks F6 input F7 diff F8 findings >
 *
 * See app.h. */
#include "tui/app.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "tui/view.h"

/* The screens that have a key, in the order of the tabs. */
static const struct {
    enum tdbg_tui_request request;
    const struct tdbg_tui_screen *screen;
    char letter; /* after Space */
} tabs[] = {
    {TDBG_REQUEST_SCREEN_MAIN, &tdbg_tui_screen_main, 'm'},
    {TDBG_REQUEST_SCREEN_OPS, &tdbg_tui_screen_ops, 'o'},
    {TDBG_REQUEST_SCREEN_TENSOR, &tdbg_tui_screen_tensor, 't'},
    {TDBG_REQUEST_SCREEN_RANKS, &tdbg_tui_screen_ranks, 'r'},
    {TDBG_REQUEST_SCREEN_INPUT, &tdbg_tui_screen_input, 'i'},
    {TDBG_REQUEST_SCREEN_DIFF, &tdbg_tui_screen_diff, 'd'},
    {TDBG_REQUEST_SCREEN_FINDINGS, &tdbg_tui_screen_findings, 'f'},
    {TDBG_REQUEST_SCREEN_OPTIMIZER, &tdbg_tui_screen_optimizer, 'p'},
};
enum { N_TABS = sizeof tabs / sizeof tabs[0] };

void tdbg_tui_app_take_letter(struct tdbg_tui_app *app, uint32_t key)
{
    char name[TDBG_KEY_NAME_BYTES], letters[2 * N_TABS + 1] = "";
    for (int i = 0; i < N_TABS; i++) {
        if ((uint32_t)tabs[i].letter == key) {
            tdbg_tui_app_switch(app, tabs[i].screen);
            return;
        }
        letters[2 * i] = ' ';
        letters[2 * i + 1] = tabs[i].letter;
    }
    tdbg_tui_model_say(&app->model, "no screen has the letter %s:%s", tdbg_tui_key_name(key, name),
                       letters);
}

void tdbg_tui_app_say_letters(struct tdbg_tui_app *app)
{
    struct tdbg_strbuf text = {0};
    for (int i = 0; i < N_TABS; i++)
        tdbg_strbuf_printf(&text, "%s%c %s", i ? "  " : "", tabs[i].letter, tabs[i].screen->name);
    tdbg_tui_model_say(&app->model, "to the screen with the letter: %s", text.text);
    tdbg_strbuf_free(&text);
}

void tdbg_tui_app_switch_to(struct tdbg_tui_app *app, enum tdbg_tui_request request)
{
    for (int i = 0; i < N_TABS; i++) {
        if (tabs[i].request == request)
            tdbg_tui_app_switch(app, tabs[i].screen);
    }
}

/* "F2 main", or "main" where no key is bound to it. */
static const char *tab_text(const struct tdbg_tui_app *app, int i, char buf[40])
{
    char keys[32];
    tdbg_tui_keymap_keys(&app->keymap, tabs[i].request, keys, sizeof keys);
    if (*keys)
        snprintf(buf, 40, "%s %s", keys, tabs[i].screen->name);
    else
        snprintf(buf, 40, "%s", tabs[i].screen->name);
    return buf;
}

/* The lowest screen but main is that of the tab; -1 where it has none. */
static int current_tab(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_screen *screen = app->screens[app->n_screens > 1 ? 1 : 0];
    for (int i = 0; i < N_TABS; i++) {
        if (tabs[i].screen == screen)
            return i;
    }
    return -1;
}

/* Where the tabs stand. The row's first and last column are of the arrows. */
struct tab_row {
    int first, last; /* that are shown */
    int x[N_TABS], width[N_TABS];
};

/* Columns from the first to the last of these tabs. */
static int columns_of(const struct tab_row *row, int first, int last, int gap)
{
    int columns = 0;
    for (int i = first; i <= last; i++)
        columns += row->width[i] + (i > first ? gap : 0);
    return columns;
}

static struct tab_row lay_out(const struct tdbg_tui_app *app, struct tdbg_tui_rect rect)
{
    struct tab_row row = {.last = N_TABS - 1};
    char text[40];
    const int room = rect.width - 2;
    int gap = 2, current = current_tab(app);
    current = current < 0 ? 0 : current; /* the first ones */
    for (int i = 0; i < N_TABS; i++)
        row.width[i] = (int)strlen(tab_text(app, i, text));
    if (columns_of(&row, 0, N_TABS - 1, gap) > room)
        gap = 1;
    while (row.first < current && columns_of(&row, row.first, current, gap) > room)
        row.first++;
    while (row.last > current && columns_of(&row, row.first, row.last, gap) > room)
        row.last--;
    int x = rect.x + 1;
    for (int i = row.first; i <= row.last; i++) {
        row.x[i] = x;
        x += row.width[i] + gap;
    }
    return row;
}

void tdbg_tui_app_draw_tabs(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect)
{
    const struct tab_row row = lay_out(app, rect);
    const int current = current_tab(app);
    char text[40];
    if (rect.height < 1)
        return;
    for (int i = row.first; i <= row.last; i++)
        tdbg_tui_grid_put_text(grid, row.x[i], rect.y, rect.x + rect.width - 1 - row.x[i],
                               i == current ? TDBG_STYLE_BOLD | TDBG_STYLE_UNDERLINE
                                            : TDBG_STYLE_PLAIN,
                               tab_text(app, i, text));
    if (row.first > 0)
        tdbg_tui_grid_put(grid, rect.x, rect.y, '<', TDBG_STYLE_BOLD);
    if (row.last < N_TABS - 1)
        tdbg_tui_grid_put(grid, rect.x + rect.width - 1, rect.y, '>', TDBG_STYLE_BOLD);
}

/* An arrow goes to the tab that stands next behind it. */
static int tab_at(const struct tab_row *row, struct tdbg_tui_rect rect, int x)
{
    if (x == rect.x)
        return row->first - 1;
    if (x == rect.x + rect.width - 1)
        return row->last + 1;
    for (int i = row->first; i <= row->last; i++) {
        if (x >= row->x[i] && x < row->x[i] + row->width[i])
            return i;
    }
    return -1;
}

void tdbg_tui_app_click_tab(struct tdbg_tui_app *app, struct tdbg_tui_rect rect, int x)
{
    const struct tab_row row = lay_out(app, rect);
    const int tab = tab_at(&row, rect, x);
    if (tab >= 0 && tab < N_TABS)
        tdbg_tui_app_switch(app, tabs[tab].screen);
}
