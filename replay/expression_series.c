/* diverges(): series over all steps so far. See expression_eval.h.
 *
 * Backward, a search asks for steps a part at a time, each before the one asked for last. So what
 * the series were is kept of every so many steps, and what is asked for is reached from there:
 *
 *     first step        KEPT steps         KEPT steps          step
 *     |-----------------[ kept 0 ]---------[ kept 1 ]--- rows ->|
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/expression_eval_impl.h"

enum { KEPT = TDBG_EXPR_ROWS };

bool tdbg_diverges_add(struct tdbg_diverges *d, double value)
{
    double sum = 0;
    d->last[d->n++ % TDBG_DIVERGES_STEPS] = value;
    if (d->n >= TDBG_DIVERGES_STEPS) {
        for (int i = 0; i < TDBG_DIVERGES_STEPS; i++)
            sum += d->last[i];
        d->mean = sum / TDBG_DIVERGES_STEPS;
        if (d->n == TDBG_DIVERGES_STEPS || !(d->smallest <= d->mean))
            d->smallest = d->mean;
    }
    d->result = !isfinite(value) ||
                (d->n > TDBG_DIVERGES_STEPS && d->smallest > 0 && d->mean > 1.5 * d->smallest);
    return d->result;
}

void tdbg_expr_add_row(struct tdbg_expr_eval *e, const struct tdbg_step_row *row)
{
    const struct tdbg_expr *x = e->expr;
    for (int i = 0; i < x->n_nodes; i++) {
        const struct tdbg_expr_node *n = &x->node[i];
        if (n->code == TDBG_EXPR_DIVERGES)
            tdbg_diverges_add(&e->diverges[n->b],
                              n->a == TDBG_EXPR_LOSS ? (double)row->loss : row->grad_norm);
    }
}

/* Keeps what the series are now, where they have not been as far before. Without memory for it the
 * way is longer. */
static void keep(struct tdbg_expr_eval *e)
{
    const int64_t n = e->diverges_next - tdbg_trace_first_step(e->trace);
    const size_t bytes = (size_t)e->expr->n_diverges * sizeof *e->kept;
    if (n % KEPT != 0 || n / KEPT != e->n_kept + 1)
        return;
    if (e->n_kept == e->kept_room) {
        const int64_t room = e->kept_room > 0 ? 2 * e->kept_room : 16;
        struct tdbg_diverges *grown = realloc(e->kept, (size_t)room * bytes);
        if (!grown)
            return;
        e->kept = grown;
        e->kept_room = room;
    }
    memcpy(e->kept + e->n_kept++ * e->expr->n_diverges, e->diverges, bytes);
}

/* Do both hang on the same series, in the same order? */
static bool same_series(const struct tdbg_expr *a, const struct tdbg_expr *b)
{
    int wanted[2][TDBG_EXPR_NODES];
    const struct tdbg_expr *const of[] = {a, b};
    if (a->n_diverges != b->n_diverges)
        return false;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < of[k]->n_nodes; i++) {
            if (of[k]->node[i].code == TDBG_EXPR_DIVERGES)
                wanted[k][of[k]->node[i].b] = of[k]->node[i].a;
        }
    }
    return memcmp(wanted[0], wanted[1], (size_t)a->n_diverges * sizeof wanted[0][0]) == 0;
}

void tdbg_expr_eval_learn(struct tdbg_expr_eval *e, const struct tdbg_expr_eval *from)
{
    const size_t bytes = (size_t)from->n_kept * (size_t)e->expr->n_diverges * sizeof *e->kept;
    if (e->trace != from->trace || from->n_kept <= e->n_kept || !same_series(e->expr, from->expr))
        return;
    struct tdbg_diverges *kept = malloc(bytes);
    if (!kept)
        return;
    memcpy(kept, from->kept, bytes);
    free(e->kept);
    e->kept = kept;
    e->n_kept = e->kept_room = from->n_kept;
}

/* To where the series were last kept at or before the step, if that is not behind where they are on
 * their way to it. */
static void jump(struct tdbg_expr_eval *e, int64_t step)
{
    const int64_t first = tdbg_trace_first_step(e->trace);
    const size_t bytes = (size_t)e->expr->n_diverges * sizeof *e->kept;
    int64_t k = (step - first) / KEPT;
    k = k < e->n_kept ? k : e->n_kept;
    if (step >= e->diverges_next && first + k * KEPT <= e->diverges_next)
        return;
    if (k > 0)
        memcpy(e->diverges, e->kept + (k - 1) * e->expr->n_diverges, bytes);
    else
        memset(e->diverges, 0, bytes);
    e->diverges_next = first + k * KEPT;
}

enum tdbg_status tdbg_expr_advance_series(struct tdbg_expr_eval *e, int64_t step,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (e->expr->n_diverges == 0 || step == e->diverges_next - 1)
        return TDBG_OK;
    jump(e, step);
    while (e->diverges_next <= step) {
        struct tdbg_step_row row;
        TDBG_TRY(tdbg_expr_read_row(e, e->diverges_next, &row, err));
        tdbg_expr_add_row(e, &row);
        e->diverges_next++;
        keep(e);
    }
out:
    return st;
}
