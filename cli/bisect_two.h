/* tdbg bisect GOOD BAD: between two runs. */
#ifndef TDBG_CLI_BISECT_TWO_H
#define TDBG_CLI_BISECT_TWO_H

#include <stdio.h>

#include "base/json.h"
#include "cli/commands.h"
#include "replay/bisect_pair.h"

struct cli_bisect_two {
    const char *good, *bad; /* traces or configs */
    struct tdbg_expr *when; /* NULL: by itself */
    bool first_difference, as_json, quiet, resume;
    FILE *json_file; /* that the JSON is written to as well, or NULL */
    int64_t max_steps;
    const char *log_path;
    struct cli_execution execution;
};

/* Prints what is found; *exit_code is 0 where the cause is, 1 where the runs do not differ, 125
 * where it cannot be told. */
enum tdbg_status cli_bisect_two(const struct cli_bisect_two *pair, int *exit_code,
                                struct tdbg_err *err);

/* The report as JSON (schema 1). */
void cli_bisect_two_print_json(const struct tdbg_pair_report *report, FILE *out);

/* The rank that has a lane of a side's trace, or -1 where there is one rank, or no trace. */
int32_t cli_bisect_rank(const struct tdbg_bisect_side *side, int32_t lane);

#endif
