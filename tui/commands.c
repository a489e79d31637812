/* The table of commands, and those about the program itself. See command.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

const struct tdbg_tui_command tdbg_tui_commands[] = {
    {"goto", NULL, "STEP[/PHASE[/OP]]|+N|-N", "go to a step, a phase, an op by number or site",
     TDBG_COMPLETES_NOTHING, tdbg_tui_do_goto},
    {"first", NULL, "EXPR", "go to the first step where the condition holds",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_first},
    {"last", NULL, "EXPR", "go to the last step where the condition holds",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_last},
    {"when", NULL, "", "all about this place", TDBG_COMPLETES_NOTHING, tdbg_tui_do_when},
    {"find", NULL, "NAME", "go to the next op of that name; * ? [ are wild", TDBG_COMPLETES_SITES,
     tdbg_tui_do_find},
    {"p", "print", "EXPR", "print a value at this step", TDBG_COMPLETES_EXPRESSIONS,
     tdbg_tui_do_print},
    {"x", "examine", "SITE[SLICE]", "print elements, like x fc1.weight[0:4,:8]",
     TDBG_COMPLETES_SITES, tdbg_tui_do_examine},
    {"mark", "m", "LETTER [TEXT]", "mark this place; ' and the letter come back",
     TDBG_COMPLETES_NOTHING, tdbg_tui_do_mark},
    {"b", "break", "EXPR|nan|inf [NAME]", "stop where the condition becomes true",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_break},
    {"tb", "tbreak", "EXPR", "the same, once", TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_tbreak},
    {"dis", "disable", "N", "switch breakpoint N off", TDBG_COMPLETES_NOTHING, tdbg_tui_do_disable},
    {"en", "enable", "N", "switch breakpoint N on", TDBG_COMPLETES_NOTHING, tdbg_tui_do_enable},
    {"del", "delete", "N", "remove breakpoint N", TDBG_COMPLETES_NOTHING, tdbg_tui_do_delete},
    {"info", NULL, "[b|w|m]", "list breakpoints, watches and marks", TDBG_COMPLETES_NOTHING,
     tdbg_tui_do_info},
    {"watch", "w", "[SITE]", "watch a tensor, or not any more", TDBG_COMPLETES_SITES,
     tdbg_tui_do_watch},
    {"c", "continue", "[N|EXPR]", "run to the next event, or where EXPR holds next",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_run},
    {"rc", "reverse-continue", "[N|EXPR]", "run back to an event, or where EXPR held last",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_run_back},
    {"diff", NULL, "FILE", "compare with another trace", TDBG_COMPLETES_FILES, tdbg_tui_do_diff},
    {"bisect", NULL, "[EXPR]", "where it began, and why; of two runs the cause",
     TDBG_COMPLETES_EXPRESSIONS, tdbg_tui_do_bisect},
    {"out", NULL, "", "show again what the last command printed", TDBG_COMPLETES_NOTHING,
     tdbg_tui_do_out},
    {"good", NULL, "[STEP]", "bisect from this step on", TDBG_COMPLETES_NOTHING, tdbg_tui_do_good},
    {"bad", NULL, "[STEP]", "bisect up to this step", TDBG_COMPLETES_NOTHING, tdbg_tui_do_bad},
    {"whatif", NULL, "KEY=VALUE [to STEP]", "compute on from here with another config",
     TDBG_COMPLETES_CONFIG, tdbg_tui_do_whatif},
    {"export", NULL, "FORMAT FILE", "write the screen, or the tensor as csv json npy ppm",
     TDBG_COMPLETES_EXPORTS, tdbg_tui_do_export},
    {"save", NULL, "FILE", "write commands that bring all of this back", TDBG_COMPLETES_FILES,
     tdbg_tui_do_save},
    {"source", NULL, "FILE", "do the commands of a file, one per line", TDBG_COMPLETES_FILES,
     tdbg_tui_do_source},
    {"set", NULL, "[KEY=VALUE]", "keys=tdbg|less scale=log|linear mouse=on|off",
     TDBG_COMPLETES_SETTINGS, tdbg_tui_do_set},
    {"help", "h", "[COMMAND|keys]", "list the commands, or what keys can be bound to",
     TDBG_COMPLETES_COMMANDS, tdbg_tui_do_help},
    {"pause", NULL, "", "stop the training for now (record --tui)", TDBG_COMPLETES_NOTHING,
     tdbg_tui_do_pause},
    {"resume", NULL, "", "let it go on", TDBG_COMPLETES_NOTHING, tdbg_tui_do_resume},
    {"q", "quit", "", "quit", TDBG_COMPLETES_NOTHING, tdbg_tui_do_quit},
    {NULL, NULL, NULL, NULL, TDBG_COMPLETES_NOTHING, NULL},
};

/* --- help --- */

