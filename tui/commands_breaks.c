/* Commands and keys of breakpoints and watches. See command.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

static bool starts(const char *text, const char *word)
{
    const size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && (!text[n] || text[n] == ' ');
}

/* "nan|inf [glob]" is short for "nan(glob) or inf(glob)". The caller frees it; NULL: no memory. */
static char *expand(const char *args)
{
    char *out = NULL;
    const char *glob = args + strlen("nan|inf");
    if (!starts(args, "nan|inf"))
        return strdup(args);
    glob += strspn(glob, " ");
    if (!*glob)
        return strdup("nan or inf");
    return asprintf(&out, "nan(%s) or inf(%s)", glob, glob) < 0 ? NULL : out;
}

static void tell_added(struct tdbg_tui_app *app, const struct tdbg_tui_break *b)
{
    tdbg_tui_reply_done(app, "B%d: %s%s", b->id, b->text, b->is_temporary ? "  (once)" : "");
}

static struct tdbg_tui_break *add(struct tdbg_tui_app *app, const char *text, bool is_temporary)
{
    struct tdbg_tui_break *b = tdbg_tui_breaks_add(&app->breaks, text, is_temporary);
    if (!b)
        tdbg_tui_reply_failed(app, TDBG_USAGE,
                              "there are %d breakpoints already: :del N removes one", TDBG_BREAKS);
    return b;
}

static void add_break(const struct tdbg_tui_call *call, bool is_temporary)
{
    struct tdbg_expr_fault fault;
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "for example loss > 10, nan|inf, nan|inf grad/*",
                             "expected a condition");
        return;
    }
    const bool is_short = starts(call->args, "nan|inf");
    char *text = expand(call->args);
    if (!text)
        return;
    if (!tdbg_tui_condition_check(call->app->model.data, text, &fault)) {
        const char *glob = call->args + strlen("nan|inf");
        if (is_short) /* what was written out is not what was typed: the fault is in the glob */
            tdbg_tui_reply_fault(call, glob + strspn(glob, " "), fault.hint, "%s", fault.text);
        else
            tdbg_tui_reply_expression_fault(call, call->args, &fault);
    } else {
        const struct tdbg_tui_break *b = add(call->app, text, is_temporary);
        if (b)
            tell_added(call->app, b);
    }
    free(text);
}

void tdbg_tui_do_break(const struct tdbg_tui_call *call)
{
    add_break(call, false);
}

void tdbg_tui_do_tbreak(const struct tdbg_tui_call *call)
{
    add_break(call, true);
}

/* "B1 B3" of those there are. */
static void list_ids(const struct tdbg_tui_breaks *b, char *buf, size_t buf_bytes)
{
    size_t used = (size_t)snprintf(buf, buf_bytes, "%s", b->n > 0 ? "there is" : "there is none");
    for (int i = 0; i < b->n && used < buf_bytes; i++)
        used += (size_t)snprintf(buf + used, buf_bytes - used, " B%d", b->list[i].id);
}

/* The breakpoint of "3" or "B3"; NULL: it was said what is wrong. */
static struct tdbg_tui_break *named(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_breaks *breaks = &call->app->breaks;
    const char *digits = call->args + (*call->args == 'B' || *call->args == 'b');
    const size_t n = strspn(digits, "0123456789");
    char hint[200];
    struct tdbg_tui_break *b =
        n > 0 && n < 10 && !digits[n] ? tdbg_tui_breaks_find(breaks, atoi(digits)) : NULL;
    if (b)
        return b;
    list_ids(breaks, hint, sizeof hint);
    tdbg_tui_reply_fault(call, call->args, hint, "expected the number of a breakpoint");
    return NULL;
}

void tdbg_tui_do_disable(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_break *b = named(call);
    if (!b)
        return;
    b->is_disabled = true;
    tdbg_tui_reply_done(call->app, "B%d is off: %s", b->id, b->text);
}

void tdbg_tui_do_enable(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_break *b = named(call);
    if (!b)
        return;
    b->is_disabled = false;
    tdbg_tui_reply_done(call->app, "B%d is on: %s", b->id, b->text);
}

void tdbg_tui_do_delete(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_break *b = named(call);
    if (!b)
        return;
    tdbg_tui_reply_done(call->app, "B%d is gone: %s", b->id, b->text);
    tdbg_tui_breaks_delete(&call->app->breaks, b);
}

static void print_breaks(const struct tdbg_tui_breaks *breaks, struct tdbg_strbuf *out)
{
    for (int i = 0; i < breaks->n; i++) {
        const struct tdbg_tui_break *b = &breaks->list[i];
        tdbg_strbuf_printf(out, "B%-4d %-4s hits %-5lld %s\n", b->id,
                           b->is_disabled    ? "off"
                           : b->is_temporary ? "once"
                                             : "on",
                           (long long)b->hits, b->text);
    }
}

