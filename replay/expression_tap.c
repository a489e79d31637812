/* The tap that wants the sites of an expression only. See expression_eval_impl.h. */
#include "replay/expression_eval_impl.h"

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct tdbg_expr_eval *e = self;
    (void)sites;
    (void)n_sites;
    (void)err;
    for (int i = 0; i < e->expr->n_terms; i++) {
        const struct tdbg_expr_term *t = &e->expr->term[i];
        const bool update = t->function == TDBG_EXPR_UPDATE_RATIO;
        const uint8_t flag = update || t->n_indices > 0 ? TDBG_WANT_VALUES : TDBG_WANT_DIGEST;
        for (int32_t k = 0; e->value[i].state == TERM_PENDING && k < t->n_sites; k++) {
            wants[t->sites[k]].flags |= flag;
            wants[t->sites[k]].every = 1;
            if (update)
                wants[t->before[k]] = (struct tdbg_want){flag, 1};
        }
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct tdbg_expr_eval *e = self;
    (void)step;
    (void)err;
    for (int i = 0; i < e->expr->n_terms; i++) {
        if (e->value[i].state != TERM_PENDING)
            continue;
        e->value[i].gathered = (struct tdbg_expr_gathered){0};
        e->value[i].n_shown = 0;
    }
    return TDBG_OK;
}

static int32_t find_id(const int32_t *ids, int32_t n, int32_t id)
{
    int32_t low = 0, high = n;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ids[low] == id ? low : -1;
}

static enum tdbg_status show_update(struct tdbg_expr_eval *e, int i, int32_t site,
                                    const struct tdbg_handle *handle, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_expr_term *t = &e->expr->term[i];
    struct term_value *v = &e->value[i];
    for (int32_t k = 0; k < t->n_sites; k++) { /* the order of states is their own */
        if (t->before[k] == site)
            TDBG_TRY(tdbg_handle_copy(handle, v->before[k], err));
    }
    const int32_t k = find_id(t->sites, t->n_sites, site);
    if (k >= 0) {
        TDBG_TRY(tdbg_handle_copy(handle, e->data, err));
        tdbg_expr_gather_update(&v->gathered, v->before[k], e->data, handle->dtype, handle->elems);
        v->n_shown++;
    }
out:
    return st;
}

static enum tdbg_status show_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct tdbg_expr_eval *e = self;
    enum tdbg_status st = TDBG_OK;
    struct tdbg_stats stats;
    (void)step;
    for (int i = 0; i < e->expr->n_terms; i++) {
        const struct tdbg_expr_term *t = &e->expr->term[i];
        struct term_value *v = &e->value[i];
        if (v->state != TERM_PENDING)
            continue;
        if (t->function == TDBG_EXPR_UPDATE_RATIO) {
            TDBG_TRY(show_update(e, i, site, handle, err));
            continue;
        }
        if (find_id(t->sites, t->n_sites, site) < 0)
            continue;
        v->n_shown++;
        if (t->n_indices > 0) {
            TDBG_TRY(tdbg_handle_copy(handle, e->data, err));
            tdbg_expr_gather_slice(&v->gathered, t, &e->sites[site], e->data, handle->elems,
                                   e->scratch);
        } else {
            TDBG_TRY(tdbg_handle_digest(handle, NULL, &stats, err));
            tdbg_expr_gather_stats(&v->gathered, &stats, handle->elems);
        }
    }
out:
    return st;
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    struct tdbg_expr_eval *e = self;
    (void)info;
    (void)err;
    for (int i = 0; i < e->expr->n_terms; i++) {
        struct term_value *v = &e->value[i];
        if (v->state == TERM_PENDING)
            v->state = v->n_shown > 0 ? TERM_KNOWN : TERM_ABSENT;
    }
    return TDBG_OK;
}

const struct tdbg_tap_ops tdbg_expr_tap_ops = {plan, begin_step, show_site, end_step};

enum tdbg_status tdbg_expr_eval_session(struct tdbg_expr_eval *e, struct tdbg_session **out,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (e->lender)
        return tdbg_recompute_session(e->lender, out, err);
    if (!e->session)
        TDBG_TRY(tdbg_session_create(e->trace, &e->options, &e->session, err));
    *out = e->session;
out:
    return st;
}

void tdbg_expr_eval_share(struct tdbg_expr_eval *e, struct tdbg_recompute *recompute)
{
    e->lender = recompute;
}

enum tdbg_status tdbg_expr_execute(struct tdbg_expr_eval *const *evals, int n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tap taps[TDBG_EXPR_AT_ONCE];
    struct tdbg_session *session;
    TDBG_ASSERT(n >= 1 && n <= TDBG_EXPR_AT_ONCE);
    for (int i = 0; i < n; i++)
        taps[i] = (struct tdbg_tap){&tdbg_expr_tap_ops, evals[i]};
    const int64_t step = evals[0]->row.step;
    st = tdbg_expr_eval_session(evals[0], &session, err);
    if (st != TDBG_OK)
        return tdbg_err_prefix(err, "step %lld has to be executed for '%s'", (long long)step,
                               evals[0]->expr->text);
    TDBG_TRY(tdbg_session_seek(session, step, err));
    TDBG_TRY(tdbg_session_run_step(session, taps, n, NULL, err));
out:
    return st;
}
