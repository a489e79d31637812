/* Commands that run another subcommand of this program in the background: its lines go to the
 * output screen, what it says meanwhile to the message row. See command.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tui/app.h"
#include "tui/child.h"

enum { MOST_WORDS = 24 };

/* Where bisect writes its JSON, beside the text that the output screen shows: -1: nowhere. */
static int open_json(enum tdbg_tui_child_use use)
{
    return use == TDBG_CHILD_FINDS ? memfd_create("tdbg-json", MFD_CLOEXEC) : -1;
}

static void read_json(struct tdbg_tui_commander *c, struct tdbg_strbuf *out)
{
    char buf[4096];
    ssize_t n;
    if (c->child_json < 0)
        return;
    lseek(c->child_json, 0, SEEK_SET);
    while ((n = read(c->child_json, buf, sizeof buf)) > 0 && out->n_bytes < TDBG_OUTPUT_BYTES)
        tdbg_strbuf_add(out, buf, (size_t)n);
}

static void close_json(struct tdbg_tui_commander *c)
{
    if (c->child_json >= 0)
        close(c->child_json);
    c->child_json = -1;
}

/* The arguments that the title shows, and those that are between us and the child. */
static void make_argv(const struct tdbg_tui_commander *c, const char *const *words,
                      const char **argv, struct tdbg_strbuf *title)
{
    int n = 0;
    argv[n++] = c->setup.program;
    tdbg_strbuf_puts(title, "tdbg");
    for (int i = 0; i < MOST_WORDS && words[i]; i++) {
        argv[n++] = words[i];
        tdbg_strbuf_printf(title, " %s", words[i]);
    }
    if (c->child_json >= 0) {
        argv[n++] = "--json-file";
        argv[n++] = "/dev/fd/" TDBG_CHILD_FILE_TEXT;
    }
    argv[n] = NULL;
}

bool tdbg_tui_start_child(const struct tdbg_tui_call *call, const char *const *words,
                          enum tdbg_tui_child_use use)
{
    struct tdbg_tui_app *app = call->app;
    struct tdbg_tui_commander *c = &app->commander;
    const char *argv[MOST_WORDS + 4];
    struct tdbg_strbuf title = {0};
    struct tdbg_err err = {0};
    if (!c->setup.program) {
        tdbg_tui_reply_failed(app, TDBG_UNSUPPORTED, "no other program is run from here");
        return false;
    }
    if (c->child) {
        tdbg_tui_reply_failed(app, TDBG_USAGE, "%s still runs; ^C ends it", c->child_name);
        return false;
    }
    c->child_json = open_json(use);
    make_argv(c, words, argv, &title);
    if (tdbg_tui_child_start(argv, c->child_json, &c->child, &err) == TDBG_OK) {
        c->child_use = use;
        free(c->child_name);
        c->child_name = strdup(words[0]);
        tdbg_strbuf_free(&c->child_said);
        c->reply.verdict = TDBG_VERDICT_PENDING;
        struct epoll_event event = {.events = EPOLLIN}; /* it leaves when it is closed */
        epoll_ctl(app->wakes, EPOLL_CTL_ADD, tdbg_tui_child_fd(c->child), &event);
        tdbg_tui_output_begin(app, title.text);
        app->output.is_childs = true;
        app->output.is_verdict = use == TDBG_CHILD_FINDS;
        if (use != TDBG_CHILD_WRITES)
            tdbg_tui_output_show(app);
        tdbg_tui_model_say(&app->model, "%s runs ...  ^C ends it", c->child_name);
    } else {
        close_json(c);
        tdbg_tui_reply_failed(app, err.status, "%s", err.message);
    }
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&title);
    return c->child != NULL;
}

/* The last line of what was said, without what a terminal would do with it. */
static void last_line(const struct tdbg_strbuf *said, char *buf, size_t buf_bytes)
{
    size_t end = said->n_bytes;
    while (end > 0 && strchr("\r\n ", said->text[end - 1]))
        end--;
    size_t from = end;
    while (from > 0 && !strchr("\r\n", said->text[from - 1]))
        from--;
    const char *line = end > 0 ? said->text + from : "";
    if (strncmp(line, "tdbg: ", 6) == 0 && end - from >= 6) { /* that is known */
        line += 6;
        from += 6;
    }
    snprintf(buf, buf_bytes, "%.*s", (int)(end - from < 300 ? end - from : 300), line);
}

/* The "step" of the outermost object of JSON that this program prints, which has a member per
 * line; false: it has none. */
static bool json_step(const char *text, int64_t *step)
{
    static const char key[] = "\n  \"step\": ";
    const char *at = text ? strstr(text, key) : NULL;
    char *end;
    if (!at)
        return false;
    *step = strtoll(at + sizeof key - 1, &end, 10);
    return end != at + sizeof key - 1;
}

