/* The page that tdbg report writes: one HTML file that asks no network for anything. */
#ifndef TDBG_CLI_REPORT_PAGE_H
#define TDBG_CLI_REPORT_PAGE_H

#include "cli/diff_print.h"
#include "cli/report_series.h"

/* One run, as the page shows it. */
struct cli_report_run {
    struct tdbg_rank_group *group;
    struct tdbg_trace *trace; /* of the lowest rank that is there */
    struct cli_run_series series;
    struct tdbg_trace_sizes sizes;
};

struct cli_report {
    struct cli_report_run run[2];
    int n_runs;
    struct tdbg_diff_report diff; /* with two runs */
    char tolerance[400];          /* " --rtol 1e-4": how much they may differ; "": bits */
    struct tdbg_arena *arena;
};

/* Writes the whole page; the caller checks ferror(). */
void cli_report_write(FILE *out, const struct cli_report *report);

/* The parts of it, in their files: report_style.c, report_curves.c, report_tables.c. */
extern const char cli_report_style[];
void cli_report_curves(FILE *out, const struct cli_report *report);
void cli_report_growth(FILE *out, const struct cli_report *report);
void cli_report_first(FILE *out, const struct cli_report *report);
void cli_report_differences(FILE *out, const struct cli_report *report);
void cli_report_sites(FILE *out, const struct cli_report *report);
void cli_report_runs(FILE *out, const struct cli_report *report);

/* "A" or "B", or "" where there is one run. */
const char *cli_report_letter(const struct cli_report *report, int run);

#endif
