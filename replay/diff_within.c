/* Where two traces part by more than a tolerance, by the values of what differs in its bits; and
 * tensors whose digests cannot be compared. See diff_impl.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

/* A step's pairs that are to be compared by values. */
struct todo {
    int32_t *pair; /* (n), ascending */
    int32_t n;
    double *noise; /* (pairs) the largest |a - repeat| so far; NULL: there is no repeat */
};

static enum tdbg_status load_all(struct tdbg_diff *d, const int32_t *pairs, int32_t n, int64_t step,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_diff_load(d, &d->a, pairs, n, step, true, err));
    TDBG_TRY(tdbg_diff_load(d, &d->b, pairs, n, step, true, err));
    if (d->noise.group)
        TDBG_TRY(tdbg_diff_load(d, &d->noise, pairs, n, step, true, err));
out:
    return st;
}

static void count_unknown(struct tdbg_diff *d, int32_t pair, int64_t step, const char *why)
{
    struct tdbg_diff_report *r = d->report;
    if (r->n_unknown++ == 0)
        r->unknown_why = tdbg_arena_printf(r->arena, "%s at step %lld: %s", r->pair[pair].site.name,
                                           (long long)step, why);
}

/* What this tensor may differ by: as asked, and by what it differs in the repeat. */
static enum tdbg_status tolerance_of(struct tdbg_diff *d, const struct todo *todo,
                                     const int32_t *pairs, int32_t k, const void *a, int64_t n_a,
                                     struct tdbg_tolerance *out, const char **why,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    void *repeat = NULL;
    int64_t n;
    struct tdbg_tensor_distance distance;
    *out = d->options->tolerance;
    *why = NULL;
    if (!todo->noise)
        return TDBG_OK;
    TDBG_TRY(tdbg_diff_take(d, &d->noise, pairs, k, &repeat, &n, why, err));
    if (!repeat)
        goto out;
    *why = n == n_a ? NULL : "the repeat has another number of elements";
    if (*why)
        goto out;
    const int32_t pair = pairs[k];
    tdbg_compare_distance(a, repeat, d->report->pair[pair].site.dtype, n, &distance);
    if (!(distance.largest <= todo->noise[pair]))
        todo->noise[pair] = isnan(distance.largest) ? INFINITY : distance.largest;
    out->absolute = fmax(out->absolute, TDBG_DIFF_NOISE_FACTOR * todo->noise[pair]);
out:
    free(repeat);
    return st;
}

/* *differs: the k-th of what is loaded is beyond its tolerance (or, without one, not the same). */
static enum tdbg_status compare_pair(struct tdbg_diff *d, const struct todo *todo,
                                     const int32_t *pairs, int32_t k, int64_t step, bool *differs,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const enum tdbg_dtype dtype = r->pair[pairs[k]].site.dtype;
    struct tdbg_tensor_difference elements;
    struct tdbg_tolerance tolerance = d->options->tolerance;
    const char *why = NULL;
    void *a = NULL, *b = NULL;
    int64_t n_a = 0, n_b = 0;
    *differs = false;
    TDBG_TRY(tdbg_diff_take(d, &d->a, pairs, k, &a, &n_a, &why, err));
    TDBG_TRY(tdbg_diff_take(d, &d->b, pairs, k, &b, &n_b, &why, err));
    if (a && b)
        TDBG_TRY(tolerance_of(d, todo, pairs, k, a, n_a, &tolerance, &why, err));
    if (!why && n_a != n_b)
        why = "the step has another number of samples in it";
    if (why) {
        count_unknown(d, pairs[k], step, why);
        goto out;
    }
    tdbg_compare_within(a, b, dtype, n_a, r->is_within ? &tolerance : NULL, &elements);
    r->n_compared++;
    *differs = elements.n_differ > 0;
    if (*differs) {
        r->elements = elements;
        r->has_elements = true;
        r->allowed = todo->noise ? tolerance.absolute : NAN;
    }
out:
    free(a);
    free(b);
    return st;
}

/* The first of the step's pairs that differs, or -1. */
static enum tdbg_status compare_todo(struct tdbg_diff *d, const struct todo *todo, int64_t step,
                                     int32_t *at, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *at = -1;
    for (int32_t from = 0; from < todo->n && *at < 0;) {
        const int32_t *pairs = todo->pair + from;
        const int32_t n = tdbg_diff_batch(d, pairs, todo->n - from);
        TDBG_TRY(load_all(d, pairs, n, step, err));
        for (int32_t k = 0; k < n && *at < 0; k++) {
            bool differs;
            TDBG_TRY(compare_pair(d, todo, pairs, k, step, &differs, err));
            if (differs)
                *at = pairs[k];
        }
        from += n;
    }
out:
    return st;
}

