/* The rows around a screen: message or prompt, keys. The tabs are in tabs.c. See app.h. */
#include "tui/app.h"

#include <stdio.h>
#include <string.h>

#include "tui/view.h"

void tdbg_tui_app_draw_message(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect)
{
    char count[32] = "", busy[TDBG_SITE_LABEL_BYTES + 120];
    if (app->has_count)
        snprintf(count, sizeof count, "%lld", (long long)app->count);
    if (app->prompt.is_open)
        tdbg_tui_prompt_draw(&app->prompt, grid, rect);
    else if (!app->model.message && tdbg_tui_app_progress_text(app, busy, sizeof busy))
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 2, 0, busy);
    else
        tdbg_tui_view_message(&app->model, count, grid, rect);
}

/* Where the next hint goes, and whether that of commands is still to come: it and the last ones,
 * help and quit, matter most to who is lost, and room is kept for them. */
struct hint_row {
    struct tdbg_tui_rect rect;
    int x;
    bool owes_commands;
};

static void put_hint(const struct tdbg_tui_app *app, enum tdbg_tui_request r,
                     struct tdbg_tui_grid *grid, struct hint_row *row)
{
    enum { LAST_COLUMNS = 16, COMMANDS_COLUMNS = 7 };
    char keys[TDBG_KEY_HINT_BYTES];
    const struct tdbg_tui_request_info *info = tdbg_tui_request_info(r);
    if (!info->hint || !tdbg_tui_screen_handles(tdbg_tui_app_screen(app), r) ||
        (r == TDBG_REQUEST_RANK_NEXT && app->model.data->info->world_size < 2))
        return;
    const char *hint = r == TDBG_REQUEST_BACK && app->n_screens > 1 ? "back" : info->hint;
    tdbg_tui_keymap_hint(&app->keymap, r, keys);
    if (r == TDBG_REQUEST_COMMAND)
        row->owes_commands = false;
    const int width = (int)(strlen(keys) + 1 + strlen(hint));
    const int kept =
        r >= TDBG_REQUEST_HELP ? 0 : LAST_COLUMNS + (row->owes_commands ? COMMANDS_COLUMNS : 0);
    if (!*keys || row->x + width + kept > row->rect.x + row->rect.width)
        return;
    row->x += tdbg_tui_grid_put_text(grid, row->x, row->rect.y, width, TDBG_STYLE_BOLD, keys);
    row->x += 1 + tdbg_tui_grid_put_text(grid, row->x + 1, row->rect.y, width, 0, hint) + 2;
}

static bool is_first_hint(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request)
{
    for (const enum tdbg_tui_request *r = screen->hints; r && *r; r++) {
        if (*r == request)
            return true;
    }
    return false;
}

void tdbg_tui_app_draw_keys(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_screen *screen = tdbg_tui_app_screen(app);
    struct hint_row row = {rect, rect.x + 1, tdbg_tui_screen_handles(screen, TDBG_REQUEST_COMMAND)};
    if (app->prompt.is_open) {
        tdbg_tui_grid_put_text(grid, row.x, rect.y, rect.width - 1, 0,
                               tdbg_tui_prompt_hint(&app->prompt));
        return;
    }
    for (const enum tdbg_tui_request *r = screen->hints; r && *r; r++)
        put_hint(app, *r, grid, &row);
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        if (!is_first_hint(screen, (enum tdbg_tui_request)r))
            put_hint(app, (enum tdbg_tui_request)r, grid, &row);
    }
}

/* Below 40x10: one line, as much of it as fits. */
void tdbg_tui_app_draw_too_small(struct tdbg_tui_grid *grid)
{
    static const char *const lines[] = {"tdbg needs 40x10, this is %dx%d; q quits",
                                        "needs 40x10, q quits", "40x10, q quits", "q quits", "q"};
    char text[64];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (i == 0)
            snprintf(text, sizeof text, "tdbg needs %dx%d, this is %dx%d; q quits",
                     TDBG_SCREEN_MIN_WIDTH, TDBG_SCREEN_MIN_HEIGHT, grid->width, grid->height);
        else
            snprintf(text, sizeof text, "%s", lines[i]);
        if ((int)strlen(text) <= grid->width)
            break;
    }
    tdbg_tui_grid_put_text(grid, 0, 0, grid->width, 0, text);
}
