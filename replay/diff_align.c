/* Which tensor of A is which of B. See diff_impl.h.
 *
 * First by name, lane, micro-batch, dtype and shape. Of what is left, by name and shape: a name
 * that each side has once, with a lane of another number; or the parts of a batch that the two runs
 * cut otherwise, put together:
 *
 *     A, one lane     fwd/fc1 (64, 256)
 *     B, four lanes   fwd/fc1 lane 0 (16, 256) .. lane 3 (16, 256)      a pair BY_PARTS
 *
 * Of what is left then, by its place, if all of it is alike: a layer was renamed (diff_renamed.c).
 *
 * Where the batch is cut otherwise, lane 0 of A is not lane 0 of B, so that nothing of a lane is
 * paired by its number. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

static bool same_shape(const struct tdbg_site *a, const struct tdbg_site *b, int32_t from_dim)
{
    for (int32_t d = from_dim; a->ndim == b->ndim && d < a->ndim; d++) {
        if (a->dims[d] != b->dims[d])
            return false;
    }
    return a->ndim == b->ndim;
}

static bool same_tensor(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return a->dtype == b->dtype && same_shape(a, b, 0);
}

static bool same_cut(const struct tdbg_diff *d)
{
    const struct tdbg_run_info *a = tdbg_trace_info(d->a.first), *b = tdbg_trace_info(d->b.first);
    return a->lanes == b->lanes && a->accumulate == b->accumulate;
}

static int32_t find_exact(const struct tdbg_rank_group *in, const struct tdbg_site *site)
{
    const int32_t j = tdbg_rank_group_find(in, site->name, site->lane, site->micro);
    return j >= 0 && same_tensor(site, &in->sites[j]) ? j : -1;
}

static void add_pair(struct tdbg_diff *d, enum tdbg_diff_how how, const int32_t *a, int32_t n_a,
                     const int32_t *b, int32_t n_b)
{
    struct tdbg_diff_report *r = d->report;
    struct tdbg_diff_pair *p = &r->pair[r->n_pairs++];
    int32_t *list = tdbg_arena_alloc(r->arena, (size_t)(n_a + n_b) * sizeof *list);
    memcpy(list, a, (size_t)n_a * sizeof *a);
    memcpy(list + n_a, b, (size_t)n_b * sizeof *b);
    *p = (struct tdbg_diff_pair){how, d->a.group->sites[a[0]], list, list + n_a, n_a, n_b};
    if (how == TDBG_DIFF_BY_PARTS) {
        p->site.lane = p->site.micro = TDBG_LANE_ALL;
        for (int32_t k = 1; k < n_a; k++)
            p->site.dims[0] += d->a.group->sites[a[k]].dims[0];
        r->n_by_parts++;
        return;
    }
    r->n_by_name += how == TDBG_DIFF_BY_NAME;
    r->n_by_place += how == TDBG_DIFF_RENAMED;
    d->a.match[a[0]] = b[0];
    d->b.match[b[0]] = a[0];
}

/* --- what has no exact partner, in the order of names --- */

struct rest {
    const struct tdbg_site *sites; /* of the joined list */
    int32_t *site;                 /* (n) */
    int32_t n;
};

static int compare_rest(const void *x, const void *y, void *context)
{
    const struct tdbg_site *sites = context;
    const int32_t i = *(const int32_t *)x, j = *(const int32_t *)y;
    const int by_name = strcmp(sites[i].name, sites[j].name);
    if (by_name)
        return by_name;
    if (sites[i].lane != sites[j].lane)
        return sites[i].lane < sites[j].lane ? -1 : 1;
    return (sites[i].micro > sites[j].micro) - (sites[i].micro < sites[j].micro);
}

static void list_rest(struct tdbg_diff *d, const struct tdbg_diff_side *side, struct rest *rest)
{
    const struct tdbg_rank_group *g = side->group;
    rest->sites = g->sites;
    rest->site = tdbg_arena_alloc(d->report->arena, ((size_t)g->n_sites + 1) * sizeof *rest->site);
    for (int32_t i = 0; i < g->n_sites; i++) {
        if (side->match[i] < 0)
            rest->site[rest->n++] = i;
    }
    qsort_r(rest->site, (size_t)rest->n, sizeof *rest->site, compare_rest, (void *)g->sites);
}

/* How many from `at` on have the same name. */
static int32_t run_length(const struct rest *rest, int32_t at)
{
    int32_t n = 1;
    while (at + n < rest->n &&
           strcmp(rest->sites[rest->site[at + n]].name, rest->sites[rest->site[at]].name) == 0)
        n++;
    return n;
}

/* Rows of all parts together; -1: they are not parts of one tensor of that kind. */
static int64_t rows_of_parts(const struct rest *rest, int32_t at, int32_t n,
                             const struct tdbg_site *like)
{
    int64_t rows = 0;
    for (int32_t k = at; k < at + n; k++) {
        const struct tdbg_site *s = &rest->sites[rest->site[k]];
        if (!s->batched || s->ndim < 1 || s->dtype != like->dtype || !same_shape(s, like, 1) ||
            s->dims[0] > INT64_MAX / 2 - rows)
            return -1;
        rows += s->dims[0];
    }
    return rows;
}

static bool pair_names(struct tdbg_diff *d, const struct rest *a, int32_t at_a, int32_t n_a,
                       const struct rest *b, int32_t at_b, int32_t n_b)
{
    const struct tdbg_site *first = &a->sites[a->site[at_a]];
    if (n_a == 1 && n_b == 1 && same_tensor(first, &b->sites[b->site[at_b]])) {
        add_pair(d, TDBG_DIFF_BY_NAME, a->site + at_a, 1, b->site + at_b, 1);
        return true;
    }
    const int64_t rows = rows_of_parts(a, at_a, n_a, first);
    if (rows < 0 || rows != rows_of_parts(b, at_b, n_b, first))
        return false;
    add_pair(d, TDBG_DIFF_BY_PARTS, a->site + at_a, n_a, b->site + at_b, n_b);
    return true;
}

