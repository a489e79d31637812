/* The help screen: the keys of the screen below it, from the tables of keys.c. */
#include <stdio.h>
#include <string.h>

#include "tui/app.h"
#include "tui/view.h"

enum { KEYS_COLUMNS = 16 };

/* Lines of the help: per request one, and one before each group. */
struct line {
    enum tdbg_tui_request request; /* NONE: heading of a group */
    const char *group;
};
enum { MAX_LINES = 2 * TDBG_REQUEST_COUNT };

static int make_lines(const struct tdbg_tui_app *app, struct line lines[MAX_LINES])
{
    const struct tdbg_tui_screen *below = app->screens[app->n_screens > 1 ? app->n_screens - 2 : 0];
    const char *group = NULL;
    int n = 0;
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        const struct tdbg_tui_request_info *info = tdbg_tui_request_info((enum tdbg_tui_request)r);
        if (!tdbg_tui_screen_handles(below, (enum tdbg_tui_request)r))
            continue;
        if (!group || strcmp(group, info->group) != 0)
            lines[n++] = (struct line){TDBG_REQUEST_NONE, info->group};
        group = info->group;
        lines[n++] = (struct line){(enum tdbg_tui_request)r, group};
    }
    lines[n++] = (struct line){TDBG_REQUEST_NONE, NULL}; /* about counts */
    return n;
}

static const char about_counts[] =
    "A number before a key is a count: 100n, 42G. Capitals go backward.";

static void line_text(const struct tdbg_tui_app *app, const struct line *line, char *buf,
                      size_t buf_bytes)
{
    char keys[64];
    if (line->request)
        snprintf(buf, buf_bytes, "  %-*s %s", KEYS_COLUMNS,
                 tdbg_tui_keymap_keys(&app->keymap, line->request, keys, sizeof keys),
                 tdbg_tui_request_info(line->request)->help);
    else
        snprintf(buf, buf_bytes, "%s", line->group ? line->group : about_counts);
}

static int64_t visible_rows(const struct tdbg_tui_app *app)
{
    const int64_t rows = tdbg_tui_app_frame(app).body.height - 1; /* under the heading */
    return rows > 1 ? rows : 1;
}

static void open(struct tdbg_tui_app *app)
{
    app->help_top = 0;
}

static void settle(struct tdbg_tui_app *app)
{
    struct line lines[MAX_LINES];
    const int64_t most = make_lines(app, lines) - visible_rows(app);
    if (app->help_top > most)
        app->help_top = most;
    if (app->help_top < 0)
        app->help_top = 0;
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    struct line lines[MAX_LINES];
    char text[160];
    const int n = make_lines(app, lines), y = frame->body.y;
    tdbg_tui_grid_printf(grid, 1, y, grid->width - 2, TDBG_STYLE_BOLD, "keys of the %s screen",
                         app->screens[app->n_screens > 1 ? app->n_screens - 2 : 0]->name);
    snprintf(
        text, sizeof text, "%lld..%lld of %d", (long long)app->help_top + 1,
        (long long)(app->help_top + visible_rows(app) < n ? app->help_top + visible_rows(app) : n),
        n);
    tdbg_tui_grid_put_right(grid, grid->width - 20, y, 18, 0, text);
    tdbg_tui_view_heading(grid, frame->body, false);
    for (int64_t i = 0; i < visible_rows(app) && app->help_top + i < n; i++) {
        const struct line *line = &lines[app->help_top + i];
        const bool hit = app->model.pattern && line->request;
        line_text(app, line, text, sizeof text);
        uint8_t style = line->request || !line->group ? TDBG_STYLE_PLAIN : TDBG_STYLE_BOLD;
        if (hit && tdbg_tui_pattern_matches(app->model.pattern, text))
            style = TDBG_STYLE_UNDERLINE;
        tdbg_tui_grid_put_text(grid, 1, y + 1 + (int)i, grid->width - 1, style, text);
    }
    tdbg_tui_grid_set_cursor(grid, 0, y + 1);
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    app->help_top += rows; /* counts are far below overflow; settle() keeps it in range */
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    app->help_top = row < 0 ? MAX_LINES : row; /* settle() keeps it in range */
}

/* Scrolls so that the hit is the first row, where that is possible. */
static void find(struct tdbg_tui_app *app, int64_t count)
{
    struct line lines[MAX_LINES];
    char text[160];
    const int n = make_lines(app, lines);
    const int64_t direction = count < 0 ? -1 : 1;
    const char *pattern = app->model.pattern;
    for (int64_t i = 1; pattern && i <= n; i++) {
        const int64_t at = ((app->help_top + direction * i) % n + n) % n;
        line_text(app, &lines[at], text, sizeof text);
        if (lines[at].request && tdbg_tui_pattern_matches(pattern, text)) {
            app->help_top = at;
            return;
        }
    }
    tdbg_tui_model_say(&app->model, pattern ? "no key matches '%s'" : "nothing to find yet",
                       pattern);
}

const struct tdbg_tui_screen tdbg_tui_screen_help = {
    .name = "help",
    .is_still = true,
    .open = open,
    .move_rows = move_rows,
    .page_rows = visible_rows,
    .to_row = to_row,
    .wheel_rows = 3,
    .settle = settle,
    .draw = draw,
    .find = find,
};
