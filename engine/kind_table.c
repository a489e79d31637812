/* Checking groups that have a kind. See kind_table.h. */
#include "engine/kind_table.h"

#include <stdio.h>
#include <string.h>

enum { MAX_KINDS = 64 };

static int find_kind(const struct tdbg_kind *kinds, int n_kinds, const char *name)
{
    for (int i = 0; i < n_kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* "sgd|adamw" into buf */
static void join_names(const struct tdbg_kind *kinds, int n_kinds, char *buf, size_t buf_bytes)
{
    size_t used = 0;
    for (int i = 0; i < n_kinds && used < buf_bytes; i++)
        used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%s", i ? "|" : "", kinds[i].name);
}

int tdbg_kind_check(struct tdbg_config *config, const struct tdbg_cfg_node *group, const char *key,
                    const struct tdbg_kind *kinds, int n_kinds,
                    const struct tdbg_option_table *common, const char *context)
{
    return tdbg_kind_check_or(config, group, key, -1, kinds, n_kinds, common, context);
}

int tdbg_kind_check_or(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                       const char *key, int default_kind, const struct tdbg_kind *kinds,
                       int n_kinds, const struct tdbg_option_table *common, const char *context)
{
    if (!group)
        return -1;
    if (group->type != TDBG_CFG_GROUP) {
        tdbg_config_report(config, group, NULL, "%s has to be a group { %s = ...; }", context, key);
        return -1;
    }
    char choices[512];
    join_names(kinds, n_kinds, choices, sizeof choices);
    struct tdbg_option discriminator = {
        key, TDBG_OPT_ENUM, "", 0, 0, choices, NULL, TDBG_OPT_REQUIRED, "which kind it is"};
    char value[64];
    if (default_kind >= 0) {
        snprintf(value, sizeof value, "\"%s\"", kinds[default_kind].name);
        discriminator.default_value = value;
        discriminator.flags = 0;
    }
    const struct tdbg_option_table own = {&discriminator, 1};
    const struct tdbg_cfg_node *name = tdbg_cfg_find(group, key);
    int kind = !name ? default_kind : -1;
    if (name && name->type == TDBG_CFG_STRING)
        kind = find_kind(kinds, n_kinds, name->s);
    if (kind <
        0) { /* the keys of an unknown kind cannot be judged: only say what kinds there are */
        if (!name)
            tdbg_config_report(config, group, NULL, "%s has no '%s' (one of %s)", context, key,
                               choices);
        else if (name->type != TDBG_CFG_STRING)
            tdbg_config_report(config, name, NULL, "'%s' of %s wants a string, one of %s", key,
                               context, choices);
        else {
            const char *names[MAX_KINDS];
            char hint[128];
            for (int i = 0; i < n_kinds && i < MAX_KINDS; i++)
                names[i] = kinds[i].name;
            const char *near = tdbg_suggest(name->s, names, n_kinds);
            snprintf(hint, sizeof hint, "did you mean \"%s\"?", near ? near : "");
            tdbg_config_report(config, name, near ? hint : NULL,
                               "unknown %s \"%s\" of %s; known are %s", key, name->s, context,
                               choices);
        }
        return -1;
    }
    const struct tdbg_option_table tables[3] = {own, *common, kinds[kind].options};
    tdbg_config_check(config, group, tables, 3, context);
    return kind;
}

void tdbg_kind_print_options(const char *heading, const char *key, const struct tdbg_kind *kinds,
                             int n_kinds, const struct tdbg_option_table *common, FILE *out)
{
    if (common->n > 0) {
        fprintf(out, "\n%s, every %s:\n", heading, key);
        tdbg_option_print_help(common, 1, out);
    }
    for (int i = 0; i < n_kinds; i++) {
        fprintf(out, "\n%s, %s = \"%s\"%s\n", heading, key, kinds[i].name,
                kinds[i].options.n > 0 ? ":" : ": no further keys");
        tdbg_option_print_help(&kinds[i].options, 1, out);
    }
}
