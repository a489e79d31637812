/* The loop: draw, wait for something to happen, act. See tui.h. */
#include "tui/tui.h"

#include "tui/jobs_process.h"
#include "tui/terminal.h"
#include "trace/reader.h"

static void handle(struct tdbg_tui_app *app, struct tdbg_tui_terminal *terminal,
                   const struct tdbg_tui_event *event)
{
    int width, height;
    switch (event->kind) {
    case TDBG_EVENT_KEY:
        tdbg_tui_app_key(app, event->key);
        break;
    case TDBG_EVENT_MOUSE:
        tdbg_tui_app_mouse(app, event->x, event->y, event->button);
        break;
    case TDBG_EVENT_RESIZE:
        tdbg_tui_terminal_size(terminal, &width, &height);
        tdbg_tui_app_resize(app, width, height);
        break;
    default:
        break;
    }
    if (app->wants_copy) {
        app->wants_copy = false;
        tdbg_tui_terminal_copy(terminal, app->copied.text);
    }
    if (app->wants_suspend) {
        app->wants_suspend = false;
        tdbg_tui_terminal_suspend(terminal);
        tdbg_tui_terminal_size(terminal, &width, &height);
        tdbg_tui_app_resize(app, width, height);
    }
}

/* All keys that are there already are taken before the screen is drawn once. */
static enum tdbg_status loop(struct tdbg_tui_app *app, struct tdbg_tui_terminal *terminal,
                             struct tdbg_err *err)
{
    while (!app->done) {
        const bool everything = app->wants_redraw;
        app->wants_redraw = false;
        tdbg_tui_app_take_answers(app);
        tdbg_tui_terminal_show(terminal, tdbg_tui_app_draw(app), everything);
        const bool more = tdbg_tui_app_work(app); /* to be drawn */
        tdbg_tui_terminal_set_busy(terminal, tdbg_tui_app_waits(app));
        struct tdbg_tui_event event = tdbg_tui_terminal_read(terminal, !more);
        if (event.kind == TDBG_EVENT_END)
            return TDBG_RAISE(err, IO, "the terminal went away");
        while (event.kind != TDBG_EVENT_NONE && event.kind != TDBG_EVENT_END) {
            handle(app, terminal, &event);
            if (app->done)
                break;
            event = tdbg_tui_terminal_read(terminal, false);
        }
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_tui_run(struct tdbg_trace *trace, const struct tdbg_tui_options *options,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_terminal *terminal = NULL;
    struct tdbg_tui_app app = {0};
    struct tdbg_tui_data data = tdbg_tui_data_from_trace(trace);
    struct tdbg_tui_jobs jobs = {.context = NULL};
    int width, height;
    tdbg_tui_data_add_flow(&data, trace);
    TDBG_TRY(tdbg_tui_terminal_open(options, &terminal, err));
    TDBG_TRY(tdbg_tui_jobs_process(data.path, &options->session, &jobs, err));
    tdbg_tui_terminal_watch(terminal, jobs.fd);
    TDBG_TRY(tdbg_tui_app_init(&app, &data, &jobs, tdbg_tui_terminal_is_ascii(terminal), err));
    tdbg_tui_terminal_size(terminal, &width, &height);
    tdbg_tui_app_resize(&app, width, height);
    st = loop(&app, terminal, err);
    tdbg_tui_app_free(&app);
out:
    if (jobs.context)
        jobs.destroy(jobs.context);
    tdbg_tui_data_free_flow(&data);
    tdbg_tui_terminal_close(terminal);
    return st;
}
