/* Expressions over the steps of a trace. See expression_eval.h.
 *
 * A step is judged in up to three rounds, each only where the one before could not tell: by its
 * row; with what is recorded of the terms' sites; with what a tap sees of the others. Truth is
 * three-valued (Kleene): what is not known yet may not matter. */
#include "replay/expression_zone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- step rows --- */

enum tdbg_status tdbg_expr_read_row(struct tdbg_expr_eval *e, int64_t step,
                                    struct tdbg_step_row *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t end = tdbg_trace_first_step(e->trace) + tdbg_trace_n_steps(e->trace);
    if (step < e->rows_first || step >= e->rows_first + e->n_rows) {
        const int64_t n = end - step < TDBG_EXPR_ROWS ? end - step : TDBG_EXPR_ROWS;
        e->n_rows = 0;
        TDBG_TRY(tdbg_trace_read_steps(e->trace, step, n, e->rows, err));
        e->rows_first = step;
        e->n_rows = n;
    }
    *out = e->rows[step - e->rows_first];
out:
    return st;
}

/* --- the tree --- */

static struct tdbg_expr_value known(double number)
{
    return (struct tdbg_expr_value){true, number};
}

static double compute(enum tdbg_expr_code code, double a, double b)
{
    switch (code) {
    case TDBG_EXPR_NEGATE:
        return -a;
    case TDBG_EXPR_NOT:
        return a == 0;
    case TDBG_EXPR_ADD:
        return a + b;
    case TDBG_EXPR_SUBTRACT:
        return a - b;
    case TDBG_EXPR_MULTIPLY:
        return a * b;
    case TDBG_EXPR_DIVIDE:
        return a / b;
    case TDBG_EXPR_LESS:
        return a < b;
    case TDBG_EXPR_LESS_EQUAL:
        return a <= b;
    case TDBG_EXPR_GREATER:
        return a > b;
    case TDBG_EXPR_GREATER_EQUAL:
        return a >= b;
    case TDBG_EXPR_EQUAL:
        return a == b;
    case TDBG_EXPR_NOT_EQUAL:
        return a != b;
    default:
        TDBG_BUG("operator %d of an expression", (int)code);
    }
}

/* One that is known and decides alone, else both. */
static struct tdbg_expr_value join(struct tdbg_expr_value a, struct tdbg_expr_value b,
                                   bool decisive)
{
    if ((a.is_known && (a.number != 0) == decisive) || (b.is_known && (b.number != 0) == decisive))
        return known(decisive);
    return a.is_known && b.is_known ? known(!decisive) : (struct tdbg_expr_value){0};
}

static struct tdbg_expr_value leaf(const struct tdbg_expr_eval *e, const struct tdbg_expr_node *n)
{
    const struct tdbg_step_row *row = &e->row;
    const struct term_value *v;
    switch (n->code) {
    case TDBG_EXPR_STEP:
        return known((double)row->step);
    case TDBG_EXPR_EPOCH:
        return known((double)row->epoch);
    case TDBG_EXPR_LR:
        return known((double)row->lr);
    case TDBG_EXPR_LOSS:
        return known((double)row->loss);
    case TDBG_EXPR_GRAD_NORM:
        return known(row->grad_norm);
    case TDBG_EXPR_SAMPLES:
        return known((double)row->samples);
    case TDBG_EXPR_DIVERGES:
        return known(e->diverges[n->b].result);
    case TDBG_EXPR_TERM:
        v = &e->value[n->a];
        return v->state == TERM_KNOWN
                   ? known(tdbg_expr_result(e->expr->term[n->a].function, &v->gathered))
                   : (struct tdbg_expr_value){0};
    default:
        return known(n->number);
    }
}

