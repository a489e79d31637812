/* The rank of the focus: which file all screens look at. See app.h. */
#include "tui/app.h"

enum { FIRST_BLOCKS = 4 }; /* of the course, before the next paint */

bool tdbg_tui_app_goto_rank(struct tdbg_tui_app *app, int32_t rank)
{
    struct tdbg_tui_model *m = &app->model;
    const struct tdbg_tui_ranks *ranks = m->data->ranks;
    const char *why = NULL;
    struct tdbg_err err = {0};
    if (rank == m->focus.rank)
        return true;
    const struct tdbg_tui_data *data = ranks ? ranks->open(ranks->context, rank, &why) : NULL;
    if (!data) {
        tdbg_tui_model_say_error(m, "rank %d is left out: %s", (int)rank,
                                 why ? why : "the run has one rank");
        return false;
    }
    const bool stays_last = app->follows && m->focus.step == tdbg_tui_model_last_step(m);
    if (tdbg_tui_model_set_data(m, data, &err) != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", err.message ? err.message : "no memory");
        tdbg_err_clear(&err);
        return false;
    }
    if (stays_last)
        tdbg_tui_model_goto_step(m, tdbg_tui_model_last_step(m));
    tdbg_tui_app_cancel_jobs(app); /* they are of the rank before */
    tdbg_tui_two_runs_match(&app->two, data);
    tdbg_tui_model_load_series(m, FIRST_BLOCKS);
    return true;
}

void tdbg_tui_app_move_rank(struct tdbg_tui_app *app, int64_t count)
{
    struct tdbg_tui_model *m = &app->model;
    const int32_t n = m->data->info->world_size, from = m->focus.rank;
    const int32_t step = count < 0 ? -1 : 1;
    if (n < 2 || !m->data->ranks) {
        tdbg_tui_model_say(m, "this run has one rank");
        return;
    }
    int32_t at = from;
    for (int64_t left = (count < 0 ? -count : count) % n; left > 0; left--) {
        do
            at = (at + step + n) % n;
        while (at != from && !tdbg_tui_app_goto_rank(app, at));
    }
    tdbg_tui_app_goto_rank(app, at);
}
