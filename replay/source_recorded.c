/* Samples of a step from the trace. See source_recorded.h. */
#include "replay/source_recorded.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Are samples of this kind what an engine can be given? */
static bool samples_are_ours(const struct tdbg_samples_spec *s)
{
    return (s->x_dtype == TDBG_DTYPE_U8 || s->x_dtype == TDBG_DTYPE_F32 ||
            s->x_dtype == TDBG_DTYPE_I32) &&
           (s->y_dtype == TDBG_DTYPE_I64 || s->y_dtype == TDBG_DTYPE_F32) && s->x_ndim >= 1 &&
           s->x_ndim <= TDBG_MAX_DIMS - 2 && s->y_ndim <= TDBG_MAX_DIMS - 2;
}

/* The engine has one buffer for the samples of both sets. */
static bool same_kind(const struct tdbg_samples_spec *a, const struct tdbg_samples_spec *b)
{
    return a->x_dtype == b->x_dtype && a->y_dtype == b->y_dtype && a->x_ndim == b->x_ndim &&
           a->y_ndim == b->y_ndim &&
           memcmp(a->x_dims, b->x_dims, (size_t)a->x_ndim * sizeof *a->x_dims) == 0 &&
           memcmp(a->y_dims, b->y_dims, (size_t)a->y_ndim * sizeof *a->y_dims) == 0;
}

bool tdbg_source_recorded_is_ours(const struct tdbg_trace *trace)
{
    const struct tdbg_samples_spec *train = tdbg_trace_samples(trace, TDBG_SAMPLES_TRAIN);
    const struct tdbg_samples_spec *eval = tdbg_trace_samples(trace, TDBG_SAMPLES_EVAL);
    return samples_are_ours(train) && train->total >= 1 &&
           (eval->total == 0 || same_kind(train, eval));
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    (void)err;
    static const int sets[TDBG_SET_COUNT] = {
        [TDBG_SET_TRAIN] = TDBG_SAMPLES_TRAIN, [TDBG_SET_EVAL] = TDBG_SAMPLES_EVAL};
    for (int i = 0; i < TDBG_SET_COUNT; i++) {
        const struct tdbg_samples_spec *spec = tdbg_trace_samples(self, sets[i]);
        shapes[i] = (struct tdbg_data_shape){
            .x_dtype = spec->x_dtype,
            .y_dtype = spec->y_dtype,
            .x_ndim = spec->x_ndim,
            .y_ndim = spec->y_ndim,
            .count = spec->total,
            .classes = spec->classes,
            .vocab = spec->vocab,
        };
        memcpy(shapes[i].x_dims, spec->x_dims, sizeof shapes[i].x_dims);
        memcpy(shapes[i].y_dims, spec->y_dims, sizeof shapes[i].y_dims);
    }
    return TDBG_OK;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_trace *trace = self;
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(batch == tdbg_trace_info(trace)->batch); /* the session has checked it */
    TDBG_TRY(tdbg_trace_read_batch_ids(trace, step, ids, n, err));
    TDBG_FAIL_IF(*n < 1, DAMAGED, "step %lld of %s has no samples", (long long)step,
                 tdbg_trace_path(trace));
    TDBG_TRY(tdbg_trace_read_samples(trace, TDBG_SAMPLES_TRAIN, *n, ids, x, y, err));
out:
    return st;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    int64_t *ids = malloc((size_t)n * sizeof *ids);
    if (!ids)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %lld sample ids", (long long)n);
    for (int64_t i = 0; i < n; i++)
        ids[i] = first + i;
    enum tdbg_status st = tdbg_trace_read_samples(self, TDBG_SAMPLES_EVAL, n, ids, x, y, err);
    free(ids);
    return st;
}

static int64_t clock_ns(void *self)
{
    (void)self;
    return tdbg_clock_ns();
}

static const struct tdbg_source_ops recorded_ops = {
    .describe = describe,
    .train_batch = train_batch,
    .eval_batch = eval_batch,
    .clock_ns = clock_ns,
};

struct tdbg_source tdbg_source_recorded_table(struct tdbg_trace *trace)
{
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    return (struct tdbg_source){
        .ops = &recorded_ops, .self = trace, .rank = info->rank, .world_size = info->world_size};
}
