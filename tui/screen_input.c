/* The input screen: the samples of the focus step. */
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/view.h"
#include "tui/view_tokens.h"

static void shape(const struct tdbg_tui_app *app, int *columns, int *rows)
{
    tdbg_tui_view_input_shape(&app->model, &app->input, false, tdbg_tui_app_frame(app).body,
                              columns, rows);
}

static void has_after(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_input *in = &app->input;
    if (in->after_site < 0)
        return;
    const struct tdbg_site *site = &app->model.data->sites[in->after_site];
    const size_t bytes = (size_t)answer->n_elems * tdbg_dtype_bytes(site->dtype);
    if (answer->status != TDBG_OK) {
        in->after_why = strdup(answer->message);
        return;
    }
    const int64_t each =
        site->ndim > 0 && site->dims[0] > 0 ? tdbg_site_elems(site) / site->dims[0] : 1;
    const int64_t n = each > 0 ? answer->n_elems / each : 0;
    in->after_n = n < in->after_n ? n : in->after_n;
    in->after = malloc(bytes + 1);
    if (in->after)
        memcpy(in->after, answer->values, bytes);
}

/* Asks for input/x of the part that the cursor is in, once. */
static void want_after(struct tdbg_tui_app *app)
{
    struct tdbg_tui_input *in = &app->input;
    int64_t first = 0, n = 0;
    const int32_t site = tdbg_tui_input_site(in, &app->model, in->at, &first, &n);
    if (!in->is_after || in->n <= 0 ||
        (site == in->after_site && in->after_step == in->step && in->after_first == first))
        return;
    free(in->after);
    free(in->after_why);
    in->after = NULL;
    in->after_why = NULL;
    in->after_site = site;
    in->after_step = in->step;
    in->after_first = first;
    in->after_n = n;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_TENSOR, .rank = app->model.focus.rank, .site = site, .step = in->step};
    if (site < 0)
        in->after_why = strdup("no site input/x");
    else if (!tdbg_tui_app_submit(app, &job, has_after))
        in->after_why = strdup("nothing computes it here");
}

/* Scrolls to the cursor: the batch's size may be another one than before. */
static void load(struct tdbg_tui_app *app)
{
    struct tdbg_tui_input *in = &app->input;
    int columns, rows;
    tdbg_tui_input_describe(in, &app->model, &app->config);
    shape(app, &columns, &rows);
    const int64_t row = in->at / columns, top = in->top / columns;
    if (row < top)
        in->top = row * columns;
    else if (row >= top + rows)
        in->top = (row - rows + 1) * columns;
    else
        in->top = top * columns;
    tdbg_tui_input_load(in, &app->model, (int64_t)columns * rows);
    want_after(app);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_input(&app->model, &app->input, grid, frame->body);
}

static void go_to(struct tdbg_tui_app *app, int64_t at)
{
    struct tdbg_tui_input *in = &app->input;
    if (at < 0 || at >= in->n)
        tdbg_tui_model_say(&app->model,
                           at < 0 ? "this is the first sample" : "this is the last sample");
    in->at = at < 0 || in->n <= 0 ? 0 : at >= in->n ? in->n - 1 : at;
}

static void move(struct tdbg_tui_app *app, int64_t count, int64_t each)
{
    int64_t by, at;
    if (__builtin_mul_overflow(count, each, &by) || __builtin_add_overflow(app->input.at, by, &at))
        at = count < 0 ? -1 : INT64_MAX;
    go_to(app, at);
}

static int64_t across(const struct tdbg_tui_app *app)
{
    int columns, rows;
    shape(app, &columns, &rows);
    return app->input.is_large ? 1 : columns;
}

static int64_t page(const struct tdbg_tui_app *app)
{
    int columns, rows;
    shape(app, &columns, &rows);
    return app->input.is_large ? 1 : (int64_t)columns * rows;
}

/* ---- tokens: the cursor is on one of a sample ---- */

static bool are_tokens(const struct tdbg_tui_app *app)
{
    const struct tdbg_samples_spec *spec = app->model.data->samples;
    return spec && tdbg_tui_input_kind(spec) == TDBG_INPUT_TOKENS;
}

static void go_to_token(struct tdbg_tui_app *app, int64_t token)
{
    struct tdbg_tui_input *in = &app->input;
    const int64_t n = tdbg_tui_input_x_elems(app->model.data->samples);
    if (token < 0 || token >= n)
        tdbg_tui_model_say(&app->model,
                           token < 0 ? "this is the first token" : "this is the last token");
    in->token = token < 0 || n <= 0 ? 0 : token >= n ? n - 1 : token;
}

static void move_token(struct tdbg_tui_app *app, int64_t count)
{
    int64_t token;
    if (__builtin_add_overflow(app->input.token, count, &token))
        token = count < 0 ? -1 : INT64_MAX;
    go_to_token(app, token);
}

