/* The main screen: where in the run, how it went, and the sites of the step. */
#include "tui/app.h"
#include "tui/panes.h"
#include "tui/view.h"

enum { WHEEL_ROWS = 3 };

static struct tdbg_tui_panes lay_out(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    return tdbg_tui_panes_lay_out(&frame, app->model.pane);
}

/* Beside the chart the metrics leave room. */
static struct tdbg_tui_rect below_metrics(const struct tdbg_tui_panes *p)
{
    struct tdbg_tui_rect rect = p->metrics;
    rect.y += TDBG_METRIC_COUNT + 1;
    rect.height = p->metrics.x > 0 ? rect.height - (TDBG_METRIC_COUNT + 1) : 0;
    return rect;
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    const struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_panes p = tdbg_tui_panes_lay_out(frame, m->pane);
    tdbg_tui_view_chart(m, grid, p.chart);
    tdbg_tui_view_metrics(m, grid, p.metrics);
    tdbg_tui_draw_breaks_pane(app, grid, below_metrics(&p));
    tdbg_tui_view_sites(m, grid, p.sites);
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
    if (__builtin_mul_overflow(count, tdbg_tui_chart_column_steps(&app->model.series, chart),
                               &steps))
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

static void down(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, count);
}

static void up(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, -count);
}

static int64_t page(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_panes p = lay_out(app);
    return tdbg_tui_panes_site_rows(&p);
}

static void page_down(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, count * page(app));
}

static void page_up(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, -count * page(app));
}

static void half_down(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, count * ((page(app) + 1) / 2));
}

static void half_up(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_rows(app, -count * ((page(app) + 1) / 2));
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

static void find(struct tdbg_tui_app *app, int64_t count)
{
    const struct tdbg_tui_panes p = lay_out(app);
    if (p.sites.height == 0)
        app->model.pane = TDBG_PANE_SITES; /* where the hit will be seen */
    tdbg_tui_model_find(&app->model, count);
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
    } else if (tdbg_tui_rect_has(p.chart, x, y)) {
        const int64_t step = tdbg_tui_chart_step_at(&m->series, p.chart, x);
        m->pane = TDBG_PANE_CHART;
        if (step >= 0 && y > p.chart.y)
            tdbg_tui_model_goto_step(m, step);
    }
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_FIRST, first},         {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_RIGHT, right},         {TDBG_REQUEST_LEFT, left},
    {TDBG_REQUEST_DOWN, down},           {TDBG_REQUEST_UP, up},
    {TDBG_REQUEST_PAGE_DOWN, page_down}, {TDBG_REQUEST_PAGE_UP, page_up},
    {TDBG_REQUEST_HALF_DOWN, half_down}, {TDBG_REQUEST_HALF_UP, half_up},
    {TDBG_REQUEST_PANE_NEXT, pane_next}, {TDBG_REQUEST_PANE_PREV, pane_prev},
    {TDBG_REQUEST_SCALE, scale},         {TDBG_REQUEST_OPEN, open_tensor},
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
    .settle = settle,
    .draw = draw,
    .mouse = mouse,
    .find = find,
};
