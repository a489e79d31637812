/* How much two runs may differ, as the commands that compare them are told. */
#ifndef TDBG_CLI_TOLERANCE_H
#define TDBG_CLI_TOLERANCE_H

#include "cli/commands.h"
#include "replay/diff.h"

struct cli_tolerance {
    const char *rtol, *atol, *noise; /* NULL: not given */
    int64_t ulp;                     /* -1: not given */
    struct cli_run repeat;           /* of noise, once it is open */
};
#define CLI_NO_TOLERANCE                                                                           \
    {                                                                                              \
        .ulp = -1                                                                                  \
    }
#define CLI_TOLERANCE_OPTIONS(t)                                                                   \
    {"--rtol",  0, CLI_STRING, "X",                                                                \
     &(t).rtol, 0, 0,          "Elements may differ by X times the larger of the two."},           \
        {"--atol", 0, CLI_STRING, "X", &(t).atol, 0, 0, "Elements may differ by X."},              \
        {"--ulp",  0, CLI_INT,   "N",                                                              \
         &(t).ulp, 0, INT64_MAX, "Elements may differ by N units in the last place."},             \
    {                                                                                              \
        "--noise", 0, CLI_STRING, "A2", &(t).noise, 0, 0,                                          \
            "A repeat of A: tensors may differ by 4 times what they differ there."                 \
    }

bool cli_tolerance_is_given(const struct cli_tolerance *tolerance);

/* The numbers, and the repeat, which is opened, into the options of a diff. */
enum tdbg_status cli_tolerance_read(struct cli_tolerance *tolerance,
                                    struct tdbg_diff_options *options, struct tdbg_err *err);
enum tdbg_status cli_tolerance_open(struct cli_tolerance *tolerance,
                                    const struct cli_execution *execution,
                                    struct tdbg_diff_options *options, struct tdbg_err *err);
void cli_tolerance_close(struct cli_tolerance *tolerance);

/* The options again, as one would write them: " --rtol 1e-4 --noise a2.h5"; "" where none is given.
 */
const char *cli_tolerance_text(const struct cli_tolerance *tolerance, char *buf, size_t buf_bytes);

#endif
