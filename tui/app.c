/* Keys to actions, counts, and the stack of screens. The rows around a screen are painted in
 * app_rows.c and tabs.c, jobs are in app_jobs.c. See app.h. */
#include "tui/app.h"

#include <stdio.h>
#include <string.h>

#include "tui/view.h"

enum {
    FIRST_BLOCKS = 4, /* of the course, before the first paint: 4096 steps, under 1 MB */
    WORK_BLOCKS = 8,  /* between two looks at the keyboard: some milliseconds */
    DEFAULT_WIDTH = 80,
    DEFAULT_HEIGHT = 24,
};
static const int64_t max_count = 1000000000000; /* far beyond any trace, far below overflow */

const struct tdbg_tui_screen *tdbg_tui_app_screen(const struct tdbg_tui_app *app)
{
    return app->screens[app->n_screens - 1];
}

struct tdbg_tui_frame tdbg_tui_app_frame(const struct tdbg_tui_app *app)
{
    return tdbg_tui_frame_lay_out(app->width, app->height);
}

void tdbg_tui_app_open(struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen)
{
    if (app->n_screens == TDBG_TUI_MAX_SCREENS)
        return;
    app->screens[app->n_screens++] = screen;
    if (screen->open)
        screen->open(app);
}

bool tdbg_tui_app_has_open(const struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen)
{
    for (int i = 0; i < app->n_screens; i++) {
        if (app->screens[i] == screen)
            return true;
    }
    return false;
}

void tdbg_tui_app_back(struct tdbg_tui_app *app)
{
    if (tdbg_tui_app_screen(app)->close)
        tdbg_tui_app_screen(app)->close(app);
    app->n_screens--;
    app->done = app->n_screens == 0;
}

void tdbg_tui_app_switch(struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen)
{
    if (tdbg_tui_app_screen(app) == screen)
        return;
    while (app->n_screens > 1)
        tdbg_tui_app_back(app);
    if (tdbg_tui_app_screen(app) != screen)
        tdbg_tui_app_open(app, screen);
}

enum tdbg_status tdbg_tui_app_init(struct tdbg_tui_app *app, const struct tdbg_tui_data *data,
                                   const struct tdbg_tui_jobs *jobs, bool ascii,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *app = (struct tdbg_tui_app){.jobs = jobs,
                                 .width = DEFAULT_WIDTH,
                                 .height = DEFAULT_HEIGHT,
                                 .wakes = -1,
                                 .drag_x = -1,
                                 .input.after_site = -1,
                                 .ranks.site = -1,
                                 .optimizer = {.stats_step = -1, .asked = -1}};
    tdbg_tui_keymap_reset(&app->keymap);
    app->commander.good = app->commander.bad = app->commander.child_json = -1;
    tdbg_tui_two_runs_init(&app->two);
    TDBG_TRY(tdbg_tui_model_init(&app->model, data, err));
    tdbg_tui_findings_init(&app->findings, data);
    app->model.series.observe = tdbg_tui_findings_see_rows;
    app->model.series.observer = &app->findings;
    app->grid.ascii = ascii;
    app->tensor.history_site = -1;
    tdbg_tui_ops_init(&app->ops);
    if (!data->closed)
        tdbg_tui_model_say(&app->model, "the recording was cut off; %lld steps are complete",
                           (long long)data->n_steps);
    tdbg_tui_app_open(app, &tdbg_tui_screen_main);
    tdbg_tui_model_load_series(&app->model, FIRST_BLOCKS);
out:
    return st;
}

void tdbg_tui_app_free(struct tdbg_tui_app *app)
{
    tdbg_tui_app_cancel_jobs(app);
    while (app->n_screens > 0)
        tdbg_tui_app_back(app);
    tdbg_tui_tensor_free(&app->tensor);
    tdbg_tui_ops_free(&app->ops);
    tdbg_tui_rank_table_free(&app->ranks);
    tdbg_tui_findings_free(&app->findings);
    tdbg_tui_optimizer_free(&app->optimizer);
    tdbg_tui_two_runs_free(&app->two);
    tdbg_tui_input_free(&app->input);
    tdbg_tui_run_config_free(&app->config);
    tdbg_tui_model_free(&app->model);
    tdbg_tui_grid_free(&app->grid);
    tdbg_tui_prompt_free(&app->prompt);
    tdbg_strbuf_free(&app->copied);
    tdbg_tui_commander_free(app);
    tdbg_tui_places_free(&app->places);
    tdbg_tui_breaks_free(&app->breaks);
    tdbg_tui_output_free(&app->output);
}

static void settle(struct tdbg_tui_app *app)
{
    if (app->n_screens > 0 && tdbg_tui_app_screen(app)->settle)
        tdbg_tui_app_screen(app)->settle(app);
}

void tdbg_tui_app_resize(struct tdbg_tui_app *app, int width, int height)
{
    app->width = width < 1 ? 1 : width;
    app->height = height < 1 ? 1 : height;
    settle(app);
}