enum tdbg_status tdbg_diff_compare_parts(struct tdbg_diff *d, int64_t step, int32_t end,
                                         int32_t *at, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    struct todo todo = {0};
    *at = end;
    if (r->n_by_parts == 0)
        return TDBG_OK;
    todo.pair = malloc((size_t)r->n_pairs * sizeof *todo.pair);
    TDBG_FAIL_IF(!todo.pair, NO_MEMORY, "no memory to compare traces");
    for (int32_t p = 0; p < end; p++) {
        if (r->pair[p].how == TDBG_DIFF_BY_PARTS)
            todo.pair[todo.n++] = p;
    }
    int32_t found;
    TDBG_TRY(compare_todo(d, &todo, step, &found, err));
    *at = found < 0 ? end : found;
out:
    free(todo.pair);
    return st;
}

/* Does the repeat differ from A in a pair, as far as digests say? */
static bool is_noisy(const struct tdbg_diff *d, const struct tdbg_diff_pair *p, int64_t step)
{
    for (int32_t i = 0; d->noise.group && i < p->n_a; i++) {
        uint64_t a, repeat;
        const int32_t site = d->noise_site[p->a[i]];
        if (site >= 0 && tdbg_diff_digest(&d->a, p->a[i], step, &a) &&
            tdbg_diff_digest(&d->noise, site, step, &repeat) && a != repeat)
            return true;
    }
    return false;
}

/* Tensors without digests in this step (light) do not count; what they are made of does. */
static enum tdbg_status list_todo(struct tdbg_diff *d, struct todo *todo, int64_t step,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    bool differs;
    todo->n = 0;
    TDBG_TRY(tdbg_diff_compare_step(d, step, &differs, err));
    if (d->noise.group)
        TDBG_TRY(tdbg_diff_read_side(&d->noise, step, r, err));
    for (int32_t i = 0; i < r->n_pairs; i++) {
        const struct tdbg_diff_pair *p = &r->pair[i];
        r->pair_differs[i] = p->n_a == 1 && d->differs[p->a[0]];
        if (r->pair_differs[i] || p->how == TDBG_DIFF_BY_PARTS || is_noisy(d, p, step))
            todo->pair[todo->n++] = i;
    }
out:
    return st;
}

static bool repeat_has(const struct tdbg_diff *d, int64_t step)
{
    int64_t first, n;
    if (!d->noise.group)
        return true;
    tdbg_rank_split_steps(d->noise.group, &first, &n);
    return step >= first && step < first + n;
}

static enum tdbg_status search(struct tdbg_diff *d, int64_t from, struct todo *todo,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const int64_t end = r->first_step + r->n_steps;
    for (int64_t step = from; step < end; step++) {
        int32_t at;
        TDBG_TRY(tdbg_diff_progress(d, step - from, end - from, err));
        if (!repeat_has(d, step)) {
            r->n_unknown++;
            r->unknown_why = tdbg_arena_printf(r->arena, "%s has no step %lld",
                                               tdbg_trace_path(d->noise.first), (long long)step);
            break;
        }
        TDBG_TRY(list_todo(d, todo, step, err));
        TDBG_TRY(compare_todo(d, todo, step, &at, err));
        if (at < 0)
            continue;
        r->verdict = TDBG_DIFF_DIFFERS;
        r->has_step = true;
        r->step = step;
        r->at = at;
        r->rank_a = d->a.group->holder[r->pair[at].a[0]];
        r->rank_b = d->b.group->holder[r->pair[at].b[0]];
        goto out;
    }
    r->verdict = r->n_unknown > 0 ? TDBG_DIFF_CANNOT_JUDGE : TDBG_DIFF_SAME;
    if (r->n_unknown > 0)
        r->reason = tdbg_arena_printf(
            r->arena, "%lld tensors differ in their bits and have no values to compare: %s",
            (long long)r->n_unknown, r->unknown_why);
out:
    return st;
}

enum tdbg_status tdbg_diff_search_within(struct tdbg_diff *d, int64_t from, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    struct todo todo = {0};
    todo.pair = malloc((size_t)r->n_pairs * sizeof *todo.pair);
    if (d->noise.group)
        todo.noise = calloc((size_t)r->n_pairs, sizeof *todo.noise);
    TDBG_FAIL_IF(!todo.pair || (d->noise.group && !todo.noise), NO_MEMORY,
                 "no memory to compare traces");
    TDBG_TRY(search(d, from, &todo, err));
    r->steps_executed = (d->a.values ? tdbg_step_values_executed(d->a.values) : 0) +
                        (d->b.values ? tdbg_step_values_executed(d->b.values) : 0) +
                        (d->noise.values ? tdbg_step_values_executed(d->noise.values) : 0);
out:
    free(todo.pair);
    free(todo.noise);
    return st;
}
