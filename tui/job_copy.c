/* See job_copy.h. */
#include "tui/job_copy.h"

#include <stdlib.h>
#include <string.h>

static void free_waiting(struct tdbg_tui_waiting *w)
{
    for (int i = 0; i < w->job.n_expressions; i++)
        free((char *)w->job.expression[i]);
    free(w);
}

int64_t tdbg_tui_job_list_add(struct tdbg_tui_job_list *list, const struct tdbg_tui_job *job)
{
    struct tdbg_tui_waiting *w = calloc(1, sizeof *w), **end = &list->first;
    if (!w)
        TDBG_BUG("no memory for a job");
    w->job = *job;
    if (job->kind != TDBG_JOB_SEARCH && job->kind != TDBG_JOB_EVALUATE &&
        job->kind != TDBG_JOB_DIFF && job->kind != TDBG_JOB_ELEMENTS)
        w->job.n_expressions = 0; /* and may be anything */
    TDBG_ASSERT(w->job.n_expressions >= 0 && w->job.n_expressions <= TDBG_JOB_EXPRESSIONS);
    w->id = ++list->last_id;
    for (int i = 0; i < w->job.n_expressions; i++) {
        w->job.expression[i] = strdup(job->expression[i]);
        if (!w->job.expression[i])
            TDBG_BUG("no memory for a job");
    }
    while (*end)
        end = &(*end)->next;
    *end = w;
    return w->id;
}

void tdbg_tui_job_list_drop(struct tdbg_tui_job_list *list, int64_t id)
{
    for (struct tdbg_tui_waiting **at = &list->first; *at; at = &(*at)->next) {
        struct tdbg_tui_waiting *w = *at;
        if (w->id != id)
            continue;
        *at = w->next;
        free_waiting(w);
        return;
    }
}

void tdbg_tui_job_list_free(struct tdbg_tui_job_list *list)
{
    while (list->first)
        tdbg_tui_job_list_drop(list, list->first->id);
}
