/* The main screen: where in the run, how it went, and the sites of the step. */
#include "tui/app.h"
#include "tui/panes.h"
#include "tui/view.h"

enum { WHEEL_ROWS = 3, ROWS_OF_WORK = 2, ZOOM_BLOCKS = 4, RANK_METRICS = 2, MOST_WATCHES = 4 };

static struct tdbg_tui_panes lay_out(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    return tdbg_tui_panes_lay_out(&frame, app->model.pane, app->model.data->ranks != NULL);
}

static void load(struct tdbg_tui_app *app)
{
    tdbg_tui_findings_arrange_near(&app->findings, app->model.focus.step);
}

/* What stands beside the course and the sites is read after these are painted. */
static bool work(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_panes p = lay_out(app);
    int columns, rows;
    bool more = m->data->ranks && p.metrics.height > 0 &&
                tdbg_tui_rank_table_load(&app->ranks, m, ROWS_OF_WORK);
    if (p.input.height > 0)
        tdbg_tui_input_describe(&app->input, m, &app->config);
    tdbg_tui_view_input_shape(m, &app->input, true, p.input, &columns, &rows);
    const int64_t n_visible = (int64_t)columns * rows;
    if (p.input.height > 0 && !tdbg_tui_input_is_there(&app->input, m, n_visible)) {
        app->input.top = app->input.at;
        tdbg_tui_input_load(&app->input, m, n_visible);
        more = true;
    }
    if (p.findings.height > 0 && tdbg_tui_findings_work(&app->findings, m))
        more = true;
    return more;
}

/* Under the chart stands the gradient norm, or the loss where that is above already. */
static int second_metric(const struct tdbg_tui_model *m)
{
    return m->metric == TDBG_METRIC_GRAD_NORM ? TDBG_METRIC_LOSS : TDBG_METRIC_GRAD_NORM;
}

/* Beside the chart the metrics leave room, where there is no pane of its own. */
static struct tdbg_tui_rect below_metrics(const struct tdbg_tui_app *app,
                                          const struct tdbg_tui_panes *p)
{
    struct tdbg_tui_rect rect = p->metrics;
    const int used = TDBG_METRIC_COUNT + 1 + (app->model.data->ranks ? RANK_METRICS : 0);
    rect.y += used;
    rect.height = p->metrics.x > 0 ? rect.height - used : 0;
    return rect;
}

/* The watched tensors take the lowest rows. */
static void draw_norm(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                      struct tdbg_tui_rect rect)
{
    const int n = app->breaks.n_watches < MOST_WATCHES ? app->breaks.n_watches : MOST_WATCHES;
    const struct tdbg_tui_rect chart = {rect.x, rect.y, rect.width, rect.height - n};
    if (rect.height == 0)
        return;
    tdbg_tui_view_chart(&app->model, second_metric(&app->model), false, grid, chart);
    tdbg_tui_view_watches(&app->model, app->breaks.watch, n, grid,
                          (struct tdbg_tui_rect){rect.x, rect.y + chart.height, rect.width, n});
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    const struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_panes p = tdbg_tui_panes_lay_out(frame, m->pane, m->data->ranks != NULL);
    /* the panes without the cursor first */
    tdbg_tui_view_findings_near(m, &app->findings, grid, p.findings);
    tdbg_tui_view_input_pane(m, &app->input, grid, p.input);
    tdbg_tui_view_rank_strip_pane(m, &app->ranks, grid, p.ranks);
    tdbg_tui_view_chart(m, m->metric, m->pane == TDBG_PANE_CHART, grid, p.chart);
    draw_norm(app, grid, p.norm);
    tdbg_tui_view_sites(m, grid, p.sites);
    tdbg_tui_view_metrics(m, &app->ranks, grid,
                          p.metrics); /* takes the cursor where it is active */
    if (p.breaks.height > 0) {        /* painted over where there are any */
        tdbg_tui_grid_put_text(grid, p.breaks.x + 2, p.breaks.y, p.breaks.width - 2, 0,
                               "no breakpoints: b sets one");
        tdbg_tui_view_heading(grid, p.breaks, false);
        tdbg_tui_view_divider(grid, p.breaks);
    }
    tdbg_tui_draw_breaks_pane(app, grid, p.breaks.height > 0 ? p.breaks : below_metrics(app, &p));
}