static void print_watches(const struct tdbg_tui_app *app, struct tdbg_strbuf *out)
{
    char label[TDBG_SITE_LABEL_BYTES];
    for (int i = 0; i < app->breaks.n_watches; i++)
        tdbg_strbuf_printf(out, "watch %s\n",
                           tdbg_tui_model_site_label(&app->model, app->breaks.watch[i], label));
}

static void print_marks(const struct tdbg_tui_app *app, struct tdbg_strbuf *out)
{
    char place[TDBG_PLACE_BYTES];
    for (int i = 0; i < TDBG_PLACES_MARKS; i++) {
        const struct tdbg_tui_mark *mark = &app->places.mark[i];
        if (mark->is_set)
            tdbg_strbuf_printf(out, "mark %c %s%s%s\n", tdbg_tui_places_letter(i),
                               tdbg_tui_place_text(&app->model, &mark->focus, place),
                               mark->text ? " " : "", mark->text ? mark->text : "");
    }
}

void tdbg_tui_do_info(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    static const char *const words[] = {"b", "w", "m"};
    const char *word = *call->args ? call->args : "";
    bool known = !*word;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        known = known || strcmp(word, words[i]) == 0;
    if (!known) {
        tdbg_tui_reply_fault(call, call->args,
                             "b breakpoints, w watches, m marks; alone all of them",
                             "expected what to list");
        return;
    }
    struct tdbg_strbuf *out = tdbg_tui_output_begin(app, "breakpoints, watches, marks");
    if (!*word || *word == 'b')
        print_breaks(&app->breaks, out);
    if (!*word || *word == 'w')
        print_watches(app, out);
    if (!*word || *word == 'm')
        print_marks(app, out);
    if (out->n_bytes == 0)
        tdbg_strbuf_puts(out, "none\n");
    tdbg_tui_output_show(app);
}

/* --- watches --- */

static void watch(struct tdbg_tui_app *app, int32_t site)
{
    char label[TDBG_SITE_LABEL_BYTES];
    bool is_there;
    tdbg_tui_model_site_label(&app->model, site, label);
    if (!tdbg_tui_breaks_toggle_watch(&app->breaks, site, &is_there))
        tdbg_tui_reply_failed(app, TDBG_USAGE, "there are %d watches already", TDBG_WATCHES);
    else if (is_there)
        tdbg_tui_reply_done(app, "watching %s", label);
    else
        tdbg_tui_reply_done(app, "%s is not watched any more", label);
}

static bool has_site(struct tdbg_tui_app *app)
{
    if (app->model.data->n_sites > 0)
        return true;
    tdbg_tui_model_say(&app->model, "this trace has no sites");
    return false;
}

void tdbg_tui_toggle_watch(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (has_site(app))
        watch(app, app->model.focus.site);
}

void tdbg_tui_do_watch(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    const struct tdbg_tui_model *m = &app->model;
    char label[TDBG_SITE_LABEL_BYTES];
    if (!*call->args && has_site(app)) {
        watch(app, m->focus.site);
        return;
    }
    for (int32_t i = 0; i < m->data->n_sites; i++) {
        if (strcmp(tdbg_tui_model_site_label(m, i, label), call->args) != 0 &&
            strcmp(m->data->sites[i].name, call->args) != 0)
            continue;
        watch(app, i);
        return;
    }
    tdbg_tui_reply_fault(call, call->args, "for example watch param/fc1.weight; Tab completes",
                         "no site '%s'", call->args);
}

/* --- the key b --- */

void tdbg_tui_toggle_condition(struct tdbg_tui_app *app, const char *text)
{
    struct tdbg_expr_fault fault;
    struct tdbg_tui_break *b = tdbg_tui_breaks_with(&app->breaks, text);
    if (b) {
        tdbg_tui_reply_done(app, "B%d is gone: %s", b->id, b->text);
        tdbg_tui_breaks_delete(&app->breaks, b);
    } else if (!tdbg_tui_condition_check(app->model.data, text, &fault)) {
        tdbg_tui_reply_failed(app, fault.status, "cannot break here: %s", fault.text);
    } else if ((b = add(app, text, false)) != NULL) {
        tell_added(app, b);
    }
}

void tdbg_tui_toggle_break(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    char text[2 * TDBG_MAX_SITE_NAME + 32];
    if (!has_site(app))
        return;
    const char *name = app->model.data->sites[app->model.focus.site].name;
    snprintf(text, sizeof text, "nan(%.*s) or inf(%.*s)", TDBG_MAX_SITE_NAME, name,
             TDBG_MAX_SITE_NAME, name);
    tdbg_tui_toggle_condition(app, text);
}
