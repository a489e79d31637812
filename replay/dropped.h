/* A recorded sum that is not the sum: does the share of one rank lack? */
#ifndef TDBG_REPLAY_DROPPED_H
#define TDBG_REPLAY_DROPPED_H

#include "trace/rank_group.h"

/* The rank without whose share the values of reduce_in that are stored add up to what was recorded
 * (its digest) of a site of reduce_out at a step; -1: there is none, or values are missing. */
int32_t tdbg_dropped_rank(const struct tdbg_rank_group *group, int64_t step,
                          const struct tdbg_site *site, uint64_t recorded);

/* The same of values that are at hand: shares (lanes, elems), in the order of lanes. sum (elems),
 * or NULL: what it then was. */
int32_t tdbg_dropped_share(int32_t world_size, int32_t lanes, int64_t elems, const float *shares,
                           uint64_t recorded, float *sum);

/* Digest of what the values of reduce_in that are stored fold to, over all lanes, for a site of
 * reduce_out. TDBG_NOT_FOUND where one of them is not stored, TDBG_CANNOT_JUDGE where a file is
 * missing or the site is no sum of this engine's. */
enum tdbg_status tdbg_fold_lanes(const struct tdbg_rank_group *group, int64_t step,
                                 const struct tdbg_site *site, uint64_t *digest,
                                 struct tdbg_err *err);

#endif
