/* The diff screen: a second run beside this one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/view.h"

static int64_t visible(const struct tdbg_tui_app *app)
{
    return tdbg_tui_view_diff_rows(&app->two, tdbg_tui_app_frame(app).body);
}

/* ---- where they part ---- */

/* The rank whose lane it is; -1: it is of no lane, or there is one rank. */
static int32_t rank_of(const struct tdbg_tui_model *m, int32_t lane)
{
    return m->data->info->world_size > 1 ? tdbg_rank_of_lane(m->data->info, lane) : -1;
}

static void go_to_site(struct tdbg_tui_app *app, const char *name, int32_t lane)
{
    struct tdbg_tui_model *m = &app->model;
    for (int32_t i = 0; *name && i < m->data->n_sites; i++) {
        const struct tdbg_site *s = &m->data->sites[i];
        if (strcmp(s->name, name) == 0 && (lane < 0 || s->lane == lane)) {
            m->focus.site = i;
            return;
        }
    }
}

static void go_to_parting(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_parting p = app->two.parting; /* another rank forgets it */
    const int32_t rank = rank_of(m, p.lane);
    char of_rank[32] = "";
    if (!p.has_step) {
        tdbg_tui_model_say(m, p.is_same ? "the two are the same" : "cannot be judged: %s",
                           p.reason);
        return;
    }
    app->two.unlinked = app->two.side_b = false;
    tdbg_tui_model_goto_step(m, p.step);
    if (rank >= 0) {
        tdbg_tui_app_goto_rank(app, rank);
        snprintf(of_rank, sizeof of_rank, " of rank %d", (int)rank);
    }
    go_to_site(app, p.site, p.lane);
    if (!m->message) /* that of a rank whose file is not there stays */
        tdbg_tui_model_say(m, "%lld tensors differ from step %lld on, the first is %s%s",
                           (long long)p.n_sites_differ, (long long)p.step,
                           *p.site ? p.site : "not known: only a chain differs", of_rank);
}

static void has_parting(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_two_runs *two = &app->two;
    if (!two->b)
        return;
    free(two->why);
    two->why = NULL;
    if (answer->status == TDBG_OK) {
        two->parting_state = TDBG_TWO_KNOWN;
        two->parting = *answer->parting;
    } else {
        two->parting_state = TDBG_TWO_FAILED;
        two->why = strdup(answer->message);
    }
    if (app->diff_goes_there && two->parting_state == TDBG_TWO_KNOWN)
        go_to_parting(app);
    app->diff_goes_there = false;
}

static void want_parting(struct tdbg_tui_app *app)
{
    struct tdbg_tui_two_runs *two = &app->two;
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_DIFF,
                                     .rank = app->model.focus.rank,
                                     .step = app->model.focus.step,
                                     .expression = {two->path},
                                     .n_expressions = 1};
    if (tdbg_tui_app_submit(app, &job, has_parting)) {
        two->parting_state = TDBG_TWO_WAITS;
    } else {
        two->parting_state = TDBG_TWO_FAILED;
        two->why = strdup("nothing compares traces here");
    }
}

/* Somebody cancelled it, or another job of the kind. */
static bool is_forgotten(const struct tdbg_tui_app *app)
{
    return app->waits[TDBG_JOB_DIFF].id == 0;
}

static void search_parting(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (!app->two.b) {
        tdbg_tui_model_say(&app->model, "there is no second run: :diff B.h5 opens one");
    } else if (app->two.parting_state == TDBG_TWO_KNOWN) {
        go_to_parting(app);
    } else {
        app->diff_goes_there = true;
        if (app->two.parting_state != TDBG_TWO_WAITS || is_forgotten(app))
            want_parting(app);
    }
}

/* ---- the screen ---- */

static void load(struct tdbg_tui_app *app)
{
    struct tdbg_tui_two_runs *two = &app->two;
    struct tdbg_tui_model *m = &app->model;
    if (!two->b)
        return;
    if (two->n_rows > 0 && two->match[m->focus.site] < 0)
        m->focus.site = two->row[tdbg_tui_two_runs_row(two, m->focus.site)];
    tdbg_tui_two_runs_load(two, m);
    two->top = (int32_t)tdbg_tui_panes_scroll(tdbg_tui_two_runs_row(two, m->focus.site),
                                              two->n_rows, visible(app));
    if (two->parting_state == TDBG_TWO_NOT_ASKED)
        want_parting(app);
    else if (two->parting_state == TDBG_TWO_WAITS && is_forgotten(app)) {
        two->parting_state = TDBG_TWO_FAILED;
        free(two->why);
        two->why = strdup("cancelled; C searches again");
    }
    tdbg_tui_diff_compare(app, two->top, visible(app));
}

