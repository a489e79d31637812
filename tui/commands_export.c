/* :export: the screen as text, what is on it as a picture, a tensor by another subcommand. See
 * command.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/export.h"

static void export_screen(const struct tdbg_tui_call *call, const char *file)
{
    const struct tdbg_tui_grid *grid = tdbg_tui_app_draw(call->app);
    FILE *f = fopen(file, "wxe"); /* nothing is overwritten */
    if (!f) {
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot write %s: %m", file);
        return;
    }
    for (int y = 0; y < grid->height; y++) {
        int end = grid->width;
        while (end > 0 && tdbg_tui_grid_at(grid, end - 1, y)->code == ' ')
            end--;
        for (int x = 0; x < end; x++) {
            char utf8[TDBG_KEY_NAME_BYTES];
            const struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
            if (cell->code)
                fputs(cell->code == ' ' ? " " : tdbg_tui_key_name(cell->code, utf8), f);
            if (cell->mark)
                fputs(tdbg_tui_key_name(cell->mark, utf8), f);
        }
        fputc('\n', f);
    }
    if (fclose(f) != 0)
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot write %s: %m", file);
    else
        tdbg_tui_reply_done(call->app, "the screen is in %s", file);
}

static void reply(struct tdbg_tui_app *app, enum tdbg_status st, struct tdbg_err *err,
                  const char *what, const char *file)
{
    if (st == TDBG_OK)
        tdbg_tui_reply_done(app, "%s is in %s", what, file);
    else
        tdbg_tui_reply_failed(app, st, "%s", err->message);
    tdbg_err_clear(err);
}

static enum tdbg_status write_heat_map(const struct tdbg_tui_tensor *tensor, const char *file,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_export picture = {.out = NULL};
    TDBG_FAIL_IF(tensor->now.n_elems == 0, NOT_FOUND, "%s has no elements at this step",
                 tensor->now.site->name);
    TDBG_TRY(tdbg_tui_export_begin(&picture, tensor, file, false, err));
    while (tdbg_tui_export_work(&picture, tensor))
        ;
    st = tdbg_tui_export_end(&picture, err);
out:
    return st;
}

/* The values of the focus, which no screen shows. */
static void has_values(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_commander *c = &app->commander;
    const struct tdbg_site *site = &app->model.data->sites[c->picture_site];
    struct tdbg_tui_tensor t = {.history_site = -1};
    struct tdbg_err err = {0};
    char what[TDBG_MAX_SITE_NAME + 80];
    snprintf(what, sizeof what, "the heat map of %s at step %" PRId64, site->name, answer->step);
    if (answer->status != TDBG_OK)
        tdbg_tui_reply_failed(app, answer->status, "%s", answer->message);
    else if (!tdbg_tui_values_keep(&t.now, site, answer))
        tdbg_tui_reply_failed(app, TDBG_NO_MEMORY, "no memory for the values");
    else
        reply(app, write_heat_map(&t, c->picture_path, &err), &err, what, c->picture_path);
    tdbg_tui_tensor_free(&t);
}

static void export_focus(struct tdbg_tui_app *app, const char *file)
{
    struct tdbg_tui_commander *c = &app->commander;
    const struct tdbg_tui_focus *focus = &app->model.focus;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_TENSOR, .rank = focus->rank, .site = focus->site, .step = focus->step};
    struct tdbg_err err = {0};
    if (app->model.data->n_sites == 0) {
        tdbg_tui_reply_failed(app, TDBG_NOT_FOUND, "there is no tensor to make a picture of");
        return;
    }
    if (app->waits[TDBG_JOB_TENSOR].id) { /* of the screen, which would not get them then */
        tdbg_tui_reply_failed(app, TDBG_NOT_FOUND,
                              "values for this screen are still computed; try again behind that");
        return;
    }
    if (tdbg_tui_export_check(file, false, &err) != TDBG_OK) {
        reply(app, err.status, &err, "", file);
        return;
    }
    free(c->picture_path);
    c->picture_path = strdup(file);
    c->picture_site = focus->site;
    if (c->picture_path)
        tdbg_tui_reply_pending(app, &job, has_values);
}

