/* Commands and keys that go somewhere, and marks. See command.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "tui/app.h"
#include "tui/view.h"

/* --- places as text --- */

/* Number of the site among those of its stage. */
static int32_t index_in_stage(const struct tdbg_tui_data *data, int32_t site)
{
    int32_t n = 0;
    for (int32_t i = 0; i < site; i++)
        n += data->sites[i].stage == data->sites[site].stage;
    return n;
}

const char *tdbg_tui_place_text(const struct tdbg_tui_model *m, const struct tdbg_tui_focus *focus,
                                char buf[TDBG_PLACE_BYTES])
{
    if (focus->site < m->data->n_sites)
        snprintf(buf, TDBG_PLACE_BYTES, "%lld/%s/%d", (long long)focus->step,
                 tdbg_stage_text(m->data->sites[focus->site].stage),
                 (int)index_in_stage(m->data, focus->site));
    else
        snprintf(buf, TDBG_PLACE_BYTES, "%lld", (long long)focus->step);
    return buf;
}

void tdbg_tui_app_go_to(struct tdbg_tui_app *app, const struct tdbg_tui_focus *focus)
{
    struct tdbg_tui_model *m = &app->model;
    tdbg_tui_app_goto_rank(app, focus->rank); /* says why where that has no file */
    tdbg_tui_model_goto_step(m, focus->step);
    if (focus->site >= 0 && focus->site < m->data->n_sites)
        m->focus.site = focus->site;
}

/* --- goto --- */

static const char *skip_number(const char *at)
{
    return at + strspn(at, "0123456789");
}

/* The step, and what stands behind it; false: it was said what is wrong. */
static bool parse_step(const struct tdbg_tui_call *call, int64_t *step, const char **rest)
{
    const struct tdbg_tui_model *m = &call->app->model;
    const char *at = call->args;
    const char sign = *at == '+' || *at == '-' ? *at : 0;
    const char *digits = at + (sign != 0);
    *rest = skip_number(digits);
    if (*rest == digits || (**rest && **rest != '/')) {
        tdbg_tui_reply_fault(call, *rest == digits ? at : *rest,
                             "1234, +100, -100, 1234/bwd, 1234/bwd/17 or 1234/grad/fc1.bias",
                             *rest == digits ? "expected a step" : "this is no step");
        return false;
    }
    if (*rest - digits > 18) {
        tdbg_tui_reply_fault(call, digits, NULL, "a step of more than 18 digits");
        return false;
    }
    const int64_t number = strtoll(digits, NULL, 10), now = m->focus.step;
    *step = sign == '+' ? now + number : sign == '-' ? now - number : number;
    const int64_t first = m->data->first_step, last = tdbg_tui_model_last_step(m);
    if (!sign && (*step < first || *step > last)) {
        char hint[80];
        snprintf(hint, sizeof hint, "this trace has steps %lld to %lld", (long long)first,
                 (long long)last);
        tdbg_tui_reply_fault(call, digits, hint, "no step %lld", (long long)*step);
        return false;
    }
    return true;
}

/* The stages that the trace has, for a hint. */
static void list_stages(const struct tdbg_tui_data *data, char *buf, size_t buf_bytes)
{
    size_t used = 0;
    buf[0] = 0;
    for (int s = 0; s < TDBG_STAGE_COUNT; s++) {
        bool has = false;
        for (int32_t i = 0; i < data->n_sites && !has; i++)
            has = (int)data->sites[i].stage == s;
        if (has && used < buf_bytes)
            used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%s", used ? " " : "",
                                     tdbg_stage_text((enum tdbg_stage)s));
    }
}

