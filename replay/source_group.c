/* Samples of a step from the traces of all ranks. See source_group.h. */
#include "replay/source_group.h"

#include <stdlib.h>
#include <string.h>

#include "replay/source_recorded.h"

struct tdbg_source_group {
    struct tdbg_rank_group *group;
    struct tdbg_source first; /* the lowest rank's */
    size_t x_bytes, y_bytes;  /* of a sample */
    int64_t *ids;             /* (batch): of another rank's file */
    unsigned char *x, *y;     /* (batch) samples */
};

enum tdbg_status tdbg_source_group_create(struct tdbg_rank_group *group,
                                          struct tdbg_source_group **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_data_shape shapes[TDBG_SET_COUNT];
    struct tdbg_trace *first = group->files[group->first].trace;
    const size_t batch = (size_t)tdbg_trace_info(first)->batch;
    struct tdbg_source_group *s = calloc(1, sizeof *s);
    TDBG_FAIL_IF(!s, NO_MEMORY, "no memory for samples");
    s->group = group;
    s->first = tdbg_source_recorded_table(first);
    TDBG_TRY(s->first.ops->describe(s->first.self, shapes, err));
    const struct tdbg_data_shape *train = &shapes[TDBG_SET_TRAIN];
    s->x_bytes = (size_t)tdbg_data_x_elems(train) * tdbg_dtype_bytes(train->x_dtype);
    s->y_bytes = (size_t)tdbg_data_y_elems(train) * tdbg_dtype_bytes(train->y_dtype);
    s->ids = malloc(batch * sizeof *s->ids);
    s->x = malloc(batch * s->x_bytes + 1);
    s->y = malloc(batch * s->y_bytes + 1);
    TDBG_FAIL_IF(!s->ids || !s->x || !s->y, NO_MEMORY, "no memory for samples");
    *out = s;
    return TDBG_OK;
out:
    tdbg_source_group_destroy(s);
    return st;
}

void tdbg_source_group_destroy(struct tdbg_source_group *s)
{
    if (!s)
        return;
    free(s->ids);
    free(s->x);
    free(s->y);
    free(s);
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    struct tdbg_source_group *s = self;
    return s->first.ops->describe(s->first.self, shapes, err);
}

/* Every rank has all samples of the batch: they have to be those that the first one has. */
static enum tdbg_status compare_batch(struct tdbg_source_group *s, const struct tdbg_trace *with,
                                      const struct tdbg_trace *t, int64_t step, int64_t n,
                                      int64_t n_other, const int64_t *ids, const void *x,
                                      const void *y, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(n != n_other, DAMAGED, "step %lld has %lld samples in %s, but %lld in %s",
                 (long long)step, (long long)n_other, tdbg_trace_path(t), (long long)n,
                 tdbg_trace_path(with));
    for (int64_t i = 0; i < n; i++) {
        const size_t at = (size_t)i;
        const bool same =
            ids[i] == s->ids[i] &&
            memcmp((const char *)x + at * s->x_bytes, s->x + at * s->x_bytes, s->x_bytes) == 0 &&
            memcmp((const char *)y + at * s->y_bytes, s->y + at * s->y_bytes, s->y_bytes) == 0;
        TDBG_FAIL_IF(!same, DAMAGED,
                     "step %lld: sample %lld of the batch (id %lld) of %s is not that of %s (id "
                     "%lld)",
                     (long long)step, (long long)i, (long long)s->ids[i], tdbg_trace_path(t),
                     tdbg_trace_path(with), (long long)ids[i]);
    }
out:
    return st;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_source_group *s = self;
    struct tdbg_trace *with = NULL;
    enum tdbg_status st = TDBG_OK;
    for (int32_t r = 0; r < s->group->world_size; r++) {
        struct tdbg_rank_file *file = &s->group->files[r];
        int64_t n_other;
        if (!tdbg_rank_has_step(file, step))
            continue;
        const struct tdbg_source source = tdbg_source_recorded_table(file->trace);
        if (!with) {
            TDBG_TRY(source.ops->train_batch(source.self, step, batch, n, ids, x, y, err));
            with = file->trace;
            continue;
        }
        TDBG_TRY(
            source.ops->train_batch(source.self, step, batch, &n_other, s->ids, s->x, s->y, err));
        TDBG_TRY(compare_batch(s, with, file->trace, step, *n, n_other, ids, x, y, err));
    }
    TDBG_FAIL_IF(!with, NOT_FOUND, "no rank's file has step %lld", (long long)step);
out:
    return st;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    struct tdbg_source_group *s = self;
    return s->first.ops->eval_batch(s->first.self, first, n, x, y, err);
}

static int64_t clock_ns(void *self)
{
    struct tdbg_source_group *s = self;
    return s->first.ops->clock_ns(s->first.self);
}

static const struct tdbg_source_ops group_ops = {
    .describe = describe,
    .train_batch = train_batch,
    .eval_batch = eval_batch,
    .clock_ns = clock_ns,
};

struct tdbg_source tdbg_source_group_table(struct tdbg_source_group *s)
{
    return (struct tdbg_source){.ops = &group_ops,
                                .self = s,
                                .rank = s->first.rank,
                                .world_size = s->group->world_size,
                                .has_all_lanes = true};
}