/* What the tensor screen shows: with the difference and the scale that it has. */
static void export_shown(struct tdbg_tui_app *app, const char *file)
{
    const struct tdbg_tui_tensor *t = &app->tensor;
    struct tdbg_err err = {0};
    if (!tdbg_tui_tensor_has_values(t))
        tdbg_tui_reply_failed(app, TDBG_NOT_FOUND, "the values are not there%s%s",
                              t->fault ? ": " : " yet", t->fault ? t->fault : "");
    else
        reply(app, write_heat_map(t, file, &err), &err, "the heat map", file);
}

static void export_sample(struct tdbg_tui_app *app, const char *file)
{
    const struct tdbg_tui_input *in = &app->input;
    const struct tdbg_samples_spec *spec = app->model.data->samples;
    struct tdbg_tui_picture picture;
    struct tdbg_err err = {0};
    char what[80];
    if (!spec || in->n <= 0 || tdbg_tui_input_kind(spec) != TDBG_INPUT_IMAGES) {
        tdbg_tui_reply_failed(app, TDBG_NOT_FOUND,
                              "the samples are no images; on other screens the picture is the heat "
                              "map of the focus tensor");
    } else if (!tdbg_tui_input_picture(in, &app->model, in->at, &picture)) {
        tdbg_tui_reply_failed(app, TDBG_NOT_FOUND, "the image is not there%s%s",
                              in->after_why ? ": " : " yet", in->after_why ? in->after_why : "");
    } else {
        snprintf(what, sizeof what, "the image of sample %" PRId64, in->ids[in->first + in->at]);
        reply(app, tdbg_tui_export_picture(&picture, file, &err), &err, what, file);
    }
}

static void export_picture(const struct tdbg_tui_call *call, const char *file)
{
    struct tdbg_tui_app *app = call->app;
    const char *dot = strrchr(file, '.');
    if (!dot || strcmp(dot, ".ppm") != 0)
        tdbg_tui_reply_fault(call, file, NULL, "the name of a picture ends in .ppm");
    else if (tdbg_tui_app_screen(app) == &tdbg_tui_screen_input)
        export_sample(app, file);
    else if (app->tensor.is_open)
        export_shown(app, file);
    else
        export_focus(app, file);
}

/* What bisect found, as JSON. */
static void export_answer(const struct tdbg_tui_call *call, const char *file)
{
    struct tdbg_err err = {0};
    if (tdbg_tui_output_write(&call->app->output.json, file, &err) == TDBG_OK)
        tdbg_tui_reply_done(call->app, "what bisect found is in %s", file);
    else
        tdbg_tui_reply_failed(call->app, err.status, "%s", err.message);
    tdbg_err_clear(&err);
}

void tdbg_tui_do_export(const struct tdbg_tui_call *call)
{
    static const char *const formats[] = {"csv", "json", "npy"};
    const struct tdbg_tui_model *m = &call->app->model;
    const size_t n = strcspn(call->args, " ");
    const char *file = call->args + n + strspn(call->args + n, " ");
    char step[32], lane[32], micro[32];
    if (!*file) {
        tdbg_tui_reply_fault(call, call->args, "export screen|csv|json|npy|ppm FILE",
                             "expected a format and a file");
        return;
    }
    if (n == 6 && strncmp(call->args, "screen", n) == 0) {
        export_screen(call, file);
        return;
    }
    if (n == 4 && strncmp(call->args, "json", n) == 0 && call->app->output.json.n_bytes > 0 &&
        tdbg_tui_output_is_shown(call->app)) {
        export_answer(call, file);
        return;
    }
    if (n == 3 && strncmp(call->args, "ppm", n) == 0) {
        export_picture(call, file);
        return;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0] && m->data->n_sites > 0; i++) {
        if (strlen(formats[i]) != n || strncmp(call->args, formats[i], n) != 0)
            continue;
        const struct tdbg_site *site = &m->data->sites[m->focus.site];
        snprintf(step, sizeof step, "%lld", (long long)m->focus.step);
        snprintf(lane, sizeof lane, "%d", (int)site->lane);
        snprintf(micro, sizeof micro, "%d", (int)site->micro);
        const char *const words[] = {
            "export",   m->data->path, site->name, "--step", step,
            "--format", formats[i],    "-o",       file,     site->lane >= 0 ? "--lane" : NULL,
            lane,       "--micro",     micro,      NULL};
        tdbg_tui_start_child(call, words, TDBG_CHILD_WRITES);
        return;
    }
    tdbg_tui_reply_fault(call, call->args, "screen, csv, json, npy or ppm", "unknown format");
}