static void print_command(const struct tdbg_tui_command *c, struct tdbg_strbuf *out)
{
    char left[64];
    snprintf(left, sizeof left, "%s %s", c->name, c->args);
    tdbg_strbuf_printf(out, "%-28s %s\n", left, c->help);
}

static void print_one(const struct tdbg_tui_command *c, struct tdbg_strbuf *out)
{
    print_command(c, out);
    if (c->alias)
        tdbg_strbuf_printf(out, "also called %s\n", c->alias);
}

/* The lines of :help; the documentation has the same. */
static void print_commands(struct tdbg_strbuf *out)
{
    for (const struct tdbg_tui_command *c = tdbg_tui_commands; c->name; c++)
        print_command(c, out);
}

static void print_requests(const struct tdbg_tui_app *app, struct tdbg_strbuf *out)
{
    char name[32], key[TDBG_KEY_NAME_BYTES];
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        const char *help = tdbg_tui_request_info((enum tdbg_tui_request)r)->help;
        for (int i = 0; i < app->keymap.n; i++) {
            if ((int)app->keymap.binding[i].request != r)
                continue;
            tdbg_strbuf_printf(out, "bind %-9s %-16s # %s\n",
                               tdbg_tui_key_name(app->keymap.binding[i].key, key),
                               tdbg_tui_request_name((enum tdbg_tui_request)r, name), help);
        }
    }
}

void tdbg_tui_do_help(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    const struct tdbg_tui_command *command = tdbg_tui_command_find(call->args, strlen(call->args));
    const bool is_keys = strcmp(call->args, "keys") == 0;
    if (*call->args && !command && !is_keys) {
        tdbg_tui_reply_fault(call, call->args, ":help lists the commands", "no command '%s'",
                             call->args);
        return;
    }
    struct tdbg_strbuf *out =
        tdbg_tui_output_begin(app, is_keys ? "keys, as a file of them has it" : "commands");
    if (is_keys)
        print_requests(app, out);
    else if (command)
        print_one(command, out);
    else
        print_commands(out);
    tdbg_tui_output_show(app);
}

void tdbg_tui_do_out(const struct tdbg_tui_call *call)
{
    if (call->app->output.text.n_bytes > 0)
        tdbg_tui_output_show(call->app);
    else
        tdbg_tui_reply_none(call->app, "no command has printed anything yet");
}

/* --- settings --- */

static void set_keys(struct tdbg_tui_app *app, const char *value)
{
    if (*value == 'l')
        tdbg_tui_keymap_use_less(&app->keymap);
    else
        tdbg_tui_keymap_reset(&app->keymap);
}

static void set_scale(struct tdbg_tui_app *app, const char *value)
{
    app->model.linear = strcmp(value, "linear") == 0;
}

static void set_mouse(struct tdbg_tui_app *app, const char *value)
{
    app->no_mouse = strcmp(value, "off") == 0;
}

static const char *get_keys(const struct tdbg_tui_app *app)
{
    return app->keymap.is_less ? "less" : "tdbg";
}

static const char *get_scale(const struct tdbg_tui_app *app)
{
    return app->model.linear ? "linear" : "log";
}

static const char *get_mouse(const struct tdbg_tui_app *app)
{
    return app->no_mouse ? "off" : "on";
}

static const struct setting {
    const char *key, *values[2];
    void (*set)(struct tdbg_tui_app *app, const char *value);
    const char *(*get)(const struct tdbg_tui_app *app);
} settings[] = {
    {"keys", {"tdbg", "less"}, set_keys, get_keys},
    {"scale", {"log", "linear"}, set_scale, get_scale},
    {"mouse", {"on", "off"}, set_mouse, get_mouse},
};
enum { N_SETTINGS = sizeof settings / sizeof settings[0] };

bool tdbg_tui_setting_text(int i, char *buf, size_t buf_bytes)
{
    if (i >= 2 * N_SETTINGS)
        return false;
    snprintf(buf, buf_bytes, "%s=%s", settings[i / 2].key, settings[i / 2].values[i % 2]);
    return true;
}

static void list_settings(struct tdbg_tui_app *app)
{
    struct tdbg_strbuf sb = {0};
    for (int i = 0; i < N_SETTINGS; i++)
        tdbg_strbuf_printf(&sb, "%s%s=%s", i ? "  " : "", settings[i].key, settings[i].get(app));
    tdbg_tui_reply_done(app, "%s", sb.text);
    tdbg_strbuf_free(&sb);
}

