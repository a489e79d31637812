/* The golden file of tdbg ci: the hash chains of a short training, step by step, as text that can
 * be kept under version control.
 *
 *     tdbg-ci 1                          the format's version
 *     numerics 1                         that of the program that wrote it
 *     config optimizer.lr 0.01           what can change a bit; for the message only
 *     chains samples hyper ... main      the columns, in dataflow order
 *     step 0 5d0c... 91ab... ...         h(step) of each, 16 hexadecimal digits
 */
#ifndef TDBG_CLI_CI_GOLDEN_H
#define TDBG_CLI_CI_GOLDEN_H

#include "base/arena.h"
#include "base/config.h"
#include "replay/config_diff.h"
#include "trace/schema.h"

enum { CI_MOST_STEPS = 100000, CI_MOST_KEYS = 4096 };

struct ci_key {
    const char *key, *value;
};

struct ci_golden {
    int32_t numerics_version;
    struct ci_key *key; /* (n_keys) */
    int n_keys;
    bool has_chain[TDBG_CHAIN_COUNT];
    int64_t n_steps;
    uint64_t (*chain)[TDBG_CHAIN_COUNT]; /* (n_steps) of steps 0, 1, ... */
};

/* Chains in the order of the columns: stages in dataflow order, then main. */
int ci_golden_column(int i);

/* Keys of a checked config that can change a bit: not where it is computed, what is recorded, how
 * many steps, or where files lie. */
void ci_golden_take_config(struct ci_golden *golden, const struct tdbg_cfg_node *root,
                           struct tdbg_arena *arena);

/* TDBG_USAGE: it cannot be read. TDBG_CONFIG: it is no golden file, as "file:line: error: ...".
 * TDBG_TOO_NEW: of a later format. Memory is the arena's. */
enum tdbg_status ci_golden_read(const char *path, struct tdbg_arena *arena, struct ci_golden *out,
                                struct tdbg_err *err);

/* Replaces the file, or makes it; a failure leaves the old one. */
enum tdbg_status ci_golden_write(const char *path, const struct ci_golden *golden,
                                 struct tdbg_arena *arena, struct tdbg_err *err);

/* The first step that differs in a chain that both have, or -1; only in golden's steps that `now`
 * has too. differs (TDBG_CHAIN_COUNT): which chains do in that step. */
int64_t ci_golden_compare(const struct ci_golden *golden, const struct ci_golden *now,
                          bool *differs);

/* Keys that differ; the list is the arena's. */
int ci_golden_compare_config(const struct ci_golden *golden, const struct ci_golden *now,
                             struct tdbg_arena *arena, struct tdbg_config_difference **out);

#endif
