/* Differences between two configs, key by key. */
#ifndef TDBG_REPLAY_CONFIG_DIFF_H
#define TDBG_REPLAY_CONFIG_DIFF_H

#include "base/arena.h"
#include "base/config.h"

struct tdbg_config_difference {
    const char *key;   /* "optimizer.lr", "model[2].out" */
    const char *a, *b; /* values as libconfig text; NULL: the key is not there */
};

/* All leaves that differ, in a's order and then those that only b has. The list and its strings
 * live in the arena; returns their number. */
int tdbg_config_diff(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b,
                     struct tdbg_arena *arena, struct tdbg_config_difference **out);

#endif
