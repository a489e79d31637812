/* Running to events, searching, and values: what jobs answer. See command.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "tui/app.h"

/* What counts as an event where there is no breakpoint; the first needs no more than the rows of
 * steps, and the second says more where both begin at a step. */
static const char *const findings[] = {"diverges(loss)", "nan or inf"};
enum { N_FINDINGS = sizeof findings / sizeof findings[0] };

/* Goes to a step, and there to the op that makes the condition hold. */
static void go_to_hit(struct tdbg_tui_app *app, int64_t step, const char *condition)
{
    struct tdbg_tui_model *m = &app->model;
    m->focus.step = step;
    tdbg_tui_model_load(m);
    const int32_t site = m->stats_step == step && m->data->n_sites > 0
                             ? tdbg_tui_condition_site(m->data, condition, m->stats)
                             : -1;
    if (site >= 0)
        m->focus.site = site;
    tdbg_tui_model_hush(m);
}

/* --- c and C --- */

static void ask_hunt(struct tdbg_tui_app *app);

static void start_hunt(struct tdbg_tui_app *app, bool is_backward)
{
    struct tdbg_tui_commander *c = &app->commander;
    const struct tdbg_tui_model *m = &app->model;
    const char *texts[TDBG_HUNT_CONDITIONS];
    struct tdbg_expr_fault ignored;
    int n = 0;
    for (int i = app->breaks.n - 1; i >= 0; i--) { /* at the same step the lowest number is told */
        if (app->breaks.list[i].is_disabled)
            continue;
        c->hunt_ids[n] = app->breaks.list[i].id;
        texts[n++] = app->breaks.list[i].text;
    }
    c->hunts_findings = n == 0;
    for (int i = 0; c->hunts_findings && i < N_FINDINGS; i++) { /* a trace may have no site */
        if (tdbg_tui_condition_check(m->data, findings[i], &ignored))
            texts[n++] = findings[i];
    }
    tdbg_tui_hunt_free(&c->hunt);
    tdbg_tui_hunt_start(&c->hunt, m->data->first_step, tdbg_tui_model_last_step(m), m->focus.step,
                        is_backward, texts, n);
}

/* "was false at 1420, true at 1421" */
static void tell_hit(struct tdbg_tui_app *app, const struct tdbg_tui_hunt *h, const char *name,
                     const char *what)
{
    const char *about = app->commander.hunts_findings ? "  (no breakpoint is set)" : "";
    if (h->before >= 0)
        tdbg_tui_reply_done(app, "%s: %s was false at %" PRId64 ", true at %" PRId64 "%s", name,
                            what, h->before, h->step, about);
    else
        tdbg_tui_reply_done(app, "%s: %s is true at %" PRId64 ", the first step%s", name, what,
                            h->step, about);
}

static void hit(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    const struct tdbg_tui_hunt *h = &c->hunt;
    char name[32] = "finding";
    go_to_hit(app, h->step, h->condition[h->which]);
    struct tdbg_tui_break *b =
        c->hunts_findings ? NULL : tdbg_tui_breaks_find(&app->breaks, c->hunt_ids[h->which]);
    if (b) {
        snprintf(name, sizeof name, "B%d hit", b->id);
        b->hits++;
        if (b->is_temporary)
            tdbg_tui_breaks_delete(&app->breaks, b);
    }
    tell_hit(app, h, name, h->condition[h->which]);
}

static void miss(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    const char *where = c->hunt.is_backward ? "before" : "after";
    if (c->n_hunted > 0)
        tdbg_tui_reply_none(app, "only %" PRId64 " %s: no event %s step %" PRId64, c->n_hunted,
                            c->n_hunted == 1 ? "event" : "events", where, c->hunt.from);
    else if (c->hunts_findings)
        tdbg_tui_reply_none(
            app, "no NaN, Inf or divergence begins %s step %" PRId64 "  (no breakpoint is set)",
            where, c->hunt.from);
    else
        tdbg_tui_reply_none(app, "no breakpoint becomes true %s step %" PRId64, where,
                            c->hunt.from);
}

