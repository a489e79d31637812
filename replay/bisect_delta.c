/* The differences of two runs. See bisect_delta.h. */
#include "replay/bisect_delta.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "replay/config_merge.h"

/* --- what a key acts on --- */

/* A pattern of keys: the key itself and all below it; one that begins with a point is an ending. */
static const struct key_class {
    const char *key;
    enum tdbg_delta_kind kind;
} classes[] = {
    {"record", TDBG_DELTA_NONE},
    {"inject", TDBG_DELTA_NONE},
    {"engine.device", TDBG_DELTA_NONE},
    {"engine.threads", TDBG_DELTA_NONE},
    {"engine.comm.op", TDBG_DELTA_CONFIG},
    {"engine.comm", TDBG_DELTA_NONE},
    {"seed", TDBG_DELTA_SEED},
    {"init_from", TDBG_DELTA_STATE},
    {".init", TDBG_DELTA_STATE},
    {".init_std", TDBG_DELTA_STATE},
    {"data.shuffle", TDBG_DELTA_ORDER},
    {"data.sampler", TDBG_DELTA_ORDER},
    {"data.batch", TDBG_DELTA_CONFIG},
    {"data.drop_last", TDBG_DELTA_CONFIG},
    {"data.transforms", TDBG_DELTA_CONFIG},
    {"data", TDBG_DELTA_DATA},
};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

static bool matches(const char *pattern, const char *key)
{
    const size_t n = strlen(pattern), m = strlen(key);
    if (*pattern == '.')
        return m > n && strcmp(key + m - n, pattern) == 0;
    return strncmp(key, pattern, n) == 0 && strchr(".[", key[n]); /* or the end of the key */
}

static enum tdbg_delta_kind class_of(const char *key, bool with_eval)
{
    if (matches("eval", key) && !with_eval)
        return TDBG_DELTA_NONE;
    for (int i = 0; i < N_CLASSES; i++) {
        if (matches(classes[i].key, key))
            return classes[i].kind;
    }
    return TDBG_DELTA_CONFIG;
}

enum tdbg_delta_kind tdbg_delta_kind_of(const char *key)
{
    return class_of(key, true);
}

/* --- the list --- */

struct finder {
    struct tdbg_bisect_side *side; /* (2) */
    const struct tdbg_bisect_state *state;
    const struct tdbg_delta_options *options;
    struct tdbg_deltas *out;
    int room;
    struct tdbg_config_difference *differs; /* all keys */
    int n_differs, differs_room;
    int64_t *moved; /* (n_moved) steps of which the two traces have other samples in the batch */
    int n_moved, moved_room;
    bool sums_ranks; /* in one of the runs the number of ranks is a factor of the gradients */
};

static bool sums_ranks(const struct tdbg_bisect_side *side)
{
    return strcmp(tdbg_cfg_string(tdbg_config_root(side->config), "engine.comm.op"), "sum") == 0;
}

static void *grow(struct finder *f, void *items, int n, int *room, size_t bytes)
{
    if (n < *room)
        return items;
    *room = *room ? 2 * *room : 32;
    void *grown = tdbg_arena_alloc(f->out->arena, (size_t)*room * bytes);
    if (n > 0)
        memcpy(grown, items, (size_t)n * bytes);
    return grown;
}

static struct tdbg_delta *add(struct finder *f, enum tdbg_delta_kind kind, const char *name)
{
    struct tdbg_deltas *d = f->out;
    d->item = grow(f, d->item, d->n, &f->room, sizeof *d->item);
    d->item[d->n] = (struct tdbg_delta){.kind = kind, .name = name, .whole = -1};
    return &d->item[d->n++];
}

static void add_key(struct finder *f, struct tdbg_config_difference **keys, int *n,
                    const struct tdbg_config_difference *key)
{
    struct tdbg_config_difference *grown =
        tdbg_arena_alloc(f->out->arena, (size_t)(*n + 1) * sizeof *grown);
    if (*n > 0)
        memcpy(grown, *keys, (size_t)*n * sizeof *grown);
    grown[(*n)++] = *key;
    *keys = grown;
}

