/* Finding where two traces part: the verdict and what is said of the first difference. See diff.h;
 * diff_impl.h says which file does the rest. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

struct tdbg_diff_options tdbg_diff_default_options(void)
{
    return (struct tdbg_diff_options){.tolerance.ulp = -1, .execution.isa = "auto"};
}

enum tdbg_status tdbg_diff_progress(const struct tdbg_diff *d, int64_t done, int64_t total,
                                    struct tdbg_err *err)
{
    const struct tdbg_diff_options *o = d->options;
    if (o->progress && o->progress(o->progress_context, done, total))
        return TDBG_RAISE(err, INTERRUPTED, "stopped after %lld of %lld steps", (long long)done,
                          (long long)total);
    return TDBG_OK;
}

static enum tdbg_status init_side(struct tdbg_diff_side *side, struct tdbg_rank_group *group,
                                  struct tdbg_err *err)
{
    side->group = group;
    side->first = group->files[group->first].trace;
    side->match = calloc((size_t)group->n_sites, sizeof *side->match);
    side->digests = calloc((size_t)group->world_size, sizeof *side->digests);
    bool lacks = !side->match || !side->digests;
    for (int32_t r = 0; !lacks && r < group->world_size; r++) {
        int32_t n;
        if (!group->files[r].trace)
            continue;
        tdbg_trace_sites(group->files[r].trace, &n);
        side->digests[r] = calloc((size_t)n, sizeof **side->digests);
        lacks = !side->digests[r];
    }
    return lacks ? TDBG_RAISE(err, NO_MEMORY, "no memory to compare traces") : TDBG_OK;
}

static void clear_side(struct tdbg_diff_side *side)
{
    for (int32_t r = 0; side->digests && r < side->group->world_size; r++)
        free(side->digests[r]);
    free(side->digests);
    free(side->match);
    tdbg_step_values_destroy(side->values);
}

/* --- the first difference --- */

/* Which ranks of a side have another digest of a site than what stands for the other side: the
 * lowest; where none has, the one that stands for it. */
static int32_t first_rank(const struct tdbg_diff_side *side, int32_t site,
                          const struct tdbg_diff_side *other, int32_t match, int64_t step,
                          int32_t *n)
{
    uint64_t theirs;
    int32_t rank = -1;
    tdbg_diff_digest(other, match, step, &theirs);
    *n = 0;
    for (int32_t r = 0; r < side->group->world_size; r++) {
        const int32_t local =
            side->digests[r] ? tdbg_rank_local_site(&side->group->files[r], site) : -1;
        if (local < 0 || side->digests[r][local] == theirs)
            continue;
        rank = rank < 0 ? r : rank;
        ++*n;
    }
    return rank < 0 ? side->group->holder[site] : rank;
}

static void name_ranks(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_diff_pair *p = &r->pair[r->at];
    r->rank_a = d->a.group->holder[p->a[0]];
    r->rank_b = d->b.group->holder[p->b[0]];
    r->n_ranks_a = r->n_ranks_b = 0;
    if (p->how == TDBG_DIFF_BY_PARTS)
        return;
    r->rank_a = first_rank(&d->a, p->a[0], &d->b, p->b[0], r->step, &r->n_ranks_a);
    r->rank_b = first_rank(&d->b, p->b[0], &d->a, p->a[0], r->step, &r->n_ranks_b);
}

static enum tdbg_status read_elements(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_diff_pair *p = &r->pair[r->at];
    const struct tdbg_rank_file *of_a = &d->a.group->files[r->rank_a];
    const struct tdbg_rank_file *of_b = &d->b.group->files[r->rank_b];
    size_t bytes = (size_t)tdbg_site_elems(&p->site) * tdbg_dtype_bytes(p->site.dtype);
    int64_t n_a, n_b;
    void *a = malloc(bytes), *b = malloc(bytes);
    TDBG_FAIL_IF(!a || !b, NO_MEMORY, "no memory for %s", p->site.name);
    TDBG_TRY(tdbg_trace_read_values(of_a->trace, r->step, tdbg_rank_local_site(of_a, p->a[0]), a,
                                    &n_a, err));
    TDBG_TRY(tdbg_trace_read_values(of_b->trace, r->step, tdbg_rank_local_site(of_b, p->b[0]), b,
                                    &n_b, err));
    TDBG_FAIL_IF(n_a != n_b, CANNOT_JUDGE, "%lld and %lld elements", (long long)n_a,
                 (long long)n_b);
    tdbg_compare_tensors(a, b, p->site.dtype, n_a, &r->elements);
    r->has_elements = r->elements.n_differ > 0;
    TDBG_FAIL_IF(!r->has_elements, DAMAGED,
                 "the digests differ, but the values do not: what was recorded is not what comes "
                 "out when it is computed again (tdbg replay --verify)");
out:
    free(a);
    free(b);
    return st;
}

