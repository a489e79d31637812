/* The ops screen: what was computed in the focus step, in order, and from what. */
#include "tui/app.h"
#include "tui/panes.h"
#include "tui/view_ops.h"

static struct tdbg_tui_ops_panes lay_out(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    return tdbg_tui_ops_panes_lay_out(&frame, app->ops.shows_flow);
}

static int64_t visible_rows(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_ops_panes p = lay_out(app);
    return p.list.height > 1 ? p.list.height - 1 : 1;
}

/* That it cannot be had is nobody's mistake: the columns stay empty. */
static void answered(struct tdbg_tui_app *app, const struct tdbg_tui_answer *a)
{
    if (a->status == TDBG_OK)
        tdbg_tui_ops_keep_stats(&app->ops, app->model.data, a->step, a->stats);
}

/* Each step once, when nobody types, so that what is only passed costs nothing. */
static void ask_stats(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    struct tdbg_tui_ops *ops = &app->ops;
    if (ops->asked_step == m->focus.step || m->stats_step != m->focus.step)
        return;
    ops->asked_step = m->focus.step;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_STATS, .rank = m->focus.rank, .step = m->focus.step};
    if (ops->computed_step != m->focus.step && tdbg_tui_ops_lacks_stats(m))
        tdbg_tui_app_submit(app, &job, answered);
    else
        tdbg_tui_app_cancel(app, TDBG_JOB_STATS);
}

/* A focus that left the module leaves it behind. */
static void settle(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    struct tdbg_tui_ops *ops = &app->ops;
    if (m->data->n_sites == 0)
        return;
    if (!tdbg_tui_ops_shows(ops, &m->data->sites[m->focus.site]))
        tdbg_tui_ops_show_all(ops);
    ops->top = tdbg_tui_panes_scroll(tdbg_tui_ops_row_of(ops, m->data, m->focus.site),
                                     tdbg_tui_ops_rows(ops, m->data), visible_rows(app));
}

static bool work(struct tdbg_tui_app *app)
{
    ask_stats(app);
    return tdbg_tui_flow_work(&app->ops.flow, app->model.data);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_ops(&app->model, &app->ops, grid, frame);
}

static void go_to_row(struct tdbg_tui_app *app, int64_t row)
{
    struct tdbg_tui_model *m = &app->model;
    const int64_t n = tdbg_tui_ops_rows(&app->ops, m->data);
    if (n == 0)
        return;
    if (row < 0)
        tdbg_tui_model_say(m, "this is the first op");
    else if (row >= n)
        tdbg_tui_model_say(m, "this is the last op");
    row = row < 0 ? 0 : row >= n ? n - 1 : row;
    tdbg_tui_model_goto_site(m, tdbg_tui_ops_site_at(&app->ops, m->data, row));
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    struct tdbg_tui_model *m = &app->model;
    int64_t to;
    if (__builtin_add_overflow(tdbg_tui_ops_row_of(&app->ops, m->data, m->focus.site), rows, &to))
        to = rows < 0 ? INT64_MIN : INT64_MAX;
    go_to_row(app, to);
}

static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    go_to_row(app, 0);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    go_to_row(app, has_count ? count : tdbg_tui_ops_rows(&app->ops, app->model.data) - 1);
}

static void other_pane(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    if (count % 2 == 1)
        app->ops.shows_flow = !app->ops.shows_flow;
}

/* What is not there yet is not waited for any more. */
static void forget_stats(struct tdbg_tui_app *app)
{
    tdbg_tui_app_cancel(app, TDBG_JOB_STATS);
    app->ops.asked_step = -1;
}

static void open_tensor(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    forget_stats(app);
    tdbg_tui_app_open(app, &tdbg_tui_screen_tensor);
}

static void find(struct tdbg_tui_app *app, int64_t count)
{
    tdbg_tui_model_find(&app->model, count);
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    (void)button;
    const struct tdbg_tui_ops_panes p = lay_out(app);
    if (tdbg_tui_rect_has(p.list, x, y) && y > p.list.y) {
        const int32_t site =
            tdbg_tui_ops_site_at(&app->ops, app->model.data, app->ops.top + y - p.list.y - 1);
        if (site >= 0)
            tdbg_tui_model_goto_site(&app->model, site);
    }
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_FIRST, first},          {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_OPEN, open_tensor},     {TDBG_REQUEST_PANE_NEXT, other_pane},
    {TDBG_REQUEST_PANE_PREV, other_pane}, {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {
    TDBG_REQUEST_OP_NEXT, TDBG_REQUEST_PHASE_END, TDBG_REQUEST_OPEN,      TDBG_REQUEST_INPUTS,
    TDBG_REQUEST_ORIGIN,  TDBG_REQUEST_MODULE_UP, TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_ops = {
    .name = "ops",
    .actions = actions,
    .hints = hints,
    .open = settle,
    .move_rows = move_rows,
    .page_rows = visible_rows,
    .wheel_rows = 3,
    .settle = settle,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .find = find,
    .close = forget_stats,
};
