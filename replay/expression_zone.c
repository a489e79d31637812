/* Passing over steps by zones. See expression_zone.h; what functions over sites can be is in
 * expression_zone_term.c.
 *
 * A zone is judged like a step is: first by its row, and only where that does not tell with the
 * statistics of its sites. */
#include "replay/expression_zone.h"

#include <stdlib.h>
#include <string.h>

void tdbg_expr_zones_free(struct tdbg_expr_zones *zones)
{
    for (int i = 0; zones && i < 2; i++)
        free(zones->view[i].stats);
    if (zones)
        free(zones->held);
    free(zones);
}

/* Reads the zone's row in place of what the view showed; false: it cannot be read. */
static bool show(struct tdbg_expr_eval *e, struct tdbg_expr_zone_view *view, int64_t first,
                 int64_t n)
{
    if (view->n > 0 && view->first == first)
        return true;
    view->n = 0;
    view->has_stats = false;
    if (tdbg_trace_read_zone_steps(e->trace, first, &view->steps, NULL) != TDBG_OK)
        return false;
    view->first = first;
    view->n = n;
    return true;
}

/* Makes it the current one; the other one stays. */
static bool view_zone(struct tdbg_expr_eval *e, int64_t first, int64_t n)
{
    struct tdbg_expr_zones *z = e->zones;
    const struct tdbg_expr_zone_view *current = &z->view[z->current];
    if (current->n == 0 || current->first != first)
        z->current = !z->current;
    return show(e, &z->view[z->current], first, n);
}

static bool read_stats(struct tdbg_expr_eval *e, struct tdbg_expr_zone_view *view)
{
    if (!view->stats)
        view->stats = malloc(((size_t)e->n_sites + 1) * sizeof *view->stats);
    if (!view->has_stats && view->stats)
        view->has_stats =
            tdbg_trace_read_zone_stats(e->trace, view->first, view->stats, NULL) == TDBG_OK;
    return view->has_stats;
}

const struct tdbg_expr_zone_view *tdbg_expr_zone_before(struct tdbg_expr_eval *e)
{
    struct tdbg_expr_zones *z = e->zones;
    const int64_t last = z->view[z->current].first - 1;
    struct tdbg_expr_zone_view *other = &z->view[!z->current];
    int64_t first, n;
    if (last < tdbg_trace_first_step(e->trace) ||
        !tdbg_trace_find_zone(e->trace, last, &first, &n) || first + n - 1 != last)
        return NULL;
    if (!show(e, other, first, n))
        return NULL;
    return read_stats(e, other) ? other : NULL;
}

/* Of n numbers, so many NaN. */
static struct tdbg_value_range numbers(double low, double high, int64_t n, int64_t nans)
{
    return nans < n ? tdbg_value_between(low, high, nans > 0) : tdbg_value_no_number(true);
}

/* What every diverges() is over the steps of the zone: it hangs on all steps before, so no bounds
 * tell, but rows are read many at a time. NULL: they cannot be read. */
static const struct tdbg_expr_held *held_in(struct tdbg_expr_eval *e,
                                            const struct tdbg_expr_zone_view *view)
{
    struct tdbg_expr_zones *z = e->zones;
    const size_t n = (size_t)e->expr->n_diverges;
    if (!z->held)
        z->held = malloc(n * sizeof *z->held);
    if (!z->held || z->held_in == view->first)
        return z->held;
    memset(z->held, 0, n * sizeof *z->held);
    z->held_in = -1;
    for (int64_t step = view->first; step < view->first + view->n; step++) {
        if (tdbg_expr_advance_series(e, step, NULL) != TDBG_OK)
            return NULL;
        for (size_t i = 0; i < n; i++) {
            z->held[i].sometimes |= e->diverges[i].result;
            z->held[i].not_always |= !e->diverges[i].result;
        }
    }
    z->held_in = view->first;
    return z->held;
}