void tdbg_tui_do_set(const struct tdbg_tui_call *call)
{
    const size_t n = strcspn(call->args, "=");
    const char *value = call->args[n] ? call->args + n + 1 : "";
    if (!*call->args) {
        list_settings(call->app);
        return;
    }
    for (int i = 0; i < N_SETTINGS; i++) {
        const struct setting *s = &settings[i];
        if (strlen(s->key) != n || strncmp(s->key, call->args, n) != 0)
            continue;
        if (strcmp(value, s->values[0]) == 0 || strcmp(value, s->values[1]) == 0) {
            s->set(call->app, value);
            tdbg_tui_reply_done(call->app, "%s=%s", s->key, value);
        } else {
            char hint[60];
            snprintf(hint, sizeof hint, "%s=%s or %s=%s", s->key, s->values[0], s->key,
                     s->values[1]);
            tdbg_tui_reply_fault(call, call->args[n] ? value : call->args, hint,
                                 "expected a value of %s", s->key);
        }
        return;
    }
    tdbg_tui_reply_fault(call, call->args, "keys=less, scale=linear, mouse=off", "unknown setting");
}

/* --- files of commands --- */

void tdbg_tui_print_state(struct tdbg_tui_app *app, struct tdbg_strbuf *out)
{
    char place[TDBG_PLACE_BYTES];
    const struct tdbg_tui_focus focus = app->model.focus;
    for (int i = 0; i < N_SETTINGS; i++)
        tdbg_strbuf_printf(out, "set %s=%s\n", settings[i].key, settings[i].get(app));
    for (int i = 0; i < app->breaks.n; i++)
        tdbg_strbuf_printf(out, "%s %s\n", app->breaks.list[i].is_temporary ? "tb" : "b",
                           app->breaks.list[i].text);
    for (int i = 0; i < app->breaks.n_watches; i++)
        tdbg_strbuf_printf(out, "watch %s\n", app->model.data->sites[app->breaks.watch[i]].name);
    for (int i = 0; i < TDBG_PLACES_MARKS; i++) {
        const struct tdbg_tui_mark *mark = &app->places.mark[i];
        if (mark->is_set)
            tdbg_strbuf_printf(out, "goto %s\nmark %c%s%s\n",
                               tdbg_tui_place_text(&app->model, &mark->focus, place),
                               tdbg_tui_places_letter(i), mark->text ? " " : "",
                               mark->text ? mark->text : "");
    }
    tdbg_strbuf_printf(out, "goto %s\n", tdbg_tui_place_text(&app->model, &focus, place));
}

void tdbg_tui_do_save(const struct tdbg_tui_call *call)
{
    struct tdbg_strbuf sb = {0};
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "save today.tdbg", "expected the name of a file");
        return;
    }
    FILE *f = fopen(call->args, "wxe"); /* nothing is overwritten */
    if (!f) {
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot write %s: %m", call->args);
        return;
    }
    tdbg_tui_print_state(call->app, &sb);
    fputs(sb.text, f);
    tdbg_strbuf_free(&sb);
    if (fclose(f) != 0)
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot write %s: %m", call->args);
    else
        tdbg_tui_reply_done(call->app, ":source %s brings this back", call->args);
}

void tdbg_tui_do_source(const struct tdbg_tui_call *call)
{
    char *line = NULL, *place = NULL;
    size_t room = 0;
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "source today.tdbg", "expected the name of a file");
        return;
    }
    if (call->app->commander.depth >= TDBG_COMMANDS_NESTED) {
        tdbg_tui_reply_failed(call->app, TDBG_USAGE, "files of commands are nested deeper than %d",
                              TDBG_COMMANDS_NESTED);
        return;
    }
    FILE *f = fopen(call->args, "re");
    if (!f) {
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot read %s: %m", call->args);
        return;
    }
    for (int number = 1; getline(&line, &room, f) >= 0; number++) {
        line[strcspn(line, "\r\n")] = 0;
        if (asprintf(&place, "%s:%d", call->args, number) < 0)
            break;
        tdbg_tui_command_queue(call->app, line, place);
        free(place);
    }
    if (ferror(f)) /* such as a folder */
        tdbg_tui_reply_failed(call->app, TDBG_IO, "cannot read %s: %m", call->args);
    free(line);
    fclose(f);
}

static void signal_recorder(const struct tdbg_tui_call *call, int number, const char *what)
{
    const pid_t recorder = call->app->commander.setup.recorder;
    if (recorder <= 0)
        tdbg_tui_reply_failed(call->app, TDBG_USAGE, "nothing trains here: tdbg record --tui does");
    else if (call->app->model.data->closed || kill(recorder, number) != 0)
        tdbg_tui_reply_none(call->app, "the training has ended");
    else
        tdbg_tui_reply_done(call->app, "%s", what);
}

void tdbg_tui_do_pause(const struct tdbg_tui_call *call)
{
    signal_recorder(call, SIGSTOP, "the training is paused; :resume lets it go on");
}

void tdbg_tui_do_resume(const struct tdbg_tui_call *call)
{
    signal_recorder(call, SIGCONT, "the training goes on");
}

void tdbg_tui_do_quit(const struct tdbg_tui_call *call)
{
    tdbg_tui_app_quit(call->app);
}
