/* Keys to actions, counts, the prompt, and the stack of screens. See app.h. */
#include "tui/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/panes.h"
#include "tui/view.h"

enum {
    FIRST_BLOCKS = 4, /* of the course, before the first paint: 4096 steps, under 1 MB */
    WORK_BLOCKS = 8,  /* between two looks at the keyboard: some milliseconds */
    MAX_ANSWER_BYTES = 400,
    DEFAULT_WIDTH = 80,
    DEFAULT_HEIGHT = 24,
};
static const int64_t max_count = 1000000000000; /* far beyond any trace, far below overflow */

static const struct tdbg_tui_screen *top_screen(const struct tdbg_tui_app *app)
{
    return app->screens[app->n_screens - 1];
}

static void open_screen(struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen)
{
    if (app->n_screens == TDBG_TUI_MAX_SCREENS)
        return;
    app->screens[app->n_screens++] = screen;
    if (screen->open)
        screen->open(app);
}

static void close_screen(struct tdbg_tui_app *app)
{
    if (top_screen(app)->close)
        top_screen(app)->close(app);
    app->n_screens--;
    app->done = app->n_screens == 0;
}

enum tdbg_status tdbg_tui_app_init(struct tdbg_tui_app *app, const struct tdbg_tui_data *data,
                                   bool ascii, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *app = (struct tdbg_tui_app){.width = DEFAULT_WIDTH, .height = DEFAULT_HEIGHT};
    TDBG_TRY(tdbg_tui_model_init(&app->model, data, err));
    app->grid.ascii = ascii;
    if (!data->closed)
        tdbg_tui_model_say(&app->model, "the recording was cut off; %lld steps are complete",
                           (long long)data->n_steps);
    open_screen(app, &tdbg_tui_screen_main);
    tdbg_tui_model_load_series(&app->model, FIRST_BLOCKS);
out:
    return st;
}

void tdbg_tui_app_free(struct tdbg_tui_app *app)
{
    while (app->n_screens > 0)
        close_screen(app);
    tdbg_tui_model_free(&app->model);
    tdbg_tui_grid_free(&app->grid);
    tdbg_strbuf_free(&app->answer);
}

static bool is_too_small(const struct tdbg_tui_app *app)
{
    return app->width < TDBG_SCREEN_MIN_WIDTH || app->height < TDBG_SCREEN_MIN_HEIGHT;
}

static void settle(struct tdbg_tui_app *app)
{
    if (app->n_screens > 0 && top_screen(app)->settle)
        top_screen(app)->settle(app);
}

void tdbg_tui_app_resize(struct tdbg_tui_app *app, int width, int height)
{
    app->width = width < 1 ? 1 : width;
    app->height = height < 1 ? 1 : height;
    settle(app);
}

/* Actions that every screen has. */

static void quit(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    while (app->n_screens > 0)
        close_screen(app);
}

static void back(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    close_screen(app);
}

static void help(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (top_screen(app) == &tdbg_tui_screen_help)
        close_screen(app);
    else
        open_screen(app, &tdbg_tui_screen_help);
}

static void redraw(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->wants_redraw = true;
}

static void suspend(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->wants_suspend = true;
}

static void cancel(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count; /* count and message are gone by now */
    tdbg_tui_model_set_pattern(&app->model, NULL);
}

static void find(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->asks = true;
    app->answer_count = count;
    tdbg_strbuf_free(&app->answer);
}

static void hit_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    top_screen(app)->find(app, count);
}

static void hit_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    top_screen(app)->find(app, -count);
}

static const struct tdbg_tui_action common_actions[] = {
    {TDBG_REQUEST_QUIT, quit},         {TDBG_REQUEST_BACK, back},
    {TDBG_REQUEST_HELP, help},         {TDBG_REQUEST_REDRAW, redraw},
    {TDBG_REQUEST_SUSPEND, suspend},   {TDBG_REQUEST_CANCEL, cancel},
    {TDBG_REQUEST_FIND, find},         {TDBG_REQUEST_HIT_NEXT, hit_next},
    {TDBG_REQUEST_HIT_PREV, hit_prev}, {TDBG_REQUEST_NONE, NULL},
};

static const struct tdbg_tui_action *find_action(const struct tdbg_tui_screen *screen,
                                                 enum tdbg_tui_request request)
{
    const struct tdbg_tui_action *const tables[] = {screen->actions, common_actions};
    for (int t = 0; t < 2; t++) {
        for (const struct tdbg_tui_action *a = tables[t]; a && a->run; a++) {
            if (a->request == request)
                return a;
        }
    }
    return NULL;
}

bool tdbg_tui_screen_handles(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request)
{
    return find_action(screen, request) != NULL;
}

/* The prompt. */

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

static void accept_answer(struct tdbg_tui_app *app)
{
    app->asks = false;
    if (app->answer.n_bytes > 0)
        tdbg_tui_model_set_pattern(&app->model, app->answer.text);
    top_screen(app)->find(app, app->answer_count);
}

static void answer_key(struct tdbg_tui_app *app, uint32_t key)
{
    if (key == TDBG_KEY_ENTER || key == '\n') {
        accept_answer(app);
    } else if (key == TDBG_KEY_ESC || key == TDBG_KEY_CTRL_C) {
        app->asks = false;
    } else if (key == TDBG_KEY_BACKSPACE || key == 8 || key == 127) {
        app->asks = app->answer.n_bytes > 0; /* as in vi: nothing left to take back */
        drop_last_char(&app->answer);
    } else if (key == TDBG_KEY_CTRL_U) {
        tdbg_strbuf_free(&app->answer);
    } else if (key == TDBG_KEY_CTRL_L) {
        app->wants_redraw = true;
    } else if (key >= ' ' && key < TDBG_KEY_SPECIAL && app->answer.n_bytes < MAX_ANSWER_BYTES) {
        add_codepoint(&app->answer, key);
    }
}

