/* Work that may take longer than a key press: asked for here, done beside the terminal, answered
 * later, so that the screen never waits.
 *
 *     app  --submit-->  jobs  --take-->  app      (tui.c sleeps on the keyboard and on jobs->fd)
 *
 * jobs_process.c does it in a process of its own, which holds the engine and its memory;
 * jobs_inline.c at once, for tests and for what runs without a screen. */
#ifndef TDBG_TUI_JOBS_H
#define TDBG_TUI_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "replay/origin.h"
#include "tui/parting.h"

enum tdbg_tui_job_kind {
    TDBG_JOB_TENSOR,   /* values of `site` at `step`: read where stored, else computed */
    TDBG_JOB_STATS,    /* statistics of all sites of `step`, by executing it */
    TDBG_JOB_SEARCH,   /* the first step from `step` to `to`, which may lie before it, at which one
                        * of the conditions holds */
    TDBG_JOB_EVALUATE, /* value of the one expression at `step` */
    TDBG_JOB_DIFF,     /* where it and the trace whose path is the one expression part */
    TDBG_JOB_ELEMENTS, /* against such a trace: elements of `site` at `step` here, at `to` there; a
                        * second expression lists sites that will be asked for next ("3 4 7") */
    TDBG_JOB_ORIGIN,   /* where what is not finite at `step` began */
    TDBG_JOB_KIND_COUNT
};

enum { TDBG_JOB_EXPRESSIONS = 32 };

/* Members that the kind does not name are ignored. `rank` is whose file is looked at, `site` a
 * number in that file's list. Texts are copied by submit(). */
struct tdbg_tui_job {
    enum tdbg_tui_job_kind kind;
    int32_t rank, site;
    int64_t step, to;
    const char *expression[TDBG_JOB_EXPRESSIONS];
    int n_expressions;
};

/* Everything pointed to is borrowed until the next take() or cancel. */
struct tdbg_tui_answer {
    int64_t id;
    enum tdbg_tui_job_kind kind;
    enum tdbg_status status; /* TDBG_NOT_FOUND: a search found none; a step has no such tensor */
    const char *message;     /* why it is not TDBG_OK; with a column and a hint for an expression */
    bool is_executed;        /* it was computed again, not read; */
    int64_t steps_executed;  /* what that took */

    int64_t step;       /* SEARCH: where it holds, ORIGIN, and those asked for */
    int expression;     /* SEARCH: index of the one that holds */
    bool is_known;      /* EVALUATE: it has a value there, */
    double number;      /* which is this; conditions: 0 or 1 */
    const void *values; /* TENSOR: elements of the site's dtype, */
    int64_t n_elems;    /* as many as are valid; */
    int fd;             /* and the same in a file that can be mapped, borrowed as well: a mapping
                         * of it keeps them; -1: there is none */
    const struct tdbg_stats *stats;         /* TENSOR: (1); STATS: (n_sites) */
    const struct tdbg_origin *origin;       /* ORIGIN */
    const struct tdbg_tui_parting *parting; /* DIFF, ELEMENTS */
};

struct tdbg_tui_job_progress {
    int64_t done, total; /* steps; total 0: not known yet */
    int64_t step;        /* that is looked at */
};

/* The functions never block and never fail: what goes wrong is an answer. */
struct tdbg_tui_jobs {
    void *context; /* first argument of the functions */
    int fd; /* readable when there may be an answer or progress; -1: answers are there at once */
    /* Returns the job's id, from 1 on. Jobs are done in the order of asking. */
    int64_t (*submit)(void *context, const struct tdbg_tui_job *job);
    /* There will be no answer to it. Any id is fine. */
    void (*cancel)(void *context, int64_t id);
    /* The next answer; false: none yet. */
    bool (*take)(void *context, struct tdbg_tui_answer *out);
    /* How far the job is that runs now; false: none, or not for long. */
    bool (*progress)(void *context, struct tdbg_tui_job_progress *out);
    void (*destroy)(void *context);
};

#endif
