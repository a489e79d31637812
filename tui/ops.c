/* See ops.h. */
#include "tui/ops.h"

#include <stdlib.h>
#include <string.h>

#include "replay/expression.h"

void tdbg_tui_ops_init(struct tdbg_tui_ops *ops)
{
    *ops = (struct tdbg_tui_ops){.computed_step = -1, .asked_step = -1};
}

/* The state before a step is that after the step before it, which may be what was recorded. */
static const struct tdbg_stats *stats_before(const struct tdbg_tui_model *m, int32_t site)
{
    const struct tdbg_site *state = &m->data->sites[site];
    const bool is_loaded = m->prev_stats_step >= m->data->first_step;
    for (int32_t i = site + 1; is_loaded && i < m->data->n_sites; i++) {
        const struct tdbg_site *s = &m->data->sites[i];
        if ((s->stage == TDBG_STAGE_PARAM || s->stage == TDBG_STAGE_OPTIM) &&
            tdbg_expr_same_tensor(state, s))
            return &m->prev_stats[i];
    }
    return &m->stats[site];
}

const struct tdbg_stats *tdbg_tui_ops_stats(const struct tdbg_tui_ops *ops,
                                            const struct tdbg_tui_model *m, int32_t site)
{
    if (tdbg_tui_stats_present(&m->stats[site]))
        return &m->stats[site];
    if (ops->computed_step == m->focus.step)
        return &ops->computed[site];
    return m->data->sites[site].stage == TDBG_STAGE_STATE ? stats_before(m, site) : &m->stats[site];
}

bool tdbg_tui_ops_lacks_stats(const struct tdbg_tui_model *m)
{
    for (int32_t i = 0; i < m->data->n_sites; i++) {
        const enum tdbg_stage stage = m->data->sites[i].stage;
        if (stage > TDBG_STAGE_STATE && stage != TDBG_STAGE_EVAL &&
            tdbg_site_elems(&m->data->sites[i]) > 0 && !tdbg_tui_stats_present(&m->stats[i]))
            return true;
    }
    return false;
}

void tdbg_tui_ops_keep_stats(struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                             int64_t step, const struct tdbg_stats *stats)
{
    const size_t n = (size_t)data->n_sites;
    if (!ops->computed)
        ops->computed = calloc(n + 1, sizeof *ops->computed);
    if (!ops->computed)
        return;
    memcpy(ops->computed, stats, n * sizeof *stats);
    ops->computed_step = step;
}

void tdbg_tui_ops_free(struct tdbg_tui_ops *ops)
{
    free(ops->computed);
    ops->computed = NULL;
    tdbg_tui_flow_free(&ops->flow);
    tdbg_tui_ops_show_all(ops);
}

void tdbg_tui_ops_show_all(struct tdbg_tui_ops *ops)
{
    free(ops->module);
    ops->module = NULL;
}

bool tdbg_tui_ops_shows(const struct tdbg_tui_ops *ops, const struct tdbg_site *site)
{
    const size_t n = ops->module ? strlen(ops->module) : 0;
    const char *tensor = tdbg_site_tensor(site);
    return n == 0 || (strncmp(tensor, ops->module, n) == 0 && (!tensor[n] || tensor[n] == '.'));
}

int64_t tdbg_tui_ops_rows(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data)
{
    return data->n_sites > 0 ? tdbg_tui_ops_row_of(ops, data, data->n_sites - 1) + 1 : 0;
}

int64_t tdbg_tui_ops_row_of(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                            int32_t site)
{
    int64_t row = -1;
    if (!ops->module)
        return site;
    for (int32_t i = 0; i <= site; i++)
        row += tdbg_tui_ops_shows(ops, &data->sites[i]);
    return row;
}

int32_t tdbg_tui_ops_site_at(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                             int64_t row)
{
    int32_t last = -1;
    if (!ops->module)
        return row < data->n_sites ? (int32_t)row : -1;
    for (int32_t i = 0; i < data->n_sites && row >= 0; i++) {
        if (tdbg_tui_ops_shows(ops, &data->sites[i])) {
            last = i;
            row--;
        }
    }
    return row < 0 ? last : -1;
}

static bool set_module(struct tdbg_tui_ops *ops, const char *tensor, size_t n)
{
    char *module = n > 0 ? strndup(tensor, n) : NULL;
    free(ops->module);
    ops->module = module;
    return true;
}

bool tdbg_tui_ops_module_up(struct tdbg_tui_ops *ops, const struct tdbg_site *site)
{
    const char *tensor = tdbg_site_tensor(site);
    size_t n = ops->module && tdbg_tui_ops_shows(ops, site) ? strlen(ops->module) : strlen(tensor);
    if (n == 0)
        return false;
    while (n > 0 && tensor[n - 1] != '.')
        n--;
    if (n == 0 && !ops->module)
        return false;
    return set_module(ops, tensor, n > 0 ? n - 1 : 0);
}

bool tdbg_tui_ops_module_down(struct tdbg_tui_ops *ops, const struct tdbg_site *site)
{
    const char *tensor = tdbg_site_tensor(site);
    const size_t now = ops->module && tdbg_tui_ops_shows(ops, site) ? strlen(ops->module) : 0;
    if (now > 0 && !tensor[now])
        return false;
    const char *dot = strchr(tensor + now + (now > 0), '.');
    if (!dot && now == 0)
        return false; /* a name without modules */
    return set_module(ops, tensor, dot ? (size_t)(dot - tensor) : strlen(tensor));
}
