/* source: what the engine cannot compute itself. One of the two tables that are the engine's whole
 * edge (the other is tap.h). A live source reads a data set and talks to the other ranks; a
 * recorded source reads the trace. */
#ifndef TDBG_ENGINE_SOURCE_H
#define TDBG_ENGINE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/site.h"
#include "base/status.h"

enum { TDBG_SET_TRAIN, TDBG_SET_EVAL, TDBG_SET_COUNT };

/* What a set of samples holds; shapes are per sample.
 *   x: u8 or f32 of any shape (images are (C, H, W) or (H, W)), or i32 tokens (T)
 *   y: i64 class indices, () one per sample or (T) one per token; or f32 targets of any shape */
struct tdbg_data_shape {
    enum tdbg_dtype x_dtype, y_dtype;
    int32_t x_ndim, y_ndim;
    int64_t x_dims[TDBG_MAX_DIMS], y_dims[TDBG_MAX_DIMS];
    int64_t count;   /* samples in the set; 0: there is no such set */
    int64_t classes; /* largest class index + 1; 0: y are no classes, or it is not known */
    int64_t vocab;   /* tokens are 0 .. vocab - 1; 0: x are no tokens */
};

/* Elements of one sample's x or y. */
static inline int64_t tdbg_data_x_elems(const struct tdbg_data_shape *shape)
{
    int64_t n = 1;
    for (int32_t d = 0; d < shape->x_ndim; d++)
        n *= shape->x_dims[d];
    return n;
}

static inline int64_t tdbg_data_y_elems(const struct tdbg_data_shape *shape)
{
    int64_t n = 1;
    for (int32_t d = 0; d < shape->y_ndim; d++)
        n *= shape->y_dims[d];
    return n;
}

/* Tensors that are reduced together: `elems` numbers in a row, in which each tensor has a range and
 * what lies between them is zero. */
struct tdbg_reduction_part {
    const struct tdbg_site *site; /* of what comes out */
    int64_t offset, elems;
};

struct tdbg_reduction {
    int32_t number; /* 0, 1, ... in the order in which a step starts them */
    int32_t n_parts;
    const struct tdbg_reduction_part *parts;
    int64_t elems;
};

struct tdbg_source_ops {
    /* Shapes of both sets (TDBG_SET_COUNT), known before the graph is built. */
    enum tdbg_status (*describe)(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err);

    /* Raw samples of a training step: *n <= batch samples in global order: ids (n), x (n, x_dims)
     * in x_dtype, y (n, y_dims) in y_dtype. */
    enum tdbg_status (*train_batch)(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err);

    /* Samples first .. first + n - 1 of the evaluation set: x (n, x_dims), y (n, y_dims). */
    enum tdbg_status (*eval_batch)(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err);

    /* What the other ranks contribute: `in` (elems) holds the fold over this rank's lanes, and when
     * reduce_end has returned, out (elems) the fold over all lanes, in the order of the aligned
     * lane tree; both in the host's memory, or with reduces_on_device in that of the engine's
     * backend, whose calls until then are done before. Between the two calls, which come in the
     * same order, both belong to the source.
     * NULL where nobody else contributes. */
    enum tdbg_status (*reduce_begin)(void *self, int64_t step, const struct tdbg_reduction *what,
                                     const float *in, float *out, struct tdbg_err *err);
    enum tdbg_status (*reduce_end)(void *self, int64_t step, const struct tdbg_reduction *what,
                                   const float *in, float *out, struct tdbg_err *err);

    /* Monotonic time since some fixed moment. */
    int64_t (*clock_ns)(void *self);
};

struct tdbg_source {
    const struct tdbg_source_ops *ops;
    void *self;               /* owned by whoever made the source */
    int32_t rank, world_size; /* 0 of 1: there are no other ranks */
    bool reduces_on_device;   /* in and out of reductions are where the engine computes */

    /* One engine in the place of all ranks: it has every lane, and folds them itself unless there
     * is a reduce_begin. It evaluates where rank is 0. */
    bool has_all_lanes;
};

#endif
