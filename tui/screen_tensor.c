/* The tensor screen: the focus site at the focus step, by its statistics, as histogram and heat
 * map, element by element, and over all steps. What is computed is in tensor_state.c, what is
 * painted in view_tensor.c, files are written in screen_export.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/panes.h"
#include "tui/view.h"
#include "tui/view_tensor.h"

static struct tdbg_tui_tensor_place focus_place(const struct tdbg_tui_model *m)
{
    return (struct tdbg_tui_tensor_place){m->focus.rank, m->focus.site, m->focus.step};
}

static bool same_place(const struct tdbg_tui_tensor_place *a, const struct tdbg_tui_tensor_place *b)
{
    return a->rank == b->rank && a->site == b->site && a->step == b->step;
}

static void set_fault(char **fault, const char *text)
{
    free(*fault);
    *fault = strdup(text);
}

static void ask(struct tdbg_tui_app *app);

static void answered(struct tdbg_tui_app *app, const struct tdbg_tui_answer *a)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    const bool is_now = !t->now.site;
    t->asks = false;
    if (!t->is_open)
        return;
    char **fault = is_now ? &t->fault : &t->prev_fault;
    if (a->status != TDBG_OK)
        set_fault(fault, a->message);
    else if (!tdbg_tui_values_keep(is_now ? &t->now : &t->prev,
                                   &app->model.data->sites[t->place.site], a))
        set_fault(fault, "no memory for the values");
    else if (a->is_executed && !app->model.message)
        tdbg_tui_model_say(&app->model, "computed again by executing the step");
    ask(app);
    tdbg_tui_tensor_begin(t);
}

/* Asks for what is missing: the values, then those that they are compared with. */
static void ask(struct tdbg_tui_app *app)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    struct tdbg_tui_job job = {.kind = TDBG_JOB_TENSOR,
                               .rank = t->place.rank,
                               .site = t->place.site,
                               .step = t->place.step};
    const bool wants_prev = t->now.site && t->compares && !t->prev.site && !t->prev_fault;
    if (t->asks || !((!t->now.site && !t->fault) || wants_prev))
        return;
    if (wants_prev && job.step-- == app->model.data->first_step)
        set_fault(&t->prev_fault, "this is the first step: there is none to compare with");
    else if (!tdbg_tui_app_submit(app, &job, answered))
        set_fault(wants_prev ? &t->prev_fault : &t->fault, "values are not computed here");
    else
        t->asks = true;
}

static void lay_out(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    const struct tdbg_tui_tensor_panes p = tdbg_tui_tensor_panes_lay_out(&frame, app->tensor.view);
    tdbg_tui_tensor_lay_out(&app->tensor, p.histogram.height - 1, p.cells.width, p.cells.height);
}

static void settle(struct tdbg_tui_app *app)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    const struct tdbg_tui_tensor_place place = focus_place(&app->model);
    if (app->model.data->n_sites == 0)
        return;
    if (t->asks && app->waits[TDBG_JOB_TENSOR].id == 0) { /* ^C */
        t->asks = false;
        set_fault(t->now.site ? &t->prev_fault : &t->fault, "cancelled; Enter asks again");
    }
    if (!t->has_place || !same_place(&place, &t->place)) {
        if (t->file.out)
            tdbg_tui_model_say_error(&app->model, "%s is not written: you went on before it was",
                                     t->file.path);
        tdbg_tui_tensor_drop(t);
        if (app->waits[TDBG_JOB_TENSOR].id)
            tdbg_tui_app_cancel(app, TDBG_JOB_TENSOR);
        t->place = place;
        t->has_place = true;
    }
    ask(app);
    lay_out(app);
}

static void open_screen(struct tdbg_tui_app *app)
{
    app->tensor.is_open = true;
    settle(app);
}

static void close_screen(struct tdbg_tui_app *app)
{
    app->tensor.is_open = false;
    tdbg_tui_app_cancel(app, TDBG_JOB_TENSOR);
    tdbg_tui_tensor_drop(&app->tensor);
}

static bool work(struct tdbg_tui_app *app)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    const bool writes = tdbg_tui_export_goes_on(app);
    const bool more = tdbg_tui_tensor_work(t) || writes;
    return more || (t->view == TDBG_TENSOR_HISTORY && tdbg_tui_tensor_work_history(t, &app->model));
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_tensor(&app->model, &app->tensor, grid, frame);
}

/* --- keys --- */

static void view(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    app->tensor.view =
        (enum tdbg_tui_tensor_view)((app->tensor.view + count) % TDBG_TENSOR_VIEW_COUNT);
}

static void view_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    const int64_t back = TDBG_TENSOR_VIEW_COUNT - count % TDBG_TENSOR_VIEW_COUNT;
    app->tensor.view =
        (enum tdbg_tui_tensor_view)((app->tensor.view + back) % TDBG_TENSOR_VIEW_COUNT);
}

static void compare(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_tensor *t = &app->tensor;
    t->compares = !t->compares;
    lay_out(app);
    tdbg_tui_tensor_begin(t);
}

