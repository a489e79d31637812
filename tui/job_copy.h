/* Jobs that wait, with texts of their own, in the order of asking. */
#ifndef TDBG_TUI_JOB_COPY_H
#define TDBG_TUI_JOB_COPY_H

#include "tui/jobs.h"

struct tdbg_tui_waiting {
    int64_t id;
    struct tdbg_tui_job job; /* its texts are copies */
    struct tdbg_tui_waiting *next;
};

struct tdbg_tui_job_list {
    struct tdbg_tui_waiting *first; /* NULL: none waits */
    int64_t last_id;
};

/* Start from {0}. _add returns the id, from 1 on, and aborts without memory; _drop: any id is fine.
 */
int64_t tdbg_tui_job_list_add(struct tdbg_tui_job_list *list, const struct tdbg_tui_job *job);
void tdbg_tui_job_list_drop(struct tdbg_tui_job_list *list, int64_t id);
void tdbg_tui_job_list_free(struct tdbg_tui_job_list *list);

#endif
