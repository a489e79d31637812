/* Values of a step for jobs that want one tensor after the other: what is stored is read; the rest
 * comes out of one execution, which is asked for several tensors at once and keeps them for the
 * next job. */
#ifndef TDBG_TUI_JOB_VALUES_H
#define TDBG_TUI_JOB_VALUES_H

#include "replay/session.h"
#include "trace/reader.h"

/* Of one trace. Start with {0}. */
struct tdbg_tui_kept_values {
    int64_t step;
    int32_t n;
    int32_t *sites; /* (n) */
    void **data;
    int64_t *elems; /* -1: the step has no such value */
};

void tdbg_tui_kept_values_free(struct tdbg_tui_kept_values *kept);

/* Values of a site at a step into data, which has room for the largest shape, *n of them valid.
 * Where they are not stored, those of the n_also sites are computed with them, as far as memory of
 * 256 MiB goes, and kept. An executed value is only given if its digest is the recorded one. */
enum tdbg_status tdbg_tui_read_values(struct tdbg_tui_kept_values *kept, struct tdbg_trace *trace,
                                      struct tdbg_recompute *recompute, int64_t step, int32_t site,
                                      const int32_t *also, int32_t n_also, void *data, int64_t *n,
                                      struct tdbg_err *err);

/* Has what was executed the digest that was recorded, where one was? TDBG_DAMAGED: no. */
enum tdbg_status tdbg_tui_check_digest(struct tdbg_trace *trace, int64_t step, int32_t site,
                                       bool evaluated, const void *data, int64_t n,
                                       struct tdbg_err *err);

#endif
