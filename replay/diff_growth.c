/* How the difference grows from the first step that differs on: at that step, 1, 2, 4, ... steps
 * later, and at the last. See diff_impl.h. */
#include <math.h>
#include <stdlib.h>

#include "replay/diff_impl.h"

enum {
    MOST_STEPS = 40,               /* 2^38 steps are enough for everybody */
    MOST_BYTES = 32 * 1024 * 1024, /* of one side that are read in all: a fraction of a second */
};

static void choose_steps(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    struct tdbg_diff_growth *g = &r->growth;
    const int64_t from = r->has_step ? r->step : r->bits_step;
    const int64_t last = r->first_step + r->n_steps - 1;
    g->step = tdbg_arena_alloc(r->arena, MOST_STEPS * sizeof *g->step);
    g->loss_a = tdbg_arena_alloc(r->arena, MOST_STEPS * sizeof *g->loss_a);
    g->loss_b = tdbg_arena_alloc(r->arena, MOST_STEPS * sizeof *g->loss_b);
    g->step[g->n_steps++] = from;
    for (int64_t later = 1; later < last - from && g->n_steps < MOST_STEPS - 1; later *= 2)
        g->step[g->n_steps++] = from + later;
    if (last > from)
        g->step[g->n_steps++] = last;
}

static bool is_floating(enum tdbg_dtype dtype)
{
    return dtype != TDBG_DTYPE_U8 && dtype != TDBG_DTYPE_I32 && dtype != TDBG_DTYPE_I64;
}

static bool all_stored(struct tdbg_rank_group *g, const int32_t *sites, int32_t n, int64_t step,
                       bool evaluated)
{
    for (int32_t i = 0; i < n; i++) {
        if (!tdbg_step_values_are_stored(g, sites[i], step, evaluated))
            return false;
    }
    return true;
}

/* Can a pair be measured in the step whose rows were read last: is it stored on both sides or, if
 * that is asked for, executed? */
static bool is_measurable(const struct tdbg_diff *d, const struct tdbg_diff_pair *pair,
                          int64_t step)
{
    if (!is_floating(pair->site.dtype) || pair->site.stage == TDBG_STAGE_SAMPLES)
        return false;
    return d->options->executes ||
           (all_stored(d->a.group, pair->a, pair->n_a, step, d->a.row.evaluated) &&
            all_stored(d->b.group, pair->b, pair->n_b, step, d->b.row.evaluated));
}

/* The first pair that differs is taken first, whatever there is room for. */
static enum tdbg_status choose_pairs(struct tdbg_diff *d, int64_t step, int32_t *pairs, int32_t *n,
                                     int *n_left_out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const int64_t most =
        d->options->executes ? TDBG_DIFF_VALUE_BYTES : MOST_BYTES / r->growth.n_steps;
    int64_t bytes = 0;
    *n = 0;
    TDBG_TRY(tdbg_diff_read_side(&d->a, step, r, err));
    TDBG_TRY(tdbg_diff_read_side(&d->b, step, r, err));
    for (int32_t k = r->at >= 0 ? -1 : 0; k < r->n_pairs; k++) {
        const int32_t p = k < 0 ? r->at : k;
        if ((k >= 0 && k == r->at) || !is_measurable(d, &r->pair[p], step))
            continue;
        const int64_t more =
            tdbg_site_elems(&r->pair[p].site) * (int64_t)tdbg_dtype_bytes(r->pair[p].site.dtype);
        if (*n > 0 && more > most - bytes) {
            ++*n_left_out;
            continue;
        }
        bytes += more > most - bytes ? most - bytes : more;
        pairs[(*n)++] = p;
    }
out:
    return st;
}

