/* Command lines: finding the command, doing it, keeping those that wait. See command.h; the
 * commands themselves are in commands_*.c. */
#include "tui/command.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "tui/app.h"
#include "tui/child.h"

void tdbg_tui_commander_setup(struct tdbg_tui_app *app, const struct tdbg_tui_setup *setup)
{
    struct tdbg_err err = {0};
    app->commander.setup = *setup;
    tdbg_tui_line_history_open(&app->commander.history, setup->history_path);
    if (!setup->keys_path)
        return;
    const enum tdbg_status st = tdbg_tui_keymap_read(&app->keymap, setup->keys_path, &err);
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        tdbg_tui_model_say_error(&app->model, "%s", err.message);
    tdbg_err_clear(&err);
}

static void drop_waiting(struct tdbg_tui_commander *c)
{
    while (c->queue) {
        struct tdbg_tui_command_line *next = c->queue->next;
        free(c->queue->line);
        free(c->queue->place);
        free(c->queue);
        c->queue = next;
    }
}

void tdbg_tui_commander_free(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    drop_waiting(c);
    tdbg_tui_child_destroy(c->child);
    if (c->child_json >= 0)
        close(c->child_json);
    tdbg_tui_hunt_free(&c->hunt);
    tdbg_tui_line_history_free(&c->history);
    tdbg_expr_destroy(c->elements);
    free(c->searched);
    free(c->child_name);
    free(c->fork);
    tdbg_strbuf_free(&c->child_said);
    free(c->when);
    free(c->picture_path);
    *c = (struct tdbg_tui_commander){.good = -1, .bad = -1, .child_json = -1};
}

/* --- replies --- */

static void reply(struct tdbg_tui_app *app, enum tdbg_tui_verdict verdict, enum tdbg_status status,
                  const char *fmt, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    app->commander.reply.verdict = verdict;
    app->commander.reply.status = status;
    if (verdict == TDBG_VERDICT_FAULT)
        tdbg_tui_model_say_error(&app->model, "%s", text ? text : tdbg_status_text(status));
    else if (text)
        tdbg_tui_model_say(&app->model, "%s", text);
    free(text);
}

void tdbg_tui_reply_done(struct tdbg_tui_app *app, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    reply(app, TDBG_VERDICT_DONE, TDBG_OK, fmt, args);
    va_end(args);
}

void tdbg_tui_reply_none(struct tdbg_tui_app *app, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    reply(app, TDBG_VERDICT_NONE, TDBG_OK, fmt, args);
    va_end(args);
}

void tdbg_tui_reply_failed(struct tdbg_tui_app *app, enum tdbg_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    reply(app, TDBG_VERDICT_FAULT, status, fmt, args);
    va_end(args);
}

void tdbg_tui_reply_fault(const struct tdbg_tui_call *call, const char *at, const char *hint,
                          const char *fmt, ...)
{
    struct tdbg_strbuf sb = {0};
    va_list args;
    if (at)
        tdbg_strbuf_printf(&sb, "col %d: ", (int)(at - call->line) + 1);
    va_start(args, fmt);
    tdbg_strbuf_vprintf(&sb, fmt, args);
    va_end(args);
    if (hint && *hint)
        tdbg_strbuf_printf(&sb, "; %s", hint);
    tdbg_tui_reply_failed(call->app, TDBG_USAGE, "%s", sb.text);
    call->app->commander.reply.column = at ? (int)(at - call->line) + 1 : 0;
    tdbg_strbuf_free(&sb);
}

void tdbg_tui_reply_expression_fault(const struct tdbg_tui_call *call, const char *at,
                                     const struct tdbg_expr_fault *fault)
{
    const size_t past = (size_t)(fault->column > 0 ? fault->column - 1 : 0), n = strlen(at);
    tdbg_tui_reply_fault(call, at + (past < n ? past : n), fault->hint, "%s", fault->text);
}

void tdbg_tui_reply_pending(struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                            tdbg_tui_answered *answered)
{
    app->commander.reply.verdict = TDBG_VERDICT_PENDING;
    tdbg_tui_model_hush(&app->model); /* how far it is comes in this row */
    if (!tdbg_tui_app_submit(app, job, answered))
        tdbg_tui_reply_failed(app, TDBG_UNSUPPORTED, "nothing is computed here");
}

/* --- lines --- */

const struct tdbg_tui_command *tdbg_tui_command_find(const char *name, size_t n)
{
    for (const struct tdbg_tui_command *c = tdbg_tui_commands; c->name; c++) {
        if ((strlen(c->name) == n && memcmp(c->name, name, n) == 0) ||
            (c->alias && strlen(c->alias) == n && memcmp(c->alias, name, n) == 0))
            return c;
    }
    return NULL;
}