/* Actions that every screen has. */

void tdbg_tui_app_quit(struct tdbg_tui_app *app)
{
    while (app->n_screens > 0)
        tdbg_tui_app_back(app);
}

static void quit(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_app_quit(app);
}

static void back(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_app_back(app);
}

static void help(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (tdbg_tui_app_screen(app) == &tdbg_tui_screen_help)
        tdbg_tui_app_back(app);
    else
        tdbg_tui_app_open(app, &tdbg_tui_screen_help);
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
    const bool commanded = tdbg_tui_command_cancel(app);
    if (tdbg_tui_app_cancel_jobs(app) || commanded)
        tdbg_tui_model_say(&app->model, "cancelled");
    else
        tdbg_tui_model_set_pattern(&app->model, NULL);
}

static void find_text(struct tdbg_tui_app *app, const char *text)
{
    if (*text)
        tdbg_tui_model_set_pattern(&app->model, text);
    tdbg_tui_app_screen(app)->find(app, app->find_count);
}

static void find(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->find_count = count;
    tdbg_tui_prompt_open(&app->prompt, "/", "Enter find  Enter alone repeats  Esc cancel",
                         find_text);
}

static void hit_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_screen(app)->find(app, count);
}

static void hit_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_screen(app)->find(app, -count);
}

static const struct tdbg_tui_action common_actions[] = {
    {TDBG_REQUEST_QUIT, quit},         {TDBG_REQUEST_BACK, back},
    {TDBG_REQUEST_HELP, help},         {TDBG_REQUEST_REDRAW, redraw},
    {TDBG_REQUEST_SUSPEND, suspend},   {TDBG_REQUEST_CANCEL, cancel},
    {TDBG_REQUEST_FIND, find},         {TDBG_REQUEST_HIT_NEXT, hit_next},
    {TDBG_REQUEST_HIT_PREV, hit_prev}, {TDBG_REQUEST_NONE, NULL},
};

/* A screen without find (the help) has no names to look for. */
static bool is_of_no_use(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request)
{
    return !screen->find && (request == TDBG_REQUEST_FIND || request == TDBG_REQUEST_HIT_NEXT ||
                             request == TDBG_REQUEST_HIT_PREV);
}

static const struct tdbg_tui_action *find_action(const struct tdbg_tui_screen *screen,
                                                 enum tdbg_tui_request request)
{
    const struct tdbg_tui_action *const tables[] = {screen->actions, common_actions,
                                                    screen->move_rows ? tdbg_tui_list_moves : NULL,
                                                    screen->is_still ? NULL : tdbg_tui_moves};
    for (int t = 0; t < 4; t++) {
        for (const struct tdbg_tui_action *a = tables[t]; a && a->run; a++) {
            if (a->request == request)
                return t > 0 && is_of_no_use(screen, request) ? NULL : a;
        }
    }
    return NULL;
}

bool tdbg_tui_screen_handles(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request)
{
    return find_action(screen, request) != NULL;
}

static void dispatch(struct tdbg_tui_app *app, uint32_t key)
{
    char name[TDBG_KEY_NAME_BYTES];
    const bool has_count = app->has_count;
    const int64_t count = has_count ? app->count : 1;
    const enum tdbg_tui_request request = tdbg_tui_keymap_request(&app->keymap, key);
    const struct tdbg_tui_action *action =
        request ? find_action(tdbg_tui_app_screen(app), request) : NULL;
    const bool is_zero = app->typed_zero && !has_count && request == TDBG_REQUEST_LAST;
    app->typed_zero = key == '0';
    app->has_count = false;
    tdbg_tui_model_hush(&app->model);
    if (action)
        action->run(app, is_zero ? 0 : count, has_count || is_zero);
    else
        tdbg_tui_model_say(&app->model, "%s does nothing here; ? shows the keys",
                           tdbg_tui_key_name(key, name));
    app->former = request;
}

/* As in vi, a 0 that begins no number is a key of its own; 0G means the number all the same. */
static bool count_key(struct tdbg_tui_app *app, uint32_t key)
{
    if (key == '0' && !app->has_count)
        app->typed_zero = true;
    if (key < '0' || key > '9' || (key == '0' && !app->has_count))
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
    const enum tdbg_tui_request request = tdbg_tui_keymap_request(&app->keymap, key);
    if (request == TDBG_REQUEST_BACK || request == TDBG_REQUEST_QUIT)
        quit(app, 1, false);
    else if (request == TDBG_REQUEST_REDRAW)
        app->wants_redraw = true;
    else if (request == TDBG_REQUEST_SUSPEND)
        app->wants_suspend = true;
}

/* The key after m, ' or Space. */
static void taken_key(struct tdbg_tui_app *app, uint32_t key)
{
    void (*take)(struct tdbg_tui_app *, uint32_t) = app->takes_key;
    app->takes_key = NULL;
    tdbg_tui_model_hush(&app->model);
    if (key != TDBG_KEY_ESC && key != TDBG_KEY_CTRL_C)
        take(app, key);
}

