/* Shuffling by Philox, keyed by seed and epoch. See sampler.h. */
#include "engine/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "base/philox.h"

static bool repeats(const struct tdbg_cfg_node *root)
{
    return strcmp(tdbg_cfg_string(root, "data.sampler.pad"), "repeat") == 0;
}

bool tdbg_sampler_drops_last(const struct tdbg_cfg_node *root)
{
    return tdbg_cfg_bool(root, "data.drop_last") && !repeats(root);
}

enum tdbg_status tdbg_sampler_init(struct tdbg_sampler *sampler, const struct tdbg_cfg_node *root,
                                   int64_t count, struct tdbg_err *err)
{
    int64_t *order = malloc((size_t)count * sizeof *order);
    if (!order)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the order of %lld samples",
                          (long long)count);
    *sampler = (struct tdbg_sampler){.seed = (uint64_t)tdbg_cfg_int(root, "seed"),
                                     .count = count,
                                     .batch = tdbg_cfg_int(root, "data.batch"),
                                     .shuffle = tdbg_cfg_bool(root, "data.shuffle"),
                                     .reshuffle = tdbg_cfg_bool(root, "data.sampler.reshuffle"),
                                     .drop_last = tdbg_sampler_drops_last(root),
                                     .repeat = repeats(root),
                                     .epoch = -1,
                                     .order = order};
    return TDBG_OK;
}

void tdbg_sampler_clear(struct tdbg_sampler *sampler)
{
    free(sampler->order);
    *sampler = (struct tdbg_sampler){0};
}

int64_t tdbg_sampler_steps_per_epoch(int64_t count, int64_t batch, bool drop_last)
{
    return drop_last ? count / batch : (count + batch - 1) / batch;
}

static void make_order(struct tdbg_sampler *s, int64_t epoch)
{
    int64_t key_epoch = s->reshuffle ? epoch : 0;
    if (s->epoch == key_epoch)
        return;
    if (s->shuffle) {
        uint64_t key = tdbg_philox_key(s->seed, TDBG_RANDOM_SHUFFLE, (uint64_t)key_epoch);
        tdbg_philox_permutation(key, s->count, s->order);
    } else {
        for (int64_t i = 0; i < s->count; i++)
            s->order[i] = i;
    }
    s->epoch = key_epoch;
}

int64_t tdbg_sampler_batch(struct tdbg_sampler *s, int64_t step, int64_t *ids)
{
    int64_t per_epoch = tdbg_sampler_steps_per_epoch(s->count, s->batch, s->drop_last);
    make_order(s, step / per_epoch);
    int64_t first = step % per_epoch * s->batch;
    int64_t n = s->count - first < s->batch && !s->repeat ? s->count - first : s->batch;
    for (int64_t i = 0; i < n; i++)
        ids[i] = s->order[(first + i) % s->count];
    return n;
}