static bool note_key(void *context, const char *unit, const char *path,
                     const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    struct finder *f = context;
    struct tdbg_deltas *d = f->out;
    const struct tdbg_config_difference key = {tdbg_arena_strdup(d->arena, path),
                                               tdbg_config_value_text(d->arena, a),
                                               tdbg_config_value_text(d->arena, b)};
    /* the length of a run is one thing, however it is written */
    unit = strcmp(path, "epochs") == 0 ? "steps" : unit;
    f->differs = grow(f, f->differs, f->n_differs, &f->differs_room, sizeof *f->differs);
    f->differs[f->n_differs++] = key;
    enum tdbg_delta_kind kind = class_of(path, f->options->with_eval);
    if (strcmp(path, "engine.ranks_in_process") == 0 && !f->sums_ranks)
        kind = TDBG_DELTA_NONE; /* the lanes decide on the bits */
    if (kind == TDBG_DELTA_NONE)
        add_key(f, &d->idle, &d->n_idle, &key);
    if (kind != TDBG_DELTA_CONFIG && kind != TDBG_DELTA_SEED)
        return false;
    int at = tdbg_deltas_unit(d, unit);
    if (at < 0) {
        struct tdbg_delta *new = add(f, kind, tdbg_arena_strdup(d->arena, unit));
        new->unit = new->name;
        at = d->n - 1;
    }
    add_key(f, &d->item[at].keys, &d->item[at].n_keys, &key);
    return false;
}

/* The keys that act on something beside the engine: what is drawn for a tensor hangs on its shape,
 * too. */
static void explain(struct finder *f, struct tdbg_delta *delta, enum tdbg_delta_kind kind)
{
    for (int i = 0; i < f->n_differs; i++) {
        const char *key = f->differs[i].key;
        const enum tdbg_delta_kind acts = class_of(key, true);
        const bool shapes = kind == TDBG_DELTA_STATE && matches("model", key);
        if (acts == kind || shapes || (acts == TDBG_DELTA_SEED && kind != TDBG_DELTA_DATA))
            add_key(f, &delta->keys, &delta->n_keys, &f->differs[i]);
    }
}

int tdbg_deltas_first(const struct tdbg_deltas *d, enum tdbg_delta_kind kind)
{
    for (int i = 0; i < d->n; i++) {
        if (d->item[i].kind == kind)
            return i;
    }
    return -1;
}

int tdbg_deltas_unit(const struct tdbg_deltas *d, const char *unit)
{
    for (int i = 0; i < d->n; i++) {
        if (d->item[i].unit && strcmp(d->item[i].unit, unit) == 0)
            return i;
    }
    return -1;
}

/* --- state, order, samples --- */

static bool item_differs(const struct finder *f, const struct tdbg_bisect_item *a)
{
    const struct tdbg_bisect_item *b = tdbg_bisect_state_find(&f->state[1], a->name, a->elems);
    return b && memcmp(a->data, b->data, (size_t)a->elems * sizeof *a->data) != 0;
}

static void compare_states(struct finder *f)
{
    bool any = false;
    for (int32_t i = 0; i < f->state[0].n; i++)
        any |= item_differs(f, &f->state[0].item[i]);
    if (!any)
        return;
    const char *name =
        f->options->first == 0
            ? "initial parameters"
            : tdbg_arena_printf(f->out->arena, "state before step %" PRId64, f->options->first);
    explain(f, add(f, TDBG_DELTA_STATE, name), TDBG_DELTA_STATE);
}

static void add_items(struct finder *f)
{
    const int whole = tdbg_deltas_first(f->out, TDBG_DELTA_STATE);
    for (int32_t i = 0; whole >= 0 && i < f->state[0].n; i++) {
        const struct tdbg_bisect_item *item = &f->state[0].item[i];
        if (!item_differs(f, item))
            continue;
        struct tdbg_delta *part =
            add(f, TDBG_DELTA_ITEM, tdbg_arena_printf(f->out->arena, "initial %s", item->name));
        part->of = tdbg_arena_strdup(f->out->arena, item->name);
        part->whole = whole;
        part->keys = f->out->item[whole].keys;
        part->n_keys = f->out->item[whole].n_keys;
    }
}

