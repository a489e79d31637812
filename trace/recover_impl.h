/* Inside of a recovery, shared by recover.c and recover_examine.c only. */
#ifndef TDBG_TRACE_RECOVER_IMPL_H
#define TDBG_TRACE_RECOVER_IMPL_H

#include "trace/reader_impl.h"
#include "trace/recover.h"
#include "trace/step_check.h"

/* Steps at the end of a whole file that are looked at closely: a chunk of rows. */
enum { TDBG_RECOVER_TAIL_STEPS = 16 };

struct tdbg_recovery {
    const char *path;
    const struct tdbg_recover_options *options;
    struct tdbg_recover_report *report;
    const char *work; /* the new file while it is made */
    int fd, lock;     /* of the file */
    bool in_use;      /* it says that a writer has it open */
    int64_t n_keyframes;
};

void tdbg_recover_progress(const struct tdbg_recovery *r, const char *what, int64_t done,
                           int64_t total);

/* A checker of steps whose context is the report. A later file of a recording does not repeat the
 * samples that an earlier one has. */
enum tdbg_status tdbg_recover_checker(const struct tdbg_recovery *r, struct tdbg_trace *t,
                                      tdbg_fault_fn report, struct tdbg_step_checker **out,
                                      struct tdbg_err *err);

/* The file that it goes on in, for the report. */
void tdbg_recover_note_next(struct tdbg_recovery *r, const struct tdbg_trace *t);

/* *whole: can be read as it stands. If not, the report says why. TDBG_OK in both cases. */
enum tdbg_status tdbg_recover_examine(struct tdbg_recovery *r, bool *whole, struct tdbg_err *err);

#endif
