/* The first step that differs: binary search over hash chains, then one row of digests. See
 * diff_impl.h. */
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

/* Evaluations are not searched with the other chains: two runs of different length evaluate at
 * different steps, and are the same all the same. */
enum { EVAL_CHAIN = 1 + TDBG_STAGE_EVAL, ROWS_AT_ONCE = 256 };

/* A chain says the same of two files only if it absorbs the same sites at the same steps, in the
 * same order, in both. */
static bool is_comparable(const struct tdbg_diff *d, int32_t rank_a, int32_t rank_b, int chain)
{
    const struct tdbg_rank_file *a = &d->a.group->files[rank_a], *b = &d->b.group->files[rank_b];
    bool any = false;
    int32_t covered_b = 0, last = -1, n_a, n_b;
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
        if (j <= last || plans_a[i].digest_every != plans_b[j].digest_every)
            return false;
        last = j;
        covered_b--;
        any = true;
    }
    return any && covered_b == 0;
}

/* --- one step --- */

enum tdbg_status tdbg_diff_read_side(struct tdbg_diff_side *side, int64_t step,
                                     struct tdbg_diff_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_trace_read_steps(side->first, step, 1, &side->row, err));
    report->n_reads++;
    for (int32_t r = 0; r < side->group->world_size; r++) {
        if (!side->digests[r])
            continue;
        TDBG_TRY(tdbg_trace_read_digests(side->group->files[r].trace, step, side->digests[r], err));
        report->n_reads++;
    }
out:
    return st;
}

bool tdbg_diff_digest(const struct tdbg_diff_side *side, int32_t site, int64_t step,
                      uint64_t *digest)
{
    const int32_t rank = side->group->holder[site], local = side->group->local[site];
    *digest = side->digests[rank][local];
    return tdbg_trace_has_digest(side->group->files[rank].trace, local, step, side->row.evaluated);
}

/* Every file of one side against what stands for the other. */
static void compare_files(struct tdbg_diff *d, const struct tdbg_diff_side *side,
                          const struct tdbg_diff_side *other, int64_t step)
{
    for (int32_t r = 0; r < side->group->world_size; r++) {
        const struct tdbg_rank_file *file = &side->group->files[r];
        int32_t n = 0;
        if (file->trace)
            tdbg_trace_sites(file->trace, &n);
        for (int32_t i = 0; i < n; i++) {
            const int32_t site = file->joined[i], match = side->match[site];
            uint64_t theirs;
            if (match < 0 || !tdbg_diff_digest(other, match, step, &theirs) ||
                !tdbg_trace_has_digest(file->trace, i, step, side->row.evaluated))
                continue;
            if (side->digests[r][i] != theirs)
                d->differs[side == &d->a ? site : match] = true;
        }
    }
}

enum tdbg_status tdbg_diff_compare_step(struct tdbg_diff *d, int64_t step, bool *differs,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    TDBG_TRY(tdbg_diff_read_side(&d->a, step, r, err));
    TDBG_TRY(tdbg_diff_read_side(&d->b, step, r, err));
    r->n_sites_differ = 0;
    memset(d->differs, 0, (size_t)d->a.group->n_sites * sizeof *d->differs);
    compare_files(d, &d->a, &d->b, step);
    compare_files(d, &d->b, &d->a, step);
    for (int32_t i = 0; i < d->a.group->n_sites; i++)
        r->n_sites_differ += d->differs[i];
    *differs = r->n_sites_differ > 0;
out:
    return st;
}

/* No chain is comparable (other lanes, other layers): every step of the common sites in turn, up to
 * the first that is known to differ. */
static enum tdbg_status scan_steps(struct tdbg_diff *d, int64_t end, int64_t *first,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool differs = false;
    *first = end;
    for (int64_t step = d->report->first_step; step < end && !differs; step++) {
        TDBG_TRY(tdbg_diff_progress(d, step - d->report->first_step, d->report->n_steps, err));
        TDBG_TRY(tdbg_diff_compare_step(d, step, &differs, err));
        if (differs)
            *first = step;
    }
out:
    return st;
}

