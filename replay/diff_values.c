/* The values of pairs of tensors, in one piece whatever parts they are recorded in. See
 * diff_impl.h.
 */
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

static int64_t pair_bytes(const struct tdbg_diff *d, int32_t pair)
{
    const struct tdbg_site *site = &d->report->pair[pair].site;
    return tdbg_site_elems(site) * (int64_t)tdbg_dtype_bytes(site->dtype);
}

int32_t tdbg_diff_batch(const struct tdbg_diff *d, const int32_t *pairs, int32_t n)
{
    int64_t bytes = 0;
    for (int32_t k = 0; k < n; k++) {
        const int64_t more = pair_bytes(d, pairs[k]);
        if (k > 0 && more > TDBG_DIFF_VALUE_BYTES - bytes)
            return k;
        bytes = more > TDBG_DIFF_VALUE_BYTES - bytes ? TDBG_DIFF_VALUE_BYTES : bytes + more;
    }
    return n;
}

/* How many sites a pair has on a side, and the i-th of them; -1: the repeat lacks it. */
static int32_t n_parts(const struct tdbg_diff *d, const struct tdbg_diff_side *side, int32_t pair)
{
    return side == &d->b ? d->report->pair[pair].n_b : d->report->pair[pair].n_a;
}

static int32_t part(const struct tdbg_diff *d, const struct tdbg_diff_side *side, int32_t pair,
                    int32_t i)
{
    const struct tdbg_diff_pair *p = &d->report->pair[pair];
    return side == &d->b ? p->b[i] : side == &d->a ? p->a[i] : d->noise_site[p->a[i]];
}

enum tdbg_status tdbg_diff_load(struct tdbg_diff *d, struct tdbg_diff_side *side,
                                const int32_t *pairs, int32_t n, int64_t step, bool executes,
                                struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t room = 1;
    int32_t n_sites = 0, *sites = NULL;
    if (!side->values)
        TDBG_TRY(tdbg_step_values_create(side->group, executes ? &d->options->execution : NULL,
                                         &side->values, err));
    for (int32_t k = 0; k < n; k++)
        room += (size_t)n_parts(d, side, pairs[k]);
    sites = malloc(room * sizeof *sites);
    TDBG_FAIL_IF(!sites, NO_MEMORY, "no memory to compare traces");
    for (int32_t k = 0; k < n; k++) {
        for (int32_t i = 0; i < n_parts(d, side, pairs[k]); i++) {
            const int32_t site = part(d, side, pairs[k], i);
            if (site >= 0)
                sites[n_sites++] = site;
        }
    }
    TDBG_TRY(tdbg_step_values_load(side->values, step, sites, n_sites, err));
out:
    free(sites);
    return st;
}

enum tdbg_status tdbg_diff_take(const struct tdbg_diff *d, const struct tdbg_diff_side *side,
                                const int32_t *pairs, int32_t k, void **data, int64_t *n_elems,
                                const char **why, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t at = 0; /* of what is loaded */
    const int32_t n = n_parts(d, side, pairs[k]);
    const size_t width = tdbg_dtype_bytes(d->report->pair[pairs[k]].site.dtype);
    *data = NULL;
    *n_elems = 0;
    for (int32_t before = 0; before < k; before++) {
        for (int32_t i = 0; i < n_parts(d, side, pairs[before]); i++)
            at += part(d, side, pairs[before], i) >= 0;
    }
    unsigned char *out = malloc((size_t)pair_bytes(d, pairs[k]) + 1);
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to compare traces");
    for (int32_t i = 0; i < n; i++) {
        int64_t elems = 0;
        const bool lacks = part(d, side, pairs[k], i) < 0;
        const void *from = lacks ? NULL : tdbg_step_values_get(side->values, at++, &elems, why);
        if (!from) {
            *why = lacks ? "the repeat does not have it" : *why;
            free(out);
            *n_elems = 0;
            return TDBG_OK;
        }
        memcpy(out + (size_t)*n_elems * width, from, (size_t)elems * width);
        *n_elems += elems;
    }
    *data = out;
out:
    return st;
}
