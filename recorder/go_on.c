/* How a recording begins that goes on from another one. See go_on.h. */
#include "recorder/go_on.h"

#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"

/* The next site of a list from *i on that has digests and belongs to a chain, or NULL. */
static const struct tdbg_site *next_in_chain(const struct tdbg_site *sites,
                                             const struct tdbg_site_plan *plans, int32_t n,
                                             int chain, int32_t *i)
{
    while (*i < n && (plans[*i].digest_every == 0 || !tdbg_chain_covers(chain, &sites[*i])))
        ++*i;
    return *i < n ? &sites[*i] : NULL;
}

static bool same_cadence(const struct tdbg_trace_spec *r, const struct tdbg_recorder_parent *parent,
                         int chain)
{
    for (int32_t i = 0, k = 0;; i++, k++) {
        const struct tdbg_site *a = next_in_chain(r->sites, r->plans, r->n_sites, chain, &i);
        const struct tdbg_site *b =
            next_in_chain(parent->sites, parent->plans, parent->n_sites, chain, &k);
        if (!a || !b)
            return a == b;
        if (r->plans[i].digest_every != parent->plans[k].digest_every || a->lane != b->lane ||
            a->micro != b->micro || strcmp(a->name, b->name) != 0)
            return false;
    }
}

enum tdbg_status tdbg_recorder_begin_chains(const struct tdbg_trace_spec *r,
                                            const struct tdbg_recorder_parent *parent,
                                            uint64_t *chain, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        chain[c] = parent->chain[c];
        if (!same_cadence(r, parent, c))
            TDBG_TRY(tdbg_chain_begin(c, r->sites, r->plans, r->n_sites, &chain[c], err));
    }
out:
    return st;
}

enum tdbg_status tdbg_recorder_put_keyframe(struct tdbg_stream *stream,
                                            const struct tdbg_engine *engine, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    tdbg_engine_items(engine, &n);
    float *value = malloc((size_t)tdbg_engine_most_item_elems(engine) * sizeof *value);
    TDBG_FAIL_IF(!value, NO_MEMORY, "no memory for a keyframe");
    for (int32_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_engine_get_item(engine, i, value, err));
        TDBG_TRY(tdbg_stream_put_keyframe(stream, i, value, err));
    }
out:
    free(value);
    return st;
}
