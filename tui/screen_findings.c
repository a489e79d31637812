/* The findings screen: what is wrong, where to look, what to try. */
#include "tui/app.h"
#include "tui/view.h"

static int64_t visible(const struct tdbg_tui_app *app)
{
    return tdbg_tui_view_findings_rows(tdbg_tui_app_frame(app).body);
}

static void load(struct tdbg_tui_app *app)
{
    struct tdbg_tui_findings *f = &app->findings;
    tdbg_tui_findings_arrange(f);
    f->top = (int)tdbg_tui_panes_scroll(f->at, f->n_shown, visible(app));
}

static bool work(struct tdbg_tui_app *app)
{
    return tdbg_tui_findings_work(&app->findings, &app->model);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_findings(&app->model, &app->findings, grid, frame->body);
}

static void go_to(struct tdbg_tui_app *app, int64_t at)
{
    struct tdbg_tui_findings *f = &app->findings;
    if (at < 0 || at >= f->n_shown)
        tdbg_tui_model_say(&app->model,
                           at < 0 ? "this is the first finding" : "this is the last finding");
    f->at = at < 0 || f->n_shown == 0 ? 0 : at >= f->n_shown ? f->n_shown - 1 : (int)at;
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    go_to(app, app->findings.at + rows);
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    go_to(app, row < 0 ? app->findings.n_shown - 1 : row);
}

static void sort(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->findings.by_severity = !app->findings.by_severity;
}

static void filter(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->findings.filter =
        (enum tdbg_tui_findings_filter)((app->findings.filter + 1) % (TDBG_FILTER_WARNINGS + 1));
}

/* The focus goes to the finding under the cursor; NULL: there is none. */
static const struct tdbg_tui_finding *focus_finding(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_finding *finding = tdbg_tui_findings_at(&app->findings);
    if (!finding) {
        tdbg_tui_model_say(m, "there is no finding here");
        return NULL;
    }
    tdbg_tui_model_goto_step(m, finding->step);
    if (finding->site >= 0)
        tdbg_tui_model_goto_site(m, finding->site);
    return finding;
}

static void open_place(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    const struct tdbg_tui_finding *finding = focus_finding(app);
    if (!finding)
        return;
    tdbg_tui_app_switch(app, &tdbg_tui_screen_main);
    if (finding->site >= 0)
        app->model.pane = TDBG_PANE_SITES;
    tdbg_tui_model_say(&app->model, "%s: %s  (F8 back to the findings)", finding->what,
                       finding->where);
}

static void has_origin(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_model *m = &app->model;
    if (answer->status != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", answer->message);
        return;
    }
    if (!answer->origin->is_found) {
        tdbg_tui_model_say(m, "nothing up to this step is NaN or Inf");
        return;
    }
    const int32_t site = answer->origin->output.site;
    tdbg_tui_model_goto_step(m, answer->origin->step);
    if (site >= 0)
        tdbg_tui_model_goto_site(m, site);
    tdbg_tui_model_say(m, "it began at step %lld in %s, made by %s",
                       (long long)answer->origin->step, m->data->sites[m->focus.site].name,
                       m->data->sites[m->focus.site].op);
}

static void origin(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (!focus_finding(app))
        return;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_ORIGIN, .rank = app->model.focus.rank, .step = app->model.focus.step};
    if (tdbg_tui_app_submit(app, &job, has_origin))
        tdbg_tui_model_say(&app->model, "looking for the origin; Esc cancels");
    else
        tdbg_tui_model_say(&app->model, "nothing executes steps here");
}

/* A breakpoint where the finding holds, or none any more. */
static void break_on(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    const struct tdbg_tui_finding *finding = tdbg_tui_findings_at(&app->findings);
    if (finding && *finding->condition)
        tdbg_tui_toggle_condition(app, finding->condition);
    else
        tdbg_tui_model_say(&app->model, finding ? "no condition says this of one step"
                                                : "there is no finding here");
}

static bool matches(const struct tdbg_tui_app *app, int64_t row)
{
    const char *pattern = app->model.pattern;
    const struct tdbg_tui_finding *finding = &app->findings.list[app->findings.order[row]];
    return pattern && (tdbg_tui_pattern_matches(pattern, finding->what) ||
                       tdbg_tui_pattern_matches(pattern, finding->where));
}

/* The count-th hit after, or before, the cursor, round the end. */
static void find(struct tdbg_tui_app *app, int64_t count)
{
    struct tdbg_tui_findings *f = &app->findings;
    const int64_t row = tdbg_tui_find_row(app, f->n_shown, f->at, count, matches);
    if (row >= 0)
        f->at = (int)row;
    else
        tdbg_tui_model_say_error(&app->model, "no finding matches '%s'",
                                 app->model.pattern ? app->model.pattern : "");
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    (void)button;
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    const int row = y - body.y - 2;
    if (tdbg_tui_rect_has(body, x, y) && row >= 0 && row < visible(app) &&
        app->findings.top + row < app->findings.n_shown)
        go_to(app, app->findings.top + row);
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_OPEN, open_place},  {TDBG_REQUEST_ORIGIN, origin},  {TDBG_REQUEST_VIEW, sort},
    {TDBG_REQUEST_PHASE_END, filter}, {TDBG_REQUEST_BREAK, break_on}, {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {TDBG_REQUEST_OPEN, TDBG_REQUEST_ORIGIN,
                                              TDBG_REQUEST_BREAK, TDBG_REQUEST_VIEW,
                                              TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_findings = {
    .name = "findings",
    .actions = actions,
    .move_rows = move_rows,
    .page_rows = visible,
    .to_row = to_row,
    .wheel_rows = 3,
    .hints = hints,
    .open = load, /* keys may come before the first paint */
    .load = load,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .find = find,
};
