/* Checking a whole trace: every stored thing is read, and compared with what was recorded about it.
 * What is found is told as the steps and sites that it touches. */
#ifndef TDBG_TRACE_CHECK_FILE_H
#define TDBG_TRACE_CHECK_FILE_H

#include "trace/reader.h"

/* One thing that is wrong, over steps that follow each other. */
struct tdbg_file_fault {
    int64_t first_step, last_step; /* -1: not of a step */
    int32_t site;                  /* -1: not of one site */
    int64_t n_samples;             /* that it takes, where it is about samples; else 0 */
    const char *reason;            /* "t/grad/fc1.weight: a chunk does not have its checksum" */
};

struct tdbg_step_range {
    int64_t first, last;
};

enum { TDBG_MOST_FILE_FAULTS = 4096 };

struct tdbg_file_check {
    struct tdbg_arena *arena; /* owns the texts */
    struct tdbg_file_fault *faults;
    int64_t n_faults, n_more; /* n_more: found after the list was full */

    int64_t n_values, value_bytes, n_samples; /* read and compared */
    int64_t damaged_steps;                    /* that something is wrong with */

    /* Steps that can be executed again from what is sound. not_possible: none, and damage is not
     * the reason but this; else NULL. */
    struct tdbg_step_range *sound;
    int64_t n_sound;
    const char *not_possible;
};

/* progress may be NULL; nonzero stops (TDBG_INTERRUPTED). TDBG_OK whatever is found: see n_faults.
 * Other statuses are failures of the machine. The result is freed by the caller with
 * tdbg_file_check_clear() in any case. */
enum tdbg_status tdbg_check_file(struct tdbg_trace *trace,
                                 int (*progress)(void *context, int64_t done, int64_t total),
                                 void *context, struct tdbg_file_check *out, struct tdbg_err *err);
void tdbg_file_check_clear(struct tdbg_file_check *check);

#endif