static bool work(struct tdbg_tui_app *app)
{
    return tdbg_tui_two_runs_work(&app->two);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    tdbg_tui_view_diff(&app->model, &app->two, grid, frame->body);
}

static void move_rows(struct tdbg_tui_app *app, int64_t count)
{
    struct tdbg_tui_two_runs *two = &app->two;
    if (!two->b || two->n_rows == 0)
        return;
    const int64_t at = tdbg_tui_two_runs_row(two, app->model.focus.site);
    int64_t to;
    if (__builtin_add_overflow(at, count, &to))
        to = count < 0 ? -1 : two->n_rows;
    if (to < 0 || to >= two->n_rows)
        tdbg_tui_model_say(&app->model, to < 0 ? "this is the first tensor of both"
                                               : "this is the last tensor of both");
    app->model.focus.site = two->row[to < 0 ? 0 : to >= two->n_rows ? two->n_rows - 1 : to];
}

/* Of the side that moves: both while they are linked. */
static void move_steps(struct tdbg_tui_app *app, int64_t count)
{
    struct tdbg_tui_two_runs *two = &app->two;
    int64_t to;
    if (!two->b || !two->unlinked || !two->side_b) {
        tdbg_tui_model_move_steps(&app->model, count);
        return;
    }
    const int64_t first = two->b->first_step, last = first + two->b->n_steps - 1;
    if (__builtin_add_overflow(two->step_b, count, &to))
        to = count < 0 ? first - 1 : last + 1;
    if (to < first || to > last)
        tdbg_tui_model_say(&app->model, "stopped at B's %s step", to < first ? "first" : "last");
    two->step_b = to < first ? first : to > last ? last : to;
}

static void step_next(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_steps(app, count);
}

static void step_prev(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_steps(app, -count);
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    const int32_t n = app->two.n_rows;
    if (n > 0)
        app->model.focus.site = app->two.row[row >= 0 && row < n ? row : n - 1];
}

static void link_sides(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->two.unlinked = !app->two.unlinked;
    app->two.side_b = app->two.unlinked;
}

static void change_side(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    if (!app->two.unlinked)
        tdbg_tui_model_say(&app->model, "both move together; x unlinks them");
    else
        app->two.side_b = !app->two.side_b;
}

static void view(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->two.shows_config = !app->two.shows_config;
}

static void scale(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    app->model.linear = !app->model.linear;
}

static void find(struct tdbg_tui_app *app, int64_t count)
{
    tdbg_tui_model_find(&app->model, count);
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    (void)x, (void)button;
    const int32_t row = tdbg_tui_view_diff_at(&app->two, tdbg_tui_app_frame(app).body, y);
    if (row >= 0)
        app->model.focus.site = app->two.row[row];
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_STEP_NEXT, step_next},
    {TDBG_REQUEST_STEP_PREV, step_prev},
    {TDBG_REQUEST_OPEN, tdbg_tui_diff_open_elements},
    {TDBG_REQUEST_RUN_BACK, search_parting},
    {TDBG_REQUEST_LINK, link_sides},
    {TDBG_REQUEST_PANE_NEXT, change_side},
    {TDBG_REQUEST_PANE_PREV, change_side},
    {TDBG_REQUEST_VIEW, view},
    {TDBG_REQUEST_SCALE, scale},
    {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {TDBG_REQUEST_STEP_NEXT, TDBG_REQUEST_OPEN,
                                              TDBG_REQUEST_LINK,      TDBG_REQUEST_PANE_NEXT,
                                              TDBG_REQUEST_VIEW,      TDBG_REQUEST_NONE};

const struct tdbg_tui_screen tdbg_tui_screen_diff = {
    .name = "diff",
    .actions = actions,
    .move_rows = move_rows,
    .page_rows = visible,
    .to_row = to_row,
    .wheel_rows = 3,
    .hints = hints,
    .load = load,
    .work = work,
    .draw = draw,
    .mouse = mouse,
    .find = find,
    .close = tdbg_tui_diff_leave,
};

enum tdbg_status tdbg_tui_app_diff(struct tdbg_tui_app *app, const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_other *other = NULL;
    TDBG_TRY(tdbg_tui_other_open(path, &other, err));
    TDBG_TRY(tdbg_tui_app_diff_with(app, path, tdbg_tui_other_data(other), other, err));
    other = NULL;
out:
    tdbg_tui_other_close(other);
    return st;
}

enum tdbg_status tdbg_tui_app_diff_with(struct tdbg_tui_app *app, const char *path,
                                        const struct tdbg_tui_data *b, struct tdbg_tui_other *other,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_tui_two_runs_set(&app->two, &app->model, &app->config, path, b, other, err));
    tdbg_tui_app_switch(app, &tdbg_tui_screen_diff);
out:
    return st;
}