static void ended(struct tdbg_tui_app *app, int status, const char *said, const char *json)
{
    struct tdbg_tui_commander *c = &app->commander;
    const bool signalled = WIFSIGNALED(status);
    const int code = signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    int64_t step;
    c->reply.exit_code = code;
    if (c->child_use == TDBG_CHILD_FINDS && code == 0) {
        if (json_step(json, &step)) {
            tdbg_tui_model_goto_step(&app->model, step);
            tdbg_tui_reply_done(app, "%s found step %lld", c->child_name, (long long)step);
        } else {
            tdbg_tui_reply_done(app, "%s has the answer; Enter goes to the step in a line",
                                c->child_name);
        }
    } else if (code <= 1) { /* 1: found nothing, or runs differ: that is an answer */
        tdbg_tui_reply_done(app, "%s has ended%s%s%s", c->child_name,
                            code ? " with exit code 1" : "", *said ? ": " : "", said);
        c->reply.verdict = code ? TDBG_VERDICT_NONE : TDBG_VERDICT_DONE;
    } else {
        tdbg_tui_reply_failed(app, TDBG_UNSUPPORTED, "%s ended with exit code %d%s%s",
                              c->child_name, code, *said ? ": " : "", said);
    }
}

/* What to do with a fork that is there now. */
static void add_way_on(struct tdbg_tui_output *output, const char *fork)
{
    struct tdbg_strbuf text = {0};
    tdbg_strbuf_printf(&text,
                       "\n  :diff %s\n      compares the two runs\n"
                       "  tdbg replay %s\n      opens the new one\n",
                       fork, fork);
    tdbg_tui_output_add(output, text.text, text.n_bytes);
    tdbg_strbuf_free(&text);
}

/* Lines without those that told how far it was. */
static void add_said(struct tdbg_tui_output *output, const struct tdbg_strbuf *said)
{
    const char *line = said->n_bytes > 0 ? said->text : "";
    while (*line) {
        const size_t n = strcspn(line, "\r\n");
        const bool is_progress =
            strncmp(line, "step ", 5) == 0 && memmem(line, n, " steps/s", strlen(" steps/s"));
        if (!is_progress && n > 0) {
            tdbg_tui_output_add(output, line, n);
            tdbg_tui_output_add(output, "\n", 1);
        }
        line += n + (line[n] != 0);
    }
}

/* All of it is there, on the output screen as well, unless something else was put there since. */
static void finish(struct tdbg_tui_app *app, int status)
{
    struct tdbg_tui_commander *c = &app->commander;
    struct tdbg_strbuf json = {0};
    const struct tdbg_tui_focus before = app->model.focus;
    char said[320];
    tdbg_tui_child_destroy(c->child);
    c->child = NULL;
    read_json(c, &json);
    close_json(c);
    last_line(&c->child_said, said, sizeof said);
    if (app->output.is_childs) {
        app->output.is_childs = false;
        if (app->output.text.n_bytes == 0) /* it is of those that say what they did */
            add_said(&app->output, &c->child_said);
        if (c->fork && status == 0)
            add_way_on(&app->output, c->fork);
        if (c->child_use == TDBG_CHILD_FINDS && json.n_bytes > 0)
            tdbg_tui_output_go_to_answer(app);
        tdbg_strbuf_add(&app->output.json, json.text, json.n_bytes);
    }
    free(c->fork);
    c->fork = NULL;
    ended(app, status, said, json.text);
    tdbg_strbuf_free(&json);
    tdbg_tui_command_go_on(app);
    tdbg_tui_app_note_move(app, &before, TDBG_REQUEST_COMMAND);
}

void tdbg_tui_command_read_child(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    struct tdbg_strbuf out = {0};
    char said[320];
    int status = 0;
    if (!c->child)
        return;
    const bool goes_on = tdbg_tui_child_read(c->child, &out, &c->child_said, &status);
    if (app->output.is_childs)
        tdbg_tui_output_add(&app->output, out.text, out.n_bytes);
    last_line(&c->child_said, said, sizeof said);
    if (!goes_on)
        finish(app, status);
    else if (*said)
        tdbg_tui_model_say(&app->model, "%s: %s  ^C ends it", c->child_name, said);
    tdbg_strbuf_free(&out);
}

void tdbg_tui_do_diff(const struct tdbg_tui_call *call)
{
    const char *const words[] = {"diff", call->app->model.data->path, call->args, NULL};
    struct tdbg_err err = {0};
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "for example diff b.h5",
                             "expected the file of another trace");
    } else if (call->app->wakes < 0) { /* there is no screen to show it on */
        tdbg_tui_start_child(call, words, TDBG_CHILD_SHOWS);
    } else if (tdbg_tui_app_diff(call->app, call->args, &err) == TDBG_OK) {
        tdbg_tui_reply_done(call->app, "F7 comes back to it, q leaves it");
    } else {
        tdbg_tui_reply_failed(call->app, err.status, "%s", err.message);
        tdbg_err_clear(&err);
    }
}