static int32_t find_named(const struct tdbg_tui_data *data, const char *name)
{
    for (int32_t i = 0; i < data->n_sites; i++) {
        if (strcmp(data->sites[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void no_such_op(const struct tdbg_tui_call *call, const char *at, const char *stage,
                       int32_t n_ops)
{
    char hint[80];
    snprintf(hint, sizeof hint, "%s has ops 0 to %d, or name a site", stage, (int)n_ops - 1);
    tdbg_tui_reply_fault(call, at, hint, "no op '%s' in %s", at, stage);
}

/* The site of "/bwd", "/bwd/17" or "/grad/fc1.bias"; -1: it was said what is wrong. */
static int32_t parse_op(const struct tdbg_tui_call *call, const char *at)
{
    const struct tdbg_tui_data *data = call->app->model.data;
    char stage_text[32], hint[160];
    enum tdbg_stage stage;
    int32_t first = -1, n = 0;
    const size_t length = strcspn(at + 1, "/");
    const char *op = at[1 + length] ? at + 2 + length : NULL;
    snprintf(stage_text, sizeof stage_text, "%.*s", (int)(length < 31 ? length : 31), at + 1);
    for (int32_t i = 0; tdbg_stage_parse(stage_text, &stage) && i < data->n_sites; i++) {
        if (data->sites[i].stage != stage)
            continue;
        first = first < 0 ? i : first;
        if (op && *op && !*skip_number(op) && strlen(op) < 10 && n == atoi(op))
            return i;
        n++;
    }
    if (n == 0) {
        list_stages(data, hint, sizeof hint);
        tdbg_tui_reply_fault(call, at + 1, hint, "this trace has no phase '%s'", stage_text);
        return -1;
    }
    if (!op)
        return first;
    const int32_t named = find_named(data, at + 1);
    if (named < 0)
        no_such_op(call, op, stage_text, n);
    return named;
}

void tdbg_tui_do_goto(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_model *m = &call->app->model;
    const char *rest;
    int64_t step;
    if (!parse_step(call, &step, &rest))
        return;
    const int32_t site = *rest == '/' ? parse_op(call, rest) : m->focus.site;
    if (site < 0)
        return;
    tdbg_tui_model_goto_step(m, step);
    m->focus.site = site;
}

/* --- when --- */

void tdbg_tui_do_when(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    struct tdbg_tui_model *m = &app->model;
    char place[TDBG_PLACE_BYTES], label[TDBG_SITE_LABEL_BYTES];
    tdbg_tui_model_load(m);
    struct tdbg_strbuf *out = tdbg_tui_output_begin(app, "when");
    tdbg_strbuf_printf(out, "place      %s\n", tdbg_tui_place_text(m, &m->focus, place));
    tdbg_strbuf_printf(out, "trace      %s\n", m->data->path);
    tdbg_strbuf_printf(out, "step       %lld of %lld to %lld\n", (long long)m->focus.step,
                       (long long)m->data->first_step, (long long)tdbg_tui_model_last_step(m));
    if (m->focus.site < m->data->n_sites) {
        const struct tdbg_site *site = &m->data->sites[m->focus.site];
        tdbg_strbuf_printf(out, "op         %d of %d: %s (%s)\n", (int)m->focus.site,
                           (int)m->data->n_sites,
                           tdbg_tui_model_site_label(m, m->focus.site, label), site->op);
        tdbg_strbuf_printf(out, "phase      %s\n", tdbg_stage_text(site->stage));
    }
    tdbg_strbuf_printf(out, "rank       %d of %d\n", (int)m->focus.rank,
                       (int)m->data->info->world_size);
    for (int i = 0; i < TDBG_METRIC_COUNT; i++) {
        if (m->metrics[i].has_now)
            tdbg_strbuf_printf(out, "%-10s %.7g%s\n", tdbg_tui_metric_name((enum tdbg_tui_metric)i),
                               i == TDBG_METRIC_STEP_TIME ? m->metrics[i].now / 1e6
                                                          : m->metrics[i].now,
                               i == TDBG_METRIC_STEP_TIME ? " ms" : "");
    }
    if (m->eval_step >= 0)
        tdbg_strbuf_printf(out, "evaluated  step %lld\n", (long long)m->eval_step);
    const int64_t keyframe = m->data->keyframe_before(m->data->context, m->focus.step);
    if (keyframe >= 0)
        tdbg_strbuf_printf(out, "keyframe   before step %lld\n", (long long)keyframe);
    if (m->n_broken_sites > 0)
        tdbg_strbuf_printf(out, "nan or inf in %d sites, first %s\n", (int)m->n_broken_sites,
                           tdbg_tui_model_site_label(m, m->first_broken_site, label));
    tdbg_tui_output_show(app);
}

/* --- find --- */

void tdbg_tui_do_find(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    const struct tdbg_tui_screen *screen = tdbg_tui_app_screen(app);
    if (!*call->args && !app->model.pattern) {
        tdbg_tui_reply_fault(call, call->args, "find fc1*, find grad/", "expected a name");
        return;
    }
    if (*call->args)
        tdbg_tui_model_set_pattern(&app->model, call->args);
    if (screen->find)
        screen->find(app, 1);
    else
        tdbg_tui_model_find(&app->model, 1);
    if (app->model.message && app->model.message_is_error)
        app->commander.reply.verdict = TDBG_VERDICT_NONE;
}

/* --- marks, undo --- */

static void mark(struct tdbg_tui_app *app, uint32_t letter, const char *text)
{
    char name[TDBG_KEY_NAME_BYTES], place[TDBG_PLACE_BYTES];
    struct tdbg_tui_mark *at = tdbg_tui_places_mark(&app->places, letter);
    if (!at) {
        tdbg_tui_model_say_error(&app->model, "marks are letters a to z and A to Z, not %s",
                                 tdbg_tui_key_name(letter, name));
        return;
    }
    tdbg_tui_mark_set(at, &app->model.focus, text);
    tdbg_tui_model_say(&app->model, "mark %c is %s%s%s", (char)letter,
                       tdbg_tui_place_text(&app->model, &at->focus, place),
                       text && *text ? " " : "", text ? text : "");
}

static void take_mark(struct tdbg_tui_app *app, uint32_t key)
{
    mark(app, key, NULL);
}

void tdbg_tui_set_mark(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->takes_key = take_mark;
    tdbg_tui_model_say(&app->model, "mark this place with a letter");
}

void tdbg_tui_do_mark(const struct tdbg_tui_call *call)
{
    const char letter = *call->args;
    if (!isalpha((unsigned char)letter) || (call->args[1] && call->args[1] != ' ')) {
        tdbg_tui_reply_fault(call, call->args, "mark a, or mark a where it begins",
                             "expected a letter a to z or A to Z");
        return;
    }
    const char *text = call->args + 1;
    mark(call->app, (uint32_t)letter, text + strspn(text, " "));
}

static void list_marks(const struct tdbg_tui_places *p, char buf[2 * TDBG_PLACES_MARKS + 1])
{
    int n = 0;
    for (int i = 0; i < TDBG_PLACES_MARKS; i++) {
        if (p->mark[i].is_set) {
            buf[n++] = ' ';
            buf[n++] = tdbg_tui_places_letter(i);
        }
    }
    buf[n] = 0;
}

static void take_jump(struct tdbg_tui_app *app, uint32_t key)
{
    struct tdbg_tui_places *p = &app->places;
    const struct tdbg_tui_mark *at = tdbg_tui_places_mark(p, key);
    char name[TDBG_KEY_NAME_BYTES], there[2 * TDBG_PLACES_MARKS + 1];
    if (tdbg_tui_keymap_request(&app->keymap, key) == TDBG_REQUEST_JUMP) {
        if (p->has_last)
            tdbg_tui_app_go_to(app,
                               &(struct tdbg_tui_focus){p->last.step, p->last.site, p->last.rank});
        else
            tdbg_tui_model_say(&app->model, "no jump yet to come back from");
    } else if (at && at->is_set) {
        tdbg_tui_app_go_to(app, &at->focus);
        if (at->text && !app->model.message)
            tdbg_tui_model_say(&app->model, "%c: %s", (char)key, at->text);
    } else {
        list_marks(p, there);
        tdbg_tui_model_say_error(&app->model, "no mark %s; there is%s",
                                 tdbg_tui_key_name(key, name),
                                 *there ? there : " none: m and a letter makes one");
    }
}

void tdbg_tui_jump_to_mark(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    char there[2 * TDBG_PLACES_MARKS + 1];
    list_marks(&app->places, there);
    app->takes_key = take_jump;
    tdbg_tui_model_say(&app->model,
                       "to the mark with a letter:%s; ' to the place before the last jump",
                       *there ? there : " none yet");
}

void tdbg_tui_undo(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    struct tdbg_tui_focus to = app->model.focus;
    app->is_travelling = true;
    if (tdbg_tui_places_undo(&app->places, &to, count) == 0)
        tdbg_tui_model_say(&app->model, "no move to undo");
    tdbg_tui_app_go_to(app, &to);
}

void tdbg_tui_redo(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    struct tdbg_tui_focus to = app->model.focus;
    app->is_travelling = true;
    if (tdbg_tui_places_redo(&app->places, &to, count) == 0)
        tdbg_tui_model_say(&app->model, "no move to redo");
    tdbg_tui_app_go_to(app, &to);
}

/* Steps and ops one after the other are no jumps: '' is to come back from farther away. */
static bool is_small(enum tdbg_tui_request request)
{
    static const enum tdbg_tui_request small[] = {
        TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_STEP_PREV, TDBG_REQUEST_OP_NEXT,
        TDBG_REQUEST_OP_PREV,   TDBG_REQUEST_RIGHT,     TDBG_REQUEST_LEFT,
        TDBG_REQUEST_DOWN,      TDBG_REQUEST_UP,        TDBG_REQUEST_PAGE_DOWN,
        TDBG_REQUEST_PAGE_UP,   TDBG_REQUEST_HALF_DOWN, TDBG_REQUEST_HALF_UP,
        TDBG_REQUEST_RANK_NEXT, TDBG_REQUEST_RANK_PREV};
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        if (small[i] == request)
            return true;
    }
    return false;
}

void tdbg_tui_app_note_move(struct tdbg_tui_app *app, const struct tdbg_tui_focus *before,
                            enum tdbg_tui_request request)
{
    if (!app->done && !app->is_travelling && !tdbg_tui_focus_same(before, &app->model.focus))
        tdbg_tui_places_moved(&app->places, before, !is_small(request));
    app->is_travelling = false;
}
