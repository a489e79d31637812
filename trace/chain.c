/* Hash chains over the sites of one recording. See chain.h. */
#include "trace/chain.h"

#include <stdlib.h>

bool tdbg_chain_due(const struct tdbg_site *site, const struct tdbg_site_plan *plan, int64_t step,
                    bool evaluated)
{
    if (plan->digest_every <= 0 || step % plan->digest_every != 0)
        return false;
    return site->stage != TDBG_STAGE_EVAL || evaluated;
}

enum tdbg_status tdbg_chain_begin(int chain, const struct tdbg_site *sites,
                                  const struct tdbg_site_plan *plans, int32_t n_sites, uint64_t *h,
                                  struct tdbg_err *err)
{
    struct tdbg_site *recorded = calloc((size_t)n_sites + 1, sizeof *recorded);
    int32_t n = 0;
    if (!recorded)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %d sites", (int)n_sites);
    for (int32_t i = 0; i < n_sites; i++) {
        if (plans[i].digest_every > 0)
            recorded[n++] = sites[i];
    }
    *h = tdbg_chain_start(chain, recorded, n);
    free(recorded);
    return TDBG_OK;
}

uint64_t tdbg_chain_step(int chain, uint64_t h, const struct tdbg_site *sites,
                         const struct tdbg_site_plan *plans, int32_t n_sites, int64_t step,
                         bool evaluated, const uint64_t *digests)
{
    for (int32_t i = 0; i < n_sites; i++) {
        if (tdbg_chain_covers(chain, &sites[i]) &&
            tdbg_chain_due(&sites[i], &plans[i], step, evaluated))
            h = tdbg_chain_absorb(h, digests[i]);
    }
    return h;
}

void tdbg_chain_step_all(uint64_t *h, const struct tdbg_site *sites,
                         const struct tdbg_site_plan *plans, int32_t n_sites, int64_t step,
                         bool evaluated, const uint64_t *digests)
{
    for (int32_t i = 0; i < n_sites; i++) {
        if (!tdbg_chain_due(&sites[i], &plans[i], step, evaluated))
            continue;
        uint64_t *of_stage = &h[1 + (int)sites[i].stage];
        *of_stage = tdbg_chain_absorb(*of_stage, digests[i]);
        if (tdbg_chain_covers(TDBG_CHAIN_MAIN, &sites[i]))
            h[TDBG_CHAIN_MAIN] = tdbg_chain_absorb(h[TDBG_CHAIN_MAIN], digests[i]);
    }
}
