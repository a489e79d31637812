/* Getting back a trace whose recording was cut off or whose file is damaged. Nothing is ever lost:
 * a file that has to be made anew is kept beside the new one. */
#ifndef TDBG_TRACE_RECOVER_H
#define TDBG_TRACE_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

enum tdbg_recover_outcome {
    TDBG_RECOVER_NOTHING, /* the file is whole, and every program opens it: unchanged */
    TDBG_RECOVER_CLEARED, /* it was whole: the mark of its killed writer is gone, and spare room */
    TDBG_RECOVER_COPIED,  /* nothing was wrong, and it is in the output now */
    TDBG_RECOVER_REBUILT, /* made anew from its chunks */
};

struct tdbg_recover_options {
    const char *output; /* NULL: in place of the file. Must not exist */
    /* What is going on, for display; may be NULL. total 0: not known. */
    void (*progress)(void *context, const char *what, int64_t done, int64_t total);
    void *progress_context;
};

struct tdbg_recover_report {
    enum tdbg_recover_outcome outcome;
    bool closed; /* NOTHING, COPIED: the recording ended as it should */
    int64_t first_step, n_steps;
    const char *result;    /* path of the readable trace */
    const char *next;      /* the file that it goes on in, which may need the same; NULL: none */
    const char *kept;      /* REBUILT in place: where the damaged file is now; else NULL */
    const char *reason;    /* REBUILT: what was wrong with it */
    int64_t steps_left;    /* at the end, that were not complete and are left out */
    int64_t steps_damaged; /* REBUILT: seen to be incomplete and not at the end: they are kept */
    int64_t n_chunks, chunks_damaged, chunks_unplaced; /* REBUILT */
    struct tdbg_arena *arena;                          /* owns the texts */
};

/* One file; those that a recording goes on in are recovered one by one.
 *
 * TDBG_USAGE: it is being recorded, or a file that this would make exists already. TDBG_NO_TRACE:
 * no committed step is in it. TDBG_TOO_NEW, TDBG_IO, TDBG_NO_MEMORY. On failure files have the
 * names and steps that they had; the report is freed by the caller with tdbg_recover_clear() in any
 * case.
 */
enum tdbg_status tdbg_recover(const char *path, const struct tdbg_recover_options *options,
                              struct tdbg_recover_report *report, struct tdbg_err *err);
void tdbg_recover_clear(struct tdbg_recover_report *report);

#endif
