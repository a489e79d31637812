/* A source around another one, for what it hands on as it is. `self` is a struct whose first member
 * is the inner `struct tdbg_source`; each of these is an entry of its table (see source.h). */
#ifndef TDBG_ENGINE_SOURCE_AROUND_H
#define TDBG_ENGINE_SOURCE_AROUND_H

#include "engine/source.h"

enum tdbg_status tdbg_source_around_describe(void *self, struct tdbg_data_shape *shapes,
                                             struct tdbg_err *err);
enum tdbg_status tdbg_source_around_train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                                int64_t *ids, void *x, void *y,
                                                struct tdbg_err *err);
enum tdbg_status tdbg_source_around_eval_batch(void *self, int64_t first, int64_t n, void *x,
                                               void *y, struct tdbg_err *err);
enum tdbg_status tdbg_source_around_reduce_begin(void *self, int64_t step,
                                                 const struct tdbg_reduction *what, const float *in,
                                                 float *out, struct tdbg_err *err);
enum tdbg_status tdbg_source_around_reduce_end(void *self, int64_t step,
                                               const struct tdbg_reduction *what, const float *in,
                                               float *out, struct tdbg_err *err);
int64_t tdbg_source_around_clock_ns(void *self);

#endif