static struct tdbg_expr_value evaluate(const struct tdbg_expr_eval *e, int at)
{
    const struct tdbg_expr_node *n = &e->expr->node[at];
    if (n->code < TDBG_EXPR_NEGATE)
        return leaf(e, n);
    const struct tdbg_expr_value a = evaluate(e, n->a);
    const bool is_unary = n->code == TDBG_EXPR_NEGATE || n->code == TDBG_EXPR_NOT;
    const struct tdbg_expr_value b = is_unary ? known(0) : evaluate(e, n->b);
    if (n->code == TDBG_EXPR_AND || n->code == TDBG_EXPR_OR)
        return join(a, b, n->code == TDBG_EXPR_OR);
    return a.is_known && b.is_known ? known(compute(n->code, a.number, b.number))
                                    : (struct tdbg_expr_value){0};
}

struct tdbg_expr_value tdbg_expr_evaluate(const struct tdbg_expr_eval *e)
{
    return evaluate(e, e->expr->root);
}

/* --- a step --- */

/* What the row and what is recorded tell; *pending: the rest has to be executed. */
static enum tdbg_status judge_recorded(struct tdbg_expr_eval *e, int64_t step,
                                       struct tdbg_expr_value *out, bool *pending,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *pending = false;
    TDBG_TRY(tdbg_expr_read_row(e, step, &e->row, err));
    TDBG_TRY(tdbg_expr_advance_series(e, step, err));
    for (int i = 0; i < e->expr->n_terms; i++)
        e->value[i].state = TERM_UNREAD;
    *out = evaluate(e, e->expr->root);
    for (int i = 0; !out->is_known && i < e->expr->n_terms; i++) {
        TDBG_TRY(tdbg_expr_read_term(e, i, err));
        *pending |= e->value[i].state == TERM_PENDING;
    }
    if (!out->is_known)
        *out = evaluate(e, e->expr->root);
    *pending &= !out->is_known;
    e->cost.read += !*pending;
out:
    return st;
}

/* Those that wait for the execution of the step: where[i] is the place of waiting[i] in out. */
static enum tdbg_status judge_executed(struct tdbg_expr_eval **waiting, const int *where, int n,
                                       struct tdbg_expr_value *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_expr_execute(waiting, n, err));
    for (int i = 0; i < n; i++) {
        waiting[i]->cost.reexecuted++;
        out[where[i]] = evaluate(waiting[i], waiting[i]->expr->root);
    }
out:
    return st;
}

enum tdbg_status tdbg_expr_eval_all_at(struct tdbg_expr_eval *const *evals, int n, int64_t step,
                                       struct tdbg_expr_value *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_eval *waiting[TDBG_EXPR_AT_ONCE];
    int where[TDBG_EXPR_AT_ONCE], n_waiting = 0;
    for (int i = 0; i < n; i++) {
        bool pending;
        TDBG_TRY(judge_recorded(evals[i], step, &out[i], &pending, err));
        if (!pending)
            continue;
        waiting[n_waiting] = evals[i];
        where[n_waiting++] = i;
        if (n_waiting == TDBG_EXPR_AT_ONCE) {
            TDBG_TRY(judge_executed(waiting, where, n_waiting, out, err));
            n_waiting = 0;
        }
    }
    if (n_waiting > 0)
        TDBG_TRY(judge_executed(waiting, where, n_waiting, out, err));
out:
    return st;
}

enum tdbg_status tdbg_expr_eval_at(struct tdbg_expr_eval *e, int64_t step,
                                   struct tdbg_expr_value *out, struct tdbg_err *err)
{
    return tdbg_expr_eval_all_at(&e, 1, step, out, err);
}

bool tdbg_expr_eval_may_execute(const struct tdbg_expr_eval *e)
{
    return e->expr->n_terms > 0;
}

struct tdbg_expr_cost tdbg_expr_eval_cost(const struct tdbg_expr_eval *e)
{
    struct tdbg_expr_cost cost = e->cost;
    cost.steps_executed = e->session ? tdbg_session_steps_executed(e->session) : 0;
    return cost;
}