/* Pasted text goes into the line that is typed, or into a command; nothing in it is done before
 * Enter is. Esc and ^C end a paste whose end was lost. */
static bool paste_key(struct tdbg_tui_app *app, uint32_t key)
{
    const bool is_over = key == TDBG_KEY_PASTE_END || key == TDBG_KEY_ESC || key == TDBG_KEY_CTRL_C;
    if (app->is_pasting && is_over) {
        app->is_pasting = false;
        return key == TDBG_KEY_PASTE_END;
    }
    if (app->is_pasting) {
        const struct tdbg_tui_prompt *p = &app->prompt;
        const bool is_text = key >= ' ' && key != 127 && key < TDBG_KEY_SPECIAL;
        const bool is_sign = p->is_open && key == ':' && *p->sign == ':' && p->text.n_bytes == 0;
        if (p->is_open && !is_sign && !tdbg_tui_app_frame(app).too_small)
            tdbg_tui_prompt_key(app, &app->prompt, is_text ? key : ' ');
        return true;
    }
    if (key != TDBG_KEY_PASTE)
        return false;
    app->is_pasting = true;
    app->takes_key = NULL;
    app->has_count = false;
    if (!app->prompt.is_open && !tdbg_tui_app_frame(app).too_small &&
        tdbg_tui_screen_handles(tdbg_tui_app_screen(app), TDBG_REQUEST_COMMAND))
        tdbg_tui_ask_command(app, 1, false);
    return true;
}

void tdbg_tui_app_key(struct tdbg_tui_app *app, uint32_t key)
{
    if (app->done || paste_key(app, key))
        return;
    const struct tdbg_tui_focus before = app->model.focus;
    const enum tdbg_tui_request request = app->prompt.is_open || app->takes_key
                                              ? TDBG_REQUEST_COMMAND
                                              : tdbg_tui_keymap_request(&app->keymap, key);
    if (tdbg_tui_app_frame(app).too_small)
        too_small_key(app, key);
    else if (key == TDBG_KEY_CTRL_L)
        app->wants_redraw = true;
    else if (app->prompt.is_open)
        tdbg_tui_prompt_key(app, &app->prompt, key);
    else if (app->takes_key)
        taken_key(app, key);
    else if (!count_key(app, key))
        dispatch(app, key);
    tdbg_tui_app_note_move(app, &before, request);
    settle(app);
}

void tdbg_tui_app_mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    const struct tdbg_tui_focus before = app->model.focus;
    if (app->done || app->no_mouse || app->prompt.is_open || frame.too_small)
        return;
    const struct tdbg_tui_screen *screen = tdbg_tui_app_screen(app);
    if (button == TDBG_BUTTON_RELEASE) {
        if (screen->release)
            screen->release(app, x, y);
        settle(app);
        return;
    }
    app->has_count = false;
    app->takes_key = NULL;
    tdbg_tui_model_hush(&app->model);
    if (button == TDBG_BUTTON_CLICK && tdbg_tui_rect_has(frame.tabs, x, y))
        tdbg_tui_app_click_tab(app, frame.tabs, x);
    else if (button != TDBG_BUTTON_CLICK && screen->wheel_rows)
        screen->move_rows(app, button == TDBG_BUTTON_WHEEL_DOWN ? screen->wheel_rows
                                                                : -screen->wheel_rows);
    else if (screen->mouse)
        screen->mouse(app, x, y, button);
    tdbg_tui_app_note_move(app, &before,
                           button == TDBG_BUTTON_CLICK ? TDBG_REQUEST_OPEN : TDBG_REQUEST_DOWN);
    settle(app);
}

bool tdbg_tui_app_work(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_screen *screen = app->n_screens > 0 ? tdbg_tui_app_screen(app) : NULL;
    if (screen && screen->work && screen->work(app))
        return true;
    const bool waits = !tdbg_tui_series_is_complete(&app->model.series) ||
                       !tdbg_tui_series_is_complete(tdbg_tui_model_course(&app->model));
    tdbg_tui_model_load_series(&app->model, WORK_BLOCKS);
    return waits;
}

const struct tdbg_tui_grid *tdbg_tui_app_draw(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    struct tdbg_tui_grid *grid = &app->grid;
    tdbg_tui_grid_resize(grid, app->width, app->height);
    if (app->done)
        return grid;
    if (frame.too_small) {
        tdbg_tui_app_draw_too_small(grid);
        return grid;
    }
    tdbg_tui_model_load(&app->model);
    if (tdbg_tui_app_screen(app)->load)
        tdbg_tui_app_screen(app)->load(app);
    tdbg_tui_view_position(&app->model, grid, frame.position);
    tdbg_tui_app_draw_tabs(app, grid, frame.tabs);
    tdbg_tui_app_screen(app)->draw(app, grid, &frame);
    tdbg_tui_app_draw_keys(app, grid, frame.keys);
    tdbg_tui_app_draw_message(app, grid, frame.message);
    return grid;
}
