/* Samples from an inner source, sums over ranks from a comm. See source_ranks.h. */
#include "engine/source_ranks.h"

#include <stdlib.h>

#include "engine/allreduce.h"

struct tdbg_source_ranks {
    struct tdbg_source inner;
    struct tdbg_allreduce allreduce;
    bool native;
};

enum tdbg_status tdbg_source_ranks_create(struct tdbg_source inner, struct tdbg_comm *comm,
                                          const struct tdbg_backend *backend, bool native,
                                          struct tdbg_source_ranks **out, struct tdbg_err *err)
{
    struct tdbg_source_ranks *s = calloc(1, sizeof *s);
    if (!s)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the source of a rank");
    s->inner = inner;
    s->native = native && comm->ops->native_sum;
    const enum tdbg_status st = tdbg_allreduce_init(&s->allreduce, comm, backend, err);
    if (st == TDBG_OK)
        *out = s;
    else
        free(s);
    return st;
}

void tdbg_source_ranks_destroy(struct tdbg_source_ranks *s)
{
    if (!s)
        return;
    tdbg_allreduce_clear(&s->allreduce);
    free(s);
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    struct tdbg_source_ranks *s = self;
    return s->inner.ops->describe(s->inner.self, shapes, err);
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_source_ranks *s = self;
    return s->inner.ops->train_batch(s->inner.self, step, batch, n, ids, x, y, err);
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    struct tdbg_source_ranks *s = self;
    return s->inner.ops->eval_batch(s->inner.self, first, n, x, y, err);
}

static enum tdbg_status reduce_begin(void *self, int64_t step, const struct tdbg_reduction *what,
                                     const float *in, float *out, struct tdbg_err *err)
{
    (void)self;
    (void)step;
    (void)what;
    (void)in;
    (void)out;
    (void)err;
    return TDBG_OK;
}

static enum tdbg_status reduce_end(void *self, int64_t step, const struct tdbg_reduction *what,
                                   const float *in, float *out, struct tdbg_err *err)
{
    (void)step;
    struct tdbg_source_ranks *s = self;
    struct tdbg_comm *comm = s->allreduce.comm;
    if (s->native)
        return comm->ops->native_sum(comm, in, out, what->elems, err);
    return tdbg_allreduce_run(&s->allreduce, in, out, what->elems, err);
}

static int64_t clock_ns(void *self)
{
    struct tdbg_source_ranks *s = self;
    return s->inner.ops->clock_ns(s->inner.self);
}

static const struct tdbg_source_ops ranks_ops = {
    .describe = describe,
    .train_batch = train_batch,
    .eval_batch = eval_batch,
    .reduce_begin = reduce_begin,
    .reduce_end = reduce_end,
    .clock_ns = clock_ns,
};

struct tdbg_source tdbg_source_ranks_table(struct tdbg_source_ranks *s)
{
    const struct tdbg_comm *comm = s->allreduce.comm;
    return (struct tdbg_source){&ranks_ops, s, comm->rank, comm->world_size};
}
