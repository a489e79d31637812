/* "checking the last steps: 45 %" on a terminal, rewritten at most 10 times a second; elsewhere,
 * and when quiet, nothing. */
#ifndef TDBG_CLI_PERCENT_H
#define TDBG_CLI_PERCENT_H

#include <stdbool.h>
#include <stdint.h>

/* All fields are private; {.quiet = ...} to begin with. */
struct cli_percent {
    bool quiet, shown;
    int64_t shown_ns;
};

/* total 0: not known. */
void cli_percent_show(struct cli_percent *percent, const char *what, int64_t done, int64_t total);
void cli_percent_clear(struct cli_percent *percent);

#endif
