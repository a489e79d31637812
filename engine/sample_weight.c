/* Weights of samples in the loss. A sample that the config drops (`drop_samples`) keeps its place
 * in the batch, so that nothing else moves: its loss, the gradient of its output and its share of
 * the divisor become +0. See docs/numerics.md, section 6. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_state.h"

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

bool tdbg_engine_read_dropped(struct tdbg_engine *e)
{
    const struct tdbg_cfg_node *list = tdbg_cfg_find(tdbg_config_root(e->config), "drop_samples");
    const int64_t count = e->graph->data[TDBG_SET_TRAIN].count;
    bool valid = true;
    if (!list || list->n_child == 0)
        return true;
    e->n_dropped = list->n_child;
    e->dropped = tdbg_arena_alloc(e->graph->arena, (size_t)e->n_dropped * sizeof *e->dropped);
    for (int i = 0; i < list->n_child; i++) {
        e->dropped[i] = list->child[i]->i;
        if (e->dropped[i] < count)
            continue;
        tdbg_config_report(e->config, list, NULL,
                           "'drop_samples' names sample %lld, but the training set has samples 0 "
                           "to %lld",
                           (long long)e->dropped[i], (long long)count - 1);
        valid = false;
    }
    qsort(e->dropped, (size_t)e->n_dropped, sizeof *e->dropped, compare_ids);
    return valid;
}

enum tdbg_status tdbg_engine_weigh_samples(struct tdbg_engine *e, int64_t n, struct tdbg_err *err)
{
    e->n_counted = n;
    if (e->n_dropped == 0)
        return TDBG_OK;
    for (int64_t i = 0; i < n; i++) {
        const bool drops = bsearch(&e->host_id[i], e->dropped, (size_t)e->n_dropped,
                                   sizeof *e->dropped, compare_ids) != NULL;
        e->host_weight[i] = drops ? 0.0f : 1.0f;
        e->n_counted -= drops;
    }
    return e->backend->to_device(e->backend->context, e->weight, e->host_weight,
                                 (size_t)n * sizeof *e->weight, err);
}

enum tdbg_status tdbg_engine_show_weights(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (e->n_dropped == 0 || !pass->training)
        return TDBG_OK;
    const int32_t site = e->table.weight + pass->part;
    const int64_t rows = pass->hi - pass->lo;
    TDBG_TRY(tdbg_engine_show(e, pass->step, site, e->weight + pass->lo, rows, -1, err));
    if (e->wanted[site] & TDBG_WANT_CHANGE)
        TDBG_TRY(e->backend->to_host(e->backend->context, e->host_weight + pass->lo,
                                     e->weight + pass->lo, (size_t)rows * sizeof *e->weight, err));
out:
    return st;
}

void tdbg_engine_apply_weights(struct tdbg_engine *e, const struct tdbg_pass *pass,
                               const struct tdbg_backend *be, float *rows, int64_t elems)
{
    const size_t bytes = (size_t)elems * (be == e->ops ? e->act_bytes : sizeof *rows);
    if (e->n_dropped == 0 || !pass->training)
        return;
    for (int64_t i = pass->lo; i < pass->hi; i++) {
        float *row = (float *)(void *)((char *)rows + (size_t)(i - pass->lo) * bytes);
        const float weight = e->host_weight[i];
        if (!(weight < 0.0f || weight > 0.0f)) /* not 0 * x: that of an infinite x is NaN */
            be->fill_zero(be->context, row, bytes);
        else if (weight < 1.0f || weight > 1.0f)
            be->scale(be->context, elems, row, weight, row);
    }
}
