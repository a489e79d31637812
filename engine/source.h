/* source: what the engine cannot compute itself. One of the two tables that are the engine's whole
 * edge (the other is tap.h). A live source reads a data set and talks to the other ranks; a
 * recorded source reads the trace. */
#ifndef TDBG_ENGINE_SOURCE_H
#define TDBG_ENGINE_SOURCE_H

#include <stdint.h>

#include "base/site.h"
#include "base/status.h"

enum { TDBG_SET_TRAIN, TDBG_SET_EVAL, TDBG_SET_COUNT };

/* What a set of samples holds. Targets (y) are one i64 class index per sample. */
struct tdbg_data_shape {
    enum tdbg_dtype x_dtype;
    int32_t x_ndim; /* per sample */
    int64_t x_dims[TDBG_MAX_DIMS];
    int64_t count;   /* samples in the set; 0: there is no such set */
    int64_t classes; /* largest class index + 1 */
    int64_t vocab;   /* samples are token numbers below it; 0: they are values */
};

struct tdbg_source_ops {
    /* Shapes of both sets (TDBG_SET_COUNT), known before the graph is built. */
    enum tdbg_status (*describe)(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err);

    /* Raw samples of a training step: *n <= batch samples in global order: ids (n), x (n, x_dims)
     * in x_dtype, y (n). */
    enum tdbg_status (*train_batch)(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, int64_t *y, struct tdbg_err *err);

    /* Samples first .. first + n - 1 of the evaluation set: x (n, x_dims), y (n). */
    enum tdbg_status (*eval_batch)(void *self, int64_t first, int64_t n, void *x, int64_t *y,
                                   struct tdbg_err *err);

    /* What the other ranks contribute: on entry data (n) holds the fold over this rank's lanes of
     * `site`, on return the fold over all lanes, in the order of the aligned lane tree. NULL: there
     * are no other ranks. */
    enum tdbg_status (*reduce)(void *self, int64_t step, const struct tdbg_site *site, float *data,
                               int64_t n, struct tdbg_err *err);

    /* Monotonic time since some fixed moment. */
    int64_t (*clock_ns)(void *self);
};

struct tdbg_source {
    const struct tdbg_source_ops *ops;
    void *self; /* owned by whoever made the source */
};

#endif
