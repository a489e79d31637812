/* Finding where two traces part: binary search over hash chains, then one row of digests. See
 * diff.h. */
#include "replay/diff.h"

#include <stdlib.h>
#include <string.h>

#include "replay/session.h"

struct diff {
    struct tdbg_trace *a, *b;
    struct tdbg_diff_report *report;
    const struct tdbg_site *sites_a, *sites_b;
    const struct tdbg_site_plan *plans_a, *plans_b;
    int32_t n_a, n_b;
    int32_t *match; /* (n_a): site of b, or -1 */
    uint64_t *digests_a, *digests_b;
};

/* --- what can be compared --- */

static bool same_tensor(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return a->dtype == b->dtype && a->ndim == b->ndim &&
           memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

static const char *label(struct diff *d, const struct tdbg_site *site)
{
    char text[TDBG_MAX_SITE_NAME + 40];
    return tdbg_arena_strdup(d->report->arena, tdbg_site_label(site, text, sizeof text));
}

static void list_only(struct diff *d, const struct tdbg_site *sites, int32_t n, const bool *matched,
                      const char ***out, int32_t *n_out)
{
    *out = tdbg_arena_alloc(d->report->arena, (size_t)n * sizeof **out);
    for (int32_t i = 0; i < n; i++) {
        if (!matched[i])
            (*out)[(*n_out)++] = label(d, &sites[i]);
    }
}

static enum tdbg_status align_sites(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool *matched_a = calloc((size_t)d->n_a + 1, sizeof *matched_a);
    bool *matched_b = calloc((size_t)d->n_b + 1, sizeof *matched_b);
    TDBG_FAIL_IF(!matched_a || !matched_b, NO_MEMORY, "no memory to align sites");
    for (int32_t i = 0; i < d->n_a; i++) {
        const struct tdbg_site *s = &d->sites_a[i];
        int32_t j = tdbg_trace_find_site(d->b, s->name, s->lane, s->micro);
        d->match[i] = j >= 0 && same_tensor(s, &d->sites_b[j]) ? j : -1;
        if (d->match[i] < 0)
            continue;
        matched_a[i] = matched_b[j] = true;
        d->report->n_common++;
    }
    list_only(d, d->sites_a, d->n_a, matched_a, &d->report->only_a, &d->report->n_only_a);
    list_only(d, d->sites_b, d->n_b, matched_b, &d->report->only_b, &d->report->n_only_b);
out:
    free(matched_a);
    free(matched_b);
    return st;
}

/* A chain says the same of two runs only if it absorbs the same sites at the same steps in both. */
static bool is_comparable(const struct diff *d, int chain)
{
    bool any = false;
    int32_t covered_b = 0;
    for (int32_t j = 0; j < d->n_b; j++)
        covered_b += tdbg_chain_covers(chain, &d->sites_b[j]) && d->plans_b[j].digest_every > 0;
    for (int32_t i = 0; i < d->n_a; i++) {
        if (!tdbg_chain_covers(chain, &d->sites_a[i]) || d->plans_a[i].digest_every == 0)
            continue;
        int32_t j = d->match[i];
        if (j < 0 || d->plans_a[i].digest_every != d->plans_b[j].digest_every)
            return false;
        covered_b--;
        any = true;
    }
    return any && covered_b == 0;
}

static enum tdbg_status compare_configs(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_config *a = NULL, *b = NULL;
    const struct tdbg_run_info *info_a = tdbg_trace_info(d->a), *info_b = tdbg_trace_info(d->b);
    if (!tdbg_session_is_possible(d->a) || !tdbg_session_is_possible(d->b)) {
        d->report->n_config = tdbg_config_diff_texts(info_a->config, info_b->config,
                                                     d->report->arena, &d->report->config);
        return TDBG_OK;
    }
    TDBG_TRY(tdbg_config_parse(info_a->config, "/run/config", NULL, 0, &a, err));
    TDBG_TRY(tdbg_config_parse(info_b->config, "/run/config", NULL, 0, &b, err));
    d->report->n_config = tdbg_config_diff(tdbg_config_root(a), tdbg_config_root(b),
                                           d->report->arena, &d->report->config);
out:
    tdbg_config_destroy(a);
    tdbg_config_destroy(b);
    return st;
}

/* --- where they part --- */

static enum tdbg_status chain_differs(struct diff *d, int chain, int64_t step, bool *differs,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row a, b;
    TDBG_TRY(tdbg_trace_read_steps(d->a, step, 1, &a, err));
    TDBG_TRY(tdbg_trace_read_steps(d->b, step, 1, &b, err));
    d->report->n_reads += 2;
    *differs = a.chain[chain] != b.chain[chain];
out:
    return st;
}

/* First step in [lo, hi) whose h differs, or hi. Once h differs it differs in every later step. */
static enum tdbg_status search_chain(struct diff *d, int chain, int64_t lo, int64_t hi,
                                     int64_t *first, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool differs;
    *first = hi;
    TDBG_TRY(chain_differs(d, chain, hi - 1, &differs, err));
    if (!differs)
        goto out;
    for (hi--; lo < hi;) { /* h(hi) differs; h(lo - 1) does not */
        int64_t mid = lo + (hi - lo) / 2;
        TDBG_TRY(chain_differs(d, chain, mid, &differs, err));
        if (differs)
            hi = mid;
        else
            lo = mid + 1;
    }
    *first = hi;
out:
    return st;
}

/* First common site in dataflow order that differs at a step. */
static enum tdbg_status compare_step(struct diff *d, int64_t step, bool *differs,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row a, b;
    struct tdbg_diff_report *r = d->report;
    TDBG_TRY(tdbg_trace_read_steps(d->a, step, 1, &a, err));
    TDBG_TRY(tdbg_trace_read_steps(d->b, step, 1, &b, err));
    TDBG_TRY(tdbg_trace_read_digests(d->a, step, d->digests_a, err));
    TDBG_TRY(tdbg_trace_read_digests(d->b, step, d->digests_b, err));
    r->n_reads += 4;
    r->site_a = r->site_b = -1;
    r->n_sites_differ = 0;
    for (int32_t i = 0; i < d->n_a; i++) {
        int32_t j = d->match[i];
        if (j < 0 || !tdbg_trace_has_digest(d->a, i, step, a.evaluated) ||
            !tdbg_trace_has_digest(d->b, j, step, b.evaluated) ||
            d->digests_a[i] == d->digests_b[j])
            continue;
        if (r->n_sites_differ++ == 0) {
            r->site_a = i;
            r->site_b = j;
        }
    }
    *differs = r->n_sites_differ > 0;
out:
    return st;
}

/* No chain is comparable (other lanes, other layers): every step of the common sites in turn. */
static enum tdbg_status scan_steps(struct diff *d, int64_t *first, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_diff_report *r = d->report;
    bool differs = false;
    *first = r->first_step + r->n_steps;
    for (int64_t step = r->first_step; step < r->first_step + r->n_steps && !differs; step++) {
        TDBG_TRY(compare_step(d, step, &differs, err));
        if (differs)
            *first = step;
    }
out:
    return st;
}

/* Traces that begin at different steps, or with a part of a run: is what a chain says of the steps
 * before the first common one the same? Else its later values differ whatever the steps do. */
static enum tdbg_status compare_bases(struct diff *d, bool same[TDBG_CHAIN_COUNT],
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t a[TDBG_CHAIN_COUNT], b[TDBG_CHAIN_COUNT];
    TDBG_TRY(tdbg_trace_read_chain_before(d->a, d->report->first_step, a, err));
    TDBG_TRY(tdbg_trace_read_chain_before(d->b, d->report->first_step, b, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        same[c] = a[c] == b[c];
out:
    return st;
}

static enum tdbg_status find_step(struct diff *d, int64_t *first, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    int64_t end = r->first_step + r->n_steps;
    bool same_base[TDBG_CHAIN_COUNT];
    TDBG_TRY(compare_bases(d, same_base, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        const bool matters = c == TDBG_CHAIN_MAIN || is_comparable(d, c);
        if (matters && (!same_base[c] || !is_comparable(d, c)))
            return scan_steps(d, first, err);
    }
    *first = end;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        int64_t at;
        if (*first == r->first_step || !is_comparable(d, c))
            continue;
        /* only a step before the best so far could be better */
        TDBG_TRY(search_chain(d, c, r->first_step, *first, &at, err));
        if (at < *first) {
            *first = at;
            r->chain = c;
        }
    }
out:
    return st;
}

static enum tdbg_status read_elements(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_site *site = &d->sites_a[r->site_a];
    size_t bytes = (size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype);
    int64_t n_a, n_b;
    void *a = malloc(bytes), *b = malloc(bytes);
    TDBG_FAIL_IF(!a || !b, NO_MEMORY, "no memory for %s", site->name);
    TDBG_TRY(tdbg_trace_read_values(d->a, r->step, r->site_a, a, &n_a, err));
    TDBG_TRY(tdbg_trace_read_values(d->b, r->step, r->site_b, b, &n_b, err));
    TDBG_FAIL_IF(n_a != n_b, CANNOT_JUDGE, "%lld and %lld elements", (long long)n_a,
                 (long long)n_b);
    tdbg_compare_tensors(a, b, site->dtype, n_a, &r->elements);
    r->has_elements = r->elements.n_differ > 0;
    TDBG_FAIL_IF(!r->has_elements, DAMAGED, "the digests differ, but the values do not");
out:
    free(a);
    free(b);
    return st;
}

/* Elements are a help; that they cannot be had does not change the verdict. */
static void explain_elements(struct diff *d)
{
    struct tdbg_err why = {0};
    if (d->report->site_a >= 0 && read_elements(d, &why) != TDBG_OK)
        d->report->elements_missing = tdbg_arena_strdup(d->report->arena, why.message);
    tdbg_err_clear(&why);
}

static enum tdbg_status common_steps(struct diff *d, struct tdbg_err *err)
{
    struct tdbg_diff_report *r = d->report;
    int64_t first_a = tdbg_trace_first_step(d->a), first_b = tdbg_trace_first_step(d->b);
    r->n_steps_a = tdbg_trace_n_steps(d->a);
    r->n_steps_b = tdbg_trace_n_steps(d->b);
    int64_t end_a = first_a + r->n_steps_a, end_b = first_b + r->n_steps_b;
    r->first_step = first_a > first_b ? first_a : first_b;
    r->n_steps = (end_a < end_b ? end_a : end_b) - r->first_step;
    if (r->n_steps <= 0)
        return TDBG_RAISE(err, CANNOT_JUDGE, "%s and %s have no step in common",
                          tdbg_trace_path(d->a), tdbg_trace_path(d->b));
    return TDBG_OK;
}

static enum tdbg_status judge(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_run_info *a = tdbg_trace_info(d->a), *b = tdbg_trace_info(d->b);
    bool differs;
    int64_t first;
    TDBG_TRY(align_sites(d, err));
    TDBG_TRY(compare_configs(d, err));
    r->data_differs = !tdbg_dataset_same(a->dataset, b->dataset);
    TDBG_TRY(common_steps(d, err));
    TDBG_FAIL_IF(r->n_common == 0, CANNOT_JUDGE, "%s and %s have no site in common",
                 tdbg_trace_path(d->a), tdbg_trace_path(d->b));
    TDBG_TRY(find_step(d, &first, err));
    r->same = first == r->first_step + r->n_steps;
    if (r->same)
        goto out;
    r->step = first;
    TDBG_TRY(compare_step(d, first, &differs, err));
    explain_elements(d);
out:
    return st;
}

enum tdbg_status tdbg_diff_traces(struct tdbg_trace *a, struct tdbg_trace *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct diff d = {.a = a,
                     .b = b,
                     .report = report,
                     .plans_a = tdbg_trace_plans(a),
                     .plans_b = tdbg_trace_plans(b)};
    *report = (struct tdbg_diff_report){.site_a = -1, .site_b = -1};
    report->arena = tdbg_arena_create();
    d.sites_a = tdbg_trace_sites(a, &d.n_a);
    d.sites_b = tdbg_trace_sites(b, &d.n_b);
    d.match = calloc((size_t)d.n_a, sizeof *d.match);
    d.digests_a = calloc((size_t)d.n_a, sizeof *d.digests_a);
    d.digests_b = calloc((size_t)d.n_b, sizeof *d.digests_b);
    TDBG_FAIL_IF(!report->arena || !d.match || !d.digests_a || !d.digests_b, NO_MEMORY,
                 "no memory to compare traces");
    TDBG_TRY(judge(&d, err));
out:
    free(d.match);
    free(d.digests_a);
    free(d.digests_b);
    return st;
}

void tdbg_diff_clear(struct tdbg_diff_report *report)
{
    tdbg_arena_destroy(report->arena);
    *report = (struct tdbg_diff_report){0};
}
