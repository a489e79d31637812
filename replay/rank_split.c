/* Finding where ranks part from each other. See rank_split.h. */
#include "replay/rank_split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tdbg_status chain_differs(struct tdbg_trace *a, struct tdbg_trace *b, uint32_t chains,
                                      int64_t step, bool *differs, int64_t *n_reads,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row_a, row_b;
    TDBG_TRY(tdbg_trace_read_steps(a, step, 1, &row_a, err));
    TDBG_TRY(tdbg_trace_read_steps(b, step, 1, &row_b, err));
    *n_reads += 2;
    *differs = false;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        *differs |= (chains >> c & 1u) && row_a.chain[c] != row_b.chain[c];
out:
    return st;
}

enum tdbg_status tdbg_chain_search(struct tdbg_trace *a, struct tdbg_trace *b, uint32_t chains,
                                   int64_t lo, int64_t hi, int64_t *first, int64_t *n_reads,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool differs;
    *first = hi;
    if (chains == 0 || lo >= hi)
        return TDBG_OK;
    TDBG_TRY(chain_differs(a, b, chains, hi - 1, &differs, n_reads, err));
    if (!differs)
        goto out;
    for (hi--; lo < hi;) { /* h(hi) differs; h(lo - 1) does not */
        int64_t mid = lo + (hi - lo) / 2;
        TDBG_TRY(chain_differs(a, b, chains, mid, &differs, n_reads, err));
        if (differs)
            hi = mid;
        else
            lo = mid + 1;
    }
    *first = hi;
out:
    return st;
}

void tdbg_rank_split_steps(const struct tdbg_rank_group *g, int64_t *first, int64_t *n)
{
    int64_t end = INT64_MAX;
    *first = 0;
    for (int32_t r = 0; r < g->world_size; r++) {
        const struct tdbg_trace *t = g->files[r].trace;
        if (!t)
            continue;
        const int64_t from = tdbg_trace_first_step(t), to = from + tdbg_trace_n_steps(t);
        *first = from > *first ? from : *first;
        end = to < end ? to : end;
    }
    *n = end > *first ? end - *first : 0;
}

/* A chain of which every rank's file has all sites. */
static bool is_common(const struct tdbg_rank_group *g, int chain)
{
    for (int32_t i = 0; i < g->n_sites; i++) {
        if (g->sites[i].lane >= 0 && tdbg_chain_covers(chain, &g->sites[i]))
            return false;
    }
    return true;
}

/* The first step of [first, end) in which a common chain of two files differs, or end. Files that
 * do not have the same steps before them cannot be searched. */
static enum tdbg_status search_pair(const struct tdbg_rank_group *g, struct tdbg_trace *a,
                                    struct tdbg_trace *b, int64_t first, int64_t *end,
                                    int64_t *n_reads, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t before_a[TDBG_CHAIN_COUNT], before_b[TDBG_CHAIN_COUNT];
    TDBG_TRY(tdbg_trace_read_chain_before(a, first, before_a, err));
    TDBG_TRY(tdbg_trace_read_chain_before(b, first, before_b, err));
    uint32_t chains = 0;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        if (!is_common(g, c))
            continue;
        chains |= 1u << c;
        if (before_a[c] != before_b[c])
            *end = first; /* they parted before */
    }
    int64_t at;
    TDBG_TRY(tdbg_chain_search(a, b, chains, first, *end, &at, n_reads, err));
    *end = at;
out:
    return st;
}

/* Digests of one step in every file. */
struct step_digests {
    uint64_t **of; /* (world_size); NULL: no file */
};

static enum tdbg_status read_step(const struct tdbg_rank_group *g, int64_t step,
                                  struct step_digests *d, int64_t *n_reads, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t r = 0; r < g->world_size; r++) {
        int32_t n;
        if (!g->files[r].trace)
            continue;
        tdbg_trace_sites(g->files[r].trace, &n);
        if (!d->of[r])
            d->of[r] = malloc((size_t)n * sizeof **d->of);
        TDBG_FAIL_IF(!d->of[r], NO_MEMORY, "no memory for digests");
        TDBG_TRY(tdbg_trace_read_digests(g->files[r].trace, step, d->of[r], err));
        ++*n_reads;
    }
