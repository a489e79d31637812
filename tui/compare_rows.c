/* The values of two runs, compared tensor by tensor beside the diff screen (screen_diff.c): those
 * of the rows on the screen, one after the other, the one under the cursor first. */
#include <string.h>

#include "tui/app.h"

static void has_compared(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer)
{
    struct tdbg_tui_two_runs *two = &app->two;
    const struct tdbg_tui_job *job = &app->waits[TDBG_JOB_ELEMENTS].job;
    if (!two->b || two->asked < 0)
        return;
    two->asked = -1;
    tdbg_tui_two_runs_set_compared(two, job->site, job->step, job->to,
                                   answer->status == TDBG_OK ? answer->parting : NULL,
                                   answer->message);
    if (answer->status != TDBG_OK && two->shows_elements && job->site == app->model.focus.site)
        tdbg_tui_model_say_error(&app->model, "%s", answer->message);
}

/* Equal digests say it all, but for the elements themselves. */
static bool is_wanted(const struct tdbg_tui_app *app, int32_t site)
{
    const struct tdbg_tui_two_runs *two = &app->two;
    const bool is_focus = site == app->model.focus.site;
    return two->match[site] >= 0 && !tdbg_tui_two_runs_compared(two, app->model.focus.step, site) &&
           (tdbg_tui_two_runs_same(two, site) != 1 || (is_focus && two->shows_elements));
}

/* The next tensor to compare, or -1. */
static int32_t next_wanted(const struct tdbg_tui_app *app, int32_t top, int64_t rows)
{
    const struct tdbg_tui_two_runs *two = &app->two;
    const struct tdbg_tui_model *m = &app->model;
    const bool rests = two->resting_a == m->focus.step && two->resting_b == two->step_b;
    if ((!rests || two->shows_elements) && is_wanted(app, m->focus.site))
        return m->focus.site;
    for (int32_t i = top; !rests && i < two->n_rows && i < top + rows; i++) {
        if (is_wanted(app, two->row[i]))
            return two->row[i];
    }
    return -1;
}

/* Those on the screen that are still to come are told as well, so that one execution gives all. */
static void ask(struct tdbg_tui_app *app, int32_t site, int32_t top, int64_t rows)
{
    struct tdbg_tui_two_runs *two = &app->two;
    struct tdbg_strbuf next = {0};
    for (int32_t i = top; i < two->n_rows && i < top + rows; i++) {
        if (is_wanted(app, two->row[i]))
            tdbg_strbuf_printf(&next, "%d ", (int)two->row[i]);
    }
    const struct tdbg_tui_job job = {.kind = TDBG_JOB_ELEMENTS,
                                     .rank = app->model.focus.rank,
                                     .step = app->model.focus.step,
                                     .to = two->step_b,
                                     .site = site,
                                     .expression = {two->path, next.text ? next.text : ""},
                                     .n_expressions = 2};
    if (tdbg_tui_app_submit(app, &job, has_compared))
        two->asked = site;
    else
        tdbg_tui_two_runs_set_compared(two, site, job.step, job.to, NULL,
                                       "nothing reads values here");
    tdbg_strbuf_free(&next);
}

static bool is_on_screen(const struct tdbg_tui_two_runs *two, int32_t site, int32_t top,
                         int64_t rows)
{
    const int32_t row = tdbg_tui_two_runs_row(two, site);
    return row >= top && row < top + rows;
}

void tdbg_tui_diff_compare(struct tdbg_tui_app *app, int32_t top, int64_t rows)
{
    struct tdbg_tui_two_runs *two = &app->two;
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_job *job = &app->waits[TDBG_JOB_ELEMENTS].job;
    if (!two->has_a || !two->has_b || two->n_rows == 0)
        return;
    if (two->asked >= 0 && app->waits[TDBG_JOB_ELEMENTS].id == 0) { /* it was cancelled */
        two->asked = -1;
        two->resting_a = job->step;
        two->resting_b = job->to;
        two->shows_elements = false;
    }
    const int32_t next = next_wanted(app, top, rows);
    const bool is_of_now = two->asked >= 0 && job->step == m->focus.step &&
                           job->to == two->step_b && is_on_screen(two, two->asked, top, rows);
    if (is_of_now && (next != m->focus.site || !two->shows_elements))
        return; /* it is worth its end */
    if (is_of_now && next == two->asked)
        return;
    if (two->asked >= 0)
        tdbg_tui_app_cancel(app, TDBG_JOB_ELEMENTS);
    two->asked = -1;
    if (next >= 0)
        ask(app, next, top, rows);
}

void tdbg_tui_diff_leave(struct tdbg_tui_app *app)
{
    if (app->two.asked >= 0)
        tdbg_tui_app_cancel(app, TDBG_JOB_ELEMENTS);
    app->two.asked = -1;
}

void tdbg_tui_diff_open_elements(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct tdbg_tui_two_runs *two = &app->two;
    struct tdbg_tui_model *m = &app->model;
    const int32_t site = m->focus.site;
    if (!two->b || two->n_rows == 0 || two->match[site] < 0) {
        tdbg_tui_model_say(m, two->b ? "this tensor is in one trace only"
                                     : "there is no second run: :diff B.h5 opens one");
        return;
    }
    two->shows_elements = !two->shows_elements;
    const struct tdbg_tui_two_cell *cell = tdbg_tui_two_runs_compared(two, m->focus.step, site);
    if (two->shows_elements && cell && cell->why) /* once more */
        tdbg_tui_two_runs_forget(two, site);
}
