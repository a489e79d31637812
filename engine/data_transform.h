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
    float by;          /* scale */
    int64_t channels;  /* normalize */
    float *mean, *std; /* (channels), owned by the arena; std > 0 */
};

/* Reads one checked item of data.transforms for samples of this shape into *out. False after a
 * diagnostic (wrong number of channels). */
bool tdbg_transform_read(struct tdbg_config *config, struct tdbg_arena *arena,
                         const struct tdbg_cfg_node *item, const struct tdbg_shape *sample,
                         struct tdbg_transform *out);

const char *tdbg_transform_kind(const struct tdbg_transform *transform);

/* y = transform(x) for rows samples of `elems` elements; y may be x. */
void tdbg_transform_apply(const struct tdbg_transform *transform,
                          const struct tdbg_backend *backend, int64_t rows, int64_t elems,
                          const float *x, float *y);

#endif