static void scale(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->tensor.flips_scale = !app->tensor.flips_scale;
    tdbg_tui_tensor_begin(&app->tensor);
}

static void set_zoom(struct tdbg_tui_app *app, int64_t zoom)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    const struct tdbg_tui_tensor_panes p = tdbg_tui_tensor_panes_lay_out(&frame, t->view);
    if (!t->now.site || p.cells.height < 1) {
        tdbg_tui_model_say(&app->model, "only a heat map can be zoomed; v changes the view");
        return;
    }
    const int most = tdbg_tui_heat_most_zoom(t->cut.plane, p.cells.width, p.cells.height);
    if (zoom > most)
        tdbg_tui_model_say(&app->model, "every cell is one element already");
    t->zoom = zoom < 0 ? 0 : zoom > most ? most : (int)zoom;
}

static void zoom_in(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    set_zoom(app, app->tensor.zoom + count);
}

static void zoom_out(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    set_zoom(app, app->tensor.zoom - count);
}

static void zoom_reset(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    set_zoom(app, 0);
}

/* Rows and columns of the element under the cursor, as the view has them, and how far one key goes.
 */
struct walk {
    int64_t rows, cols, row_step, col_step, page_rows;
};

static bool get_walk(const struct tdbg_tui_app *app, struct walk *w)
{
    const struct tdbg_tui_tensor *t = &app->tensor;
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    const struct tdbg_tui_tensor_panes p = tdbg_tui_tensor_panes_lay_out(&frame, t->view);
    if (!t->now.site || t->now.n_elems == 0)
        return false;
    if (t->view == TDBG_TENSOR_ELEMENTS) {
        const struct tdbg_tui_table table = tdbg_tui_table_of(t, p.table);
        *w = (struct walk){table.rows, table.cols, 1, 1, table.height};
    } else {
        const struct tdbg_tui_heat_cut *c = &t->cut;
        if (c->height == 0)
            return false;
        *w = (struct walk){c->plane.rows, c->plane.cols, c->block_rows, c->block_cols, c->height};
    }
    return true;
}

/* a + b * c without overflow, for counts that a user typed. */
static int64_t add_product(int64_t a, int64_t b, int64_t c)
{
    int64_t product, sum;
    if (__builtin_mul_overflow(b, c, &product) || __builtin_add_overflow(a, product, &sum))
        return (b < 0) == (c < 0) ? INT64_MAX : INT64_MIN;
    return sum;
}

static int64_t clamp(struct tdbg_tui_app *app, int64_t at, int64_t n)
{
    if (at < 0 || at >= n)
        tdbg_tui_model_say(&app->model, "stopped at the edge of the tensor");
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

static void move_cursor(struct tdbg_tui_app *app, int64_t rows, int64_t cols)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    struct walk w;
    if (!get_walk(app, &w)) {
        tdbg_tui_model_say(&app->model, t->now.site ? "no element to go to; v changes the view"
                                                    : "the values are not there");
        return;
    }
    const int64_t at = tdbg_tui_tensor_cursor(t), row = at / w.cols, col = at % w.cols;
    int64_t to_row = clamp(app, add_product(row, rows, w.row_step), w.rows);
    const int64_t to_col = clamp(app, add_product(col, cols, w.col_step), w.cols);
    if (to_row * w.cols + to_col >= t->now.n_elems) /* the last row may be shorter */
        to_row = clamp(app, w.rows, w.rows - (to_col == col ? 1 : 0));
    t->cursor = to_row * w.cols + to_col;
    t->cursor = t->cursor < t->now.n_elems ? t->cursor : t->now.n_elems - 1;
}

static int64_t page(const struct tdbg_tui_app *app)
{
    struct walk w;
    return get_walk(app, &w) ? w.page_rows : 1;
}

#define CURSOR_ACTION(function, rows, cols)                                                        \
    static void function(struct tdbg_tui_app *app, int64_t count, bool has_count)                  \
    {                                                                                              \
        (void)has_count;                                                                           \
        move_cursor(app, rows, cols);                                                              \
    }
CURSOR_ACTION(down, count, 0)
CURSOR_ACTION(up, -count, 0)
CURSOR_ACTION(right, 0, count)
CURSOR_ACTION(left, 0, -count)
CURSOR_ACTION(page_down, add_product(0, count, page(app)), 0)
CURSOR_ACTION(page_up, add_product(0, -count, page(app)), 0)
CURSOR_ACTION(half_down, add_product(0, count, (page(app) + 1) / 2), 0)
CURSOR_ACTION(half_up, add_product(0, -count, (page(app) + 1) / 2), 0)

static void go_to_index(struct tdbg_tui_app *app, const char *text)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    char buf[400];
    if (!*text)
        return;
    if (!t->now.site || t->now.n_elems == 0) {
        tdbg_tui_model_say_error(&app->model, "there are no elements here");
        return;
    }
    int64_t at;
    const char *fault =
        tdbg_tui_index_parse(t->now.site, t->now.n_elems, text, &at, buf, sizeof buf);
    if (fault)
        tdbg_tui_model_say_error(&app->model, "%s", fault);
    else
        t->cursor = at;
}

