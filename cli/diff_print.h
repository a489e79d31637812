/* What tdbg diff found, as text and as JSON, on the standard output. */
#ifndef TDBG_CLI_DIFF_PRINT_H
#define TDBG_CLI_DIFF_PRINT_H

#include "replay/diff.h"

void cli_diff_print(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                    const struct tdbg_diff_report *report);
void cli_diff_print_json(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                         const struct tdbg_diff_report *report);

/* "same", "differs", "cannot judge" */
const char *cli_diff_verdict_text(enum tdbg_diff_verdict verdict);

/* "rank 2 of A, " where that is not clear from the lane: one of several differs, or has it; else
 * "". */
const char *cli_diff_who_text(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                              const struct tdbg_diff_report *report, char buf[64]);

/* Path of the file that stands for a run. */
const char *cli_diff_path(const struct tdbg_rank_group *group);

/* `most` of the growth's rows, or fewer, in order: that of the first difference, and then spread
 * over the dataflow. rows has room for them; returns how many. */
int cli_diff_choose_rows(const struct tdbg_diff_report *report, int most, int *rows);

#endif