static void settle(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_panes p = lay_out(app);
    if (p.sites.height > 0)
        m->sites_top = (int32_t)tdbg_tui_panes_scroll(m->focus.site, m->data->n_sites,
                                                      tdbg_tui_panes_site_rows(&p));
}

/* The chart shows another metric: with what it has a course of. */
static void choose_metric(struct tdbg_tui_model *m, int64_t metric)
{
    if (metric >= TDBG_METRIC_CHARTED)
        tdbg_tui_model_say(m, "the metrics below have no chart");
    m->metric =
        metric < 0 ? 0 : (int)(metric < TDBG_METRIC_CHARTED ? metric : TDBG_METRIC_CHARTED - 1);
}

static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_model *m = &app->model;
    if (m->pane == TDBG_PANE_SITES)
        tdbg_tui_model_goto_site(m, 0);
    else if (m->pane == TDBG_PANE_METRICS)
        choose_metric(m, 0);
    else
        tdbg_tui_model_goto_step(m, m->data->first_step);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    struct tdbg_tui_model *m = &app->model;
    if (m->pane == TDBG_PANE_SITES)
        tdbg_tui_model_goto_site(m, has_count ? count : m->data->n_sites - 1);
    else if (m->pane == TDBG_PANE_METRICS)
        choose_metric(m, has_count ? count : TDBG_METRIC_CHARTED - 1);
    else
        tdbg_tui_model_goto_step(m, has_count ? count : tdbg_tui_model_last_step(m));
}

static void move_columns(struct tdbg_tui_app *app, int64_t count)
{
    const struct tdbg_tui_panes p = lay_out(app);
    const struct tdbg_tui_rect chart =
        p.chart.height > 0 ? p.chart : (struct tdbg_tui_rect){0, 0, app->width, 1};
    int64_t steps;
    if (__builtin_mul_overflow(
            count, tdbg_tui_chart_column_steps(tdbg_tui_model_course(&app->model), chart), &steps))
        steps = count < 0 ? INT64_MIN : INT64_MAX;
    tdbg_tui_model_move_steps(&app->model, steps);
}

static void right(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_columns(app, count);
}

static void left(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_columns(app, -count);
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    if (app->model.pane == TDBG_PANE_METRICS)
        choose_metric(&app->model, app->model.metric + rows);
    else
        tdbg_tui_model_move_sites(&app->model, rows);
}

static int64_t page(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_panes p = lay_out(app);
    return tdbg_tui_panes_site_rows(&p);
}

static void pane_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->model.pane = (enum tdbg_tui_pane)((app->model.pane + count) % TDBG_PANE_COUNT);
}

static void pane_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    const int64_t back = TDBG_PANE_COUNT - count % TDBG_PANE_COUNT;
    app->model.pane = (enum tdbg_tui_pane)((app->model.pane + back) % TDBG_PANE_COUNT);
}

static void scale(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->model.linear = !app->model.linear;
}

static void open_tensor(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_app_open(app, &tdbg_tui_screen_tensor);
}

/* ---- zoom ---- */

static void zoom_by(struct tdbg_tui_app *app, int64_t times)
{
    struct tdbg_tui_model *m = &app->model;
    struct tdbg_err err = {0};
    if (tdbg_tui_zoom_by(&m->zoom, m->data, m->focus.step, times, &err) != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", err.message);
        tdbg_err_clear(&err);
    }
    tdbg_tui_model_load_series(m, ZOOM_BLOCKS);
}

static void zoom_in(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    zoom_by(app, count);
}

static void zoom_out(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    zoom_by(app, -count);
}

static void zoom_reset(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_zoom_free(&app->model.zoom);
}

/* The chart pane that a cell is in, or NULL. */
static const struct tdbg_tui_rect *chart_at(const struct tdbg_tui_panes *p, int x, int y)
{
    return tdbg_tui_rect_has(p->chart, x, y)  ? &p->chart
           : tdbg_tui_rect_has(p->norm, x, y) ? &p->norm
                                              : NULL;
}

