/* Expressions over the steps of a trace. See expression_eval.h.
 *
 * A step is judged in up to three rounds, each only where the one before could not tell: by its
 * row; with what is recorded of the terms' sites; with what a tap sees of the others. Truth is
 * three-valued (Kleene): what is not known yet may not matter. */
#include "replay/expression_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/expression_ranks.h"
#include "replay/expression_value.h"
#include "trace/layout.h"

enum { ROWS = 512 };

enum term_state { TERM_UNREAD, TERM_KNOWN, TERM_ABSENT, TERM_PENDING };

struct term_value {
    enum term_state state;
    struct tdbg_expr_gathered gathered;
    int32_t n_shown; /* sites that the executed step had */
    void **before;   /* of update_ratio: (n_sites) values before the step */
};

struct tdbg_expr_eval {
    struct tdbg_trace *trace;
    struct tdbg_session_options options;
    struct tdbg_expr *expr;
    struct tdbg_session *session;  /* NULL until a step has to be executed */
    struct tdbg_expr_ranks *ranks; /* NULL where nothing compares them */
    const struct tdbg_site *sites;
    int32_t n_sites;
    int32_t *after; /* (n_sites): of a state/ site the one of the same tensor after a step, or -1 */
    struct term_value *value; /* (n_terms) */
    void *data, *scratch;     /* one value of the largest site that is read whole */
    struct tdbg_step_row rows[ROWS], row;
    int64_t rows_first, n_rows;
    struct tdbg_diverges *diverges; /* (n_diverges) */
    int64_t diverges_next;          /* the step whose values they want next */
    struct tdbg_expr_cost cost;
};

/* --- step rows --- */

static enum tdbg_status read_row(struct tdbg_expr_eval *e, int64_t step, struct tdbg_step_row *out,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t end = tdbg_trace_first_step(e->trace) + tdbg_trace_n_steps(e->trace);
    if (step < e->rows_first || step >= e->rows_first + e->n_rows) {
        const int64_t n = end - step < ROWS ? end - step : ROWS;
        e->n_rows = 0;
        TDBG_TRY(tdbg_trace_read_steps(e->trace, step, n, e->rows, err));
        e->rows_first = step;
        e->n_rows = n;
    }
    *out = e->rows[step - e->rows_first];
out:
    return st;
}

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

