/* A run that was never recorded, for tests of the terminal: every value follows from (step, site)
 * by plain arithmetic, reads are counted, and any of them can be made to fail. */
#ifndef TDBG_TESTS_SCREEN_FAKE_RUN_H
#define TDBG_TESTS_SCREEN_FAKE_RUN_H

#include "tui/data.h"

enum { FAKE_MAX_SITES = 128 };

enum fake_read { FAKE_READ_ROWS, FAKE_READ_STEP_STATS, FAKE_READ_STATS };

/* 0 or NULL: what the comment says. */
struct fake_wish {
    int64_t first_step;
    int64_t n_steps;    /* 2000 */
    int64_t eval_every; /* 100; evaluated steps are 99, 199, ... */
    bool no_sites, cut_off;
    int32_t lanes, micros; /* 1; a forward or backward site is there for each of them */
    bool has_jobs;         /* values and origins are computed (fake_jobs.h) */
    bool kinds;            /* tensors of every type, and of odd shapes, behind the others */
    bool few_stats;        /* those of gradients and parameters alone are recorded */
    bool no_graph;         /* nobody knows what was computed from what */
    bool wide_names;       /* names with wide, combining and invalid characters */
    /* Does a read that touches this step fail? Nothing fails. */
    bool (*fails)(enum fake_read what, int64_t step);
};

struct fake_run {
    struct tdbg_tui_data data;
    struct tdbg_run_info info;
    struct fake_wish wish;
    struct tdbg_site sites[FAKE_MAX_SITES];
    int64_t n_row_reads, n_rows, n_step_stats_reads, n_stats_reads; /* since the last reset */
};

/* Steps whose loss and gradients are NaN, in the default run. */
enum { FAKE_NAN_FROM = 1450, FAKE_NAN_TO = 1470 };

void fake_run_make(struct fake_run *run, const struct fake_wish *wish);
void fake_run_reset_counts(struct fake_run *run);

bool fake_run_evaluated(const struct fake_run *run, int64_t step);
void fake_run_row(const struct fake_run *run, int64_t step, struct tdbg_step_row *row);
void fake_run_stats(const struct fake_run *run, int64_t step, int32_t site, struct tdbg_stats *out);

#endif