/* The end of a drag over a chart: zooms to the steps between. */
static void release(struct tdbg_tui_app *app, int x, int y)
{
    enum { LEAST_COLUMNS = 2 }; /* a click may slip by one */
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_series *course = tdbg_tui_model_course(m);
    const struct tdbg_tui_panes p = lay_out(app);
    const struct tdbg_tui_rect *chart = chart_at(&p, x, y);
    struct tdbg_err err = {0};
    const int from = app->drag_x, to = x;
    app->drag_x = -1;
    if (from < 0 || !chart || (from < to ? to - from : from - to) < LEAST_COLUMNS)
        return;
    const int64_t a = tdbg_tui_chart_step_at(course, *chart, from < to ? from : to);
    const int64_t b = tdbg_tui_chart_step_at(course, *chart, from < to ? to : from);
    if (a < 0 || b < 0)
        return;
    if (tdbg_tui_zoom_set(&m->zoom, m->data, a, b - a + 1, &err) != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", err.message);
        tdbg_err_clear(&err);
    }
    tdbg_tui_model_load_series(m, ZOOM_BLOCKS);
}

static void find(struct tdbg_tui_app *app, int64_t count)
{
    const struct tdbg_tui_panes p = lay_out(app);
    if (p.sites.height == 0)
        app->model.pane = TDBG_PANE_SITES; /* where the hit will be seen */
    tdbg_tui_model_find(&app->model, count);
}

/* A click into a pane that stands for a screen of its own. */
static void click_beside(struct tdbg_tui_app *app, const struct tdbg_tui_panes *p, int x, int y)
{
    const struct tdbg_tui_findings *f = &app->findings;
    const int row = y - p->findings.y - 1;
    if (tdbg_tui_rect_has(p->findings, x, y) && row >= 0 && row < f->n_near) {
        const struct tdbg_tui_finding *finding = &f->list[f->near_order[row]];
        tdbg_tui_model_goto_step(&app->model, finding->step);
        if (finding->site >= 0)
            tdbg_tui_model_goto_site(&app->model, finding->site);
    } else if (tdbg_tui_rect_has(p->findings, x, y)) {
        tdbg_tui_app_switch_to(app, TDBG_REQUEST_SCREEN_FINDINGS);
    } else if (tdbg_tui_rect_has(p->input, x, y)) {
        tdbg_tui_app_switch_to(app, TDBG_REQUEST_SCREEN_INPUT);
    } else if (tdbg_tui_rect_has(p->ranks, x, y)) {
        tdbg_tui_app_switch_to(app, TDBG_REQUEST_SCREEN_RANKS);
    }
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_panes p = lay_out(app);
    if (button != TDBG_BUTTON_CLICK) {
        tdbg_tui_model_move_sites(m, button == TDBG_BUTTON_WHEEL_DOWN ? WHEEL_ROWS : -WHEEL_ROWS);
    } else if (tdbg_tui_rect_has(p.sites, x, y)) {
        const int64_t site = m->sites_top + y - p.sites.y - 1;
        m->pane = TDBG_PANE_SITES;
        if (y > p.sites.y && site < m->data->n_sites)
            tdbg_tui_model_goto_site(m, site);
    } else if (tdbg_tui_rect_has(p.metrics, x, y)) {
        m->pane = TDBG_PANE_METRICS;
    } else if (chart_at(&p, x, y)) {
        const struct tdbg_tui_rect *chart = chart_at(&p, x, y);
        const int64_t step = tdbg_tui_chart_step_at(tdbg_tui_model_course(m), *chart, x);
        m->pane = TDBG_PANE_CHART;
        app->drag_x = step >= 0 ? x : -1;
        if (step >= 0 && y > chart->y)
            tdbg_tui_model_goto_step(m, step);
    } else {
        click_beside(app, &p, x, y);
    }
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_FIRST, first},         {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_RIGHT, right},         {TDBG_REQUEST_LEFT, left},
    {TDBG_REQUEST_PANE_NEXT, pane_next}, {TDBG_REQUEST_PANE_PREV, pane_prev},
    {TDBG_REQUEST_SCALE, scale},         {TDBG_REQUEST_OPEN, open_tensor},
    {TDBG_REQUEST_SCALE, scale},         {TDBG_REQUEST_ZOOM_IN, zoom_in},
    {TDBG_REQUEST_ZOOM_OUT, zoom_out},   {TDBG_REQUEST_ZOOM_RESET, zoom_reset},
    {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {
    TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_OP_NEXT, TDBG_REQUEST_RUN,
    TDBG_REQUEST_OPEN,      TDBG_REQUEST_FIND,    TDBG_REQUEST_COMMAND,
    TDBG_REQUEST_BREAK,     TDBG_REQUEST_ORIGIN,  TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_main = {
    .name = "main",
    .actions = actions,
    .hints = hints,
    .move_rows = move_rows,
    .page_rows = page,
    .settle = settle,
    .load = load,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .release = release,
    .find = find,
};
