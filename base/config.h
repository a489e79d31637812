/* train.cfg as a tree of nodes, checked against declarative option tables.
 *
 *   text --libconfig--> nodes --+ --set--> nodes --check(tables)--> nodes with defaults filled in
 *                                             |
 *                                             +--> diagnostics (all semantic errors together)
 *
 * Only config.c sees libconfig. Every node knows where it came from. All nodes, strings and
 * diagnostics belong to the struct tdbg_config and live until tdbg_config_destroy(). */
#ifndef TDBG_BASE_CONFIG_H
#define TDBG_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum tdbg_cfg_type {
    TDBG_CFG_GROUP, /* { key = value; ... } */
    TDBG_CFG_LIST,  /* ( ... ) or [ ... ]; children have no key */
    TDBG_CFG_INT,
    TDBG_CFG_FLOAT,
    TDBG_CFG_BOOL,
    TDBG_CFG_STRING,
};

enum tdbg_cfg_origin { TDBG_CFG_FROM_DEFAULT, TDBG_CFG_FROM_FILE, TDBG_CFG_FROM_SET };

struct tdbg_cfg_node {
    enum tdbg_cfg_type type;
    enum tdbg_cfg_origin origin;
    const char *key;              /* NULL for list items and the root */
    const char *file;             /* as it was named on the command line; "--set" for FROM_SET */
    int line;                     /* 1-based; 0 for --set and defaults */
    int64_t i;                    /* INT, BOOL */
    double f;                     /* FLOAT, and INT as a double */
    const char *s;                /* STRING */
    struct tdbg_cfg_node **child; /* GROUP and LIST, in source order */
    int n_child;
    struct tdbg_cfg_node *parent;
};

/* One row of an option table. Also the source of --help-config and of the manual page. */
enum tdbg_option_type {
    TDBG_OPT_INT,
    TDBG_OPT_FLOAT, /* accepts an integer literal */
    TDBG_OPT_BOOL,
    TDBG_OPT_STRING,
    TDBG_OPT_ENUM,        /* one of `choices`, separated by '|' */
    TDBG_OPT_PATH,        /* string; relative to the folder of the config file */
    TDBG_OPT_PATHS,       /* a path, or a list of at least one */
    TDBG_OPT_FLOATS,      /* list of numbers, may be empty */
    TDBG_OPT_INTS,        /* list of integers, may be empty */
    TDBG_OPT_GLOBS,       /* list of strings */
    TDBG_OPT_LIST,        /* list of groups: items are checked by the key's owner */
    TDBG_OPT_GROUP,       /* group whose keys are checked by the key's owner */
    TDBG_OPT_INT_OR_SIZE, /* integer within the range, or a string like "256MiB" */
    TDBG_OPT_INT_OR_PAIR, /* integer, or list of two integers: of height and width */
};

enum { TDBG_OPT_REQUIRED = 1, TDBG_OPT_ABOVE_MIN = 2 /* value > min instead of >= */ };

struct tdbg_option {
    const char *key; /* dotted: "optimizer.lr" */
    enum tdbg_option_type type;
    const char *unit;          /* "samples", "steps", "bytes", "" */
    double min, max;           /* range of numbers (of each item in lists); min == max: no limit */
    const char *choices;       /* TDBG_OPT_ENUM */
    const char *default_value; /* libconfig text ("0.9", "true", "\"sgd\"", "[]"); NULL: none */
    unsigned flags;
    const char *help; /* one sentence */
};

struct tdbg_option_table {
    const struct tdbg_option *options;
    int n;
};

struct tdbg_config; /* arena, tree, texts for error excerpts, diagnostics */

/* Reads a file (or, for _parse, a text that messages call `name`) and applies `sets`
 * ("key.path=value", value in libconfig syntax or a bare word). A syntax error, in the file or in
 * a set, is the only thing that makes these fail (TDBG_CONFIG; the message is the whole
 * "file:line: error: ..." text with its source line and hint), or a file that cannot be read.
 * On success *out has to be destroyed by the caller. */
enum tdbg_status tdbg_config_load(const char *path, const char *const *sets, int n_sets,
                                  struct tdbg_config **out, struct tdbg_err *err);