static struct tdbg_diff_growth_row *row_of(struct tdbg_diff *d, int32_t *row, int32_t pair)
{
    struct tdbg_diff_report *r = d->report;
    struct tdbg_diff_growth *g = &r->growth;
    const size_t bytes = (size_t)g->n_steps * sizeof(double);
    if (row[pair] >= 0)
        return &g->row[row[pair]];
    row[pair] = g->n_rows;
    struct tdbg_diff_growth_row *new = &g->row[g->n_rows++];
    *new = (struct tdbg_diff_growth_row){pair, tdbg_arena_alloc(r->arena, bytes),
                                         tdbg_arena_alloc(r->arena, bytes)};
    for (int i = 0; i < g->n_steps; i++)
        new->relative[i] = new->largest[i] = NAN;
    return new;
}

static enum tdbg_status measure_pair(struct tdbg_diff *d, int32_t *row, const int32_t *pairs,
                                     int32_t k, int i, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    void *a = NULL, *b = NULL;
    int64_t n_a, n_b;
    const char *why;
    struct tdbg_tensor_distance distance;
    TDBG_TRY(tdbg_diff_take(d, &d->a, pairs, k, &a, &n_a, &why, err));
    TDBG_TRY(tdbg_diff_take(d, &d->b, pairs, k, &b, &n_b, &why, err));
    if (!a || !b || n_a != n_b)
        goto out;
    tdbg_compare_distance(a, b, d->report->pair[pairs[k]].site.dtype, n_a, &distance);
    struct tdbg_diff_growth_row *out = row_of(d, row, pairs[k]);
    out->largest[i] = distance.largest;
    out->relative[i] = distance.rms_difference == 0 ? 0
                       : distance.rms_a > 0         ? distance.rms_difference / distance.rms_a
                                                    : INFINITY;
out:
    free(a);
    free(b);
    return st;
}

static enum tdbg_status measure_step(struct tdbg_diff *d, int32_t *row, int32_t *pairs, int i,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_growth *g = &d->report->growth;
    int32_t n;
    int n_left_out = 0;
    TDBG_TRY(choose_pairs(d, g->step[i], pairs, &n, &n_left_out, err));
    g->n_left_out = n_left_out > g->n_left_out ? n_left_out : g->n_left_out;
    g->loss_a[i] = (double)d->a.row.loss;
    g->loss_b[i] = (double)d->b.row.loss;
    if (n == 0)
        goto out;
    TDBG_TRY(tdbg_diff_load(d, &d->a, pairs, n, g->step[i], d->options->executes, err));
    TDBG_TRY(tdbg_diff_load(d, &d->b, pairs, n, g->step[i], d->options->executes, err));
    for (int32_t k = 0; k < n; k++)
        TDBG_TRY(measure_pair(d, row, pairs, k, i, err));
out:
    return st;
}

static int compare_rows(const void *x, const void *y)
{
    const struct tdbg_diff_growth_row *p = x, *q = y;
    return (p->pair > q->pair) - (p->pair < q->pair);
}

enum tdbg_status tdbg_diff_measure_growth(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    struct tdbg_diff_growth *g = &r->growth;
    int32_t *row = malloc((size_t)r->n_pairs * sizeof *row);
    int32_t *pairs = malloc((size_t)r->n_pairs * sizeof *pairs);
    const int64_t n_reads = r->n_reads; /* up to here they were to find the answer */
    TDBG_FAIL_IF(!row || !pairs, NO_MEMORY, "no memory to compare traces");
    for (int32_t p = 0; p < r->n_pairs; p++)
        row[p] = -1;
    choose_steps(d);
    g->row = tdbg_arena_alloc(r->arena, (size_t)r->n_pairs * sizeof *g->row);
    for (int i = 0; i < g->n_steps; i++) {
        TDBG_TRY(tdbg_diff_progress(d, i, g->n_steps, err));
        TDBG_TRY(measure_step(d, row, pairs, i, err));
    }
    qsort(g->row, (size_t)g->n_rows, sizeof *g->row, compare_rows);
    r->n_reads = n_reads;
out:
    free(row);
    free(pairs);
    return st;
}
