/* The program inside the terminal, without the terminal: a stack of screens over one model. Keys
 * and sizes go in, a grid of cells comes out, so that tests drive all of it. */
#ifndef TDBG_TUI_APP_H
#define TDBG_TUI_APP_H

#include "base/strbuf.h"
#include "tui/grid.h"
#include "tui/keys.h"
#include "tui/model.h"

struct tdbg_tui_app;

/* What a screen does for a request. count: 1 where the user typed none; 0 is possible. */
struct tdbg_tui_action {
    enum tdbg_tui_request request; /* TDBG_REQUEST_NONE ends a table */
    void (*run)(struct tdbg_tui_app *app, int64_t count, bool has_count);
};

enum tdbg_tui_button { TDBG_BUTTON_CLICK, TDBG_BUTTON_WHEEL_UP, TDBG_BUTTON_WHEEL_DOWN };

/* A screen is a table. Members may be NULL where there is nothing to do. */
struct tdbg_tui_screen {
    const char *name;
    const struct tdbg_tui_action *actions;
    void (*open)(struct tdbg_tui_app *app);
    void (*settle)(struct tdbg_tui_app *app); /* after every key and size: scroll to the focus */
    void (*draw)(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid);
    void (*mouse)(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button);
    void (*find)(struct tdbg_tui_app *app, int64_t count); /* count-th hit; < 0: backward */
    void (*close)(struct tdbg_tui_app *app);
};

enum { TDBG_TUI_MAX_SCREENS = 8 };

struct tdbg_tui_app {
    struct tdbg_tui_model model;
    struct tdbg_tui_grid grid;
    const struct tdbg_tui_screen *screens[TDBG_TUI_MAX_SCREENS]; /* the last one is shown */
    int n_screens;
    int width, height;

    bool has_count; /* one is being typed */
    int64_t count;
    bool asks; /* the message row is a prompt for what to find */
    struct tdbg_strbuf answer;
    int64_t answer_count;

    int64_t help_top; /* of the help screen */

    bool done, wants_redraw, wants_suspend; /* for the loop in tui.c, which clears the last two */
};

/* Opens the main screen and reads nothing yet. The data is borrowed. Free with _free. */
enum tdbg_status tdbg_tui_app_init(struct tdbg_tui_app *app, const struct tdbg_tui_data *data,
                                   bool ascii, struct tdbg_err *err);
void tdbg_tui_app_free(struct tdbg_tui_app *app);

void tdbg_tui_app_resize(struct tdbg_tui_app *app, int width, int height);
void tdbg_tui_app_key(struct tdbg_tui_app *app, uint32_t key);
void tdbg_tui_app_mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button);

/* Reads what the focus needs and paints it; the grid is the app's. */
const struct tdbg_tui_grid *tdbg_tui_app_draw(struct tdbg_tui_app *app);

/* Reads a bit of what may wait; true: there is more. */
bool tdbg_tui_app_work(struct tdbg_tui_app *app);

/* Does the screen have an action for the request, or does every screen have it? */
bool tdbg_tui_screen_handles(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request);

/* For screens: the message or prompt row, and the key row. */
void tdbg_tui_app_draw_message(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect);
void tdbg_tui_app_draw_keys(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);

extern const struct tdbg_tui_screen tdbg_tui_screen_main, tdbg_tui_screen_help;

#endif
