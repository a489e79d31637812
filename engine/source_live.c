/* Data sets and sampler behind the source table. See source_live.h. */
#include "engine/source_live.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "engine/dataset.h"
#include "engine/sampler.h"

struct tdbg_source_live {
    struct tdbg_dataset set[TDBG_SET_COUNT];
    struct tdbg_sampler sampler;
    const struct tdbg_cfg_node *root; /* borrowed from the config, for the file names */
    bool borrows;                     /* the sets belong to another live source */
};

static bool fills_a_batch(const struct tdbg_cfg_node *root, const struct tdbg_dataset *train)
{
    return tdbg_sampler_steps_per_epoch(train->shape.count, tdbg_cfg_int(root, "data.batch"),
                                        tdbg_sampler_drops_last(root)) > 0;
}

static bool check_batch(struct tdbg_config *config, const struct tdbg_dataset *train)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    int64_t batch = tdbg_cfg_int(root, "data.batch");
    if (fills_a_batch(root, train))
        return true;
    tdbg_config_report(config, tdbg_cfg_find(root, "data.batch"), "or set data.drop_last = false;",
                       "data.batch = %lld, but the training set has %lld samples", (long long)batch,
                       (long long)train->shape.count);
    return false;
}

enum tdbg_status tdbg_source_live_create(struct tdbg_config *config, tdbg_read_hdf5_fn read_hdf5,
                                         struct tdbg_source_live **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int before = tdbg_config_n_diagnostics(config);
    struct tdbg_source_live *live = calloc(1, sizeof *live);
    TDBG_FAIL_IF(!live, NO_MEMORY, "no memory for the data source");
    const struct tdbg_cfg_node *root = live->root = tdbg_config_root(config);
    const struct tdbg_dataset *train = &live->set[TDBG_SET_TRAIN];
    TDBG_TRY(tdbg_dataset_load(config, read_hdf5, live->set, err));
    if (tdbg_config_n_diagnostics(config) != before || !check_batch(config, train))
        goto out;
    TDBG_TRY(tdbg_sampler_init(&live->sampler, root, train->shape.count, err));
    *out = live;
    return TDBG_OK;
out:
    tdbg_source_live_destroy(live);
    return st;
}

enum tdbg_status tdbg_source_live_reorder(const struct tdbg_source_live *live,
                                          const struct tdbg_cfg_node *root,
                                          struct tdbg_source_live **out, struct tdbg_err *err)
{
    const struct tdbg_dataset *train = &live->set[TDBG_SET_TRAIN];
    if (!fills_a_batch(root, train))
        return TDBG_RAISE(err, CONFIG,
                          "data.batch is more than the %lld samples of the training set",
                          (long long)train->shape.count);
    struct tdbg_source_live *other = calloc(1, sizeof *other);
    if (!other)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the data source");
    *other = *live;
    other->root = root;
    other->borrows = true;
    const enum tdbg_status st = tdbg_sampler_init(&other->sampler, root, train->shape.count, err);
    if (st == TDBG_OK)
        *out = other;
    else
        free(other);
    return st;
}

enum tdbg_status tdbg_source_live_share(const struct tdbg_source_live *live,
                                        struct tdbg_source_live **out, struct tdbg_err *err)
{
    return tdbg_source_live_reorder(live, live->root, out, err);
}

const struct tdbg_dataset *tdbg_source_live_set(const struct tdbg_source_live *live, int set)
{
    return &live->set[set];
}

enum tdbg_status tdbg_source_live_vocabulary(const struct tdbg_source_live *live,
                                             struct tdbg_vocabulary *out, struct tdbg_err *err)
{
    const struct tdbg_dataset *train = &live->set[TDBG_SET_TRAIN];
    *out = (struct tdbg_vocabulary){0};
    return train->vocab ? tdbg_vocabulary_of_code_points(train->vocab, train->shape.vocab, out, err)
                        : TDBG_OK;
}

void tdbg_source_live_destroy(struct tdbg_source_live *live)
{
    if (!live)
        return;
    for (int i = 0; i < TDBG_SET_COUNT && !live->borrows; i++)
        tdbg_dataset_clear(&live->set[i]);
    tdbg_sampler_clear(&live->sampler);
    free(live);
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    (void)err;
    const struct tdbg_source_live *live = self;
    for (int i = 0; i < TDBG_SET_COUNT; i++)
        shapes[i] = live->set[i].shape;
    return TDBG_OK;
}

