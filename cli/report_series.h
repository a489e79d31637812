/* Curves of a run over its steps, thinned out so that a page can show any number of them. */
#ifndef TDBG_CLI_REPORT_SERIES_H
#define TDBG_CLI_REPORT_SERIES_H

#include "base/arena.h"
#include "trace/reader.h"

/* At most CLI_SERIES_POINTS of x (the step) and y: where there are more steps, the lowest and the
 * highest of each stretch of them, and the first that is not finite. */
enum { CLI_SERIES_POINTS = 1200 };
struct cli_series {
    double *x, *y; /* (n) */
    int64_t n;
    double low, high; /* of the finite ones; NaN: there are none */
};

struct cli_run_series {
    struct cli_series loss, grad_norm, lr, step_ms;
    struct cli_series eval_loss, eval_accuracy; /* at the steps that evaluated */
    struct tdbg_step_row last;
};

/* Reads all step rows of a trace once, in blocks, and what evaluations found. Arrays live in the
 * arena. Errors: those of the reader. */
enum tdbg_status cli_series_read(struct tdbg_trace *trace, struct tdbg_arena *arena,
                                 struct cli_run_series *out, struct tdbg_err *err);

#endif