static struct tdbg_value_range leaf(struct tdbg_expr_eval *e, const struct tdbg_expr_node *node,
                                    bool with_terms)
{
    const struct tdbg_expr_zone_view *view = &e->zones->view[e->zones->current];
    const struct tdbg_zone_steps *z = &view->steps;
    switch (node->code) {
    case TDBG_EXPR_STEP:
        return tdbg_value_between((double)view->first, (double)(view->first + view->n - 1), false);
    case TDBG_EXPR_EPOCH:
        return tdbg_value_between((double)z->epoch_low, (double)z->epoch_high, false);
    case TDBG_EXPR_LR:
        return numbers((double)z->lr_low, (double)z->lr_high, view->n, z->lr_nans);
    case TDBG_EXPR_LOSS:
        return numbers((double)z->loss_low, (double)z->loss_high, view->n, z->loss_nans);
    case TDBG_EXPR_GRAD_NORM:
        return numbers(z->grad_norm_low, z->grad_norm_high, view->n, z->grad_norm_nans);
    case TDBG_EXPR_SAMPLES:
        return tdbg_value_between((double)z->samples_low, (double)z->samples_high, false);
    case TDBG_EXPR_DIVERGES: {
        const struct tdbg_expr_held *held = held_in(e, view);
        return held ? tdbg_value_between(!held[node->b].not_always, held[node->b].sometimes, false)
                    : tdbg_value_between(0, 1, false);
    }
    case TDBG_EXPR_TERM:
        e->zones->is_pending |= !with_terms;
        return with_terms ? tdbg_expr_zone_term(e, node->a) : tdbg_value_any();
    default:
        return tdbg_value_between(node->number, node->number, false);
    }
}

static struct tdbg_value_range evaluate(struct tdbg_expr_eval *e, int at, bool with_terms)
{
    const struct tdbg_expr_node *node = &e->expr->node[at];
    if (node->code < TDBG_EXPR_NEGATE)
        return leaf(e, node, with_terms);
    const bool is_unary = node->code == TDBG_EXPR_NEGATE || node->code == TDBG_EXPR_NOT;
    const struct tdbg_value_range a = evaluate(e, node->a, with_terms);
    return tdbg_value_compute(node->code, a, is_unary ? a : evaluate(e, node->b, with_terms));
}

/* Is there a term whose value statistics or digests bound? */
static bool has_bounded_term(const struct tdbg_expr *expr)
{
    for (int i = 0; i < expr->n_terms; i++) {
        if (expr->term[i].n_indices == 0 && expr->term[i].function != TDBG_EXPR_UPDATE_RATIO)
            return true;
    }
    return false;
}

/* Does it hang on statistics? */
static bool wants_stats(const struct tdbg_expr *expr)
{
    for (int i = 0; i < expr->n_terms; i++) {
        if (expr->term[i].function != TDBG_EXPR_RANKDIFF)
            return true;
    }
    return false;
}

struct tdbg_value_range tdbg_expr_zone_range(struct tdbg_expr_eval *e, int64_t first, int64_t n)
{
    struct tdbg_value_range out = tdbg_value_any();
    if (!e->zones) {
        e->zones = calloc(1, sizeof *e->zones);
        if (!e->zones)
            return out;
        e->zones->judged = e->zones->held_in = -1;
    }
    struct tdbg_expr_zones *z = e->zones;
    if (z->judged == first)
        return z->result;
    z->is_pending = false;
    if (view_zone(e, first, n)) {
        out = evaluate(e, e->expr->root, false);
        if ((tdbg_value_may_hold(out) || out.may_be_absent) && has_bounded_term(e->expr) &&
            (!wants_stats(e->expr) || read_stats(e, &z->view[z->current]))) {
            z->is_pending = false;
            out = evaluate(e, e->expr->root, true);
        }
    }
    z->judged = first;
    z->result = out;
    return out;
}

int64_t tdbg_expr_eval_pass(struct tdbg_expr_eval *const *evals, int n, int64_t step, int64_t to,
                            bool with_value)
{
    int64_t first, n_steps, passed;
    if (n == 0 || !tdbg_trace_find_zone(evals[0]->trace, step, &first, &n_steps))
        return 0;
    for (int i = 0; i < n; i++) {
        const struct tdbg_value_range range = tdbg_expr_zone_range(evals[i], first, n_steps);
        if (tdbg_value_may_hold(range) ||
            (range.may_be_absent && (with_value || evals[i]->zones->is_pending)))
            return 0;
    }
    if (to >= step)
        passed = (to < first + n_steps - 1 ? to : first + n_steps - 1) - step + 1;
    else
        passed = step - (to > first ? to : first) + 1;
    for (int i = 0; i < n; i++) {
        evals[i]->cost.read += passed;
        evals[i]->cost.passed += passed;
    }
    return passed;
}