/* The series of every diverges() up to and with this step. */
static enum tdbg_status advance_series(struct tdbg_expr_eval *e, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_expr *x = e->expr;
    if (x->n_diverges == 0 || step == e->diverges_next - 1)
        return TDBG_OK;
    if (step < e->diverges_next) {
        memset(e->diverges, 0, (size_t)x->n_diverges * sizeof *e->diverges);
        e->diverges_next = tdbg_trace_first_step(e->trace);
    }
    for (; e->diverges_next <= step; e->diverges_next++) {
        struct tdbg_step_row row;
        TDBG_TRY(read_row(e, e->diverges_next, &row, err));
        for (int i = 0; i < x->n_nodes; i++) {
            const struct tdbg_expr_node *n = &x->node[i];
            if (n->code == TDBG_EXPR_DIVERGES)
                tdbg_diverges_add(&e->diverges[n->b],
                                  n->a == TDBG_EXPR_LOSS ? (double)row.loss : row.grad_norm);
        }
    }
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

/* --- what is recorded --- */

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
static void find_after(struct tdbg_expr_eval *e)
{
    for (int32_t i = 0; i < e->n_sites; i++) {
        const struct tdbg_site *s = &e->sites[i];
        e->after[i] = -1;
        for (int32_t k = i + 1; s->stage == TDBG_STAGE_STATE && k < e->n_sites; k++) {
            const struct tdbg_site *t = &e->sites[k];
            if ((t->stage == TDBG_STAGE_PARAM || t->stage == TDBG_STAGE_OPTIM) &&
                t->lane == s->lane && strcmp(tdbg_site_tensor(s), tdbg_site_tensor(t)) == 0) {
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
    TDBG_TRY(tdbg_trace_read_stats(e->trace, step, site, &stats, err));
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

static enum tdbg_status read_term(struct tdbg_expr_eval *e, int i, struct tdbg_err *err)
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

/* --- what has to be executed --- */

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

static const struct tdbg_tap_ops expression_ops = {plan, begin_step, show_site, end_step};

enum tdbg_status tdbg_expr_eval_session(struct tdbg_expr_eval *e, struct tdbg_session **out,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!e->session)
        TDBG_TRY(tdbg_session_create(e->trace, &e->options, &e->session, err));
    *out = e->session;
out:
    return st;
}

static enum tdbg_status execute(struct tdbg_expr_eval *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&expression_ops, e};
    struct tdbg_session *session;
    st = tdbg_expr_eval_session(e, &session, err);
    if (st != TDBG_OK)
        return tdbg_err_prefix(err, "step %lld has to be executed for '%s'", (long long)e->row.step,
                               e->expr->text);
    TDBG_TRY(tdbg_session_seek(session, e->row.step, err));
    TDBG_TRY(tdbg_session_run_step(session, &tap, 1, NULL, err));
out:
    return st;
}

/* --- a step --- */

enum tdbg_status tdbg_expr_eval_at(struct tdbg_expr_eval *e, int64_t step,
                                   struct tdbg_expr_value *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool pending = false;
    TDBG_TRY(read_row(e, step, &e->row, err));
    TDBG_TRY(advance_series(e, step, err));
    for (int i = 0; i < e->expr->n_terms; i++)
        e->value[i].state = TERM_UNREAD;
    *out = evaluate(e, e->expr->root);
    for (int i = 0; !out->is_known && i < e->expr->n_terms; i++) {
        TDBG_TRY(read_term(e, i, err));
        pending |= e->value[i].state == TERM_PENDING;
    }
    if (!out->is_known)
        *out = evaluate(e, e->expr->root);
    if (out->is_known || !pending) {
        e->cost.read++;
        goto out;
    }
    TDBG_TRY(execute(e, err));
    e->cost.reexecuted++;
    *out = evaluate(e, e->expr->root);
out:
    return st;
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

enum tdbg_status tdbg_expr_eval_create(struct tdbg_trace *trace,
                                       const struct tdbg_session_options *options,
                                       struct tdbg_expr *expr, struct tdbg_expr_eval **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_fault fault;
    struct tdbg_expr_eval *e = calloc(1, sizeof *e);
    TDBG_FAIL_IF(!e, NO_MEMORY, "no memory for an expression");
    e->trace = trace;
    e->options = *options;
    e->expr = expr;
    e->sites = tdbg_trace_sites(trace, &e->n_sites);
    e->diverges_next = tdbg_trace_first_step(trace);
    e->after = malloc((size_t)(e->n_sites + 1) * sizeof *e->after);
    e->value = calloc((size_t)expr->n_terms + 1, sizeof *e->value);
    e->diverges = calloc((size_t)expr->n_diverges + 1, sizeof *e->diverges);
    TDBG_FAIL_IF(!e->after || !e->value || !e->diverges, NO_MEMORY, "no memory for an expression");
    if (!tdbg_expr_bind(expr, e->sites, e->n_sites, tdbg_trace_info(trace)->world_size, &fault))
        st = tdbg_expr_raise(expr->text, &fault, err);
    TDBG_TRY(st);
    TDBG_TRY(make_buffers(e, err));
    find_after(e);
    *out = e;
    return TDBG_OK;
out:
    tdbg_expr_eval_destroy(e);
    return st;
}

void tdbg_expr_eval_destroy(struct tdbg_expr_eval *e)
{
    if (!e)
        return;
    for (int i = 0; e->value && i < e->expr->n_terms; i++) {
        for (int32_t k = 0; e->value[i].before && k < e->expr->term[i].n_sites; k++)
            free(e->value[i].before[k]);
        free(e->value[i].before);
    }
    tdbg_session_destroy(e->session);
    tdbg_expr_ranks_close(e->ranks);
    free(e->after);
    free(e->value);
    free(e->diverges);
    free(e->data);
    free(e->scratch);
    free(e);
}
