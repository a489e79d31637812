/* Samples of a trial. See bisect_source.h. */
#include "replay/bisect_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Whose batch a step has. */
static int order_at(const struct tdbg_bisect_source *s, int64_t step)
{
    for (int i = 0; i < s->n_moved && s->moved[i].first <= step; i++) {
        if (step <= s->moved[i].last)
            return !s->order;
    }
    return s->order;
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    const struct tdbg_bisect_source *s = self;
    const struct tdbg_source from =
        s->is_live ? tdbg_source_live_table(s->live) : s->side[s->data].recorded;
    return from.ops->describe(from.self, shapes, err);
}

/* The sample as a side has it. A trace that does not have it leaves what is there. */
static void take_sample(const struct tdbg_bisect_source *s, int side, int64_t id, unsigned char *x,
                        unsigned char *y)
{
    struct tdbg_bisect_side *from = &s->side[side];
    if (s->is_live)
        tdbg_dataset_copy(tdbg_source_live_set(from->live, TDBG_SET_TRAIN), id, x, y);
    else
        (void)tdbg_trace_read_samples(from->trace, TDBG_SAMPLES_TRAIN, 1, &id, x, y, NULL);
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    const struct tdbg_bisect_source *s = self;
    enum tdbg_status st = TDBG_OK;
    const int order = order_at(s, step);
    const struct tdbg_source from =
        s->is_live ? tdbg_source_live_table(s->live) : s->side[order].recorded;
    const int has = s->is_live ? s->data : order; /* whose samples these are */
    TDBG_TRY(from.ops->train_batch(from.self, step, batch, n, ids, x, y, err));
    for (int64_t i = 0; i < *n; i++) {
        const bool other = s->n_swapped > 0 && bsearch(&ids[i], s->swapped, (size_t)s->n_swapped,
                                                       sizeof ids[i], compare_ids);
        const int wanted = other ? !s->data : s->data;
        if (wanted != has)
            take_sample(s, wanted, ids[i], (unsigned char *)x + (size_t)i * s->x_bytes,
                        (unsigned char *)y + (size_t)i * s->y_bytes);
    }
out:
    return st;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    const struct tdbg_bisect_source *s = self;
    const struct tdbg_source from =
        s->is_live ? tdbg_source_live_table(s->live) : s->side[s->data].recorded;
    return from.ops->eval_batch(from.self, first, n, x, y, err);
}

static int64_t clock_ns(void *self)
{
    (void)self;
    return tdbg_clock_ns();
}

static const struct tdbg_source_ops source_ops = {.describe = describe,
                                                  .train_batch = train_batch,
                                                  .eval_batch = eval_batch,
                                                  .clock_ns = clock_ns};

enum tdbg_status tdbg_bisect_source_open(struct tdbg_bisect_source *s,
                                         const struct tdbg_cfg_node *root, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_data_shape shape[TDBG_SET_COUNT];
    if (s->is_live)
        TDBG_TRY(tdbg_source_live_reorder(s->side[s->data].live, root, &s->live, err));
    TDBG_TRY(describe(s, shape, err));
    const struct tdbg_data_shape *train = &shape[TDBG_SET_TRAIN];
    s->world_size = (int32_t)tdbg_cfg_int(root, "engine.ranks_in_process");
    s->x_bytes = (size_t)tdbg_data_x_elems(train) * tdbg_dtype_bytes(train->x_dtype);
    s->y_bytes = (size_t)tdbg_data_y_elems(train) * tdbg_dtype_bytes(train->y_dtype);
out:
    return st;
}

void tdbg_bisect_source_close(struct tdbg_bisect_source *s)
{
    tdbg_source_live_destroy(s->live);
    s->live = NULL;
}

struct tdbg_source tdbg_bisect_source_table(struct tdbg_bisect_source *s)
{
    return (struct tdbg_source){.ops = &source_ops,
                                .self = s,
                                .rank = 0,
                                .world_size = s->world_size,
                                .has_all_lanes = s->world_size > 1};
}
