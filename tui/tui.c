/* The loop: draw, wait for something to happen, act. See tui.h. */
#include "tui/tui.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tui/data_ranks.h"
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

static enum tdbg_status take_news(struct tdbg_tui_app *app, struct tdbg_tui_follow *follow,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tui_data *data = app->model.data;
    const int64_t n_before = data->n_steps;
    enum tdbg_tui_news news;
    TDBG_TRY(tdbg_tui_follow_look(follow, app->model.focus.rank, &news, err));
    if (news != TDBG_NEWS_NONE)
        tdbg_tui_rank_table_renew(&app->ranks);
    if (data->n_steps > n_before)
        TDBG_TRY(tdbg_tui_app_grow(app, n_before, err));
    if (news == TDBG_NEWS_CLOSED)
        tdbg_tui_model_say(&app->model, "the recording has ended: %lld steps",
                           (long long)data->n_steps);
    else if (news == TDBG_NEWS_CUT)
        tdbg_tui_model_say_error(&app->model, "the recording was cut off; %lld steps are complete",
                                 (long long)data->n_steps);
out:
    return st;
}

/* All keys that are there already are taken before the screen is drawn once. */
static enum tdbg_status loop(struct tdbg_tui_app *app, struct tdbg_tui_terminal *terminal,
                             struct tdbg_tui_follow *follow, struct tdbg_err *err)
{
    while (!app->done) {
        if (follow && take_news(app, follow, err) != TDBG_OK)
            return err->status;
        const bool everything = app->wants_redraw;
        app->wants_redraw = false;
        tdbg_tui_app_take_answers(app);
        tdbg_tui_command_read_child(app);
        tdbg_tui_terminal_show(terminal, tdbg_tui_app_draw(app), everything);
        const bool more = tdbg_tui_app_work(app); /* to be drawn */
        tdbg_tui_terminal_set_busy(terminal,
                                   tdbg_tui_app_waits(app) || app->commander.child != NULL);
        tdbg_tui_terminal_use_mouse(terminal, !app->no_mouse);
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

/* What is to be done before the first key waits behind the first paint, like what is typed. */
static void queue_commands(struct tdbg_tui_app *app, const struct tdbg_tui_options *options)
{
    char *line = NULL;
    if (options->place && asprintf(&line, "goto %s", options->place) >= 0) {
        tdbg_tui_command_queue(app, line, "");
        free(line);
    }
    for (int i = 0; i < options->n_files; i++) {
        if (asprintf(&line, "source %s", options->files[i]) < 0)
            continue;
        tdbg_tui_command_queue(app, line, "");
        free(line);
    }
    for (int i = 0; i < options->n_commands; i++)
        tdbg_tui_command_queue(app, options->commands[i], "");
    tdbg_tui_command_go_on(app);
}

/* The user's own files. */
static void set_up(struct tdbg_tui_app *app, const struct tdbg_tui_options *options)
{
    char *history = tdbg_tui_user_path("XDG_STATE_HOME", ".local/state", "history");
    char *keys = tdbg_tui_user_path("XDG_CONFIG_HOME", ".config", "keys");
    const struct tdbg_tui_setup setup = {.recorder = options->recorder,
                                         .program = options->program,
                                         .trace = app->model.data->path,
                                         .history_path = history,
                                         .keys_path = keys};
    app->no_mouse = options->no_mouse;
    tdbg_tui_commander_setup(app, &setup);
    app->commander.setup.history_path = app->commander.setup.keys_path = NULL; /* were read */
    free(history);
    free(keys);
    queue_commands(app, options);
}

/* One thing to wait for that stands for several; -1: it cannot be had. */
static int open_wakes(int jobs, int follow)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int wakes = epoll_create1(EPOLL_CLOEXEC);
    if (wakes < 0)
        return -1;
    epoll_ctl(wakes, EPOLL_CTL_ADD, jobs, &event);
    if (follow >= 0)
        epoll_ctl(wakes, EPOLL_CTL_ADD, follow, &event);
    return wakes;
}

/* follow: NULL where data stays as it is. */
static enum tdbg_status run(const struct tdbg_tui_data *data, struct tdbg_tui_follow *follow,
                            const struct tdbg_tui_options *options, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_terminal *terminal = NULL;
    struct tdbg_tui_app app = {0};
    struct tdbg_tui_jobs jobs = {.context = NULL};
    int width, height, wakes = -1;
    TDBG_TRY(tdbg_tui_terminal_open(options, &terminal, err));
    TDBG_TRY(tdbg_tui_jobs_process(data->path, &options->session, &jobs, err));
    wakes = open_wakes(jobs.fd, follow ? tdbg_tui_follow_fd(follow) : -1);
    TDBG_FAIL_IF(wakes < 0, IO, "cannot wait for several things at once");
    tdbg_tui_terminal_watch(terminal, wakes);
    TDBG_TRY(tdbg_tui_app_init(&app, data, &jobs, tdbg_tui_terminal_is_ascii(terminal), err));
    app.grid.colours = tdbg_tui_terminal_colours(terminal);
    tdbg_tui_terminal_size(terminal, &width, &height);
    tdbg_tui_app_resize(&app, width, height);
    app.wakes = wakes;
    if (follow) {
        app.follows = true;
        tdbg_tui_model_goto_step(&app.model, tdbg_tui_model_last_step(&app.model));
        tdbg_tui_model_say(&app.model,
                           "new steps are shown as they come, while this is the last one");
    }
    set_up(&app, options);
    if (options->diff)
        st = tdbg_tui_app_diff(&app, options->diff, err);
    if (st == TDBG_OK)
        st = loop(&app, terminal, follow, err);
    tdbg_tui_app_free(&app);
out:
    if (jobs.context)
        jobs.destroy(jobs.context);
    tdbg_tui_terminal_close(terminal);
    if (wakes >= 0)
        close(wakes);
    return st;
}

enum tdbg_status tdbg_tui_run(struct tdbg_trace *trace, const struct tdbg_tui_options *options,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_rank_files *files = NULL;
    TDBG_TRY(tdbg_tui_rank_files_create(trace, &files, err));
    st = run(tdbg_tui_rank_files_data(files), NULL, options, err);
out:
    tdbg_tui_rank_files_close(files);
    return st;
}

enum tdbg_status tdbg_tui_run_following(const char *path, tdbg_tui_is_recording *is_recording,
                                        const struct tdbg_tui_options *options,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_follow *follow = NULL;
    TDBG_TRY(tdbg_tui_follow_open(path, is_recording, &follow, err));
    TDBG_TRY(run(tdbg_tui_follow_data(follow), follow, options, err));
out:
    tdbg_tui_follow_close(follow);
    return st;
}
