/* Groups whose keys depend on a discriminating key: { kind = "sgd"; ... }, { op = "linear"; ... }.
 * One check for all of them. */
#ifndef TDBG_ENGINE_KIND_TABLE_H
#define TDBG_ENGINE_KIND_TABLE_H

#include "base/config.h"

/* One kind: its name and the table of keys it has besides the discriminating key. */
struct tdbg_kind {
    const char *name;
    struct tdbg_option_table options;
};

/* Checks `group` against the discriminating key `key` (a string naming one of the kinds), the
 * common table (may be empty) and the kind's own table. Returns the index of the kind, or -1 after
 * a diagnostic. group NULL (already reported) returns -1. context as in tdbg_config_check. */
int tdbg_kind_check(struct tdbg_config *config, const struct tdbg_cfg_node *group, const char *key,
                    const struct tdbg_kind *kinds, int n_kinds,
                    const struct tdbg_option_table *common, const char *context);

/* The same where the group may leave the key out: kinds[default_kind] is then filled in. */
int tdbg_kind_check_or(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                       const char *key, int default_kind, const struct tdbg_kind *kinds,
                       int n_kinds, const struct tdbg_option_table *common, const char *context);

/* Prints the tables under headings "optimizer, kind = "sgd":". */
void tdbg_kind_print_options(const char *heading, const char *key, const struct tdbg_kind *kinds,
                             int n_kinds, const struct tdbg_option_table *common, FILE *out);

#endif
