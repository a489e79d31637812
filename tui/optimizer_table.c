/* See optimizer_table.h. Sites are found by their names, which docs/architecture.md lists. */
#include "tui/optimizer_table.h"

#include <stdlib.h>
#include <string.h>

void tdbg_tui_optimizer_free(struct tdbg_tui_optimizer *o)
{
    free(o->list);
    free(o->stats);
    free(o->stats_why);
    *o = (struct tdbg_tui_optimizer){.stats_step = -1, .asked = -1};
}

static int32_t find(const struct tdbg_tui_data *data, enum tdbg_stage stage, const char *tensor)
{
    for (int32_t i = 0; i < data->n_sites; i++) {
        if (data->sites[i].stage == stage && strcmp(tdbg_site_tensor(&data->sites[i]), tensor) == 0)
            return i;
    }
    return -1;
}

/* The state of a parameter that has one of these names. */
static int32_t find_state(const struct tdbg_tui_data *data, const char *tensor,
                          const char *const *names)
{
    const size_t n = strlen(tensor);
    for (int32_t i = 0; i < data->n_sites; i++) {
        const char *state = tdbg_site_tensor(&data->sites[i]);
        if (data->sites[i].stage != TDBG_STAGE_OPTIM || strncmp(state, tensor, n) != 0 ||
            state[n] != '.')
            continue;
        for (int k = 0; names[k]; k++) {
            if (strcmp(state + n + 1, names[k]) == 0)
                return i;
        }
    }
    return -1;
}

/* The first group that matches wins. */
static void find_group(const struct tdbg_tui_optimizer *o, const char *tensor,
                       struct tdbg_tui_parameter *p)
{
    p->group = -1;
    for (int g = 0; o->groups && g < o->groups->n_child && p->group < 0; g++) {
        const struct tdbg_cfg_node *group = o->groups->child[g];
        if (group->type == TDBG_CFG_GROUP &&
            tdbg_tui_cfg_globs_match(tdbg_cfg_find(group, "match"), tensor)) {
            p->group = g;
            p->frozen = tdbg_tui_cfg_number(group, "frozen", 0) != 0;
        }
    }
}

/* What is of a lane is no parameter: running statistics. */
static bool is_parameter(const struct tdbg_site *s)
{
    return s->stage == TDBG_STAGE_PARAM && s->lane < 0;
}

void tdbg_tui_optimizer_make(struct tdbg_tui_optimizer *o, const struct tdbg_tui_model *m,
                             struct tdbg_tui_run_config *config)
{
    static const char *const first[] = {"exp_avg", "momentum_buffer", "grad_avg", NULL};
    static const char *const second[] = {"exp_avg_sq", "square_avg", "sum", NULL};
    const struct tdbg_tui_data *data = m->data;
    const struct tdbg_cfg_node *root = tdbg_tui_run_config_root(config, data->info);
    const struct tdbg_cfg_node *freeze = root ? tdbg_cfg_find(root, "freeze") : NULL;
    if (o->is_made)
        return;
    o->is_made = true;
    o->config = root ? tdbg_cfg_find(root, "optimizer") : NULL;
    o->schedule = root ? tdbg_cfg_find(root, "schedule") : NULL;
    o->groups = o->config ? tdbg_cfg_find(o->config, "groups") : NULL;
    o->list = calloc((size_t)data->n_sites + 1, sizeof *o->list);
    if (!o->list)
        TDBG_BUG("no memory for the list of parameters");
    for (int32_t i = 0; i < data->n_sites; i++) {
        if (!is_parameter(&data->sites[i]))
            continue;
        struct tdbg_tui_parameter *p = &o->list[o->n++];
        const char *tensor = tdbg_site_tensor(&data->sites[i]);
        p->param = i;
        p->grad = find(data, TDBG_STAGE_GRAD, tensor);
        p->first = find_state(data, tensor, first);
        p->second = find_state(data, tensor, second);
        find_group(o, tensor, p);
        p->frozen = p->frozen || tdbg_tui_cfg_globs_match(freeze, tensor);
    }
}

const struct tdbg_stats *tdbg_tui_optimizer_stats(const struct tdbg_tui_optimizer *o,
                                                  const struct tdbg_tui_model *m, int32_t site)
{
    if (site < 0)
        return NULL;
    if (m->stats_step == m->focus.step && tdbg_tui_stats_present(&m->stats[site]))
        return &m->stats[site];
    if (o->stats && o->stats_step == m->focus.step && tdbg_tui_stats_present(&o->stats[site]))
        return &o->stats[site];
    return NULL;
}

bool tdbg_tui_optimizer_is_recorded(const struct tdbg_tui_optimizer *o,
                                    const struct tdbg_tui_model *m)
{
    for (int32_t i = 0; i < o->n; i++) {
        if (tdbg_tui_stats_present(&m->stats[o->list[i].param]))
            return true;
    }
    return o->n == 0;
}

const char *tdbg_tui_parameter_note(const struct tdbg_tui_optimizer *o,
                                    const struct tdbg_tui_model *m, int32_t parameter)
{
    const struct tdbg_tui_parameter *p = &o->list[parameter];
    const struct tdbg_stats *grad = tdbg_tui_optimizer_stats(o, m, p->grad);
    const struct tdbg_stats *param = tdbg_tui_optimizer_stats(o, m, p->param);
    if (p->frozen)
        return "frozen";
    if (p->grad < 0)
        return "unused: no gradient";
    if ((param && (param->nans || param->infs)) || (grad && (grad->nans || grad->infs)))
        return "! nan or inf";
    if (grad && grad->zeros == (uint64_t)tdbg_site_elems(&m->data->sites[p->grad]))
        return "gradient is 0";
    return "";
}
