/* Sampler: which samples are in a step's global batch, a pure function of seed and step. */
#ifndef TDBG_ENGINE_SAMPLER_H
#define TDBG_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/status.h"

struct tdbg_sampler {
    uint64_t seed;
    int64_t count, batch; /* samples in the set, and per step */
    bool shuffle, reshuffle;
    bool drop_last; /* else the last batch of an epoch is shorter, or */
    bool repeat;    /* filled up from the epoch's beginning */
    int64_t epoch;  /* whose order `order` holds, or -1 */
    int64_t *order; /* (count) */
};

/* Reads seed, data.batch, data.shuffle, data.drop_last and data.sampler of a checked config for a
 * set of count >= 1 samples. order is allocated here and freed by tdbg_sampler_clear(). With
 * drop_last a batch larger than the set is the caller's error to report (steps per epoch would be
 * 0). */
enum tdbg_status tdbg_sampler_init(struct tdbg_sampler *sampler, const struct tdbg_cfg_node *root,
                                   int64_t count, struct tdbg_err *err);
void tdbg_sampler_clear(struct tdbg_sampler *sampler);

/* Are the samples of an epoch left out that do not fill a batch? */
bool tdbg_sampler_drops_last(const struct tdbg_cfg_node *root);

/* floor(count / batch) with drop_last, else the ceiling. */
int64_t tdbg_sampler_steps_per_epoch(int64_t count, int64_t batch, bool drop_last);

/* Sample ids of a step into ids (batch); returns how many (fewer only in an epoch's last step).
 * With `repeat` always batch: what the last step lacks is taken from the epoch's beginning, again
 * and again where the set is smaller than a batch. */
int64_t tdbg_sampler_batch(struct tdbg_sampler *sampler, int64_t step, int64_t *ids);

#endif
