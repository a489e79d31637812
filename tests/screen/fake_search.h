/* Searches, values of expressions and values of tensors over a made-up run, answered at once. */
#ifndef TDBG_TESTS_SCREEN_FAKE_SEARCH_H
#define TDBG_TESTS_SCREEN_FAKE_SEARCH_H

#include "tests/screen/fake_run.h"
#include "tui/jobs.h"

struct fake_search {
    struct tdbg_tui_jobs jobs;
    const struct fake_run *run;
    struct tdbg_tui_job job; /* that waits for take() */
    char text[2][1200];
    int64_t id;
    bool is_waiting;
    bool is_slow;                /* the answer is not there before this is set to false */
    int64_t n_searches, n_steps; /* steps that were judged */
    char message[300];
    struct tdbg_stats stats;
    float values[1 << 18];
};

/* The run is borrowed. */
const struct tdbg_tui_jobs *fake_search_make(struct fake_search *search,
                                             const struct fake_run *run);

/* Does the condition hold at a step; *is_known: has it a value there? Fails the test where the text
 * is no expression. */
double fake_search_value(const struct fake_run *run, const char *text, int64_t step,
                         bool *is_known);

#endif