static void dispatch(struct tdbg_tui_app *app, uint32_t key)
{
    char name[TDBG_KEY_NAME_BYTES];
    const bool has_count = app->has_count;
    const int64_t count = has_count ? app->count : 1;
    const enum tdbg_tui_request request = tdbg_tui_key_request(key);
    const struct tdbg_tui_action *action = request ? find_action(top_screen(app), request) : NULL;
    app->has_count = false;
    tdbg_tui_model_hush(&app->model);
    if (action)
        action->run(app, count, has_count);
    else
        tdbg_tui_model_say(&app->model, "%s does nothing here; ? shows the keys",
                           tdbg_tui_key_name(key, name));
}

static bool count_key(struct tdbg_tui_app *app, uint32_t key)
{
    if (key < '0' || key > '9')
        return false;
    app->count = (app->has_count ? app->count * 10 : 0) + (int64_t)(key - '0');
    app->has_count = true;
    if (app->count > max_count)
        app->count = max_count;
    return true;
}

/* Nobody sees what is open, so q leaves all of it, and nothing else is changed blindly. */
static void too_small_key(struct tdbg_tui_app *app, uint32_t key)
{
    const enum tdbg_tui_request request = tdbg_tui_key_request(key);
    if (request == TDBG_REQUEST_BACK || request == TDBG_REQUEST_QUIT)
        quit(app, 1, false);
    else if (request == TDBG_REQUEST_REDRAW)
        app->wants_redraw = true;
    else if (request == TDBG_REQUEST_SUSPEND)
        app->wants_suspend = true;
}

void tdbg_tui_app_key(struct tdbg_tui_app *app, uint32_t key)
{
    if (app->done)
        return;
    if (is_too_small(app))
        too_small_key(app, key);
    else if (app->asks)
        answer_key(app, key);
    else if (!count_key(app, key))
        dispatch(app, key);
    settle(app);
}

void tdbg_tui_app_mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    if (app->done || app->asks || is_too_small(app))
        return;
    app->has_count = false;
    tdbg_tui_model_hush(&app->model);
    if (top_screen(app)->mouse)
        top_screen(app)->mouse(app, x, y, button);
    settle(app);
}

bool tdbg_tui_app_work(struct tdbg_tui_app *app)
{
    return tdbg_tui_model_load_series(&app->model, WORK_BLOCKS);
}

void tdbg_tui_app_draw_message(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect)
{
    char count[32] = "";
    if (app->has_count)
        snprintf(count, sizeof count, "%lld", (long long)app->count);
    if (!app->asks) {
        tdbg_tui_view_message(&app->model, count, grid, rect);
        return;
    }
    const char *text = app->answer.n_bytes > 0 ? app->answer.text : "";
    /* a long answer shows its end, where the typing happens */
    while (*text && tdbg_tui_text_width(grid, text) > rect.width - 2) {
        text++;
        while (((unsigned char)*text & 0xc0) == 0x80)
            text++;
    }
    tdbg_tui_grid_put(grid, rect.x, rect.y, '/', TDBG_STYLE_BOLD);
    const int used = tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0, text);
    tdbg_tui_grid_set_cursor(grid, rect.x + 1 + used, rect.y);
    grid->cursor_is_text = true;
}

void tdbg_tui_app_draw_keys(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect)
{
    int x = rect.x + 1;
    if (app->asks) {
        tdbg_tui_grid_put_text(grid, x, rect.y, rect.width - 1, 0,
                               "Enter find  Enter alone repeats  Esc cancel");
        return;
    }
    /* the last hints, help and quit, matter most to who is lost: room is kept for them */
    const int kept = 16;
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        const struct tdbg_tui_request_info *info = tdbg_tui_request_info((enum tdbg_tui_request)r);
        if (!info->hint || !tdbg_tui_screen_handles(top_screen(app), (enum tdbg_tui_request)r))
            continue;
        const char *hint = r == TDBG_REQUEST_BACK && app->n_screens > 1 ? "back" : info->hint;
        const int width = (int)(strlen(info->hint_keys) + 1 + strlen(hint));
        const bool vital = r >= TDBG_REQUEST_HELP;
        if (x + width + (vital ? 0 : kept) > rect.x + rect.width)
            continue;
        x += tdbg_tui_grid_put_text(grid, x, rect.y, width, TDBG_STYLE_BOLD, info->hint_keys);
        x += 1 + tdbg_tui_grid_put_text(grid, x + 1, rect.y, width, 0, hint) + 2;
    }
}

/* Below 40x10: one line, as much of it as fits. */
static void draw_too_small(struct tdbg_tui_grid *grid)
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

const struct tdbg_tui_grid *tdbg_tui_app_draw(struct tdbg_tui_app *app)
{
    tdbg_tui_grid_resize(&app->grid, app->width, app->height);
    if (app->done)
        return &app->grid;
    if (is_too_small(app)) {
        draw_too_small(&app->grid);
        return &app->grid;
    }
    tdbg_tui_model_load(&app->model);
    top_screen(app)->draw(app, &app->grid);
    return &app->grid;
}
