/* See source_around.h. */
#include "engine/source_around.h"

enum tdbg_status tdbg_source_around_describe(void *self, struct tdbg_data_shape *shapes,
                                             struct tdbg_err *err)
{
    const struct tdbg_source *inner = self;
    return inner->ops->describe(inner->self, shapes, err);
}

enum tdbg_status tdbg_source_around_train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                                int64_t *ids, void *x, void *y,
                                                struct tdbg_err *err)
{
    const struct tdbg_source *inner = self;
    return inner->ops->train_batch(inner->self, step, batch, n, ids, x, y, err);
}

enum tdbg_status tdbg_source_around_eval_batch(void *self, int64_t first, int64_t n, void *x,
                                               void *y, struct tdbg_err *err)
{
    const struct tdbg_source *inner = self;
    return inner->ops->eval_batch(inner->self, first, n, x, y, err);
}

enum tdbg_status tdbg_source_around_reduce_begin(void *self, int64_t step,
                                                 const struct tdbg_reduction *what, const float *in,
                                                 float *out, struct tdbg_err *err)
{
    const struct tdbg_source *inner = self;
    return inner->ops->reduce_begin(inner->self, step, what, in, out, err);
}

enum tdbg_status tdbg_source_around_reduce_end(void *self, int64_t step,
                                               const struct tdbg_reduction *what, const float *in,
                                               float *out, struct tdbg_err *err)
{
    const struct tdbg_source *inner = self;
    return inner->ops->reduce_end(inner->self, step, what, in, out, err);
}

int64_t tdbg_source_around_clock_ns(void *self)
{
    const struct tdbg_source *inner = self;
    return inner->ops->clock_ns(inner->self);
}
