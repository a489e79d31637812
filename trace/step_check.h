/* Is everything that belongs to one step there, and does it fit together? Reads the step's rows,
 * samples, values and keyframe, compares values with their digests and statistics, and digests with
 * the hash chains. */
#ifndef TDBG_TRACE_STEP_CHECK_H
#define TDBG_TRACE_STEP_CHECK_H

#include "trace/id_map.h"
#include "trace/reader.h"

/* Something is wrong in a step. site: -1 where it is not about one site; reason begins with the
 * dataset where it is about one, and is borrowed for the call. */
typedef void (*tdbg_fault_fn)(void *context, int64_t step, int32_t site, const char *reason);

struct tdbg_step_result {
    int64_t n_faults;
    int64_t n_values, value_bytes; /* read and compared */
    bool has_row;                  /* else nothing else of the step can be read */
    bool has_inputs;               /* ids and samples of its batch are sound */
    bool evaluated;
    bool is_keyframe;      /* one stands before the step, */
    bool has_keyframe;     /* all of it can be read, */
    bool keyframe_differs; /* but it is not what its digests say */
};

struct tdbg_step_checker;

/* trace is borrowed. sound_ids: the ids of all training samples that are known to be sound; NULL:
 * samples are read. report may be NULL. */
enum tdbg_status tdbg_step_checker_create(struct tdbg_trace *trace,
                                          const struct tdbg_id_map *sound_ids, tdbg_fault_fn report,
                                          void *context, struct tdbg_step_checker **out,
                                          struct tdbg_err *err);

/* Samples that are not there are no faults: the trace is one of several files, and an earlier one
 * may have them. */
void tdbg_step_checker_accept_missing(struct tdbg_step_checker *checker);
void tdbg_step_checker_destroy(struct tdbg_step_checker *checker); /* NULL is fine */

/* Faults are no failure; failures are those of the machine. */
enum tdbg_status tdbg_step_check(struct tdbg_step_checker *checker, int64_t step,
                                 struct tdbg_step_result *result, struct tdbg_err *err);

/* The rows of the step that was checked last, for who wants them as well; false: not all of them
 * could be read. Borrowed. */
bool tdbg_step_checker_rows(const struct tdbg_step_checker *checker,
                            const struct tdbg_step_row **row, const uint64_t **digests,
                            const struct tdbg_stats **stats);

/* What a reader's message says without the "cannot read ...: " in front of it. */
const char *tdbg_fault_reason(const char *message);

#endif
