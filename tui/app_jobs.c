/* Jobs that the app waits for: of each kind one. See app.h. */
#include "tui/app.h"

#include <inttypes.h>
#include <stdio.h>

bool tdbg_tui_app_submit(struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                         tdbg_tui_answered *answered)
{
    if (!app->jobs)
        return false;
    tdbg_tui_app_cancel(app, job->kind);
    app->waits[job->kind].id = app->jobs->submit(app->jobs->context, job);
    app->waits[job->kind].answered = answered;
    app->waits[job->kind].job = *job;
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

void tdbg_tui_app_cancel(struct tdbg_tui_app *app, enum tdbg_tui_job_kind kind)
{
    if (app->waits[kind].id)
        app->jobs->cancel(app->jobs->context, app->waits[kind].id);
    app->waits[kind].id = 0;
}

bool tdbg_tui_app_cancel_jobs(struct tdbg_tui_app *app)
{
    const bool waited = tdbg_tui_app_waits(app);
    for (int kind = 0; kind < TDBG_JOB_KIND_COUNT; kind++)
        tdbg_tui_app_cancel(app, (enum tdbg_tui_job_kind)kind);
    return waited;
}

/* Jobs are done in the order of asking. */
static const struct tdbg_tui_job *running_job(const struct tdbg_tui_app *app)
{
    int first = -1;
    for (int kind = 0; kind < TDBG_JOB_KIND_COUNT; kind++) {
        if (app->waits[kind].id && (first < 0 || app->waits[kind].id < app->waits[first].id))
            first = kind;
    }
    return first < 0 ? NULL : &app->waits[first].job;
}

static int what_text(const struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                     const struct tdbg_tui_job_progress *p, char *buf, size_t buf_bytes)
{
    char label[TDBG_SITE_LABEL_BYTES];
    switch (job->kind) {
    case TDBG_JOB_TENSOR:
        return snprintf(buf, buf_bytes, "computing %s at step %" PRId64,
                        tdbg_tui_model_site_label(&app->model, job->site, label), job->step);
    case TDBG_JOB_STATS:
        return snprintf(buf, buf_bytes, "computing step %" PRId64, job->step);
    case TDBG_JOB_ORIGIN:
        return snprintf(buf, buf_bytes, "looking for the origin at step %" PRId64, job->step);
    case TDBG_JOB_DIFF:
        return snprintf(buf, buf_bytes, "comparing the two runs");
    case TDBG_JOB_ELEMENTS:
        return snprintf(buf, buf_bytes, "comparing %s at step %" PRId64,
                        tdbg_tui_model_site_label(&app->model, job->site, label), job->step);
    case TDBG_JOB_SEARCH:
        return snprintf(buf, buf_bytes, "searching at step %" PRId64,
                        p->total > 0 ? p->step : job->step);
    default:
        return snprintf(buf, buf_bytes, "evaluating at step %" PRId64, job->step);
    }
}

const char *tdbg_tui_app_progress_text(const struct tdbg_tui_app *app, char *buf, size_t buf_bytes)
{
    struct tdbg_tui_job_progress p;
    const struct tdbg_tui_job *job = running_job(app);
    if (!job || !app->jobs->progress(app->jobs->context, &p))
        return NULL;
    size_t used = (size_t)what_text(app, job, &p, buf, buf_bytes);
    if (p.total > 1 && used < buf_bytes)
        used += (size_t)snprintf(buf + used, buf_bytes - used, ": %" PRId64 " of %" PRId64 " steps",
                                 p.done, p.total);
    if (used < buf_bytes)
        snprintf(buf + used, buf_bytes - used, " (^C cancels)");
    return buf;
}

enum tdbg_status tdbg_tui_app_grow(struct tdbg_tui_app *app, int64_t n_before, struct tdbg_err *err)
{
    struct tdbg_tui_model *m = &app->model;
    const bool was_last = m->focus.step == m->data->first_step + n_before - 1;
    const enum tdbg_status st = tdbg_tui_series_grow(&m->series, m->data->n_steps, err);
    tdbg_tui_findings_grow(&app->findings);
    if (was_last)
        m->focus.step = tdbg_tui_model_last_step(m);
    if (app->n_screens > 0 && tdbg_tui_app_screen(app)->settle)
        tdbg_tui_app_screen(app)->settle(app);
    return st;
}

void tdbg_tui_app_take_answers(struct tdbg_tui_app *app)
{
    struct tdbg_tui_answer answer;
    while (app->jobs && !app->done && app->jobs->take(app->jobs->context, &answer)) {
        if (answer.kind >= TDBG_JOB_KIND_COUNT || app->waits[answer.kind].id != answer.id)
            continue;
        const struct tdbg_tui_focus before = app->model.focus;
        app->waits[answer.kind].id = 0;
        app->waits[answer.kind].answered(app, &answer);
        tdbg_tui_command_go_on(app);
        tdbg_tui_app_note_move(app, &before, TDBG_REQUEST_RUN);
    }
    tdbg_tui_command_go_on(app);
    if (app->n_screens > 0 && tdbg_tui_app_screen(app)->settle)
        tdbg_tui_app_screen(app)->settle(app);
}