out:
    return st;
}

/* Who differs from most: of classes of the same size that of the lowest rank counts as most. */
static void name_odd(const struct tdbg_rank_group *g, const struct step_digests *d,
                     struct tdbg_rank_split *out)
{
    uint64_t most = 0;
    int32_t n_most = 0;
    for (int32_t r = 0; r < g->world_size; r++) {
        int32_t n = 0;
        if (!d->of[r])
            continue;
        const uint64_t mine = d->of[r][tdbg_rank_local_site(&g->files[r], out->site)];
        for (int32_t k = 0; k < g->world_size; k++)
            n += d->of[k] && d->of[k][tdbg_rank_local_site(&g->files[k], out->site)] == mine;
        if (n > n_most) {
            n_most = n;
            most = mine;
        }
    }
    for (int32_t r = 0; r < g->world_size; r++) {
        const size_t used = strlen(out->ranks);
        if (!d->of[r])
            continue;
        out->n_files++;
        if (d->of[r][tdbg_rank_local_site(&g->files[r], out->site)] == most)
            continue;
        snprintf(out->ranks + used, sizeof out->ranks - used, "%s%d", out->n_odd++ ? ", " : "",
                 (int)r);
    }
}

/* Looks for the first site of the whole step that is not the same in all files. */
static enum tdbg_status compare_step(const struct tdbg_rank_group *g, int64_t step,
                                     struct step_digests *d, struct tdbg_rank_split *out,
                                     int64_t *n_reads, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(read_step(g, step, d, n_reads, err));
    int32_t first = g->n_sites;
    for (int32_t r = 0; r < g->world_size; r++) {
        int32_t n;
        if (!d->of[r] || r == g->first)
            continue;
        tdbg_trace_sites(g->files[r].trace, &n);
        for (int32_t i = 0; i < n && g->files[r].joined[i] < first; i++) {
            const int32_t site = g->files[r].joined[i];
            if (g->sites[site].lane < 0 && d->of[r][i] != d->of[g->first][g->local[site]])
                first = site;
        }
    }
    if (first == g->n_sites)
        goto out;
    *out = (struct tdbg_rank_split){.found = true, .step = step, .site = first};
    name_odd(g, d, out);
out:
    return st;
}

enum tdbg_status tdbg_rank_split_find(const struct tdbg_rank_group *g, int64_t first, int64_t n,
                                      struct tdbg_rank_split *out, int64_t *n_reads,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t unused = 0, end = first + n;
    struct step_digests digests = {0};
    n_reads = n_reads ? n_reads : &unused;
    *out = (struct tdbg_rank_split){.site = -1};
    if (g->n_there < 2 || n <= 0)
        return TDBG_OK;
    digests.of = calloc((size_t)g->world_size, sizeof *digests.of);
    TDBG_FAIL_IF(!digests.of, NO_MEMORY, "no memory for digests");
    for (int32_t r = g->first + 1; r < g->world_size; r++) {
        if (g->files[r].trace)
            TDBG_TRY(search_pair(g, g->files[g->first].trace, g->files[r].trace, first, &end,
                                 n_reads, err));
    }
    /* chains that hold lanes too say nothing, so the last step is looked at in any case */
    if (end < first + n)
        TDBG_TRY(compare_step(g, end, &digests, out, n_reads, err));
    if (!out->found)
        TDBG_TRY(compare_step(g, first + n - 1, &digests, out, n_reads, err));
out:
    for (int32_t r = 0; digests.of && r < g->world_size; r++)
        free(digests.of[r]);
    free(digests.of);
    return st;
}
