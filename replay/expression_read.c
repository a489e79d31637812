/* What a trace has recorded of an expression's sites. See expression_eval_impl.h. */
#include "replay/expression_eval_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/layout.h"

/* Valid elements of a site in the current step. */
static int64_t count_elems(const struct tdbg_expr_eval *e, const struct tdbg_site *s)
{
    const struct tdbg_run_info *info = tdbg_trace_info(e->trace);
    int64_t first, rows;
    if (!s->batched || s->ndim == 0 || s->dims[0] == 0)
        return tdbg_site_elems(s);
    tdbg_layout_slice(e->row.samples, info->lanes, info->accumulate, s->lane, s->micro, &first,
                      &rows);
    rows = rows < s->dims[0] ? rows : s->dims[0];
    return rows * (tdbg_site_elems(s) / s->dims[0]);
}

/* The state before a step is that after the step before it, which may be what is recorded. */
void tdbg_expr_find_after(struct tdbg_expr_eval *e)
{
    for (int32_t i = 0; i < e->n_sites; i++) {
        const struct tdbg_site *s = &e->sites[i];
        e->after[i] = -1;
        for (int32_t k = i + 1; s->stage == TDBG_STAGE_STATE && k < e->n_sites; k++) {
            const struct tdbg_site *t = &e->sites[k];
            if ((t->stage == TDBG_STAGE_PARAM || t->stage == TDBG_STAGE_OPTIM) &&
                tdbg_expr_same_tensor(s, t)) {
                e->after[i] = k;
                break;
            }
        }
    }
}

static bool is_stored(struct tdbg_expr_eval *e, int32_t site, int64_t step)
{
    return step >= tdbg_trace_first_step(e->trace) &&
           tdbg_trace_has_values(e->trace, site, step, e->row.evaluated != 0);
}

static enum tdbg_status read_update(struct tdbg_expr_eval *e, const struct tdbg_expr_term *t,
                                    int32_t k, struct tdbg_expr_gathered *g, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t param = t->sites[k], state = t->before[k];
    const int64_t step = e->row.step;
    const bool at_state = is_stored(e, state, step);
    int64_t n;
    if (!is_stored(e, param, step) || !(at_state || is_stored(e, param, step - 1)))
        return TDBG_NEEDS_REPLAY;
    TDBG_TRY(tdbg_trace_read_values(e->trace, at_state ? step : step - 1, at_state ? state : param,
                                    e->scratch, NULL, err));
    TDBG_TRY(tdbg_trace_read_values(e->trace, step, param, e->data, &n, err));
    tdbg_expr_gather_update(g, e->scratch, e->data, e->sites[param].dtype, n);
out:
    return st;
}

/* Of a term of many sites all of a step is read at once: column by column, not site by site. */
enum { FEW_SITES = 4 };

static enum tdbg_status read_stats(struct tdbg_expr_eval *e, const struct tdbg_expr_term *t,
                                   int64_t step, int32_t site, struct tdbg_stats *out,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct step_stats *all = &e->of_step[step & 1];
    if (t->n_sites <= FEW_SITES)
        return tdbg_trace_read_stats(e->trace, step, site, out, err);
    if (!all->stats) {
        all->step = -1;
        all->stats = malloc((size_t)e->n_sites * sizeof *all->stats);
        TDBG_FAIL_IF(!all->stats, NO_MEMORY, "no memory for the statistics of a step");
    }
    if (all->step != step) {
        all->step = -1;
        TDBG_TRY(tdbg_trace_read_step_stats(e->trace, step, all->stats, err));
        all->step = step;
    }
    *out = all->stats[site];
    if (isnan(out->min) && out->zeros + out->nans + out->infs == 0)
        return TDBG_RAISE(err, NOT_FOUND, "no statistics of %s were recorded at step %lld",
                          e->sites[site].name, (long long)step);
out:
    return st;
}

/* TDBG_NEEDS_REPLAY: what the term wants of its k-th site is not recorded. */
static enum tdbg_status read_site(struct tdbg_expr_eval *e, const struct tdbg_expr_term *t,
                                  int32_t k, struct tdbg_expr_gathered *g, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t site = t->sites[k];
    int64_t step = e->row.step;
    struct tdbg_stats stats;
    int64_t n;
    if (t->function == TDBG_EXPR_UPDATE_RATIO)
        return read_update(e, t, k, g, err);
    if (e->after[site] >= 0 && step > tdbg_trace_first_step(e->trace) &&
        !(t->n_indices > 0 ? is_stored(e, site, step)
                           : tdbg_trace_has_digest(e->trace, site, step, false))) {
        site = e->after[site];
        step--;
    }
    if (t->n_indices > 0 && !is_stored(e, site, step))
        return TDBG_NEEDS_REPLAY;
    if (t->n_indices > 0) {
        TDBG_TRY(tdbg_trace_read_values(e->trace, step, site, e->data, &n, err));
        tdbg_expr_gather_slice(g, t, &e->sites[site], e->data, n, e->scratch);
        goto out;
    }
    if (!tdbg_trace_has_digest(e->trace, site, step, e->row.evaluated != 0))
        return TDBG_NEEDS_REPLAY;
    TDBG_TRY(read_stats(e, t, step, site, &stats, err));
    tdbg_expr_gather_stats(g, &stats, count_elems(e, &e->sites[site]));
out:
    return st;
}

static enum tdbg_status read_ranks(struct tdbg_expr_eval *e, const struct tdbg_expr_term *t,
                                   struct term_value *v, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool is_known;
    v->gathered = (struct tdbg_expr_gathered){0};
    v->state = TERM_ABSENT;
    if (!e->ranks)
        TDBG_TRY(tdbg_expr_ranks_open(e->trace, &e->ranks, err));
    TDBG_TRY(tdbg_expr_ranks_count(e->ranks, t, e->row.step, e->row.evaluated != 0,
                                   &v->gathered.differ, &is_known, err));
    v->state = is_known ? TERM_KNOWN : TERM_ABSENT;
out:
    return st;
}

enum tdbg_status tdbg_expr_read_term(struct tdbg_expr_eval *e, int i, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_expr_term *t = &e->expr->term[i];
    struct term_value *v = &e->value[i];
    int32_t n_here = 0;
    if (t->function == TDBG_EXPR_RANKDIFF)
        return read_ranks(e, t, v, err);
    v->gathered = (struct tdbg_expr_gathered){0};
    v->state = TERM_PENDING;
    for (int32_t k = 0; k < t->n_sites; k++) {
        if (e->sites[t->sites[k]].stage == TDBG_STAGE_EVAL && !e->row.evaluated)
            continue;
        n_here++;
        st = read_site(e, t, k, &v->gathered, err);
        if (st == TDBG_NEEDS_REPLAY || st == TDBG_NOT_FOUND) {
            tdbg_err_clear(err);
            return TDBG_OK;
        }
        TDBG_TRY(st);
    }
    v->state = n_here > 0 ? TERM_KNOWN : TERM_ABSENT;
out:
    return st;
}
