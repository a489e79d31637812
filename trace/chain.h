/* Hash chains over the sites of one recording: which digests a chain absorbs at which step. The
 * writer and whoever checks a trace later use the same two functions. Definitions: base/digest.h.
 */
#ifndef TDBG_TRACE_CHAIN_H
#define TDBG_TRACE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "trace/schema.h"

/* Is a site digested at this step? At steps where step % digest_every == 0 (never where it is 0);
 * sites of stage `eval` only where the step evaluated. */
bool tdbg_chain_due(const struct tdbg_site *site, const struct tdbg_site_plan *plan, int64_t step,
                    bool evaluated);

/* h before the first recorded step: tdbg_chain_start() over the sites with digest_every > 0; 0
 * where the chain covers none of them. */
enum tdbg_status tdbg_chain_begin(int chain, const struct tdbg_site *sites,
                                  const struct tdbg_site_plan *plans, int32_t n_sites, uint64_t *h,
                                  struct tdbg_err *err);

/* h after `step`, from h before it: absorbs, in site order, digests (n_sites) of the covered sites
 * that are due; h unchanged where none is. */
uint64_t tdbg_chain_step(int chain, uint64_t h, const struct tdbg_site *sites,
                         const struct tdbg_site_plan *plans, int32_t n_sites, int64_t step,
                         bool evaluated, const uint64_t *digests);

/* The same for all chains h (TDBG_CHAIN_COUNT) at once, in one pass over the sites. */
void tdbg_chain_step_all(uint64_t *h, const struct tdbg_site *sites,
                         const struct tdbg_site_plan *plans, int32_t n_sites, int64_t step,
                         bool evaluated, const uint64_t *digests);

#endif