/* --- many steps --- */

/* Traces that begin at different steps, or with a part of a run: is what a chain says of the steps
 * before the first common one the same? Else its later values differ whatever the steps do. */
static enum tdbg_status compare_bases(struct tdbg_diff *d, struct tdbg_trace *file_a,
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

static enum tdbg_status search_chains(struct tdbg_diff *d, struct tdbg_trace *a,
                                      struct tdbg_trace *b, uint32_t chains, int64_t end,
                                      int64_t *first, struct tdbg_err *err)
{
    struct tdbg_diff_report *r = d->report;
    int64_t reads = 0;
    enum tdbg_status st = tdbg_chain_search(a, b, chains, r->first_step, end, first, &reads, err);
    r->n_chain_reads += reads;
    r->n_reads += reads;
    return st;
}

/* Steps that both evaluated, from the first on at which the chains of evaluations part; *first
 * comes down to one that differs. Nothing else differs before it. */
static enum tdbg_status scan_evaluations(struct tdbg_diff *d, struct tdbg_trace *a,
                                         struct tdbg_trace *b, int64_t from, int64_t *first,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row rows_a[ROWS_AT_ONCE], rows_b[ROWS_AT_ONCE];
    bool differs = false;
    for (int64_t step = from; step < *first && !differs; step += ROWS_AT_ONCE) {
        const int64_t n = *first - step < ROWS_AT_ONCE ? *first - step : ROWS_AT_ONCE;
        TDBG_TRY(tdbg_trace_read_steps(a, step, n, rows_a, err));
        TDBG_TRY(tdbg_trace_read_steps(b, step, n, rows_b, err));
        d->report->n_reads += 2;
        for (int64_t i = 0; i < n && !differs; i++) {
            if (!rows_a[i].evaluated || !rows_b[i].evaluated)
                continue;
            TDBG_TRY(tdbg_diff_compare_step(d, step + i, &differs, err));
            if (differs)
                *first = step + i;
        }
    }
out:
    return st;
}

/* Searches the chains of two files up to *first, which comes down to the first step that differs.
 * *scan: that cannot be told from chains. */
static enum tdbg_status search_pair(struct tdbg_diff *d, int32_t rank_a, int32_t rank_b,
                                    int64_t *first, bool *scan, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *a = d->a.group->files[rank_a].trace, *b = d->b.group->files[rank_b].trace;
    bool same_base[TDBG_CHAIN_COUNT], has_evaluations = false;
    uint32_t chains = 0;
    int64_t at;
    TDBG_TRY(compare_bases(d, a, b, same_base, err));
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        const bool comparable = is_comparable(d, rank_a, rank_b, c);
        if (c == EVAL_CHAIN) {
            has_evaluations = comparable;
            continue;
        }
        if ((c == TDBG_CHAIN_MAIN || comparable) && (!same_base[c] || !comparable))
            *scan = true;
        chains |= comparable ? 1u << c : 0;
    }
    if (*scan)
        goto out;
    d->chains |= chains;
    TDBG_TRY(search_chains(d, a, b, chains, *first, first, err)); /* only earlier is better */
    if (!has_evaluations)
        goto out;
    at = d->report->first_step;
    if (same_base[EVAL_CHAIN])
        TDBG_TRY(search_chains(d, a, b, 1u << EVAL_CHAIN, *first, &at, err));
    TDBG_TRY(scan_evaluations(d, a, b, at, first, err));
out:
    return st;
}

/* Lanes lie in other files on the other side, so that no chain covers the same ones: is one of
 * their sites digested by both? */
static bool lanes_are_cut_otherwise(const struct tdbg_diff *d)
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
enum tdbg_status tdbg_diff_find_step(struct tdbg_diff *d, int64_t *first, struct tdbg_err *err)
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
