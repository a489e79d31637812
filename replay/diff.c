/* Finding where two traces part: binary search over hash chains, then one row of digests. See
 * diff.h. */
#include "replay/diff.h"

#include <stdlib.h>
#include <string.h>

#include "replay/session.h"

/* One run: its files, and the digests of the step that is compared. */
struct side {
    struct tdbg_rank_group *group;
    struct tdbg_trace *first; /* of the lowest rank */
    int32_t *match;           /* (n_sites): the other side's site, or -1 */
    uint64_t **digests;       /* (world_size), in the order of the file; NULL: no file */
    struct tdbg_step_row row; /* of the first file */
};

struct diff {
    struct side a, b;
    struct tdbg_diff_report *report;
    bool *differs; /* (sites of a) in the step that is compared */
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

static void list_only(struct diff *d, const struct side *side, const char ***out, int32_t *n_out)
{
    const struct tdbg_rank_group *g = side->group;
    *out = tdbg_arena_alloc(d->report->arena, (size_t)g->n_sites * sizeof **out);
    for (int32_t i = 0; i < g->n_sites; i++) {
        if (side->match[i] < 0)
            (*out)[(*n_out)++] = label(d, &g->sites[i]);
    }
}

static enum tdbg_status init_side(struct side *side, struct tdbg_rank_group *group,
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

static void clear_side(struct side *side)
{
    for (int32_t r = 0; side->digests && r < side->group->world_size; r++)
        free(side->digests[r]);
    free(side->digests);
    free(side->match);
}

static void align_sites(struct diff *d)
{
    const struct tdbg_rank_group *a = d->a.group, *b = d->b.group;
    for (int32_t j = 0; j < b->n_sites; j++)
        d->b.match[j] = -1;
    for (int32_t i = 0; i < a->n_sites; i++) {
        const struct tdbg_site *s = &a->sites[i];
        int32_t j = tdbg_rank_group_find(b, s->name, s->lane, s->micro);
        d->a.match[i] = j >= 0 && same_tensor(s, &b->sites[j]) ? j : -1;
        if (d->a.match[i] < 0)
            continue;
        d->b.match[j] = i;
        d->report->n_common++;
    }
    list_only(d, &d->a, &d->report->only_a, &d->report->n_only_a);
    list_only(d, &d->b, &d->report->only_b, &d->report->n_only_b);
}

/* A chain says the same of two files only if it absorbs the same sites at the same steps in both.
 */
static bool is_comparable(const struct diff *d, int32_t rank_a, int32_t rank_b, int chain)
{
    const struct tdbg_rank_file *a = &d->a.group->files[rank_a], *b = &d->b.group->files[rank_b];
    bool any = false;
    int32_t covered_b = 0, n_a, n_b;
    const struct tdbg_site *sites_a = tdbg_trace_sites(a->trace, &n_a);
    const struct tdbg_site *sites_b = tdbg_trace_sites(b->trace, &n_b);
    const struct tdbg_site_plan *plans_a = tdbg_trace_plans(a->trace);
    const struct tdbg_site_plan *plans_b = tdbg_trace_plans(b->trace);
    for (int32_t j = 0; j < n_b; j++)
        covered_b += tdbg_chain_covers(chain, &sites_b[j]) && plans_b[j].digest_every > 0;
    for (int32_t i = 0; i < n_a; i++) {
        if (!tdbg_chain_covers(chain, &sites_a[i]) || plans_a[i].digest_every == 0)
            continue;
        const int32_t match = d->a.match[a->joined[i]];
        const int32_t j = match < 0 ? -1 : tdbg_rank_local_site(b, match);
        if (j < 0 || plans_a[i].digest_every != plans_b[j].digest_every)
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
    const struct tdbg_run_info *info_a = tdbg_trace_info(d->a.first),
                               *info_b = tdbg_trace_info(d->b.first);
    if (!tdbg_session_is_possible(d->a.first) || !tdbg_session_is_possible(d->b.first)) {
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

static enum tdbg_status read_side(struct side *side, int64_t step, int64_t *n_reads,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_trace_read_steps(side->first, step, 1, &side->row, err));
    ++*n_reads;
    for (int32_t r = 0; r < side->group->world_size; r++) {
        if (!side->digests[r])
            continue;
        TDBG_TRY(tdbg_trace_read_digests(side->group->files[r].trace, step, side->digests[r], err));
        ++*n_reads;
    }
out:
    return st;
}

/* Digest of a joined site at a step, as the file that stands for it has it. */
static bool reference(const struct side *side, int32_t site, int64_t step, uint64_t *digest)
{
    const int32_t rank = side->group->holder[site], local = side->group->local[site];
    *digest = side->digests[rank][local];
    return tdbg_trace_has_digest(side->group->files[rank].trace, local, step, side->row.evaluated);
}

/* Every file of one side against what stands for the other. */
static void compare_files(struct diff *d, const struct side *side, const struct side *other,
                          int64_t step)
{
    for (int32_t r = 0; r < side->group->world_size; r++) {
        const struct tdbg_rank_file *file = &side->group->files[r];
        int32_t n = 0;
        if (file->trace)
            tdbg_trace_sites(file->trace, &n);
        for (int32_t i = 0; i < n; i++) {
            const int32_t site = file->joined[i], match = side->match[site];
            uint64_t theirs;
            if (match < 0 || !reference(other, match, step, &theirs) ||
                !tdbg_trace_has_digest(file->trace, i, step, side->row.evaluated))
                continue;
            if (side->digests[r][i] != theirs)
                d->differs[side == &d->a ? site : match] = true;
        }
    }
}

/* Which ranks of a side have another digest of a site than what stands for the other side: the
 * lowest; where none has, the one that stands for it. */
static int32_t first_rank(const struct side *side, int32_t site, const struct side *other,
                          int32_t match, int64_t step, int32_t *n)
{
    uint64_t theirs;
    int32_t rank = -1;
    reference(other, match, step, &theirs);
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

/* First common site in dataflow order that differs at a step. */
static enum tdbg_status compare_step(struct diff *d, int64_t step, bool *differs,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    TDBG_TRY(read_side(&d->a, step, &r->n_reads, err));
    TDBG_TRY(read_side(&d->b, step, &r->n_reads, err));
    r->site_a = r->site_b = -1;
    r->n_sites_differ = 0;
    memset(d->differs, 0, (size_t)d->a.group->n_sites * sizeof *d->differs);
    compare_files(d, &d->a, &d->b, step);
    compare_files(d, &d->b, &d->a, step);
    for (int32_t i = d->a.group->n_sites - 1; i >= 0; i--) {
        if (!d->differs[i])
            continue;
        r->n_sites_differ++;
        r->site_a = i;
        r->site_b = d->a.match[i];
    }
    *differs = r->n_sites_differ > 0;
    if (*differs) {
        r->rank_a = first_rank(&d->a, r->site_a, &d->b, r->site_b, step, &r->n_ranks_a);
        r->rank_b = first_rank(&d->b, r->site_b, &d->a, r->site_a, step, &r->n_ranks_b);
    }
out:
    return st;
}

/* No chain is comparable (other lanes, other layers): every step of the common sites in turn, up to
 * the first that is known to differ. */
static enum tdbg_status scan_steps(struct diff *d, int64_t end, int64_t *first,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool differs = false;
    *first = end;
    for (int64_t step = d->report->first_step; step < end && !differs; step++) {
        TDBG_TRY(compare_step(d, step, &differs, err));
        if (differs)
            *first = step;
    }
out:
    return st;
}

/* Traces that begin at different steps, or with a part of a run: is what a chain says of the steps
 * before the first common one the same? Else its later values differ whatever the steps do. */
static enum tdbg_status compare_bases(struct diff *d, struct tdbg_trace *file_a,
                                      struct tdbg_trace *file_b, bool same[TDBG_CHAIN_COUNT],
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t a[TDBG_CHAIN_COUNT], b[TDBG_CHAIN_COUNT];
    TDBG_TRY(tdbg_trace_read_chain_before(file_a, d->report->first_step, a, err));
    TDBG_TRY(tdbg_trace_read_chain_before(file_b, d->report->first_step, b, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        same[c] = a[c] == b[c];
out:
    return st;
}

/* Searches the chains of two files up to *first, which comes down to the first step that differs.
 * *scan: that cannot be told from chains. */
static enum tdbg_status search_pair(struct diff *d, int32_t rank_a, int32_t rank_b, int64_t *first,
                                    bool *scan, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    struct tdbg_trace *a = d->a.group->files[rank_a].trace, *b = d->b.group->files[rank_b].trace;
    bool same_base[TDBG_CHAIN_COUNT], comparable[TDBG_CHAIN_COUNT];
    TDBG_TRY(compare_bases(d, a, b, same_base, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        comparable[c] = is_comparable(d, rank_a, rank_b, c);
        if ((c == TDBG_CHAIN_MAIN || comparable[c]) && (!same_base[c] || !comparable[c]))
            *scan = true;
    }
    for (int c = 0; c < TDBG_CHAIN_COUNT && !*scan; c++) {
        int64_t at;
        if (*first == r->first_step || !comparable[c])
            continue;
        /* only a step before the best so far could be better */
        TDBG_TRY(tdbg_chain_search(a, b, c, r->first_step, *first, &at, &r->n_reads, err));
        if (at < *first) {
            *first = at;
            r->chain = c;
        }
    }
out:
    return st;
}

/* Lanes lie in other files on the other side, so that no chain covers the same ones: is one of
 * their sites digested by both? */
static bool lanes_are_cut_otherwise(const struct diff *d)
{
    const struct tdbg_rank_group *a = d->a.group, *b = d->b.group;
    for (int32_t i = 0; a->world_size != b->world_size && i < a->n_sites; i++) {
        if (a->sites[i].lane >= 0 && d->a.match[i] >= 0 && a->plans[i].digest_every > 0 &&
            b->plans[d->a.match[i]].digest_every > 0)
            return true;
    }
    return false;
}

/* Every file is searched against that of the same rank or, where the other side has none, against
 * its lowest. */
static enum tdbg_status find_step(struct diff *d, int64_t *first, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_rank_group *a = d->a.group, *b = d->b.group;
    const int32_t most = a->world_size > b->world_size ? a->world_size : b->world_size;
    const int64_t end = d->report->first_step + d->report->n_steps;
    bool scan = false;
    *first = end;
    for (int32_t r = 0; r < most && !scan; r++) {
        const bool in_a = r < a->world_size && a->files[r].trace;
        const bool in_b = r < b->world_size && b->files[r].trace;
        if (in_a || in_b)
            TDBG_TRY(search_pair(d, in_a ? r : a->first, in_b ? r : b->first, first, &scan, err));
    }
    if (scan)
        return scan_steps(d, end, first, err);
    if (lanes_are_cut_otherwise(d))
        TDBG_TRY(scan_steps(d, *first, first, err));
out:
    return st;
}

static enum tdbg_status read_elements(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_site *site = &d->a.group->sites[r->site_a];
    const struct tdbg_rank_file *of_a = &d->a.group->files[r->rank_a];
    const struct tdbg_rank_file *of_b = &d->b.group->files[r->rank_b];
    size_t bytes = (size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype);
    int64_t n_a, n_b;
    void *a = malloc(bytes), *b = malloc(bytes);
    TDBG_FAIL_IF(!a || !b, NO_MEMORY, "no memory for %s", site->name);
    TDBG_TRY(tdbg_trace_read_values(of_a->trace, r->step, tdbg_rank_local_site(of_a, r->site_a), a,
                                    &n_a, err));
    TDBG_TRY(tdbg_trace_read_values(of_b->trace, r->step, tdbg_rank_local_site(of_b, r->site_b), b,
                                    &n_b, err));
    TDBG_FAIL_IF(n_a != n_b, CANNOT_JUDGE, "%lld and %lld elements", (long long)n_a,
                 (long long)n_b);
    tdbg_compare_tensors(a, b, site->dtype, n_a, &r->elements);
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
    int64_t first_a, first_b;
    tdbg_rank_split_steps(d->a.group, &first_a, &r->n_steps_a);
    tdbg_rank_split_steps(d->b.group, &first_b, &r->n_steps_b);
    int64_t end_a = first_a + r->n_steps_a, end_b = first_b + r->n_steps_b;
    r->first_step = first_a > first_b ? first_a : first_b;
    r->n_steps = (end_a < end_b ? end_a : end_b) - r->first_step;
    if (r->n_steps <= 0)
        return TDBG_RAISE(err, CANNOT_JUDGE, "%s and %s have no step in common",
                          tdbg_trace_path(d->a.first), tdbg_trace_path(d->b.first));
    return TDBG_OK;
}

/* What the ranks of each run have in common, they may not agree on. */
static enum tdbg_status find_splits(struct diff *d, struct tdbg_err *err)
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

static enum tdbg_status judge(struct diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_run_info *a = tdbg_trace_info(d->a.first), *b = tdbg_trace_info(d->b.first);
    bool differs;
    int64_t first;
    align_sites(d);
    TDBG_TRY(compare_configs(d, err));
    r->data_differs = !tdbg_dataset_same(a->dataset, b->dataset);
    TDBG_TRY(common_steps(d, err));
    TDBG_FAIL_IF(r->n_common == 0, CANNOT_JUDGE, "%s and %s have no site in common",
                 tdbg_trace_path(d->a.first), tdbg_trace_path(d->b.first));
    TDBG_TRY(find_splits(d, err));
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

enum tdbg_status tdbg_diff_groups(struct tdbg_rank_group *a, struct tdbg_rank_group *b,
                                  struct tdbg_diff_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct diff d = {.report = report};
    *report = (struct tdbg_diff_report){.site_a = -1, .site_b = -1};
    report->arena = tdbg_arena_create();
    d.differs = calloc((size_t)a->n_sites, sizeof *d.differs);
    TDBG_FAIL_IF(!report->arena || !d.differs, NO_MEMORY, "no memory to compare traces");
    TDBG_TRY(init_side(&d.a, a, err));
    TDBG_TRY(init_side(&d.b, b, err));
    TDBG_TRY(judge(&d, err));
out:
    clear_side(&d.a);
    clear_side(&d.b);
    free(d.differs);
    return st;
}

void tdbg_diff_clear(struct tdbg_diff_report *report)
{
    tdbg_arena_destroy(report->arena);
    *report = (struct tdbg_diff_report){0};
}