/* Room for what is read whole, and for parameters before the step. */
static enum tdbg_status make_buffers(struct tdbg_expr_eval *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t largest = 8;
    for (int i = 0; i < e->expr->n_terms; i++) {
        const struct tdbg_expr_term *t = &e->expr->term[i];
        const bool update = t->function == TDBG_EXPR_UPDATE_RATIO;
        e->value[i].before = calloc((size_t)t->n_sites + 1, sizeof *e->value[i].before);
        TDBG_FAIL_IF(!e->value[i].before, NO_MEMORY, "no memory for an expression");
        for (int32_t k = 0; (update || t->n_indices > 0) && k < t->n_sites; k++) {
            const struct tdbg_site *s = &e->sites[t->sites[k]];
            const size_t bytes = (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype);
            largest = bytes > largest ? bytes : largest;
            if (update)
                e->value[i].before[k] = calloc(1, bytes + 1);
            TDBG_FAIL_IF(update && !e->value[i].before[k], NO_MEMORY, "no memory for %s", s->name);
        }
    }
    e->data = malloc(largest);
    e->scratch = malloc(largest);
    TDBG_FAIL_IF(!e->data || !e->scratch, NO_MEMORY, "no memory for a tensor");
out:
    return st;
}

enum tdbg_status tdbg_expr_eval_bind(struct tdbg_expr_eval *e, const struct tdbg_site *sites,
                                     int32_t n_sites, int32_t world_size, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_fault fault;
    e->sites = sites;
    e->n_sites = n_sites;
    e->value = calloc((size_t)e->expr->n_terms + 1, sizeof *e->value);
    e->diverges = calloc((size_t)e->expr->n_diverges + 1, sizeof *e->diverges);
    TDBG_FAIL_IF(!e->value || !e->diverges, NO_MEMORY, "no memory for an expression");
    if (!tdbg_expr_bind(e->expr, sites, n_sites, world_size, &fault))
        st = tdbg_expr_raise(e->expr->text, &fault, err);
    TDBG_TRY(st);
    TDBG_TRY(make_buffers(e, err));
out:
    return st;
}

enum tdbg_status tdbg_expr_eval_create(struct tdbg_trace *trace,
                                       const struct tdbg_session_options *options,
                                       struct tdbg_expr *expr, struct tdbg_expr_eval **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n_sites);
    struct tdbg_expr_eval *e = calloc(1, sizeof *e);
    TDBG_FAIL_IF(!e, NO_MEMORY, "no memory for an expression");
    e->trace = trace;
    e->options = *options;
    e->expr = expr;
    e->diverges_next = tdbg_trace_first_step(trace);
    e->after = malloc((size_t)(n_sites + 1) * sizeof *e->after);
    TDBG_FAIL_IF(!e->after, NO_MEMORY, "no memory for an expression");
    TDBG_TRY(tdbg_expr_eval_bind(e, sites, n_sites, tdbg_trace_info(trace)->world_size, err));
    tdbg_expr_find_after(e);
    *out = e;
    return TDBG_OK;
out:
    tdbg_expr_eval_destroy(e);
    return st;
}

void tdbg_expr_eval_clear(struct tdbg_expr_eval *e)
{
    for (int i = 0; e->value && i < e->expr->n_terms; i++) {
        for (int32_t k = 0; e->value[i].before && k < e->expr->term[i].n_sites; k++)
            free(e->value[i].before[k]);
        free(e->value[i].before);
    }
    free(e->value);
    free(e->diverges);
    free(e->kept);
    free(e->data);
    free(e->scratch);
    for (int i = 0; i < 2; i++)
        free(e->of_step[i].stats);
    memset(e->of_step, 0, sizeof e->of_step);
}

void tdbg_expr_eval_destroy(struct tdbg_expr_eval *e)
{
    if (!e)
        return;
    tdbg_expr_eval_clear(e);
    tdbg_session_destroy(e->session);
    tdbg_expr_ranks_close(e->ranks);
    tdbg_expr_zones_free(e->zones);
    free(e->after);
    free(e);
}
