/* Jobs that the app waits for: of each kind one. See app.h. */
#include "tui/app.h"

bool tdbg_tui_app_submit(struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                         tdbg_tui_answered *answered)
{
    if (!app->jobs)
        return false;
    if (app->waits[job->kind].id)
        app->jobs->cancel(app->jobs->context, app->waits[job->kind].id);
    app->waits[job->kind].id = app->jobs->submit(app->jobs->context, job);
    app->waits[job->kind].answered = answered;
    return true;
}

bool tdbg_tui_app_waits(const struct tdbg_tui_app *app)
{
    for (int kind = 0; kind < TDBG_JOB_KIND_COUNT; kind++) {
        if (app->waits[kind].id)
            return true;
    }
    return false;
}

bool tdbg_tui_app_cancel_jobs(struct tdbg_tui_app *app)
{
    const bool waited = tdbg_tui_app_waits(app);
    for (int kind = 0; kind < TDBG_JOB_KIND_COUNT; kind++) {
        if (app->waits[kind].id)
            app->jobs->cancel(app->jobs->context, app->waits[kind].id);
        app->waits[kind].id = 0;
    }
    return waited;
}

void tdbg_tui_app_take_answers(struct tdbg_tui_app *app)
{
    struct tdbg_tui_answer answer;
    while (app->jobs && !app->done && app->jobs->take(app->jobs->context, &answer)) {
        if (answer.kind >= TDBG_JOB_KIND_COUNT || app->waits[answer.kind].id != answer.id)
            continue;
        app->waits[answer.kind].id = 0;
        app->waits[answer.kind].answered(app, &answer);
    }
    if (app->n_screens > 0 && tdbg_tui_app_screen(app)->settle)
        tdbg_tui_app_screen(app)->settle(app);
}