/* In which steps do the two traces have other samples in the batch? */
static enum tdbg_status compare_batches(struct finder *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t batch[2] = {tdbg_trace_info(f->side[0].trace)->batch,
                              tdbg_trace_info(f->side[1].trace)->batch};
    int64_t *ids[2] = {malloc((size_t)batch[0] * sizeof **ids),
                       malloc((size_t)batch[1] * sizeof **ids)};
    TDBG_FAIL_IF(!ids[0] || !ids[1], NO_MEMORY, "no memory for a batch");
    for (int64_t step = f->options->first; step < f->options->end; step++) {
        int64_t n[2];
        for (int i = 0; i < 2; i++)
            TDBG_TRY(tdbg_trace_read_batch_ids(f->side[i].trace, step, ids[i], &n[i], err));
        if (n[0] == n[1] && memcmp(ids[0], ids[1], (size_t)n[0] * sizeof **ids) == 0)
            continue;
        f->moved = grow(f, f->moved, f->n_moved, &f->moved_room, sizeof *f->moved);
        f->moved[f->n_moved++] = step;
    }
out:
    free(ids[0]);
    free(ids[1]);
    return st;
}

static enum tdbg_status compare_orders(struct finder *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool differs = false;
    if (!f->options->is_live) {
        TDBG_TRY(compare_batches(f, err));
        differs = f->n_moved > 0;
    } else {
        const struct tdbg_cfg_node *a = tdbg_config_root(f->side[0].config);
        const bool shuffles = tdbg_cfg_bool(a, "data.shuffle");
        for (int i = 0; i < f->n_differs; i++) {
            const enum tdbg_delta_kind acts = class_of(f->differs[i].key, true);
            differs |= acts == TDBG_DELTA_ORDER || (acts == TDBG_DELTA_SEED && shuffles);
        }
    }
    if (differs) {
        struct tdbg_delta *order = add(f, TDBG_DELTA_ORDER, "data order");
        order->step = f->n_moved > 0 ? f->moved[0] : -1;
        explain(f, order, TDBG_DELTA_ORDER);
    }
out:
    return st;
}

static void add_batches(struct finder *f)
{
    const int whole = tdbg_deltas_first(f->out, TDBG_DELTA_ORDER);
    const int each = (f->n_moved + TDBG_MOST_BATCH_DELTAS - 1) / TDBG_MOST_BATCH_DELTAS;
    for (int i = 0; i < f->n_moved; i += each) {
        const int last = i + each < f->n_moved ? i + each - 1 : f->n_moved - 1;
        struct tdbg_delta *part =
            add(f, TDBG_DELTA_BATCH,
                tdbg_arena_printf(f->out->arena, "batches of steps %" PRId64 " to %" PRId64,
                                  f->moved[i], f->moved[last]));
        part->step = f->moved[i];
        part->last = f->moved[last];
        part->whole = whole;
        part->keys = f->out->item[whole].keys;
        part->n_keys = f->out->item[whole].n_keys;
    }
}

static bool same_shape(const struct tdbg_data_shape *a, const struct tdbg_data_shape *b)
{
    return a->x_dtype == b->x_dtype && a->y_dtype == b->y_dtype && a->x_ndim == b->x_ndim &&
           a->y_ndim == b->y_ndim && a->count == b->count &&
           memcmp(a->x_dims, b->x_dims, (size_t)a->x_ndim * sizeof a->x_dims[0]) == 0 &&
           memcmp(a->y_dims, b->y_dims, (size_t)a->y_ndim * sizeof a->y_dims[0]) == 0;
}

static bool data_differs(const struct finder *f)
{
    if (f->options->is_live)
        return tdbg_source_live_fingerprint(f->side[0].live) !=
               tdbg_source_live_fingerprint(f->side[1].live);
    return !tdbg_dataset_same(tdbg_trace_info(f->side[0].trace)->dataset,
                              tdbg_trace_info(f->side[1].trace)->dataset);
}

/* One sample of a side: x and behind it y; false: the trace does not have it. */
static bool read_sample(const struct finder *f, int side, int64_t id, size_t x_bytes,
                        unsigned char *out)
{
    const struct tdbg_bisect_side *s = &f->side[side];
    if (f->options->is_live) {
        tdbg_dataset_copy(tdbg_source_live_set(s->live, TDBG_SET_TRAIN), id, out, out + x_bytes);
        return true;
    }
    return tdbg_trace_read_samples(s->trace, TDBG_SAMPLES_TRAIN, 1, &id, out, out + x_bytes,
                                   NULL) == TDBG_OK;
}

