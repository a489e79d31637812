/* One config of two: where they differ, each difference is taken from one or the other. */
#ifndef TDBG_REPLAY_CONFIG_MERGE_H
#define TDBG_REPLAY_CONFIG_MERGE_H

#include "base/arena.h"
#include "base/config.h"

/* Asked for every difference: is it b's that is wanted? Keys of one `unit` have to be answered
 * alike, as one of them makes no sense without the other: "optimizer.kind" is the unit of all keys
 * of the group that only one kind of optimizer has. Else the unit is the path itself. a or b NULL:
 * only the other config has it. */
typedef bool (*tdbg_config_choose_fn)(void *context, const char *unit, const char *path,
                                      const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b);

/* Lists of the same length are merged item by item, others taken as a whole, as are items whose
 * `op`s differ. The tree lives in the arena and borrows nodes from a and b. */
struct tdbg_cfg_node *tdbg_config_merge(const struct tdbg_cfg_node *a,
                                        const struct tdbg_cfg_node *b, struct tdbg_arena *arena,
                                        tdbg_config_choose_fn choose, void *context);

/* The value as one line of text: "0.01", "\"sgd\"", "[1, 2]"; in the arena. NULL for NULL. */
const char *tdbg_config_value_text(struct tdbg_arena *arena, const struct tdbg_cfg_node *node);

#endif