static void ask_index(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_prompt_open(&app->prompt, "@", "Enter go to this element, such as 3,17  Esc cancel",
                         go_to_index);
}

/* In the table these are its first and last rows, elsewhere steps. */
static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (app->tensor.view == TDBG_TENSOR_ELEMENTS)
        app->tensor.cursor = 0;
    else
        tdbg_tui_model_goto_step(&app->model, app->model.data->first_step);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    struct tdbg_tui_model *m = &app->model;
    struct walk w;
    if (app->tensor.view != TDBG_TENSOR_ELEMENTS) {
        tdbg_tui_model_goto_step(m, has_count ? count : tdbg_tui_model_last_step(m));
    } else if (get_walk(app, &w)) {
        const int64_t row = tdbg_tui_tensor_cursor(&app->tensor) / w.cols;
        move_cursor(app, has_count ? count - row : w.rows - 1 - row, 0);
    }
}

/* Tensors, unless a search is live. */
static void hit_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    if (app->model.pattern)
        tdbg_tui_model_find(&app->model, count);
    else
        tdbg_tui_model_move_sites(&app->model, count);
}

static void hit_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    hit_next(app, -count, has_count);
}

static void ask_again(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (app->tensor.fault || app->tensor.prev_fault)
        app->tensor.has_place = false;
    else
        app->tensor.view = TDBG_TENSOR_ELEMENTS;
}

static void find(struct tdbg_tui_app *app, int64_t count)
{
    tdbg_tui_model_find(&app->model, count);
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    struct tdbg_tui_tensor *t = &app->tensor;
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    const struct tdbg_tui_tensor_panes p = tdbg_tui_tensor_panes_lay_out(&frame, t->view);
    if (button != TDBG_BUTTON_CLICK) {
        move_cursor(app, button == TDBG_BUTTON_WHEEL_DOWN ? 3 : -3, 0);
    } else if (tdbg_tui_rect_has(p.history, x, y)) {
        const int64_t step = tdbg_tui_chart_step_at(&t->history, p.history, x);
        if (t->history.buckets[0] && step >= 0)
            tdbg_tui_model_goto_step(&app->model, step);
    } else if (tdbg_tui_rect_has(p.cells, x, y) && t->cut.height > 0) {
        const struct tdbg_tui_heat_cut *c = &t->cut;
        const int64_t row = c->first_row + (y - p.cells.y) * c->block_rows;
        const int64_t col = c->first_col + (x - p.cells.x) * c->block_cols;
        if (y - p.cells.y < c->height && x - p.cells.x < c->width)
            t->cursor = row * c->plane.cols + col;
    } else if (tdbg_tui_rect_has(p.table, x, y) && t->now.site && t->now.n_elems > 0) {
        const struct tdbg_tui_table table = tdbg_tui_table_of(t, p.table);
        const int row = y - p.table.y, col = (x - p.table.x) / table.column;
        const int64_t at = (table.first_row + row) * table.cols + table.first_col + col;
        if (row < table.height && col < table.width && at < t->now.n_elems)
            t->cursor = at;
    }
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_VIEW, view},
    {TDBG_REQUEST_PANE_NEXT, view},
    {TDBG_REQUEST_PANE_PREV, view_prev},
    {TDBG_REQUEST_COMPARE, compare},
    {TDBG_REQUEST_SCALE, scale},
    {TDBG_REQUEST_ZOOM_IN, zoom_in},
    {TDBG_REQUEST_ZOOM_OUT, zoom_out},
    {TDBG_REQUEST_ZOOM_RESET, zoom_reset},
    {TDBG_REQUEST_DOWN, down},
    {TDBG_REQUEST_UP, up},
    {TDBG_REQUEST_RIGHT, right},
    {TDBG_REQUEST_LEFT, left},
    {TDBG_REQUEST_PAGE_DOWN, page_down},
    {TDBG_REQUEST_PAGE_UP, page_up},
    {TDBG_REQUEST_HALF_DOWN, half_down},
    {TDBG_REQUEST_HALF_UP, half_up},
    {TDBG_REQUEST_INDEX, ask_index},
    {TDBG_REQUEST_FIRST, first},
    {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_HIT_NEXT, hit_next},
    {TDBG_REQUEST_HIT_PREV, hit_prev},
    {TDBG_REQUEST_OPEN, ask_again},
    {TDBG_REQUEST_EXPORT, tdbg_tui_export},
    {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {
    TDBG_REQUEST_VIEW,    TDBG_REQUEST_INDEX,  TDBG_REQUEST_ZOOM_IN,
    TDBG_REQUEST_COMPARE, TDBG_REQUEST_EXPORT, TDBG_REQUEST_STEP_NEXT,
    TDBG_REQUEST_OP_NEXT, TDBG_REQUEST_ORIGIN, TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_tensor = {
    .name = "tensor",
    .actions = actions,
    .hints = hints,
    .open = open_screen,
    .settle = settle,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .find = find,
    .close = close_screen,
};
