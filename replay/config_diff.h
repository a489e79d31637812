/* Differences between two configs, key by key. */
#ifndef TDBG_REPLAY_CONFIG_DIFF_H
#define TDBG_REPLAY_CONFIG_DIFF_H

#include "base/arena.h"
#include "base/config.h"
#include "base/json.h"

struct tdbg_config_difference {
    const char *key;   /* "optimizer.lr", "model[2].out" */
    const char *a, *b; /* values as they are written; NULL: the key is not there */
};

/* All leaves that differ, in a's order and then those that only b has. The list and its strings
 * live in the arena; returns their number. */
int tdbg_config_diff(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b,
                     struct tdbg_arena *arena, struct tdbg_config_difference **out);

/* The same for texts of any kind, line by line: "key = value" and "key: value" are taken apart,
 * another line is a key without a value; the n-th line of one key is "key (n)". */
int tdbg_config_diff_texts(const char *a, const char *b, struct tdbg_arena *arena,
                           struct tdbg_config_difference **out);

/* The same for JSON texts, leaf by leaf ("train.samples", "gpus[0]"); values as they are written. A
 * text that is no JSON is compared line by line. */
int tdbg_config_diff_json(const char *a, const char *b, struct tdbg_arena *arena,
                          struct tdbg_config_difference **out);

/* Do two descriptions of data sets (struct tdbg_run_info's dataset) have the same fingerprints? */
bool tdbg_dataset_same(const char *a, const char *b);

/* "KEY": [{"key": ..., "A": ..., "B": ...}] of a list of differences; A and B: what the sides are
 * called. */
void tdbg_config_diff_print_json(const struct tdbg_config_difference *list, int n, const char *key,
                                 const char *a, const char *b, struct tdbg_json *json);

#endif
