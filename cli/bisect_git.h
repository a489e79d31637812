/* tdbg bisect --git-bisect: the answer that `git bisect run` wants of a commit. */
#ifndef TDBG_CLI_BISECT_GIT_H
#define TDBG_CLI_BISECT_GIT_H

#include "cli/commands.h"
#include "replay/expression.h"

struct cli_bisect_git {
    const char *good; /* a trace that a good commit recorded; NULL: `when` is asked */
    const char *bad;  /* what this commit makes: a config, which is run, or a trace */
    struct tdbg_expr *when;
    struct cli_execution execution;
};

/* *is_bad: the run of `bad` has other bits than the good one; or, with an expression, that holds in
 * it. Anything but TDBG_OK: this commit cannot be judged. Says on stdout what it is. */
enum tdbg_status cli_bisect_git(const struct cli_bisect_git *git, bool *is_bad,
                                struct tdbg_err *err);

#endif