enum tdbg_status tdbg_config_parse(const char *text, const char *name, const char *const *sets,
                                   int n_sets, struct tdbg_config **out, struct tdbg_err *err);
void tdbg_config_destroy(struct tdbg_config *config); /* NULL is fine */

const struct tdbg_cfg_node *tdbg_config_root(const struct tdbg_config *config);

/* The file's own text as read, for the trace. Owned by config. */
const char *tdbg_config_source_text(const struct tdbg_config *config);

/* Checks a group against tables: unknown keys (with "did you mean"), types, ranges, choices,
 * missing required keys, nan/inf given as text. Fills in defaults as nodes. Dotted keys make nested
 * groups. Every fault becomes a diagnostic; returns how many were added. `context` names the group
 * in messages about missing keys ("model[2] (linear)"), NULL for the root. */
int tdbg_config_check(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                      const struct tdbg_option_table *tables, int n_tables, const char *context);

/* Adds a diagnostic at a node (the group itself for a missing key). hint may be NULL. */
void tdbg_config_report(struct tdbg_config *config, const struct tdbg_cfg_node *at,
                        const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for something that is worth saying but no fault. */
void tdbg_config_note(struct tdbg_config *config, const struct tdbg_cfg_node *at, const char *hint,
                      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

int tdbg_config_n_diagnostics(const struct tdbg_config *config); /* notes not counted */

/* All diagnostics and notes as tdbg_config_result() would word them; "" when there are none.
 * Caller frees with free(). */
char *tdbg_config_messages(const struct tdbg_config *config);

/* TDBG_OK without diagnostics; else TDBG_CONFIG whose message is all of them, sorted by line:
 *     train.cfg:12: error: unknown key 'learing_rate'
 *         learing_rate = 0.1;
 *     hint: did you mean 'learning_rate'?
 * Notes (tdbg_config_note) appear in the same text but never make it fail. */
enum tdbg_status tdbg_config_result(struct tdbg_config *config, struct tdbg_err *err);

/* Removes a direct child of the root ("inject"); no effect where it is absent. */
void tdbg_config_remove(struct tdbg_config *config, const char *key);

/* The whole tree as canonical libconfig text that parses back to the same tree: doubles with 17
 * digits where needed. With origins, each line carries a comment "# default", "# train.cfg:12" or
 * "# --set". Caller frees with free(). */
char *tdbg_config_print(const struct tdbg_cfg_node *node, bool with_origins);

/* Looks a dotted key up below a group; NULL: not there. */
const struct tdbg_cfg_node *tdbg_cfg_find(const struct tdbg_cfg_node *group, const char *key);

/* Values of keys that a check has passed (a missing key or another type is a bug of ours). */
int64_t tdbg_cfg_int(const struct tdbg_cfg_node *group, const char *key);
double tdbg_cfg_float(const struct tdbg_cfg_node *group, const char *key);
bool tdbg_cfg_bool(const struct tdbg_cfg_node *group, const char *key);
const char *tdbg_cfg_string(const struct tdbg_cfg_node *group, const char *key);

/* A TDBG_OPT_INT_OR_PAIR: a single integer stands for both. A missing key leaves pair as it is. */
void tdbg_cfg_pair(const struct tdbg_cfg_node *group, const char *key, int64_t pair[2]);

/* A TDBG_OPT_PATH made absolute or relative to the working folder. Caller frees with free(). */
char *tdbg_cfg_path(const struct tdbg_config *config, const struct tdbg_cfg_node *group,
                    const char *key);

/* The same for a string node: an item of TDBG_OPT_PATHS. */
char *tdbg_cfg_node_path(const struct tdbg_config *config, const struct tdbg_cfg_node *node);

/* Bytes of a size like "256MiB" (B, KiB, MiB, GiB, TiB); false: no such size, *bytes untouched. */
bool tdbg_cfg_size_bytes(const char *text, int64_t *bytes);

/* "did you mean": the candidate nearest to `word` (Damerau-Levenshtein, at most a third of the
 * word's length and at least 1), or NULL. candidates[i] may be NULL (skipped). */
const char *tdbg_suggest(const char *word, const char *const *candidates, int n);

/* Prints option tables for --help-config: key, type, unit, range, default, sentence. */
void tdbg_option_print_help(const struct tdbg_option_table *tables, int n_tables, FILE *out);

#endif
