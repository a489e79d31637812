/* What trials have answered, so that none is run twice; in a file where asked for, so that a bisect
 * which was stopped goes on where it was:
 *
 *     tdbg bisect log 1 0f3c...        of which two runs, as 16 hexadecimal digits
 *     9a... 0001000 true 14            which question; taken from the bad run: no, no, no, yes,
 * ...; 9a... 1110111 false 399          and where it is true, or up to which step it is false 9a...
 * 0001001 unresolved -1
 */
#ifndef TDBG_REPLAY_BISECT_LOG_H
#define TDBG_REPLAY_BISECT_LOG_H

#include <stdint.h>

#include "replay/ddmin.h"

struct tdbg_bisect_log;

/* path NULL: in memory only. resume: the file is there, of these runs (a number for them), for
 * trials of n things, and is gone on with; TDBG_USAGE where it is not. Else the file is new.
 * TDBG_IO where it cannot be written. */
enum tdbg_status tdbg_bisect_log_open(const char *path, bool resume, uint64_t runs, int n,
                                      struct tdbg_bisect_log **out, struct tdbg_err *err);
void tdbg_bisect_log_close(struct tdbg_bisect_log *log); /* NULL is fine */

/* What the trials below are asked: a number for it. Answers to another question are not those to
 * this one. */
void tdbg_bisect_log_ask(struct tdbg_bisect_log *log, uint64_t question);

/* What is known of a trial that is run up to step `end` - 1; false: nothing. */
bool tdbg_bisect_log_find(const struct tdbg_bisect_log *log, const bool *taken, int64_t end,
                          enum tdbg_outcome *outcome, int64_t *step);

/* Remembers an answer as in struct tdbg_bisect_answer, and writes it out at once. */
enum tdbg_status tdbg_bisect_log_add(struct tdbg_bisect_log *log, const bool *taken,
                                     enum tdbg_outcome outcome, int64_t step, struct tdbg_err *err);

/* Trials that are known. */
int tdbg_bisect_log_count(const struct tdbg_bisect_log *log);

#endif