static void answered_hunt(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    if (answer->status != TDBG_OK && answer->status != TDBG_NOT_FOUND) {
        tdbg_tui_reply_failed(app, answer->status, "%s", answer->message);
        return;
    }
    tdbg_tui_hunt_take(&app->commander.hunt, answer->status == TDBG_OK, answer->step,
                       answer->expression);
    ask_hunt(app);
}

/* The next question, or what came of them. */
static void ask_hunt(struct tdbg_tui_app *app)
{
    struct tdbg_tui_commander *c = &app->commander;
    struct tdbg_tui_job job;
    for (;;) {
        if (tdbg_tui_hunt_ask(&c->hunt, &job)) {
            job.rank = app->model.focus.rank;
            tdbg_tui_reply_pending(app, &job, answered_hunt);
            return;
        }
        if (!c->hunt.is_found) {
            miss(app);
            return;
        }
        hit(app);
        c->n_hunted++;
        if (--c->hunts_left <= 0)
            return;
        start_hunt(app, c->hunt.is_backward);
    }
}

/* Runs to the n-th next event (is_backward: before). */
static void hunt_events(struct tdbg_tui_app *app, int64_t n, bool is_backward)
{
    if (n < 1)
        return;
    app->commander.hunts_left = n;
    app->commander.n_hunted = 0;
    start_hunt(app, is_backward);
    ask_hunt(app);
}

void tdbg_tui_run_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->commander.reply = (struct tdbg_tui_reply){.verdict = TDBG_VERDICT_DONE};
    hunt_events(app, count, false);
}

void tdbg_tui_run_back(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->commander.reply = (struct tdbg_tui_reply){.verdict = TDBG_VERDICT_DONE};
    hunt_events(app, count, true);
}

/* --- one search --- */

static void answered_search(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_commander *c = &app->commander;
    if (answer->status == TDBG_NOT_FOUND) {
        tdbg_tui_reply_none(app, "%s: not at any of steps %" PRId64 " to %" PRId64, c->searched,
                            c->search_from, c->search_to);
    } else if (answer->status != TDBG_OK) {
        tdbg_tui_reply_failed(app, answer->status, "%s", answer->message);
    } else {
        go_to_hit(app, answer->step, c->searched);
        tdbg_tui_reply_done(app, "%s: true at step %" PRId64 "%s", c->searched, answer->step,
                            answer->is_executed ? ", by executing steps again" : "");
    }
}

void tdbg_tui_search(struct tdbg_tui_app *app, const char *expression, int64_t from, int64_t to)
{
    struct tdbg_tui_commander *c = &app->commander;
    const int64_t first = app->model.data->first_step, last = tdbg_tui_model_last_step(&app->model);
    char *copy = strdup(expression);
    free(c->searched);
    c->searched = copy;
    c->search_from = from;
    c->search_to = to;
    if (!copy)
        return;
    if (from < first || from > last) {
        tdbg_tui_reply_none(app, "%s: there is no step %s this one", copy,
                            from < first ? "before" : "after");
        return;
    }
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_SEARCH,
                                     .rank = app->model.focus.rank,
                                     .step = from,
                                     .to = to,
                                     .expression = {copy},
                                     .n_expressions = 1};
    tdbg_tui_reply_pending(app, &job, answered_search);
}

/* Says what is wrong with a condition. */
static bool check(const struct tdbg_tui_call *call)
{
    struct tdbg_expr_fault fault;
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "for example loss > 10, or nan",
                             "expected a condition");
        return false;
    }
    if (tdbg_tui_condition_check(call->app->model.data, call->args, &fault))
        return true;
    tdbg_tui_reply_expression_fault(call, call->args, &fault);
    return false;
}

void tdbg_tui_do_first(const struct tdbg_tui_call *call)
{
    const struct tdbg_tui_model *m = &call->app->model;
    if (check(call))
        tdbg_tui_search(call->app, call->args, m->data->first_step, tdbg_tui_model_last_step(m));
}

void tdbg_tui_do_last(const struct tdbg_tui_call *call)
{
    const struct tdbg_tui_model *m = &call->app->model;
    if (check(call))
        tdbg_tui_search(call->app, call->args, tdbg_tui_model_last_step(m), m->data->first_step);
}