static void copy_sample(const struct tdbg_dataset *set, int64_t id, int64_t to, void *x, void *y)
{
    const struct tdbg_data_shape *s = &set->shape;
    const size_t x_bytes = (size_t)tdbg_data_x_elems(s) * tdbg_dtype_bytes(s->x_dtype);
    const size_t y_bytes = (size_t)tdbg_data_y_elems(s) * tdbg_dtype_bytes(s->y_dtype);
    tdbg_dataset_copy(set, id, (unsigned char *)x + (size_t)to * x_bytes,
                      (unsigned char *)y + (size_t)to * y_bytes);
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    (void)err;
    struct tdbg_source_live *live = self;
    TDBG_ASSERT(batch == live->sampler.batch);
    *n = tdbg_sampler_batch(&live->sampler, step, ids);
    for (int64_t i = 0; i < *n; i++)
        copy_sample(&live->set[TDBG_SET_TRAIN], ids[i], i, x, y);
    return TDBG_OK;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    (void)err;
    struct tdbg_source_live *live = self;
    for (int64_t i = 0; i < n; i++)
        copy_sample(&live->set[TDBG_SET_EVAL], first + i, i, x, y);
    return TDBG_OK;
}

static int64_t clock_ns(void *self)
{
    (void)self;
    return tdbg_clock_ns();
}

static const struct tdbg_source_ops live_ops = {
    .describe = describe,
    .train_batch = train_batch,
    .eval_batch = eval_batch,
    .clock_ns = clock_ns,
};

struct tdbg_source tdbg_source_live_table(struct tdbg_source_live *live)
{
    return (struct tdbg_source){.ops = &live_ops, .self = live, .world_size = 1};
}

/* The files of a set: its keys that are paths, under their own names. */
static void print_files(const struct tdbg_source_live *live, const char *set,
                        struct tdbg_json *json)
{
    char group[32];
    snprintf(group, sizeof group, "data.%s", set);
    const struct tdbg_cfg_node *keys = tdbg_cfg_find(live->root, group);
    for (int i = 0; keys && i < keys->n_child; i++) {
        const struct tdbg_cfg_node *node = keys->child[i];
        if (node->type == TDBG_CFG_STRING)
            tdbg_json_string(json, node->key, node->s);
        if (node->type != TDBG_CFG_LIST)
            continue;
        tdbg_json_array_begin(json, node->key);
        for (int k = 0; k < node->n_child; k++)
            tdbg_json_string(json, NULL, node->child[k]->s);
        tdbg_json_array_end(json);
    }
}

/* A number for the characters of a vocabulary and their order. */
static uint64_t vocab_fingerprint(const struct tdbg_dataset *set)
{
    uint64_t h = 0;
    for (int64_t i = 0; i < set->shape.vocab; i++)
        h = tdbg_chain_absorb(h, set->vocab[i]);
    return h;
}

uint64_t tdbg_source_live_fingerprint(const struct tdbg_source_live *live)
{
    uint64_t h = 0;
    for (int i = 0; i < TDBG_SET_COUNT; i++) {
        h = tdbg_chain_absorb(h, live->set[i].fingerprint);
        h = tdbg_chain_absorb(h, live->set[i].vocab ? vocab_fingerprint(&live->set[i]) : 0);
    }
    return h;
}

void tdbg_source_live_print_json(const struct tdbg_source_live *live, struct tdbg_json *json)
{
    static const char *const names[TDBG_SET_COUNT] = {"train", "test"};
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "kind", tdbg_cfg_string(live->root, "data.kind"));
    for (int i = 0; i < TDBG_SET_COUNT; i++) {
        const struct tdbg_dataset *set = &live->set[i];
        if (set->shape.count == 0)
            continue;
        tdbg_json_object_begin(json, names[i]);
        print_files(live, names[i], json);
        tdbg_json_int(json, "samples", set->shape.count);
        if (set->shape.classes > 0)
            tdbg_json_int(json, "classes", set->shape.classes);
        if (set->shape.vocab > 0)
            tdbg_json_int(json, "vocab", set->shape.vocab);
        if (set->vocab)
            tdbg_json_u64_hex(json, "vocab_fingerprint", vocab_fingerprint(set));
        tdbg_json_u64_hex(json, "fingerprint", set->fingerprint);
        tdbg_json_object_end(json);
    }
    tdbg_json_object_end(json);
}
