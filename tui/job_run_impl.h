/* Inside of job_run.c and job_search.c. */
#ifndef TDBG_TUI_JOB_RUN_IMPL_H
#define TDBG_TUI_JOB_RUN_IMPL_H

#include "replay/expression_eval.h"
#include "trace/reader.h"
#include "tui/job_run.h"
#include "tui/job_values.h"

/* An expression that was asked for, bound to the trace. */
struct tdbg_tui_bound {
    char *text; /* NULL: the place is free */
    struct tdbg_expr *expr;
    struct tdbg_expr_eval *eval;
    int64_t used_at; /* the job that it was last wanted for */
};

struct tdbg_tui_runner {
    char *path;
    struct tdbg_session_options options;
    tdbg_tui_goes_on *goes_on;
    void *context;

    int32_t rank; /* whose file is open, or -1 */
    struct tdbg_trace *trace;
    struct tdbg_recompute *recompute; /* its session and cached states serve all jobs */
    struct tdbg_tui_bound bound[2 * TDBG_JOB_EXPRESSIONS];
    int64_t n_jobs; /* with expressions */

    bool is_searching;
    struct tdbg_tui_job_progress progress; /* of the search */

    /* What answers point to. */
    struct tdbg_err err;
    int fd;     /* a memory file with the values of a tensor, or -1, */
    void *data; /* mapped here; NULL: none */
    size_t data_bytes;
    struct tdbg_stats tensor_stats;
    struct tdbg_stats *stats; /* (n_sites) */
    struct tdbg_origin origin;
    struct tdbg_tui_parting parting;

    /* The trace that was compared with last, where its elements were asked for; and what was
     * executed for that, of this trace and of the other. */
    char *other_path;
    int32_t other_rank;
    struct tdbg_trace *other;
    struct tdbg_recompute *other_recompute;
    struct tdbg_tui_kept_values kept, other_kept;
};

bool tdbg_tui_runner_ask(struct tdbg_tui_runner *runner,
                         const struct tdbg_tui_job_progress *progress);

/* How to execute, so that the job can be given up between two steps. */
struct tdbg_session_options tdbg_tui_runner_options(struct tdbg_tui_runner *runner);

/* job_search.c */
enum tdbg_status tdbg_tui_runner_evaluate(struct tdbg_tui_runner *runner,
                                          const struct tdbg_tui_job *job,
                                          struct tdbg_tui_answer *out, struct tdbg_err *err);
enum tdbg_status tdbg_tui_runner_search(struct tdbg_tui_runner *runner,
                                        const struct tdbg_tui_job *job, struct tdbg_tui_answer *out,
                                        struct tdbg_err *err);
/* job_diff.c */
enum tdbg_status tdbg_tui_runner_diff(struct tdbg_tui_runner *runner,
                                      const struct tdbg_tui_job *job, struct tdbg_tui_answer *out,
                                      struct tdbg_err *err);
void tdbg_tui_runner_close_other(struct tdbg_tui_runner *runner);

void tdbg_tui_runner_forget_expressions(struct tdbg_tui_runner *runner);

#endif
