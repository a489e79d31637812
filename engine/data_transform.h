/* Data transforms: ops on raw samples in front of the network, each with a site of its own. */
#ifndef TDBG_ENGINE_DATA_TRANSFORM_H
#define TDBG_ENGINE_DATA_TRANSFORM_H

#include "base/arena.h"
#include "base/config.h"
#include "engine/backend.h"
#include "engine/shape.h"

void tdbg_transform_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *list);
void tdbg_transform_print_options(FILE *out);

struct tdbg_transform {
    const struct tdbg_transform_class *cls;
    struct tdbg_shape in, out; /* of a sample */
    int32_t index;             /* in data.transforms: part of the key of random choices */
    float by;                  /* scale */
    int64_t channels;          /* normalize */
    float *mean, *std;         /* (channels), owned by the arena; std > 0 */
    struct tdbg_resize resize; /* planes of one sample; so in the next two */
    struct tdbg_channels order;
    struct tdbg_crop crop; /* random.on: where it is random in training */
    struct tdbg_flip flip;
};

/* Reads item `index` of the checked list data.transforms for samples of shape *sample into *out and
 * makes *sample the shape that it gives. False after a diagnostic: it does not fit the shape. */
bool tdbg_transform_read(struct tdbg_config *config, struct tdbg_arena *arena,
                         const struct tdbg_cfg_node *item, int32_t index, struct tdbg_shape *sample,
                         struct tdbg_transform *out);

const char *tdbg_transform_kind(const struct tdbg_transform *transform);

/* For whom a transform is applied. */
struct tdbg_transform_run {
    const struct tdbg_backend *backend;
    int64_t rows;       /* samples */
    const float *x;     /* (rows, in) */
    float *y;           /* (rows, out); may be x where scale and normalize are concerned */
    const int64_t *ids; /* (rows), on the device */
    uint64_t seed;
    int64_t epoch;
    bool training; /* false: random choices are off, crops are centred */
};
void tdbg_transform_apply(const struct tdbg_transform *transform,
                          const struct tdbg_transform_run *run);

#endif