/* Elements are a help; that they cannot be had does not change the verdict. */
static void explain_elements(struct tdbg_diff *d)
{
    struct tdbg_err why = {0};
    if (read_elements(d, &why) != TDBG_OK)
        d->report->elements_missing = tdbg_arena_strdup(d->report->arena, why.message);
    tdbg_err_clear(&why);
}

/* The lowest chain that differs at the step, of those that can be compared there. */
static int first_chain(const struct tdbg_diff *d)
{
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        if ((d->chains >> c & 1u) && d->a.row.chain[c] != d->b.row.chain[c])
            return c;
    }
    return TDBG_CHAIN_MAIN;
}

/* What differs in the report's step, and how much its first tensor does. */
static enum tdbg_status describe_step(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    bool differs;
    int32_t by_digest = r->n_pairs;
    r->has_step = true;
    TDBG_TRY(tdbg_diff_compare_step(d, r->step, &differs, err));
    for (int32_t p = r->n_pairs - 1; p >= 0; p--) {
        r->pair_differs[p] = r->pair[p].n_a == 1 && d->differs[r->pair[p].a[0]];
        by_digest = r->pair_differs[p] ? p : by_digest;
    }
    TDBG_TRY(tdbg_diff_compare_parts(d, r->step, by_digest, &r->at, err));
    if (r->at == r->n_pairs) {
        r->at = -1;
        r->chain = first_chain(d);
        goto out;
    }
    name_ranks(d);
    if (r->at == by_digest)
        explain_elements(d);
out:
    return st;
}

/* --- the verdict --- */

static void common_steps(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    int64_t first_a, first_b;
    tdbg_rank_split_steps(d->a.group, &first_a, &r->n_steps_a);
    tdbg_rank_split_steps(d->b.group, &first_b, &r->n_steps_b);
    int64_t end_a = first_a + r->n_steps_a, end_b = first_b + r->n_steps_b;
    r->first_step = first_a > first_b ? first_a : first_b;
    r->n_steps = (end_a < end_b ? end_a : end_b) - r->first_step;
    r->n_steps = r->n_steps > 0 ? r->n_steps : 0;
}

/* What the ranks of each run have in common, they may not agree on. */
static enum tdbg_status find_splits(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    TDBG_TRY(
        tdbg_rank_split_find(d->a.group, r->first_step, r->n_steps, &r->split_a, &r->n_reads, err));
    TDBG_TRY(
        tdbg_rank_split_find(d->b.group, r->first_step, r->n_steps, &r->split_b, &r->n_reads, err));
out:
    return st;
}

/* Bits that differ say something only of runs that promise to repeat them. */
static void judge_bits(struct tdbg_diff *d)
{
    d->report->verdict = d->report->reason ? TDBG_DIFF_CANNOT_JUDGE : TDBG_DIFF_DIFFERS;
}

