/* The recorded source of one rank of several: its samples from its own trace, and what the others
 * contributed from the traces of the run. */
#ifndef TDBG_REPLAY_SOURCE_RANK_H
#define TDBG_REPLAY_SOURCE_RANK_H

#include "engine/backend.h"
#include "engine/source.h"
#include "trace/reader.h"

struct tdbg_source_rank;

/* trace and backend, which adds, are borrowed. The files of other ranks are opened when they are
 * first needed.
 *
 * What a reduction gave is read from rank 0's file where it is stored (record.solo_replay); else it
 * is the fold of what all lanes put in, each from its rank's file, with this rank's own share as it
 * comes. TDBG_CANNOT_JUDGE says what neither has. A stored value without its recorded digest is
 * TDBG_DAMAGED. Evaluations are rank 0's: those that are not stored are zero on the other ranks. */
enum tdbg_status tdbg_source_rank_create(struct tdbg_trace *trace,
                                         const struct tdbg_backend *backend,
                                         struct tdbg_source_rank **out, struct tdbg_err *err);
void tdbg_source_rank_destroy(struct tdbg_source_rank *source); /* NULL is fine */

/* The table over it; valid as long as `source`. */
struct tdbg_source tdbg_source_rank_table(struct tdbg_source_rank *source);

/* Why an evaluation could not be had, or NULL: none had to be left out so far. */
const char *tdbg_source_rank_lacks_evaluation(const struct tdbg_source_rank *source);

#endif
