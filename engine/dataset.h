/* A data set in memory: samples x in their source dtype and class indices y. */
#ifndef TDBG_ENGINE_DATASET_H
#define TDBG_ENGINE_DATASET_H

#include <stdint.h>

#include "base/config.h"
#include "engine/source.h"

struct tdbg_dataset {
    struct tdbg_data_shape shape;
    size_t sample_bytes;
    unsigned char *x;     /* (count, x_dims) in x_dtype */
    int64_t *y;           /* (count) */
    uint64_t fingerprint; /* over shapes, samples and labels */
};

/* Loads one set in idx format (Yann LeCun's MNIST files, plain or gzip): images of u8 with any
 * number of dimensions, labels of u8 with one. A fault of a file becomes a diagnostic of config at
 * the path's node and leaves *out empty. Free with tdbg_dataset_clear(). */
enum tdbg_status tdbg_dataset_load_idx(struct tdbg_config *config, const char *images_key,
                                       const char *labels_key, struct tdbg_dataset *out,
                                       struct tdbg_err *err);
void tdbg_dataset_clear(struct tdbg_dataset *dataset);

#endif
