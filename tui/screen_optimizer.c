/* The optimizer screen: groups, schedule, and what is done to each parameter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/view.h"

static int64_t visible(const struct tdbg_tui_app *app)
{
    return tdbg_tui_view_optimizer_rows(&app->optimizer, tdbg_tui_app_frame(app).body);
}

/* ---- what is not recorded ---- */

static void has_stats(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    const size_t bytes = (size_t)app->model.data->n_sites * sizeof *o->stats;
    if (answer->status != TDBG_OK) {
        tdbg_tui_model_say_error(&app->model, "%s", answer->message);
        return;
    }
    free(o->stats);
    o->stats = malloc(bytes + 1);
    if (o->stats)
        memcpy(o->stats, answer->stats, bytes);
    o->stats_step = answer->step;
}

/* Asks once per step. */
static void want_stats(struct tdbg_tui_app *app)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    const struct tdbg_tui_model *m = &app->model;
    if (o->stats_step == m->focus.step || tdbg_tui_optimizer_is_recorded(o, m))
        return;
    free(o->stats);
    o->stats = NULL;
    o->stats_step = m->focus.step;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_STATS, .rank = m->focus.rank, .step = m->focus.step};
    if (tdbg_tui_app_submit(app, &job, has_stats))
        tdbg_tui_model_say(&app->model, "executing the step for its statistics; Esc cancels");
}

static void has_ratio(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    const int32_t index = o->asked;
    o->asked = -1;
    if (index < 0 || index >= o->n)
        return;
    struct tdbg_tui_parameter *p = &o->list[index];
    p->has_ratio = answer->status == TDBG_OK && answer->is_known;
    p->ratio = answer->number;
    p->ratio_step = answer->step;
}

/* The update ratio needs values, of the parameter under the cursor only: each costs an execution.
 * Nobody asked for it, so where it cannot be had its column stays empty. */
static void want_ratio(struct tdbg_tui_app *app)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    const struct tdbg_tui_model *m = &app->model;
    char text[TDBG_MAX_SITE_NAME + 20];
    if (o->at >= o->n)
        return;
    struct tdbg_tui_parameter *p = &o->list[o->at];
    if (p->frozen || p->ratio_step == m->focus.step)
        return;
    snprintf(text, sizeof text, "update_ratio(%s)", tdbg_site_tensor(&m->data->sites[p->param]));
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_EVALUATE,
                                     .rank = m->focus.rank,
                                     .step = m->focus.step,
                                     .expression = {text},
                                     .n_expressions = 1};
    p->ratio_step = m->focus.step;
    p->has_ratio = false;
    if (tdbg_tui_app_submit(app, &job, has_ratio))
        o->asked = o->at;
}

static void load(struct tdbg_tui_app *app)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    const bool was_made = o->is_made;
    tdbg_tui_optimizer_make(o, &app->model, &app->config);
    for (int32_t i = 0; !was_made && i < o->n; i++)
        o->list[i].ratio_step = -1;
    o->top = (int32_t)tdbg_tui_panes_scroll(o->at, o->n, visible(app));
    want_stats(app);
    want_ratio(app);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_optimizer(&app->model, &app->optimizer, grid, frame->body);
}

/* ---- moves: the cursor is a parameter, and the focus goes with it ---- */

static void go_to(struct tdbg_tui_app *app, int64_t at)
{
    struct tdbg_tui_optimizer *o = &app->optimizer;
    if (at < 0 || at >= o->n)
        tdbg_tui_model_say(&app->model,
                           at < 0 ? "this is the first parameter" : "this is the last parameter");
    o->at = at < 0 || o->n == 0 ? 0 : at >= o->n ? o->n - 1 : (int32_t)at;
    if (o->n > 0)
        app->model.focus.site = o->list[o->at].param;
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    go_to(app, app->optimizer.at + rows);
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    go_to(app, row < 0 ? app->optimizer.n - 1 : row);
}

static bool matches(const struct tdbg_tui_app *app, int64_t row)
{
    return tdbg_tui_model_site_matches(&app->model, app->optimizer.list[row].param);
}

/* The count-th hit after, or before, the cursor, round the end. */
static void find(struct tdbg_tui_app *app, int64_t count)
{
    const struct tdbg_tui_optimizer *o = &app->optimizer;
    const int64_t row = tdbg_tui_find_row(app, o->n, o->at, count, matches);
    if (row >= 0)
        go_to(app, row);
    else
        tdbg_tui_model_say_error(&app->model, "no parameter matches '%s'",
                                 app->model.pattern ? app->model.pattern : "");
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    (void)x, (void)button;
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    const int32_t at = tdbg_tui_view_optimizer_at(&app->optimizer, body, y);
    if (at >= 0)
        go_to(app, at);
}

const struct tdbg_tui_screen tdbg_tui_screen_optimizer = {
    .name = "optimizer",
    .move_rows = move_rows,
    .page_rows = visible,
    .to_row = to_row,
    .wheel_rows = 3,
    .open = load, /* keys may come before the first paint */
    .load = load,
    .draw = draw,
    .mouse = mouse,
    .find = find,
};
