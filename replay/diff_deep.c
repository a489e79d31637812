/* Does every stored value have the digest that is recorded beside it? See diff_impl.h. */
#include <stdlib.h>

#include "replay/diff_impl.h"

/* One file's stored values of a step. *first is the number (of the joined list) of the first site
 * with a changed value so far, and comes down to a lower one. */
static enum tdbg_status read_file(struct tdbg_diff *d, const struct tdbg_diff_side *side,
                                  int32_t rank, int64_t step, void *data, int32_t *first,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_rank_file *file = &side->group->files[rank];
    int32_t n_sites;
    const struct tdbg_site *sites = tdbg_trace_sites(file->trace, &n_sites);
    for (int32_t i = 0; i < n_sites; i++) {
        int64_t n;
        if (file->joined[i] >= *first ||
            !tdbg_trace_has_digest(file->trace, i, step, side->row.evaluated) ||
            !tdbg_trace_has_values(file->trace, i, step, side->row.evaluated))
            continue;
        TDBG_TRY(tdbg_trace_read_values(file->trace, step, i, data, &n, err));
        r->n_read_deep++;
        if (tdbg_digest_fast(data, sites[i].dtype, n) == side->digests[rank][i])
            continue;
        *first = file->joined[i];
        r->has_changed = true;
        r->changed = (struct tdbg_diff_changed){side == &d->b, rank, file->joined[i], step};
    }
out:
    return st;
}

static enum tdbg_status read_side(struct tdbg_diff *d, struct tdbg_diff_side *side, int64_t step,
                                  void *data, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t first = INT32_MAX;
    TDBG_TRY(tdbg_diff_read_side(side, step, d->report, err));
    for (int32_t r = 0; r < side->group->world_size; r++) {
        if (side->digests[r])
            TDBG_TRY(read_file(d, side, r, step, data, &first, err));
    }
out:
    return st;
}

static size_t largest_bytes(const struct tdbg_rank_group *g, size_t most)
{
    for (int32_t i = 0; i < g->n_sites; i++) {
        const size_t bytes =
            (size_t)tdbg_site_elems(&g->sites[i]) * tdbg_dtype_bytes(g->sites[i].dtype);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Steps up to, and without, `end`; stops at the first with a changed value, that of A if both have
 * one. */
enum tdbg_status tdbg_diff_read_deep(struct tdbg_diff *d, int64_t end, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    void *data = malloc(largest_bytes(d->b.group, largest_bytes(d->a.group, 1)));
    TDBG_FAIL_IF(!data, NO_MEMORY, "no memory for the values of a tensor");
    r->is_deep = true;
    for (int64_t step = r->first_step; step < end && !r->has_changed; step++) {
        TDBG_TRY(tdbg_diff_progress(d, step - r->first_step, end - r->first_step, err));
        TDBG_TRY(read_side(d, &d->a, step, data, err));
        if (!r->has_changed)
            TDBG_TRY(read_side(d, &d->b, step, data, err));
    }
out:
    free(data);
    return st;
}
