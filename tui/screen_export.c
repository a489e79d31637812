/* The keys that write a file and copy a place. See export.h. */
#include "tui/export.h"

#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

static void write_file(struct tdbg_tui_app *app, const char *path, bool overwrite);

static void overwrite_or_not(struct tdbg_tui_app *app, uint32_t key)
{
    char *path = app->tensor.export_path;
    app->tensor.export_path = NULL;
    if (key == 'y' || key == 'Y')
        write_file(app, path, true);
    else
        tdbg_tui_model_say(&app->model, "%s stays as it is", path);
    free(path);
}

static void write_file(struct tdbg_tui_app *app, const char *path, bool overwrite)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    struct tdbg_err err = {0};
    const enum tdbg_status st = tdbg_tui_export_begin(&t->file, t, path, overwrite, &err);
    if (st == TDBG_OK) {
        tdbg_tui_model_say(&app->model, "writing %s", path);
    } else if (st == TDBG_USAGE) {
        free(t->export_path);
        t->export_path = strdup(path);
        if (t->export_path)
            app->takes_key = overwrite_or_not;
        tdbg_tui_model_say(&app->model, "%s exists: y overwrites it, any other key leaves it",
                           path);
    } else {
        tdbg_tui_model_say_error(&app->model, "%s", err.message);
    }
    tdbg_err_clear(&err);
}

bool tdbg_tui_export_goes_on(struct tdbg_tui_app *app)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    struct tdbg_err err = {0};
    if (!t->file.out)
        return false;
    if (tdbg_tui_export_work(&t->file, t))
        return true;
    char *path = strdup(t->file.path);
    if (tdbg_tui_export_end(&t->file, &err) == TDBG_OK)
        tdbg_tui_model_say(&app->model, "wrote %s", path ? path : "it");
    else
        tdbg_tui_model_say_error(&app->model, "%s", err.message);
    tdbg_err_clear(&err);
    free(path);
    return true;
}

static void export_to(struct tdbg_tui_app *app, const char *path)
{
    if (!*path)
        return;
    if (!tdbg_tui_export_knows(path))
        tdbg_tui_model_say_error(
            &app->model, "a name ends in .npy, .csv, .json or .ppm here: '%s' does not", path);
    else if (!tdbg_tui_tensor_has_values(&app->tensor))
        tdbg_tui_model_say_error(&app->model, "the values are not there");
    else if (app->tensor.file.out)
        tdbg_tui_model_say_error(&app->model, "%s is still being written", app->tensor.file.path);
    else
        write_file(app, path, false);
}

void tdbg_tui_export(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_prompt_open(&app->prompt, "write to: ",
                         "Enter write NAME.npy .csv .json, or .ppm for the heat map  Esc cancel",
                         export_to);
}

void tdbg_tui_copy_place(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_strbuf_free(&app->copied);
    tdbg_tui_export_command(&app->model, &app->copied);
    app->wants_copy = true;
    tdbg_tui_model_say(&app->model, "copied: %s", app->copied.text);
}