/* c N, rc N, or to the next step at which a condition holds. */
static void run(const struct tdbg_tui_call *call, bool is_backward)
{
    const struct tdbg_tui_model *m = &call->app->model;
    const size_t digits = strspn(call->args, "0123456789");
    if (call->args[digits] == 0 && digits < 10) {
        const int64_t n = digits ? strtoll(call->args, NULL, 10) : 1;
        if (n < 1)
            tdbg_tui_reply_fault(call, call->args, NULL, "expected a number from 1 on");
        else
            hunt_events(call->app, n, is_backward);
    } else if (check(call)) {
        tdbg_tui_search(call->app, call->args, m->focus.step + (is_backward ? -1 : 1),
                        is_backward ? m->data->first_step : tdbg_tui_model_last_step(m));
    }
}

void tdbg_tui_do_run(const struct tdbg_tui_call *call)
{
    run(call, false);
}

void tdbg_tui_do_run_back(const struct tdbg_tui_call *call)
{
    run(call, true);
}

/* --- values --- */

static void answered_print(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_commander *c = &app->commander;
    const char *how = answer->is_executed ? "  (executed again)" : "";
    if (answer->status != TDBG_OK) {
        tdbg_tui_reply_failed(app, answer->status, "%s", answer->message);
    } else if (!answer->is_known) {
        tdbg_tui_reply_none(app, "%s has no value at step %" PRId64, c->searched, c->search_from);
    } else {
        tdbg_tui_reply_done(app, "%s = %.9g%s", c->searched, answer->number, how);
        c->reply.has_value = true;
        c->reply.value = answer->number;
    }
}

void tdbg_tui_do_print(const struct tdbg_tui_call *call)
{
    struct tdbg_tui_app *app = call->app;
    struct tdbg_tui_commander *c = &app->commander;
    const struct tdbg_tui_data *data = app->model.data;
    struct tdbg_expr_fault fault;
    struct tdbg_expr *expr = tdbg_expr_parse(call->args, &fault);
    const bool is_fine =
        expr && tdbg_expr_bind(expr, data->sites, data->n_sites, data->info->world_size, &fault);
    tdbg_expr_destroy(expr);
    if (!is_fine) {
        tdbg_tui_reply_expression_fault(call, call->args, &fault);
        return;
    }
    free(c->searched);
    c->searched = strdup(call->args);
    c->search_from = app->model.focus.step;
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_EVALUATE,
                                     .rank = app->model.focus.rank,
                                     .step = app->model.focus.step,
                                     .expression = {call->args},
                                     .n_expressions = 1};
    tdbg_tui_reply_pending(app, &job, answered_print);
}

/* --- elements --- */

enum { MOST_ELEMENTS = 4096, LINE_COLUMNS = 76, ELEMENT_COLUMNS = 14 };

/* Counts up the index inside of the slice, the last dimension first; false: it was the last. */
static bool next_index(int64_t *index, const int64_t *from, const int64_t *n, int ndim)
{
    for (int d = ndim - 1; d >= 0; d--) {
        if (++index[d] < from[d] + n[d])
            return true;
        index[d] = from[d];
    }
    return false;
}

static int64_t flat(const struct tdbg_site *site, const int64_t *index)
{
    int64_t at = 0;
    for (int d = 0; d < site->ndim; d++)
        at = at * site->dims[d] + index[d];
    return at;
}

/* "[3,0] " before the first element of a row. */
static void print_row_head(struct tdbg_strbuf *out, const int64_t *index, int ndim)
{
    tdbg_strbuf_puts(out, out->n_bytes > 0 ? "\n[" : "[");
    for (int d = 0; d < ndim; d++)
        tdbg_strbuf_printf(out, "%s%" PRId64, d ? "," : "", index[d]);
    tdbg_strbuf_puts(out, "]");
}

