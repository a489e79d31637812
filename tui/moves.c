/* Moves and screens that are the same wherever one is. See app.h. */
#include "tui/app.h"

static void step_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_model_move_steps(&app->model, count);
}

static void step_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_model_move_steps(&app->model, -count);
}

static void op_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_model_move_ops(&app->model, count);
}

static void op_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_model_move_ops(&app->model, -count);
}

static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_model_goto_step(&app->model, app->model.data->first_step);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    struct tdbg_tui_model *m = &app->model;
    tdbg_tui_model_goto_step(m, has_count ? count : tdbg_tui_model_last_step(m));
}

static void rank_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_move_rank(app, count);
}

static void rank_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_move_rank(app, -count);
}

#define SCREEN_ACTION(function, NAME)                                                              \
    static void function(struct tdbg_tui_app *app, int64_t count, bool has_count)                  \
    {                                                                                              \
        (void)count, (void)has_count;                                                              \
        tdbg_tui_app_switch_to(app, TDBG_REQUEST_SCREEN_##NAME);                                   \
    }
SCREEN_ACTION(screen_main, MAIN)
SCREEN_ACTION(screen_ops, OPS)
SCREEN_ACTION(screen_tensor, TENSOR)
SCREEN_ACTION(screen_ranks, RANKS)
SCREEN_ACTION(screen_input, INPUT)
SCREEN_ACTION(screen_diff, DIFF)
SCREEN_ACTION(screen_findings, FINDINGS)
SCREEN_ACTION(screen_optimizer, OPTIMIZER)

static void menu(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->takes_key = tdbg_tui_app_take_letter;
    tdbg_tui_app_say_letters(app);
}

static void break_list(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (tdbg_tui_app_screen(app) != &tdbg_tui_screen_breaks)
        tdbg_tui_app_open(app, &tdbg_tui_screen_breaks);
}

/* count pages, or parts of one; counts are far below overflow, but a page is the screen's. */
static void move_rows(struct tdbg_tui_app *app, int64_t count, int64_t rows)
{
    int64_t by;
    if (__builtin_mul_overflow(count, rows, &by))
        by = count < 0 ? INT64_MIN : INT64_MAX;
    tdbg_tui_app_screen(app)->move_rows(app, by);
}

static int64_t page(const struct tdbg_tui_app *app)
{
    return tdbg_tui_app_screen(app)->page_rows(app);
}

#define ROWS_ACTION(function, signed_count, rows)                                                  \
    static void function(struct tdbg_tui_app *app, int64_t count, bool has_count)                  \
    {                                                                                              \
        (void)has_count;                                                                           \
        move_rows(app, signed_count, rows);                                                        \
    }
ROWS_ACTION(down, count, 1)
ROWS_ACTION(up, -count, 1)
ROWS_ACTION(page_down, count, page(app))
ROWS_ACTION(page_up, -count, page(app))
ROWS_ACTION(half_down, count, (page(app) + 1) / 2)
ROWS_ACTION(half_up, -count, (page(app) + 1) / 2)

int64_t tdbg_tui_find_row(const struct tdbg_tui_app *app, int64_t n, int64_t at, int64_t count,
                          bool (*matches)(const struct tdbg_tui_app *app, int64_t row))
{
    const int64_t step = count < 0 ? -1 : 1;
    int64_t n_hits = 0;
    for (int64_t i = 0; i < n; i++)
        n_hits += matches(app, i);
    if (n_hits == 0)
        return -1;
    for (int64_t left = (count < 0 ? -count : count) % n_hits + n_hits; left > 0; left--) {
        do
            at = (at + step + n) % n;
        while (!matches(app, at));
    }
    return at;
}

static void first_row(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_app_screen(app)->to_row(app, 0);
}

static void last_row(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    tdbg_tui_app_screen(app)->to_row(app, has_count ? count : -1);
}

const struct tdbg_tui_action tdbg_tui_list_moves[] = {
    {TDBG_REQUEST_FIRST, first_row},     {TDBG_REQUEST_LAST, last_row},
    {TDBG_REQUEST_DOWN, down},           {TDBG_REQUEST_UP, up},
    {TDBG_REQUEST_PAGE_DOWN, page_down}, {TDBG_REQUEST_PAGE_UP, page_up},
    {TDBG_REQUEST_HALF_DOWN, half_down}, {TDBG_REQUEST_HALF_UP, half_up},
    {TDBG_REQUEST_NONE, NULL},
};

const struct tdbg_tui_action tdbg_tui_moves[] = {
    {TDBG_REQUEST_STEP_NEXT, step_next},
    {TDBG_REQUEST_STEP_PREV, step_prev},
    {TDBG_REQUEST_OP_NEXT, op_next},
    {TDBG_REQUEST_OP_PREV, op_prev},
    {TDBG_REQUEST_FIRST, first},
    {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_RANK_NEXT, rank_next},
    {TDBG_REQUEST_RANK_PREV, rank_prev},
    {TDBG_REQUEST_SCREEN_MAIN, screen_main},
    {TDBG_REQUEST_SCREEN_OPS, screen_ops},
    {TDBG_REQUEST_SCREEN_TENSOR, screen_tensor},
    {TDBG_REQUEST_PHASE_END, tdbg_tui_phase_end},
    {TDBG_REQUEST_PHASE_START, tdbg_tui_phase_start},
    {TDBG_REQUEST_INPUTS, tdbg_tui_to_input},
    {TDBG_REQUEST_MODULE_UP, tdbg_tui_module_up},
    {TDBG_REQUEST_MODULE_DOWN, tdbg_tui_module_down},
    {TDBG_REQUEST_ORIGIN, tdbg_tui_to_origin},
    {TDBG_REQUEST_COPY, tdbg_tui_copy_place},
    {TDBG_REQUEST_SCREEN_RANKS, screen_ranks},
    {TDBG_REQUEST_SCREEN_INPUT, screen_input},
    {TDBG_REQUEST_SCREEN_DIFF, screen_diff},
    {TDBG_REQUEST_SCREEN_FINDINGS, screen_findings},
    {TDBG_REQUEST_SCREEN_OPTIMIZER, screen_optimizer},
    {TDBG_REQUEST_SCREEN_MENU, menu},
    {TDBG_REQUEST_COMMAND, tdbg_tui_ask_command},
    {TDBG_REQUEST_RUN, tdbg_tui_run_next},
    {TDBG_REQUEST_RUN_BACK, tdbg_tui_run_back},
    {TDBG_REQUEST_BREAK, tdbg_tui_toggle_break},
    {TDBG_REQUEST_BREAK_LIST, break_list},
    {TDBG_REQUEST_WATCH, tdbg_tui_toggle_watch},
    {TDBG_REQUEST_MARK, tdbg_tui_set_mark},
    {TDBG_REQUEST_JUMP, tdbg_tui_jump_to_mark},
    {TDBG_REQUEST_UNDO, tdbg_tui_undo},
    {TDBG_REQUEST_REDO, tdbg_tui_redo},
    {TDBG_REQUEST_NONE, NULL},
};