static void unknown(const struct tdbg_tui_call *call, const char *name, size_t n)
{
    enum { MOST = 100 };
    const char *names[MOST];
    char word[64], hint[100] = ":help lists the commands";
    int n_names = 0;
    for (const struct tdbg_tui_command *c = tdbg_tui_commands; c->name && n_names < MOST; c++)
        names[n_names++] = c->name;
    snprintf(word, sizeof word, "%.*s", (int)(n < 60 ? n : 60), name);
    const char *near = tdbg_suggest(word, names, n_names);
    if (near)
        snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    tdbg_tui_reply_fault(call, name, hint, "unknown command '%s'", word);
}

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

/* Spaces at the end would be part of names of files and marks. */
static char *copy_line(const char *line)
{
    size_t n = strlen(line);
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    return strndup(line, n);
}

static void execute(struct tdbg_tui_app *app, const char *text)
{
    char *line = copy_line(text);
    if (!line)
        return;
    struct tdbg_tui_call call = {.app = app, .line = line};
    const char *name = skip_space(line);
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz");
    app->commander.reply = (struct tdbg_tui_reply){.verdict = TDBG_VERDICT_DONE};
    if (isdigit((unsigned char)*name)) { /* as in vi, a number is a place to go to */
        call.args = name;
        tdbg_tui_do_goto(&call);
    } else if (*name && *name != '#') {
        if (n == 0 || (name[n] && name[n] != ' ' && name[n] != '\t'))
            n = strcspn(name, " \t");
        const struct tdbg_tui_command *command = tdbg_tui_command_find(name, n);
        call.args = skip_space(name + n);
        if (command)
            command->run(&call);
        else
            unknown(&call, name, n);
    }
    free(line);
}

void tdbg_tui_command_do(struct tdbg_tui_app *app, const char *line)
{
    drop_waiting(&app->commander);
    app->commander.depth = 0;
    execute(app, line);
    tdbg_tui_command_go_on(app);
}

void tdbg_tui_command_queue(struct tdbg_tui_app *app, const char *line, const char *place)
{
    struct tdbg_tui_command_line **end = &app->commander.queue, *w = calloc(1, sizeof *w);
    if (!w)
        return;
    *w = (struct tdbg_tui_command_line){.line = strdup(line),
                                        .place = strdup(place),
                                        .depth = app->commander.depth + (*place != 0)};
    TDBG_ASSERT(w->line && w->place);
    while (*end)
        end = &(*end)->next;
    *end = w;
}

/* In front of the others: a file that is sourced comes before what stands behind its command. */
static struct tdbg_tui_command_line *take_first(struct tdbg_tui_commander *c)
{
    struct tdbg_tui_command_line *w = c->queue;
    c->queue = w->next;
    return w;
}

void tdbg_tui_command_go_on(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    /* a screen that closed may have cancelled what the command waits for */
    if (c->reply.verdict == TDBG_VERDICT_PENDING && !c->child && !tdbg_tui_app_waits(app)) {
        c->reply.verdict = TDBG_VERDICT_FAULT;
        drop_waiting(c);
    }
    while (c->queue && c->reply.verdict != TDBG_VERDICT_PENDING && !app->done) {
        struct tdbg_tui_command_line *w = take_first(c), *rest = c->queue;
        c->queue = NULL; /* what the command queues comes before the rest */
        c->depth = w->depth;
        execute(app, w->line);
        struct tdbg_tui_command_line **end = &c->queue;
        while (*end)
            end = &(*end)->next;
        *end = rest;
        if (c->reply.verdict == TDBG_VERDICT_FAULT) {
            if (*w->place && app->model.message) {
                char *message = strdup(app->model.message);
                tdbg_tui_model_say_error(&app->model, "%s: %s", w->place, message ? message : "");
                free(message);
            }
            drop_waiting(c);
        }
        free(w->line);
        free(w->place);
        free(w);
    }
}

bool tdbg_tui_command_cancel(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    const bool was = c->reply.verdict == TDBG_VERDICT_PENDING || c->queue || c->child;
    drop_waiting(c);
    if (c->reply.verdict == TDBG_VERDICT_PENDING)
        c->reply.verdict = TDBG_VERDICT_FAULT;
    if (c->child)
        tdbg_tui_child_interrupt(c->child);
    return was;
}

static void typed(struct tdbg_tui_app *app, const char *line)
{
    tdbg_tui_line_history_add(&app->commander.history, line);
    tdbg_tui_command_do(app, line);
}

void tdbg_tui_ask_command(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_prompt_open(&app->prompt, ":",
                         "Enter does it  Tab completes  Up the one before  Esc cancel", typed);
    app->prompt.complete = tdbg_tui_complete;
    app->prompt.history = &app->commander.history;
}
