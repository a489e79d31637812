/* A queue of jobs, done when their answers are taken. See jobs_inline.h. */
#include "tui/jobs_inline.h"

#include <stdlib.h>

#include "tui/job_copy.h"

struct inline_jobs {
    struct tdbg_tui_runner *runner;
    struct tdbg_tui_job_list queue;
};

static int64_t submit(void *context, const struct tdbg_tui_job *job)
{
    struct inline_jobs *j = context;
    return tdbg_tui_job_list_add(&j->queue, job);
}

static void cancel(void *context, int64_t id)
{
    struct inline_jobs *j = context;
    tdbg_tui_job_list_drop(&j->queue, id);
}

static bool take(void *context, struct tdbg_tui_answer *out)
{
    struct inline_jobs *j = context;
    if (!j->queue.first)
        return false;
    const int64_t id = j->queue.first->id;
    tdbg_tui_runner_do(j->runner, &j->queue.first->job, out);
    out->id = id;
    tdbg_tui_job_list_drop(&j->queue, id);
    return true;
}

/* Between the calls of take() nothing runs. */
static bool progress(void *context, struct tdbg_tui_job_progress *out)
{
    (void)context, (void)out;
    return false;
}

static void destroy(void *context)
{
    struct inline_jobs *j = context;
    if (!j)
        return;
    tdbg_tui_job_list_free(&j->queue);
    tdbg_tui_runner_destroy(j->runner);
    free(j);
}

enum tdbg_status tdbg_tui_jobs_inline(const char *path, const struct tdbg_session_options *options,
                                      tdbg_tui_goes_on *goes_on, void *context,
                                      struct tdbg_tui_jobs *out, struct tdbg_err *err)
{
    struct inline_jobs *j = calloc(1, sizeof *j);
    if (j)
        j->runner = tdbg_tui_runner_create(path, options, goes_on, context);
    if (!j || !j->runner) {
        free(j);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for what computes values again");
    }
    *out = (struct tdbg_tui_jobs){.context = j,
                                  .fd = -1,
                                  .submit = submit,
                                  .cancel = cancel,
                                  .take = take,
                                  .progress = progress,
                                  .destroy = destroy};
    return TDBG_OK;
}