static const char *only_text(struct tdbg_diff *d, const struct rest *rest, int32_t at, int32_t n)
{
    const char *name = rest->sites[rest->site[at]].name;
    char label[TDBG_MAX_SITE_NAME + 40];
    if (n > 1)
        return tdbg_arena_printf(d->report->arena, "%s (%d parts)", name, (int)n);
    return tdbg_arena_strdup(d->report->arena,
                             tdbg_site_label(&rest->sites[rest->site[at]], label, sizeof label));
}

static const char *reshaped_text(struct tdbg_diff *d, const struct rest *a, int32_t at_a,
                                 int32_t n_a, const struct rest *b, int32_t at_b, int32_t n_b)
{
    const struct tdbg_site *x = &a->sites[a->site[at_a]], *y = &b->sites[b->site[at_b]];
    char shape_x[200], shape_y[200], parts_x[32] = "", parts_y[32] = "";
    if (n_a > 1)
        snprintf(parts_x, sizeof parts_x, "%d x ", (int)n_a);
    if (n_b > 1)
        snprintf(parts_y, sizeof parts_y, "%d x ", (int)n_b);
    return tdbg_arena_printf(
        d->report->arena, "%s: %s%s %s and %s%s %s", x->name, parts_x, tdbg_dtype_text(x->dtype),
        tdbg_site_shape_text(x, shape_x, sizeof shape_x), parts_y, tdbg_dtype_text(y->dtype),
        tdbg_site_shape_text(y, shape_y, sizeof shape_y));
}

static void pair_rest(struct tdbg_diff *d, const struct rest *a, const struct rest *b)
{
    struct tdbg_diff_report *r = d->report;
    for (int32_t i = 0, j = 0; i < a->n || j < b->n;) {
        const int32_t n_a = i < a->n ? run_length(a, i) : 0, n_b = j < b->n ? run_length(b, j) : 0;
        const int order = n_a == 0   ? 1
                          : n_b == 0 ? -1
                                     : strcmp(a->sites[a->site[i]].name, b->sites[b->site[j]].name);
        if (order < 0)
            r->only_a[r->n_only_a++] = only_text(d, a, i, n_a);
        else if (order > 0)
            r->only_b[r->n_only_b++] = only_text(d, b, j, n_b);
        else if (!pair_names(d, a, i, n_a, b, j, n_b))
            r->reshaped[r->n_reshaped++] = reshaped_text(d, a, i, n_a, b, j, n_b);
        i += order <= 0 ? n_a : 0;
        j += order >= 0 ? n_b : 0;
    }
}

static int compare_pairs(const void *x, const void *y)
{
    const struct tdbg_diff_pair *p = x, *q = y;
    return (p->a[0] > q->a[0]) - (p->a[0] < q->a[0]);
}

static void align_noise(struct tdbg_diff *d)
{
    const struct tdbg_rank_group *a = d->a.group;
    for (int32_t i = 0; d->noise.group && i < a->n_sites; i++)
        d->noise_site[i] = find_exact(d->noise.group, &a->sites[i]);
}

static void pair_renamed(struct tdbg_diff *d)
{
    struct tdbg_arena *arena = d->report->arena;
    int32_t *a = tdbg_arena_alloc(arena, ((size_t)d->a.group->n_sites + 1) * sizeof *a);
    int32_t *b = tdbg_arena_alloc(arena, ((size_t)d->b.group->n_sites + 1) * sizeof *b);
    const int32_t n = tdbg_diff_find_renamed(d, a, b);
    for (int32_t i = 0; i < n; i++)
        add_pair(d, TDBG_DIFF_RENAMED, &a[i], 1, &b[i], 1);
}

void tdbg_diff_align(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_rank_group *a = d->a.group, *b = d->b.group;
    const bool by_lane = same_cut(d);
    struct rest rest_a = {0}, rest_b = {0};
    r->pair = tdbg_arena_alloc(r->arena, (size_t)a->n_sites * sizeof *r->pair);
    r->pair_differs = tdbg_arena_alloc(r->arena, (size_t)a->n_sites * sizeof *r->pair_differs);
    r->only_a = tdbg_arena_alloc(r->arena, (size_t)a->n_sites * sizeof *r->only_a);
    r->only_b = tdbg_arena_alloc(r->arena, (size_t)b->n_sites * sizeof *r->only_b);
    r->reshaped = tdbg_arena_alloc(r->arena, (size_t)a->n_sites * sizeof *r->reshaped);
    for (int32_t i = 0; i < a->n_sites; i++)
        d->a.match[i] = -1;
    for (int32_t j = 0; j < b->n_sites; j++)
        d->b.match[j] = -1;
    for (int32_t i = 0; i < a->n_sites; i++) {
        const int32_t j = a->sites[i].lane < 0 || by_lane ? find_exact(b, &a->sites[i]) : -1;
        if (j >= 0)
            add_pair(d, TDBG_DIFF_EXACT, &i, 1, &j, 1);
    }
    if (by_lane)
        pair_renamed(d);
    list_rest(d, &d->a, &rest_a);
    list_rest(d, &d->b, &rest_b);
    pair_rest(d, &rest_a, &rest_b);
    qsort(r->pair, (size_t)r->n_pairs, sizeof *r->pair, compare_pairs);
    align_noise(d);
}
