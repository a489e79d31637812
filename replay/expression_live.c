/* Expressions over a running engine. See expression_live.h. */
#include "replay/expression_live.h"

#include <stdlib.h>

#include "replay/expression_eval_impl.h"

struct tdbg_expr_live {
    struct tdbg_expr_eval eval;
    struct tdbg_stats *stats; /* (n_sites) of stage grad; NULL: grad_norm is not asked for */
};

static void await_terms(struct tdbg_expr_eval *e)
{
    for (int i = 0; i < e->expr->n_terms; i++)
        e->value[i].state = TERM_PENDING;
}

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    struct tdbg_expr_live *live = self;
    await_terms(&live->eval);
    for (int32_t i = 0; live->stats && i < n_sites; i++) {
        if (sites[i].stage == TDBG_STAGE_GRAD)
            wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST, 1};
    }
    return tdbg_expr_tap_ops.plan(&live->eval, sites, n_sites, wants, err);
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct tdbg_expr_live *live = self;
    await_terms(&live->eval);
    return tdbg_expr_tap_ops.begin_step(&live->eval, step, err);
}

static enum tdbg_status show_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct tdbg_expr_live *live = self;
    enum tdbg_status st = TDBG_OK;
    if (live->stats && live->eval.sites[site].stage == TDBG_STAGE_GRAD)
        TDBG_TRY(tdbg_handle_digest(handle, NULL, &live->stats[site], err));
    TDBG_TRY(tdbg_expr_tap_ops.site(&live->eval, step, site, handle, err));
out:
    return st;
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    struct tdbg_expr_live *live = self;
    return tdbg_expr_tap_ops.end_step(&live->eval, info, err);
}

static const struct tdbg_tap_ops live_ops = {plan, begin_step, show_site, end_step};

static bool asks_for_norm(const struct tdbg_expr *expr)
{
    for (int i = 0; i < expr->n_nodes; i++) {
        const struct tdbg_expr_node *n = &expr->node[i];
        if (n->code == TDBG_EXPR_GRAD_NORM ||
            (n->code == TDBG_EXPR_DIVERGES && n->a == TDBG_EXPR_GRAD_NORM))
            return true;
    }
    return false;
}

enum tdbg_status tdbg_expr_live_create(struct tdbg_expr *expr, const struct tdbg_site *sites,
                                       int32_t n_sites, struct tdbg_expr_live **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_live *live = calloc(1, sizeof *live);
    TDBG_FAIL_IF(!live, NO_MEMORY, "no memory for an expression");
    live->eval.expr = expr;
    if (asks_for_norm(expr)) {
        live->stats = calloc((size_t)n_sites + 1, sizeof *live->stats);
        TDBG_FAIL_IF(!live->stats, NO_MEMORY, "no memory for an expression");
    }
    TDBG_TRY(tdbg_expr_eval_bind(&live->eval, sites, n_sites, 1, err));
    *out = live;
    return TDBG_OK;
out:
    tdbg_expr_live_destroy(live);
    return st;
}

void tdbg_expr_live_destroy(struct tdbg_expr_live *live)
{
    if (!live)
        return;
    tdbg_expr_eval_clear(&live->eval);
    free(live->stats);
    free(live);
}

struct tdbg_tap tdbg_expr_live_tap(struct tdbg_expr_live *live)
{
    return (struct tdbg_tap){&live_ops, live};
}

void tdbg_expr_live_add_past(struct tdbg_expr_live *live, const struct tdbg_step_row *row)
{
    tdbg_expr_add_row(&live->eval, row);
}

struct tdbg_expr_value tdbg_expr_live_value(struct tdbg_expr_live *live,
                                            const struct tdbg_step_info *info)
{
    struct tdbg_expr_eval *e = &live->eval;
    e->row = (struct tdbg_step_row){.step = info->step,
                                    .epoch = info->epoch,
                                    .samples = info->samples,
                                    .loss = info->loss,
                                    .lr = info->lr,
                                    .evaluated = info->evaluated};
    if (live->stats)
        e->row.grad_norm = tdbg_stats_grad_norm(e->sites, e->n_sites, live->stats);
    tdbg_expr_add_row(e, &e->row);
    return tdbg_expr_evaluate(e);
}
