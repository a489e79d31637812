/* The ranks screen: who put what into an all-reduce, and who got something else out of it. */
#include <stdlib.h>
#include <string.h>

#include "replay/rank_split.h"
#include "tui/app.h"
#include "tui/view.h"

enum { ROWS_AT_ONCE = 8, ROWS_OF_WORK = 2 };

static void load(struct tdbg_tui_app *app)
{
    if (app->model.data->info->world_size > 1)
        tdbg_tui_rank_table_load(&app->ranks, &app->model, ROWS_AT_ONCE);
}

/* A few rows at a time; adding up again, which reads values, comes last. */
static bool work(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    if (m->data->info->world_size < 2)
        return false;
    if (tdbg_tui_rank_table_load(&app->ranks, m, ROWS_OF_WORK))
        return true;
    return tdbg_tui_rank_table_fold(&app->ranks, m);
}

static void settle(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_frame frame = tdbg_tui_app_frame(app);
    app->ranks.top =
        (int32_t)tdbg_tui_panes_scroll(app->model.focus.rank, app->model.data->info->world_size,
                                       tdbg_tui_view_ranks_rows(frame.body));
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_ranks(&app->model, &app->ranks, grid, frame->body);
}

static void down(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_move_rank(app, count);
}

static void up(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    tdbg_tui_app_move_rank(app, -count);
}

static void go_to(struct tdbg_tui_app *app, int64_t rank)
{
    const int32_t n = app->model.data->info->world_size;
    tdbg_tui_app_goto_rank(app, (int32_t)(rank < 0 ? 0 : rank >= n ? n - 1 : rank));
}

static void first(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    go_to(app, 0);
}

static void last(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    go_to(app, has_count ? count : INT64_MAX);
}

/* ---- Enter: the elements of two ranks ---- */

static void give_up(struct tdbg_tui_rank_table *t, int32_t rank, const char *why)
{
    free(t->difference_why);
    if (asprintf(&t->difference_why, "rank %d: %s", (int)rank, why ? why : "it cannot be had") < 0)
        t->difference_why = NULL;
}

static void ask(struct tdbg_tui_app *app, int32_t rank, tdbg_tui_answered *answered)
{
    struct tdbg_tui_rank_table *t = &app->ranks;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_TENSOR, .rank = rank, .site = t->site, .step = t->step};
    if (!tdbg_tui_app_submit(app, &job, answered))
        give_up(t, rank, "values cannot be read here");
}

static void has_b(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_rank_table *t = &app->ranks;
    if (t->site < 0 || !t->values)
        return; /* the focus has moved on */
    if (answer->status != TDBG_OK) {
        give_up(t, t->rank_b, answer->message);
        return;
    }
    tdbg_compare_tensors(t->values, answer->values, app->model.data->sites[t->site].dtype,
                         answer->n_elems, &t->difference);
    t->has_difference = true;
}

static void has_a(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_rank_table *t = &app->ranks;
    if (t->site < 0)
        return;
    const struct tdbg_site *site = &app->model.data->sites[t->site];
    const size_t bytes = (size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype);
    if (answer->status != TDBG_OK) {
        give_up(t, t->rank_a, answer->message);
        return;
    }
    free(t->values);
    t->values = malloc(bytes);
    if (!t->values) {
        give_up(t, t->rank_a, "no memory for its values");
        return;
    }
    memcpy(t->values, answer->values, (size_t)answer->n_elems * tdbg_dtype_bytes(site->dtype));
    ask(app, t->rank_b, has_b);
}

/* The tensor in which the rank under the cursor differs, else what the all-reduce gave. */
static void open_elements(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_rank_table *t = &app->ranks;
    const int32_t rank = app->model.focus.rank;
    if (!t->rows || t->n_read < t->n) {
        tdbg_tui_model_say(&app->model, "nothing to compare%s", t->rows ? " yet" : "");
        return;
    }
    t->rank_a = rank;
    t->rank_b = tdbg_tui_rank_reference(t, rank);
    t->site = t->rows[rank].out_differs || !t->rows[rank].has_here ? t->out_site : t->focus_site;
    t->has_difference = false;
    free(t->difference_why);
    t->difference_why = NULL;
    if (t->rank_b < 0 || t->site < 0) {
        t->site = -1;
        tdbg_tui_model_say(&app->model, t->rank_b < 0 ? "no other rank's file is there"
                                                      : "no all-reduce was recorded");
        return;
    }
    ask(app, t->rank_a, has_a);
}