/* Of one run, between two steps where these are known; of two, where they are compared. */
static void bisect(const struct tdbg_tui_call *call, int64_t good, int64_t bad, const char *second)
{
    const struct tdbg_tui_commander *c = &call->app->commander;
    char steps[64];
    const bool is_named = second && c->setup.trace; /* two runs are compared with all their ranks */
    const char *words[10] = {"bisect", is_named ? c->setup.trace : call->app->model.data->path};
    int n = 2;
    if (second)
        words[n++] = second;
    if (c->when) {
        words[n++] = "--when";
        words[n++] = c->when;
    }
    if (good >= 0 || bad >= 0) {
        snprintf(steps, sizeof steps, "%lld:%lld", (long long)good, (long long)bad);
        words[n++] = "--steps";
        words[n++] = steps;
    }
    tdbg_tui_start_child(call, words, TDBG_CHILD_FINDS);
}

void tdbg_tui_do_bisect(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_commander *c = &call->app->commander;
    struct tdbg_expr_fault fault;
    if (*call->args && !tdbg_tui_condition_check(call->app->model.data, call->args, &fault)) {
        tdbg_tui_reply_expression_fault(call, call->args, &fault);
        return;
    }
    free(c->when);
    c->when = *call->args ? strdup(call->args) : NULL;
    const bool of_two = call->app->two.b && tdbg_tui_app_has_open(call->app, &tdbg_tui_screen_diff);
    bisect(call, -1, -1, of_two ? call->app->two.path : NULL);
}

/* The step that is named, or that of the focus; false: it was said what is wrong. */
static bool parse_step(const struct tdbg_tui_call *call, int64_t *step)
{
    const struct tdbg_tui_model *m = &call->app->model;
    const size_t n = strspn(call->args, "0123456789");
    char hint[80];
    *step = n > 0 && n < 18 ? strtoll(call->args, NULL, 10) : m->focus.step;
    if (!call->args[n] && n < 18 && *step >= m->data->first_step &&
        *step <= tdbg_tui_model_last_step(m))
        return true;
    snprintf(hint, sizeof hint, "%lld to %lld", (long long)m->data->first_step,
             (long long)tdbg_tui_model_last_step(m));
    tdbg_tui_reply_fault(call, call->args, hint, "expected a step");
    return false;
}

/* Both ends are known: the first step between them at which the condition of :bisect holds. */
static void judge(const struct tdbg_tui_call *call, bool is_good)
{
    struct tdbg_tui_commander *c = &call->app->commander;
    int64_t step;
    if (!parse_step(call, &step))
        return;
    *(is_good ? &c->good : &c->bad) = step;
    if (c->good < 0 || c->bad < 0)
        tdbg_tui_reply_done(call->app, "step %lld is %s; :%s STEP says the other end",
                            (long long)step, is_good ? "good" : "bad", is_good ? "bad" : "good");
    else if (c->good > c->bad)
        tdbg_tui_reply_failed(call->app, TDBG_USAGE,
                              "the good step, %lld, has to be before the bad one, %lld",
                              (long long)c->good, (long long)c->bad);
    else
        bisect(call, c->good, c->bad, NULL);
}

void tdbg_tui_do_good(const struct tdbg_tui_call *call)
{
    judge(call, true);
}

void tdbg_tui_do_bad(const struct tdbg_tui_call *call)
{
    judge(call, false);
}

/* "run-whatif-1.h5" beside "run.h5": the first one that is not there. */
static char *fork_path(const char *trace)
{
    char *path = NULL;
    const size_t n = strlen(trace), stem = n > 3 && strcmp(trace + n - 3, ".h5") == 0 ? n - 3 : n;
    for (int i = 1; i < 1000; i++) {
        free(path);
        if (asprintf(&path, "%.*s-whatif-%d.h5", (int)stem, trace, i) < 0)
            return NULL;
        if (access(path, F_OK) != 0)
            return path;
    }
    return path;
}

void tdbg_tui_do_whatif(const struct tdbg_tui_call *call)
{
    const struct tdbg_tui_model *m = &call->app->model;
    char from[32];
    char *set = strdup(call->args), *to = set ? strstr(set, " to ") : NULL;
    char *path = fork_path(m->data->path);
    if (to) {
        *to = 0;
        to += 4;
        to += strspn(to, " ");
    }
    snprintf(from, sizeof from, "%lld", (long long)m->focus.step);
    const char *const words[] = {"replay", m->data->path, "--from",           from, "--set", set,
                                 "-o",     path,          to ? "--to" : NULL, to,   NULL};
    if (!set || !strchr(set, '=') || *set == '=')
        tdbg_tui_reply_fault(call, call->args, "for example whatif optimizer.lr=1e-4 to 200",
                             "expected KEY=VALUE");
    else if (path && tdbg_tui_start_child(call, words, TDBG_CHILD_SHOWS)) {
        struct tdbg_tui_commander *c = &call->app->commander;
        c->fork = path;
        path = NULL;
        free(c->child_name);
        c->child_name = strdup("whatif");
    }
    free(path);
    free(set);
}
