/* Parameter groups and frozen parameters: patterns over parameter names. See optimizer.h. */
#include "engine/optimizer_class.h"

#include <fnmatch.h>
#include <string.h>

static const struct tdbg_option group_options[] = {
    {"match", TDBG_OPT_GLOBS, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Names of the parameters; * stands for any characters, ? for one."},
    {"weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, NULL, 0,
     "Instead of the optimizer's weight_decay."},
    {"lr_scale", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "1.0", 0,
     "Factor of the learning rate, after the schedule."},
    {"frozen", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Leave these parameters and their optimizer state as they are."},
};
static const struct tdbg_option_table table = TDBG_OPTION_TABLE(group_options);

void tdbg_optimizer_check_groups(struct tdbg_config *config, const struct tdbg_cfg_node *list)
{
    if (!list || list->type != TDBG_CFG_LIST)
        return;
    for (int i = 0; i < list->n_child; i++) {
        char context[48];
        snprintf(context, sizeof context, "optimizer.groups[%d]", i);
        const struct tdbg_cfg_node *group = list->child[i];
        if (group->type != TDBG_CFG_GROUP)
            tdbg_config_report(config, group, NULL, "%s has to be a group { match = ...; }",
                               context);
        else
            tdbg_config_check(config, group, &table, 1, context);
    }
}

void tdbg_optimizer_print_group_options(FILE *out)
{
    fprintf(out, "\noptimizer.groups, every group:\n");
    tdbg_option_print_help(&table, 1, out);
}

static bool matches_any(const struct tdbg_cfg_node *patterns, const char *name)
{
    for (int i = 0; i < patterns->n_child; i++) {
        if (fnmatch(patterns->child[i]->s, name, 0) == 0)
            return true;
    }
    return false;
}

/* Every pattern has to match something: one that does not is a slip of the pen. */
static void check_patterns(struct tdbg_config *config, const struct tdbg_cfg_node *patterns,
                           const char *key, const char *const *names, int32_t n)
{
    for (int i = 0; i < patterns->n_child; i++) {
        const char *pattern = patterns->child[i]->s;
        int32_t p = 0;
        while (p < n && fnmatch(pattern, names[p], 0) != 0)
            p++;
        if (p < n)
            continue;
        char hint[160];
        const char *near = tdbg_suggest(pattern, names, n);
        if (near)
            snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
        else
            snprintf(hint, sizeof hint, "parameters are called like \"%s\"%s%s%s", names[0],
                     n > 1 ? " and \"" : "", n > 1 ? names[n - 1] : "", n > 1 ? "\"" : "");
        tdbg_config_report(config, patterns->child[i], hint,
                           "'%s' has \"%s\", which matches no parameter", key, pattern);
    }
}

void tdbg_optimizer_resolve(struct tdbg_config *config, const struct tdbg_cfg_node *root,
                            const struct tdbg_optimizer *optimizer, const char *const *names,
                            int32_t n, struct tdbg_param_setting *out)
{
    const struct tdbg_cfg_node *groups = tdbg_cfg_find(root, "optimizer.groups");
    const struct tdbg_cfg_node *freeze = tdbg_cfg_find(root, "freeze");
    int32_t n_frozen = 0;
    for (int32_t p = 0; p < n; p++) {
        out[p] = (struct tdbg_param_setting){
            .weight_decay = optimizer->weight_decay,
            .lr_scale = 1,
            .frozen = matches_any(freeze, names[p]),
        };
        for (int g = 0; g < groups->n_child; g++) {
            const struct tdbg_cfg_node *group = groups->child[g];
            if (!matches_any(tdbg_cfg_find(group, "match"), names[p]))
                continue;
            const struct tdbg_cfg_node *decay = tdbg_cfg_find(group, "weight_decay");
            out[p].weight_decay = decay ? decay->f : optimizer->weight_decay;
            out[p].lr_scale = tdbg_cfg_float(group, "lr_scale");
            out[p].frozen |= tdbg_cfg_bool(group, "frozen");
            break;
        }
        n_frozen += out[p].frozen;
    }
    for (int g = 0; g < groups->n_child; g++)
        check_patterns(config, tdbg_cfg_find(groups->child[g], "match"), "optimizer.groups.match",
                       names, n);
    check_patterns(config, freeze, "freeze", names, n);
    if (n > 0 && n_frozen == n)
        tdbg_config_report(config, freeze->n_child > 0 ? freeze : groups, NULL,
                           "every parameter is frozen: there is nothing to train");
}

static bool same_setting(const struct tdbg_param_setting *a, const struct tdbg_param_setting *b)
{
    return a->frozen == b->frozen && a->weight_decay == b->weight_decay &&
           a->lr_scale == b->lr_scale;
}

/* Is there one with the setting of parameter p before it? */
static bool is_grouped(const struct tdbg_param_setting *settings, int32_t p)
{
    for (int32_t i = 0; i < p; i++) {
        if (same_setting(&settings[i], &settings[p]))
            return true;
    }
    return false;
}

int32_t tdbg_optimizer_group(const struct tdbg_param_setting *settings,
                             const struct tdbg_range *params, int32_t n, struct tdbg_range *range,
                             struct tdbg_optimizer_group *out)
{
    int32_t n_groups = 0;
    for (int32_t p = 0; p < n; p++) {
        if (settings[p].frozen || is_grouped(settings, p))
            continue;
        int32_t n_ranges = 0;
        for (int32_t i = p; i < n; i++) {
            if (same_setting(&settings[i], &settings[p]))
                range[n_ranges++] = params[i];
        }
        out[n_groups].setting = settings[p];
        out[n_groups++].ranges = tdbg_ranges_of(range, n_ranges);
        range += n_ranges;
    }
    return n_groups;
}
