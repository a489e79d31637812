/* Sampler: which samples are in a step's global batch, a pure function of seed and step. */
#ifndef TDBG_ENGINE_SAMPLER_H
#define TDBG_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct tdbg_sampler {
    uint64_t seed;
    int64_t count, batch; /* samples in the set, and per step */
    bool shuffle, reshuffle, drop_last;
    int64_t epoch;  /* whose order `order` holds, or -1 */
    int64_t *order; /* (count) */
};

/* order is allocated here and freed by tdbg_sampler_clear(). count and batch >= 1; with drop_last a
 * batch larger than the set is the caller's error to report (steps per epoch would be 0). */
enum tdbg_status tdbg_sampler_init(struct tdbg_sampler *sampler, uint64_t seed, int64_t count,
                                   int64_t batch, bool shuffle, bool reshuffle, bool drop_last,
                                   struct tdbg_err *err);
void tdbg_sampler_clear(struct tdbg_sampler *sampler);

/* floor(count / batch) with drop_last, else the ceiling. */
int64_t tdbg_sampler_steps_per_epoch(int64_t count, int64_t batch, bool drop_last);

/* Sample ids of a step into ids (batch); returns how many (fewer only in an epoch's last step). */
int64_t tdbg_sampler_batch(struct tdbg_sampler *sampler, int64_t step, int64_t *ids);

#endif
