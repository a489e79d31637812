/* What-if: `tdbg replay TRACE --set KEY=VALUE ... -o FORK`. */
#ifndef TDBG_CLI_REPLAY_FORK_H
#define TDBG_CLI_REPLAY_FORK_H

#include "cli/commands.h"

struct cli_fork {
    const char *path, *output; /* the trace that is forked, and the one that is written */
    struct cli_list sets, drops;
    int64_t from, to;
    bool force, quiet;
    struct cli_execution execution;
};

/* Records the fork; *exit_code is 4 where recording had to stop, 128 + the signal where one did. */
enum tdbg_status cli_fork_record(const struct cli_fork *fork, int *exit_code, struct tdbg_err *err);

#endif
