/* The recorded source of all ranks at once, for an engine that has every lane: samples of each
 * rank's lanes from its own trace. */
#ifndef TDBG_REPLAY_SOURCE_GROUP_H
#define TDBG_REPLAY_SOURCE_GROUP_H

#include "engine/source.h"
#include "trace/rank_group.h"

struct tdbg_source_group;

/* group is borrowed. A step whose samples are not the same in the files of all ranks that have it
 * is TDBG_DAMAGED. Without rank 0's file nothing is evaluated: it has the evaluation's samples. */
enum tdbg_status tdbg_source_group_create(struct tdbg_rank_group *group,
                                          struct tdbg_source_group **out, struct tdbg_err *err);
void tdbg_source_group_destroy(struct tdbg_source_group *source); /* NULL is fine */

/* The table over it; valid as long as `source`. */
struct tdbg_source tdbg_source_group_table(struct tdbg_source_group *source);

#endif
