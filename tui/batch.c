/* See batch.h. */
#include "tui/batch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tui/app.h"
#include "tui/child.h"
#include "tui/jobs_inline.h"

struct batch {
    struct tdbg_tui_app app;
    const struct tdbg_tui_options *options;
    FILE *out;
    struct tdbg_json json;
    bool as_json;
    int exit_code;
};

/* Until the command, and those of the files that it reads, are done. */
static void finish(struct tdbg_tui_app *app)
{
    while (app->commander.reply.verdict == TDBG_VERDICT_PENDING && !app->done) {
        if (app->commander.child) {
            struct pollfd fd = {.fd = tdbg_tui_child_fd(app->commander.child), .events = POLLIN};
            poll(&fd, 1, -1); /* ends early at a signal, which the program got as well */
            tdbg_tui_command_read_child(app);
        } else if (tdbg_tui_app_waits(app)) {
            tdbg_tui_app_take_answers(app);
        } else {
            break;
        }
    }
}

static const char *verdict_text(enum tdbg_tui_verdict verdict)
{
    return verdict == TDBG_VERDICT_DONE ? "done" : verdict == TDBG_VERDICT_NONE ? "none" : "error";
}

static void print_place(struct tdbg_json *json, const struct tdbg_tui_model *m)
{
    char place[TDBG_PLACE_BYTES];
    tdbg_json_string(json, "place", tdbg_tui_place_text(m, &m->focus, place));
    tdbg_json_int(json, "step", m->focus.step);
    if (m->focus.site < m->data->n_sites) {
        tdbg_json_int(json, "op", m->focus.site);
        tdbg_json_string(json, "site", m->data->sites[m->focus.site].name);
    }
    tdbg_json_int(json, "rank", m->focus.rank);
}

static void print_json(struct batch *b, const char *line)
{
    char text[1024];
    struct tdbg_json *json = &b->json;
    const struct tdbg_tui_app *app = &b->app;
    const struct tdbg_tui_reply *reply = &app->commander.reply;
    const char *at = app->output.text.n_bytes > 0 ? app->output.text.text : "";
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "command", line);
    tdbg_json_string(json, "result", verdict_text(reply->verdict));
    tdbg_json_string(json, "message", app->model.message);
    if (reply->column > 0)
        tdbg_json_int(json, "column", reply->column);
    if (reply->has_value)
        tdbg_json_double(json, "value", reply->value);
    print_place(json, &app->model);
    if (reply->has_lines) {
        tdbg_json_array_begin(json, "lines");
        while (tdbg_tui_output_line(&at, text, sizeof text))
            tdbg_json_string(json, NULL, text);
        tdbg_json_array_end(json);
    }
    tdbg_json_object_end(json);
}

static void print_text(struct batch *b)
{
    const struct tdbg_tui_app *app = &b->app;
    const struct tdbg_tui_reply *reply = &app->commander.reply;
    if (app->model.message && reply->verdict != TDBG_VERDICT_FAULT)
        fprintf(b->out, "%s\n", app->model.message);
    if (reply->has_lines && app->output.text.n_bytes > 0)
        fwrite(app->output.text.text, 1, app->output.text.n_bytes, b->out);
}

/* place: "FILE:LINE: " or "". */
static enum tdbg_status do_line(struct batch *b, const char *line, const char *place,
                                struct tdbg_err *err)
{
    struct tdbg_tui_app *app = &b->app;
    const struct tdbg_tui_reply *reply = &app->commander.reply;
    tdbg_tui_model_hush(&app->model);
    tdbg_tui_command_do(app, line);
    finish(app);
    const size_t blank = strspn(line, " \t");
    if (b->as_json && line[blank] && line[blank] != '#')
        print_json(b, line);
    else if (!b->as_json)
        print_text(b);
    if (reply->verdict == TDBG_VERDICT_NONE && b->exit_code == 0)
        b->exit_code = 1;
    if (reply->verdict != TDBG_VERDICT_FAULT)
        return TDBG_OK;
    if (reply->exit_code > 1)
        b->exit_code = reply->exit_code;
    const enum tdbg_status status =
        reply->status == TDBG_OK || reply->status == TDBG_NOT_FOUND ? TDBG_USAGE : reply->status;
    return tdbg_err_set(err, status, __FILE__, __LINE__, "%s'%s': %s", place, line,
                        app->model.message ? app->model.message : tdbg_status_text(status));
}

static enum tdbg_status do_file(struct batch *b, const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *line = NULL, *place = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "re");
    TDBG_FAIL_IF(!f, IO, "cannot read %s: %s", path, strerror(errno));
    for (int number = 1; !b->app.done && getline(&line, &room, f) >= 0; number++) {
        line[strcspn(line, "\r\n")] = 0;
        free(place);
        if (asprintf(&place, "%s:%d: ", path, number) < 0)
            place = NULL;
        TDBG_TRY(do_line(b, line, place ? place : "", err));
    }
    TDBG_FAIL_IF(ferror(f), IO, "cannot read %s: %s", path, strerror(errno));
out:
    free(line);
    free(place);
    if (f)
        fclose(f);
    return st;
}

static enum tdbg_status do_all(struct batch *b, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tui_options *o = b->options;
    char place[200];
    if (o->place) {
        snprintf(place, sizeof place, "goto %s", o->place);
        TDBG_TRY(do_line(b, place, "", err));
    }
    for (int i = 0; i < o->n_files && !b->app.done; i++)
        TDBG_TRY(do_file(b, o->files[i], err));
    for (int i = 0; i < o->n_commands && !b->app.done; i++)
        TDBG_TRY(do_line(b, o->commands[i], "", err));
out:
    return st;
}

enum tdbg_status tdbg_tui_batch(struct tdbg_trace *trace, const struct tdbg_tui_options *options,
                                bool as_json, FILE *out, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tui_data data = tdbg_tui_data_from_trace(trace);
    const struct tdbg_tui_setup setup = {.program = options->program};
    struct tdbg_tui_jobs jobs = {.context = NULL};
    struct batch *b = calloc(1, sizeof *b);
    TDBG_FAIL_IF(!b, NO_MEMORY, "no memory for commands");
    b->options = options;
    b->out = out;
    b->as_json = as_json;
    TDBG_TRY(tdbg_tui_jobs_inline(data.path, &options->session, options->goes_on,
                                  options->goes_on_context, &jobs, err));
    TDBG_TRY(tdbg_tui_app_init(&b->app, &data, &jobs, true, err));
    tdbg_tui_commander_setup(&b->app, &setup);
    if (as_json) {
        tdbg_json_init(&b->json, out, true);
        tdbg_json_object_begin(&b->json, NULL);
        tdbg_json_int(&b->json, "schema", 1);
        tdbg_json_string(&b->json, "trace", data.path);
        tdbg_json_array_begin(&b->json, "commands");
    }
    st = do_all(b, err);
    if (as_json) {
        tdbg_json_array_end(&b->json);
        tdbg_json_object_end(&b->json);
        fputc('\n', out);
    }
    *exit_code = b->exit_code;
    tdbg_tui_app_free(&b->app);
out:
    if (jobs.context)
        jobs.destroy(jobs.context);
    free(b);
    return st;
}