/* Rows up or down in the sample that is seen alone, as near to this column as there is a token. */
static void move_rows(struct tdbg_tui_app *app, int64_t count, bool pages)
{
    struct tdbg_tui_input *in = &app->input;
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    struct tdbg_tui_tokens t;
    struct tdbg_tui_token_piece now, last;
    int64_t row;
    if (!tdbg_tui_input_tokens(in, &app->model, in->at, &t))
        return;
    const struct tdbg_tui_token_flow flow =
        tdbg_tui_view_tokens_flow(in, &t, body.width, app->grid.ascii);
    const int height = body.height - 1 - tdbg_tui_view_tokens_status_rows(body);
    const int each = pages ? tdbg_tui_view_tokens_page(in, &t, height) : 1;
    if (!tdbg_tui_token_flow_find(flow, in->token, &now) ||
        !tdbg_tui_token_flow_find(flow, t.n - 1, &last))
        return;
    if (__builtin_mul_overflow(count, (int64_t)each, &row) ||
        __builtin_add_overflow(now.row, row, &row))
        row = count < 0 ? -1 : INT64_MAX;
    if (row < 0 || row > last.row)
        go_to_token(app, row < 0 ? -1 : t.n);
    else
        in->token = tdbg_tui_token_flow_at(flow, row, now.x);
}

static bool moves_in_sample(const struct tdbg_tui_app *app)
{
    return are_tokens(app) && app->input.is_large;
}

static void move_across(struct tdbg_tui_app *app, int64_t count)
{
    if (are_tokens(app))
        move_token(app, count);
    else
        move(app, count, 1);
}

static void move_down(struct tdbg_tui_app *app, int64_t count)
{
    if (moves_in_sample(app))
        move_rows(app, count, false);
    else
        move(app, count, across(app));
}

static void move_page(struct tdbg_tui_app *app, int64_t count)
{
    if (moves_in_sample(app))
        move_rows(app, count, true);
    else
        move(app, count, page(app));
}

#define MOVE(function, sign, by)                                                                   \
    static void function(struct tdbg_tui_app *app, int64_t count, bool has_count)                  \
    {                                                                                              \
        (void)has_count;                                                                           \
        by(app, sign count);                                                                       \
    }
MOVE(right, +, move_across)
MOVE(left, -, move_across)
MOVE(down, +, move_down)
MOVE(up, -, move_down)
MOVE(page_down, +, move_page)
MOVE(page_up, -, move_page)

static void next_sample(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move(app, count, 1);
}

static void previous_sample(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move(app, -count, 1);
}

static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (moves_in_sample(app))
        go_to_token(app, 0);
    else
        go_to(app, 0);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    const struct tdbg_samples_spec *spec = app->model.data->samples;
    if (moves_in_sample(app))
        go_to_token(app, has_count ? count : tdbg_tui_input_x_elems(spec) - 1);
    else
        go_to(app, has_count ? count : app->input.n - 1);
}

static void open_one(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->input.is_large = !app->input.is_large;
}

static void view(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_input *in = &app->input;
    if (!are_tokens(app)) {
        in->is_after = !in->is_after;
        return;
    }
    in->token_view = in->token_view == TDBG_TOKENS_NUMBERS ? TDBG_TOKENS_TEXT : in->token_view + 1;
    if (in->token_view == TDBG_TOKENS_NUMBERS && in->tokens.vocabulary.n_tokens == 0)
        in->token_view = TDBG_TOKENS_TEXT; /* they were numbers before */
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    if (button != TDBG_BUTTON_CLICK) {
        move_down(app, button == TDBG_BUTTON_WHEEL_DOWN ? 1 : -1);
        return;
    }
    int64_t token = -1;
    const int64_t at =
        tdbg_tui_rect_has(body, x, y)
            ? tdbg_tui_view_input_at(&app->model, &app->input, app->grid.ascii, body, x, y, &token)
            : -1;
    if (at >= 0)
        go_to(app, at);
    if (token >= 0)
        app->input.token = token;
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_RIGHT, right},
    {TDBG_REQUEST_LEFT, left},
    {TDBG_REQUEST_DOWN, down},
    {TDBG_REQUEST_UP, up},
    {TDBG_REQUEST_PAGE_DOWN, page_down},
    {TDBG_REQUEST_PAGE_UP, page_up},
    {TDBG_REQUEST_FIRST, first},
    {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_OPEN, open_one},
    {TDBG_REQUEST_VIEW, view},
    {TDBG_REQUEST_HIT_NEXT, next_sample},
    {TDBG_REQUEST_HIT_PREV, previous_sample},
    {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_OPEN,
                                              TDBG_REQUEST_VIEW, TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_input = {
    .name = "input",
    .actions = actions,
    .hints = hints,
    .open = load, /* keys may come before the first paint */
    .load = load,
    .draw = draw,
    .mouse = mouse,
};
