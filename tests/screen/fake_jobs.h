/* Jobs over a made-up run: values follow from step and site by plain arithmetic. They are answered
 * when they are taken, or not before they are let go. */
#ifndef TDBG_TESTS_SCREEN_FAKE_JOBS_H
#define TDBG_TESTS_SCREEN_FAKE_JOBS_H

#include "tests/screen/fake_run.h"
#include "tui/job_copy.h"

struct fake_jobs {
    struct tdbg_tui_jobs table;
    const struct fake_run *run;
    struct tdbg_tui_job_list queue;
    bool holds;                                   /* nothing is answered, and progress is told */
    bool fails;                                   /* every job fails */
    bool is_stored;                               /* values are read, not executed */
    int64_t n_taken, n_done[TDBG_JOB_KIND_COUNT]; /* answers so far; of each kind */
    const struct fake_run *other;                 /* that DIFF compares with */
    struct tdbg_tui_parting parting;
    void *values;
    struct tdbg_stats stats, all[FAKE_MAX_SITES];
    struct tdbg_origin origin;
};

/* The table borrows both. Free with fake_jobs_free. */
void fake_jobs_make(struct fake_jobs *jobs, const struct fake_run *run);
void fake_jobs_free(struct fake_jobs *jobs);

#endif
