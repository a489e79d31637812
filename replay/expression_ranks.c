/* Digests of the ranks beside each other. See expression_ranks.h. */
#include "replay/expression_ranks.h"

#include <stdlib.h>
#include <string.h>

struct tdbg_expr_ranks {
    struct tdbg_trace *trace; /* borrowed: names the sites */
    struct tdbg_rank_group *group;
    uint64_t **digests; /* (world_size): of the step, of all sites of the file; NULL: not there */
    int64_t step;       /* that they are of, or -1 */
};

enum tdbg_status tdbg_expr_ranks_open(struct tdbg_trace *trace, struct tdbg_expr_ranks **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_expr_ranks *r = calloc(1, sizeof *r);
    TDBG_FAIL_IF(!r, NO_MEMORY, "no memory for the files of the ranks");
    r->trace = trace;
    r->step = -1;
    TDBG_TRY(tdbg_rank_group_open(tdbg_trace_path(trace), &r->group, err));
    TDBG_FAIL_IF(r->group->n_there < 2, CANNOT_JUDGE,
                 "rankdiff compares ranks, and of the %d of %s only %d can be read",
                 (int)r->group->world_size, tdbg_trace_path(trace), (int)r->group->n_there);
    r->digests = calloc((size_t)r->group->world_size, sizeof *r->digests);
    TDBG_FAIL_IF(!r->digests, NO_MEMORY, "no memory for the files of the ranks");
    for (int32_t k = 0; k < r->group->world_size; k++) {
        int32_t n;
        if (r->group->files[k].state != TDBG_RANK_THERE)
            continue;
        tdbg_trace_sites(r->group->files[k].trace, &n);
        r->digests[k] = calloc((size_t)n + 1, sizeof **r->digests);
        TDBG_FAIL_IF(!r->digests[k], NO_MEMORY, "no memory for the digests of a rank");
    }
    *out = r;
    return TDBG_OK;
out:
    tdbg_expr_ranks_close(r);
    return st;
}

void tdbg_expr_ranks_close(struct tdbg_expr_ranks *r)
{
    if (!r)
        return;
    for (int32_t k = 0; r->digests && k < r->group->world_size; k++)
        free(r->digests[k]);
    free(r->digests);
    tdbg_rank_group_close(r->group);
    free(r);
}

static enum tdbg_status read_step(struct tdbg_expr_ranks *r, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (r->step == step)
        return TDBG_OK;
    r->step = -1;
    for (int32_t k = 0; k < r->group->world_size; k++) {
        const struct tdbg_rank_file *file = &r->group->files[k];
        if (r->digests[k] && tdbg_rank_has_step(file, step))
            TDBG_TRY(tdbg_trace_read_digests(file->trace, step, r->digests[k], err));
    }
    r->step = step;
out:
    return st;
}

/* Counts the files that have a digest of the joined site; *differ: not all are the same. */
static int32_t compare(const struct tdbg_expr_ranks *r, int32_t joined, int64_t step,
                       bool evaluated, bool *differ)
{
    int32_t n = 0;
    uint64_t first = 0;
    *differ = false;
    for (int32_t k = 0; k < r->group->world_size; k++) {
        const struct tdbg_rank_file *file = &r->group->files[k];
        if (!r->digests[k] || !tdbg_rank_has_step(file, step))
            continue;
        const int32_t local = tdbg_rank_local_site(file, joined);
        if (local < 0 || !tdbg_trace_has_digest(file->trace, local, step, evaluated))
            continue;
        *differ |= n > 0 && r->digests[k][local] != first;
        first = n++ == 0 ? r->digests[k][local] : first;
    }
    return n;
}

enum tdbg_status tdbg_expr_ranks_count(struct tdbg_expr_ranks *r, const struct tdbg_expr_term *term,
                                       int64_t step, bool evaluated, int64_t *n, bool *is_known,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, &n_sites);
    *n = 0;
    *is_known = false;
    TDBG_TRY(read_step(r, step, err));
    for (int32_t k = 0; k < term->n_sites; k++) {
        const struct tdbg_site *s = &sites[term->sites[k]];
        const int32_t joined = tdbg_rank_group_find(r->group, s->name, s->lane, s->micro);
        bool differ;
        if (joined < 0 || compare(r, joined, step, evaluated, &differ) < 2)
            continue;
        *is_known = true;
        *n += differ;
    }
out:
    return st;
}

/* Has the file one of these steps? */
static bool has_some(const struct tdbg_rank_file *file, int64_t first, int64_t n)
{
    const int64_t begin = file->trace ? tdbg_trace_first_step(file->trace) : 0;
    return file->trace && begin < first + n && begin + tdbg_trace_n_steps(file->trace) > first;
}

/* Reads the digests of a zone in place of those of a step. false: not all files that have steps of
 * it have the zone. */
static bool read_zone(struct tdbg_expr_ranks *r, int64_t first, int64_t n)
{
    r->step = -1;
    for (int32_t k = 0; k < r->group->world_size; k++) {
        const struct tdbg_rank_file *file = &r->group->files[k];
        int64_t begin, length;
        if (!r->digests[k] || !has_some(file, first, n))
            continue;
        if (!tdbg_trace_find_zone(file->trace, first, &begin, &length) || begin != first ||
            length != n ||
            tdbg_trace_read_zone_digests(file->trace, first, r->digests[k], NULL) != TDBG_OK)
            return false;
    }
    return true;
}

/* Counts the files that have digests of the joined site at every step of the zone. */
static int32_t compare_zone(const struct tdbg_expr_ranks *r, int32_t joined, int64_t first,
                            int64_t n, bool *may_differ)
{
    int32_t n_files = 0, n_always = 0;
    uint64_t digest = 0;
    for (int32_t k = 0; k < r->group->world_size; k++) {
        const struct tdbg_rank_file *file = &r->group->files[k];
        const int32_t local = tdbg_rank_local_site(file, joined);
        if (!r->digests[k] || !has_some(file, first, n) || local < 0)
            continue;
        *may_differ |= n_files > 0 && r->digests[k][local] != digest;
        digest = n_files++ == 0 ? r->digests[k][local] : digest;
        n_always += tdbg_trace_plans(file->trace)[local].digest_every == 1 &&
                    tdbg_trace_sites(file->trace, NULL)[local].stage != TDBG_STAGE_EVAL;
    }
    return n_always;
}

bool tdbg_expr_ranks_compare_zone(struct tdbg_expr_ranks *r, const struct tdbg_expr_term *term,
                                  int64_t first, int64_t n, bool *may_differ, bool *is_known)
{
    const struct tdbg_site *sites = tdbg_trace_sites(r->trace, NULL);
    *may_differ = *is_known = false;
    if (!read_zone(r, first, n))
        return false;
    for (int32_t k = 0; k < term->n_sites; k++) {
        const struct tdbg_site *s = &sites[term->sites[k]];
        const int32_t joined = tdbg_rank_group_find(r->group, s->name, s->lane, s->micro);
        if (joined >= 0 && compare_zone(r, joined, first, n, may_differ) >= 2)
            *is_known = true;
    }
    return true;
}