/* A changed value is a difference in itself: at its step, unless the runs part before. */
static enum tdbg_status judge_deep(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const int64_t end = r->has_step ? r->step + 1 : r->first_step + r->n_steps;
    TDBG_TRY(tdbg_diff_read_deep(d, end, err));
    if (!r->has_changed)
        goto out;
    r->verdict = TDBG_DIFF_DIFFERS;
    if (r->has_step && r->step < r->changed.step)
        goto out;
    const int32_t *other = r->changed.in_b ? d->b.match : d->a.match;
    const int32_t a = r->changed.in_b ? other[r->changed.site] : r->changed.site;
    r->has_step = true;
    r->step = r->changed.step;
    r->at = -1;
    r->has_elements = false;
    r->elements_missing = NULL;
    for (int32_t p = 0; p < r->n_pairs && r->at < 0; p++)
        r->at = a >= 0 && r->pair[p].n_a == 1 && r->pair[p].a[0] == a ? p : -1;
    if (r->at < 0)
        goto out;
    TDBG_TRY(tdbg_diff_read_side(&d->a, r->step, r, err));
    TDBG_TRY(tdbg_diff_read_side(&d->b, r->step, r, err));
    name_ranks(d);
    *(r->changed.in_b ? &r->rank_b : &r->rank_a) = r->changed.rank;
    explain_elements(d);
out:
    return st;
}

static enum tdbg_status judge(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    int64_t first;
    tdbg_diff_align(d);
    TDBG_TRY(tdbg_diff_about(d, err));
    common_steps(d);
    if (r->n_steps == 0 || r->n_pairs == 0) {
        r->verdict = TDBG_DIFF_CANNOT_JUDGE;
        r->reason = tdbg_arena_printf(r->arena, "%s and %s have no %s in common",
                                      tdbg_trace_path(d->a.first), tdbg_trace_path(d->b.first),
                                      r->n_steps == 0 ? "step" : "tensor");
        goto out;
    }
    TDBG_TRY(find_splits(d, err));
    TDBG_TRY(tdbg_diff_find_step(d, &first, err));
    if (first == r->first_step + r->n_steps) {
        r->verdict = TDBG_DIFF_SAME;
        r->reason = NULL;
    } else if (r->is_within) {
        r->bits_step = first;
        r->reason = NULL;
        TDBG_TRY(tdbg_diff_search_within(d, first, err));
    } else {
        r->step = first;
        judge_bits(d);
        TDBG_TRY(describe_step(d, err));
    }
    if (d->options->deep)
        TDBG_TRY(judge_deep(d, err));
    if (d->options->grows && (r->has_step || r->bits_step >= 0))
        TDBG_TRY(tdbg_diff_measure_growth(d, err));
out:
    return st;
}

enum tdbg_status tdbg_diff_runs(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                const struct tdbg_diff_options *options,
                                struct tdbg_diff_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff d = {.report = report, .options = options};
    *report = (struct tdbg_diff_report){
        .at = -1, .site_a = -1, .site_b = -1, .bits_step = -1, .allowed = NAN};
    report->is_within = options->noise || !tdbg_tolerance_is_none(&options->tolerance);
    report->arena = tdbg_arena_create();
    d.differs = calloc((size_t)a->n_sites, sizeof *d.differs);
    d.noise_site = calloc((size_t)a->n_sites, sizeof *d.noise_site);
    TDBG_FAIL_IF(!report->arena || !d.differs || !d.noise_site, NO_MEMORY,
                 "no memory to compare traces");
    TDBG_TRY(init_side(&d.a, a, err));
    TDBG_TRY(init_side(&d.b, b, err));
    if (options->noise)
        TDBG_TRY(init_side(&d.noise, options->noise, err));
    TDBG_TRY(judge(&d, err));
    report->same = report->verdict == TDBG_DIFF_SAME;
    if (report->at >= 0) {
        report->site_a = report->pair[report->at].a[0];
        report->site_b = report->pair[report->at].b[0];
    }
out:
    clear_side(&d.a);
    clear_side(&d.b);
    clear_side(&d.noise);
    free(d.differs);
    free(d.noise_site);
    return st;
}

enum tdbg_status tdbg_diff_groups(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_diff_options options = tdbg_diff_default_options();
    TDBG_TRY(tdbg_diff_runs(a, b, &options, report, err));
    TDBG_FAIL_IF(report->verdict == TDBG_DIFF_CANNOT_JUDGE && !report->has_step, CANNOT_JUDGE, "%s",
                 report->reason);
out:
    return st;
}

void tdbg_diff_clear(struct tdbg_diff_report *report)
{
    tdbg_arena_destroy(report->arena);
    *report = (struct tdbg_diff_report){0};
}