static enum tdbg_status add_samples(struct finder *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int whole = tdbg_deltas_first(f->out, TDBG_DELTA_DATA);
    const int before = f->out->n;
    struct tdbg_data_shape shape[2][TDBG_SET_COUNT];
    unsigned char *sample[2] = {NULL, NULL};
    if (whole < 0)
        return TDBG_OK;
    for (int i = 0; i < 2; i++) {
        const struct tdbg_source s =
            f->options->is_live ? tdbg_source_live_table(f->side[i].live) : f->side[i].recorded;
        TDBG_TRY(s.ops->describe(s.self, shape[i], err));
    }
    const struct tdbg_data_shape *train = &shape[0][TDBG_SET_TRAIN];
    const size_t x_bytes = (size_t)tdbg_data_x_elems(train) * tdbg_dtype_bytes(train->x_dtype);
    const size_t y_bytes = (size_t)tdbg_data_y_elems(train) * tdbg_dtype_bytes(train->y_dtype);
    if (!same_shape(train, &shape[1][TDBG_SET_TRAIN]))
        goto out;
    for (int i = 0; i < 2; i++) {
        sample[i] = malloc(x_bytes + y_bytes + 1);
        TDBG_FAIL_IF(!sample[i], NO_MEMORY, "no memory for a sample");
    }
    for (int64_t id = 0; id < train->count; id++) {
        if (!read_sample(f, 0, id, x_bytes, sample[0]) ||
            !read_sample(f, 1, id, x_bytes, sample[1]))
            continue;
        const bool x_differs = memcmp(sample[0], sample[1], x_bytes) != 0;
        if (!x_differs && memcmp(sample[0] + x_bytes, sample[1] + x_bytes, y_bytes) == 0)
            continue;
        if (f->out->n - before == TDBG_MOST_SAMPLE_DELTAS) {
            f->out->n = before;
            break;
        }
        struct tdbg_delta *part =
            add(f, TDBG_DELTA_SAMPLE,
                tdbg_arena_printf(f->out->arena,
                                  x_differs ? "sample %" PRId64 : "target of sample %" PRId64, id));
        part->sample = id;
        part->whole = whole;
        part->keys = f->out->item[whole].keys;
        part->n_keys = f->out->item[whole].n_keys;
    }
out:
    free(sample[0]);
    free(sample[1]);
    return st;
}

enum tdbg_status tdbg_deltas_find(struct tdbg_bisect_side side[2],
                                  const struct tdbg_bisect_state state[2],
                                  const struct tdbg_delta_options *options, struct tdbg_deltas *out,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct finder f = {.side = side, .state = state, .options = options, .out = out};
    f.sums_ranks = sums_ranks(&side[0]) || sums_ranks(&side[1]);
    *out = (struct tdbg_deltas){.arena = tdbg_arena_create()};
    TDBG_FAIL_IF(!out->arena, NO_MEMORY, "no memory for the differences");
    tdbg_config_merge(tdbg_config_root(side[0].config), tdbg_config_root(side[1].config),
                      out->arena, note_key, &f);
    compare_states(&f);
    TDBG_TRY(compare_orders(&f, err));
    if (data_differs(&f))
        explain(&f, add(&f, TDBG_DELTA_DATA, "samples"), TDBG_DELTA_DATA);
    out->n_wholes = out->n;
    out->n_keys = f.n_differs;
    add_items(&f);
    add_batches(&f);
    TDBG_TRY(add_samples(&f, err));
out:
    return st;
}

void tdbg_deltas_clear(struct tdbg_deltas *d)
{
    tdbg_arena_destroy(d->arena);
    *d = (struct tdbg_deltas){0};
}

static bool needs_data(void *context, const char *unit, const char *path,
                       const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    static const char *const cutting[] = {"data.batch", "data.drop_last", "data.kind",
                                          "data.tokens"};
    bool *needed = context;
    (void)unit;
    (void)a;
    (void)b;
    for (size_t i = 0; i < sizeof cutting / sizeof cutting[0]; i++)
        *needed |= matches(cutting[i], path);
    return false;
}

bool tdbg_deltas_need_data(const struct tdbg_bisect_side side[2])
{
    bool needed = false;
    struct tdbg_arena *arena = tdbg_arena_create();
    if (!arena)
        return false;
    tdbg_config_merge(tdbg_config_root(side[0].config), tdbg_config_root(side[1].config), arena,
                      needs_data, &needed);
    tdbg_arena_destroy(arena);
    return needed;
}
