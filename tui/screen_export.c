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
    struct tdbg_err err = {0};
    const enum tdbg_status st = tdbg_tui_export_tensor(&app->tensor, path, overwrite, &err);
    if (st == TDBG_OK) {
        tdbg_tui_model_say(&app->model, "wrote %s", path);
    } else if (st == TDBG_USAGE) {
        free(app->tensor.export_path);
        app->tensor.export_path = strdup(path);
        if (app->tensor.export_path)
            app->takes_key = overwrite_or_not;
        tdbg_tui_model_say(&app->model, "%s exists: y overwrites it, any other key leaves it",
                           path);
    } else {
        tdbg_tui_model_say_error(&app->model, "%s", err.message);
    }
    tdbg_err_clear(&err);
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