/* ---- C: where the ranks parted ---- */

static void has_search(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    if (answer->status == TDBG_OK) {
        tdbg_tui_model_goto_step(&app->model, answer->step);
        tdbg_tui_model_say(&app->model, "the ranks differ at step %lld", (long long)answer->step);
    } else if (answer->status == TDBG_NOT_FOUND) {
        tdbg_tui_model_say(&app->model,
                           "no such step: the ranks agree in all that every one recorded");
    } else {
        tdbg_tui_model_say_error(&app->model, "%s", answer->message);
    }
}

static void search_steps(struct tdbg_tui_app *app, int64_t from, int64_t to)
{
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_SEARCH,
                                     .rank = app->model.focus.rank,
                                     .step = from,
                                     .to = to,
                                     .expression = {"rankdiff(*)"},
                                     .n_expressions = 1};
    if (tdbg_tui_app_submit(app, &job, has_search))
        tdbg_tui_model_say(&app->model, "searching where the ranks differ; Esc cancels");
    else
        tdbg_tui_model_say(&app->model, "nothing searches here");
}

/* Chains give the answer in a few reads wherever all ranks have the same sites in one; digests step
 * by step do otherwise. */
static void search_split(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_ranks *ranks = m->data->ranks;
    struct tdbg_rank_split split = {0};
    struct tdbg_err err = {0};
    if (!ranks) {
        tdbg_tui_model_say(m, "this run has one rank");
        return;
    }
    if (ranks->find_split(ranks->context, &split, &err) != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", err.message ? err.message : "cannot compare the ranks");
        tdbg_err_clear(&err);
        return;
    }
    if (split.found) {
        tdbg_tui_model_goto_step(m, split.step);
        if (split.site >= 0 && split.site < m->data->n_sites)
            m->focus.site = split.site;
        tdbg_tui_model_say(m, "rank %s differs from step %lld on, first in %s", split.ranks,
                           (long long)split.step, m->data->sites[m->focus.site].name);
        return;
    }
    search_steps(app, m->data->first_step, tdbg_tui_model_last_step(m));
}

/* Where they differ next: digests, step by step. */
static void search_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_model *m = &app->model;
    const int64_t last = tdbg_tui_model_last_step(m);
    if (!m->data->ranks || m->focus.step == last) {
        tdbg_tui_model_say(m, m->data->ranks ? "this is the last step" : "this run has one rank");
        return;
    }
    search_steps(app, m->focus.step + 1, last);
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    const int64_t rank = app->ranks.top + y - body.y - 2;
    if (button != TDBG_BUTTON_CLICK)
        tdbg_tui_app_move_rank(app, button == TDBG_BUTTON_WHEEL_DOWN ? 1 : -1);
    else if (tdbg_tui_rect_has(body, x, y) && y >= body.y + 2 && rank < app->ranks.n &&
             y < body.y + 2 + tdbg_tui_view_ranks_rows(body))
        go_to(app, rank);
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_DOWN, down},          {TDBG_REQUEST_UP, up},
    {TDBG_REQUEST_FIRST, first},        {TDBG_REQUEST_LAST, last},
    {TDBG_REQUEST_OPEN, open_elements}, {TDBG_REQUEST_RUN_BACK, search_split},
    {TDBG_REQUEST_RUN, search_next},    {TDBG_REQUEST_NONE, NULL},
};

static void find(struct tdbg_tui_app *app, int64_t count)
{
    tdbg_tui_model_find(&app->model, count);
}

static const enum tdbg_tui_request hints[] = {TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_RANK_NEXT,
                                              TDBG_REQUEST_OPEN, TDBG_REQUEST_RUN,
                                              TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_ranks = {
    .name = "ranks",
    .actions = actions,
    .hints = hints,
    .settle = settle,
    .load = load,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .find = find,
};