static void print_elements(struct tdbg_strbuf *out, const struct tdbg_expr_term *term,
                           const struct tdbg_site *site, const struct tdbg_tui_answer *answer)
{
    int64_t index[TDBG_MAX_DIMS], from[TDBG_MAX_DIMS] = {0}, n[TDBG_MAX_DIMS], total = 1;
    const int per_line = LINE_COLUMNS / ELEMENT_COLUMNS;
    for (int d = 0; d < site->ndim; d++) {
        n[d] = site->dims[d];
        if (d < term->n_indices)
            n[d] = tdbg_expr_index_range(&term->index[d], site->dims[d], &from[d]);
        index[d] = from[d];
        total *= n[d];
    }
    int64_t done = 0;
    for (bool more = total > 0; more && done < MOST_ELEMENTS; done++) {
        const int64_t at = flat(site, index);
        const int64_t column = site->ndim > 0 ? index[site->ndim - 1] - from[site->ndim - 1] : 0;
        if (column % per_line == 0)
            print_row_head(out, index, site->ndim);
        if (at < answer->n_elems)
            tdbg_strbuf_printf(out, " %*.6g", ELEMENT_COLUMNS - 1,
                               tdbg_convert_elem_to_f64(answer->values, site->dtype, at));
        else
            tdbg_strbuf_printf(out, " %*s", ELEMENT_COLUMNS - 1, "-"); /* of a short batch */
        more = next_index(index, from, n, site->ndim);
    }
    tdbg_strbuf_puts(out, done < total ? "\n... " : "\n");
    if (done < total)
        tdbg_strbuf_printf(out, "%" PRId64 " more\n", total - done);
}

static void answered_examine(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    const struct tdbg_expr_term *term = &app->commander.elements->term[0];
    const int32_t id = app->commander.elements->root;
    const struct tdbg_site *site = &app->model.data->sites[id];
    char title[160], label[TDBG_SITE_LABEL_BYTES];
    if (answer->status != TDBG_OK) {
        tdbg_tui_reply_failed(app, answer->status, "%s", answer->message);
        return;
    }
    snprintf(title, sizeof title, "%s  step %" PRId64 "%s",
             tdbg_tui_model_site_label(&app->model, id, label), answer->step,
             answer->is_executed ? "  executed again" : "");
    print_elements(tdbg_tui_output_begin(app, title), term, site, answer);
    tdbg_tui_reply_done(app, "%s", title);
    tdbg_tui_output_show(app);
}

/* Of several lanes that of the focus, else the first. */
static int32_t choose_site(const struct tdbg_tui_model *m, const struct tdbg_expr_term *term)
{
    for (int32_t k = 0; k < term->n_sites; k++) {
        if (term->sites[k] == m->focus.site)
            return m->focus.site;
    }
    return term->sites[0];
}

/* A slice of one site is what an expression may count the elements of. */
void tdbg_tui_do_examine(const struct tdbg_tui_call *call)
{
    static const char before[] = "count(";
    struct tdbg_tui_app *app = call->app;
    const struct tdbg_tui_data *data = app->model.data;
    struct tdbg_expr_fault fault;
    char *text = NULL;
    if (!*call->args) {
        tdbg_tui_reply_fault(call, call->args, "for example x fc1.weight[0:4,:8]",
                             "expected the name of a site");
        return;
    }
    if (asprintf(&text, "%s%s)", before, call->args) < 0)
        return;
    struct tdbg_expr *expr = tdbg_expr_parse(text, &fault);
    const bool is_fine =
        expr && expr->n_terms == 1 && expr->node[expr->root].code == TDBG_EXPR_TERM;
    if (expr && !is_fine)
        tdbg_expr_fault_set(&fault, TDBG_USAGE, sizeof before, "for example x fc1.weight[0:4,:8]",
                            "expected the name of a site");
    if (!is_fine ||
        !tdbg_expr_bind(expr, data->sites, data->n_sites, data->info->world_size, &fault)) {
        fault.column -= (int)sizeof before - 1;
        tdbg_tui_reply_expression_fault(call, call->args, &fault);
        tdbg_expr_destroy(expr);
    } else {
        tdbg_expr_destroy(app->commander.elements);
        app->commander.elements = expr;
        expr->root = choose_site(&app->model, &expr->term[0]); /* its tree is not needed */
        const struct tdbg_tui_job job = {.kind = TDBG_JOB_TENSOR,
                                         .rank = app->model.focus.rank,
                                         .site = expr->root,
                                         .step = app->model.focus.step};
        tdbg_tui_reply_pending(app, &job, answered_examine);
    }
    free(text);
}
