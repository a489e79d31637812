/* Data sets and sampler behind the source table. See source_live.h. */
#include "engine/source_live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/dataset.h"
#include "engine/sampler.h"

struct tdbg_source_live {
    struct tdbg_dataset set[TDBG_SET_COUNT];
    struct tdbg_sampler sampler;
    const struct tdbg_cfg_node *root; /* borrowed from the config, for the file names */
};

static bool check_batch(struct tdbg_config *config, const struct tdbg_dataset *train)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    int64_t batch = tdbg_cfg_int(root, "data.batch");
    bool drop_last = tdbg_cfg_bool(root, "data.drop_last");
    if (tdbg_sampler_steps_per_epoch(train->shape.count, batch, drop_last) > 0)
        return true;
    tdbg_config_report(config, tdbg_cfg_find(root, "data.batch"), "or set data.drop_last = false;",
                       "data.batch = %lld, but the training set has %lld samples", (long long)batch,
                       (long long)train->shape.count);
    return false;
}

static bool check_test_shape(struct tdbg_config *config, const struct tdbg_dataset *train,
                             const struct tdbg_dataset *test)
{
    if (test->shape.count == 0 ||
        (test->shape.x_ndim == train->shape.x_ndim &&
         memcmp(test->shape.x_dims, train->shape.x_dims, sizeof test->shape.x_dims) == 0))
        return true;
    tdbg_config_report(config, tdbg_cfg_find(tdbg_config_root(config), "data.test.images"), NULL,
                       "test samples have another shape than training samples");
    return false;
}

static enum tdbg_status load_sets(struct tdbg_config *config, struct tdbg_source_live *live,
                                  bool *fine, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int before = tdbg_config_n_diagnostics(config);
    struct tdbg_dataset *train = &live->set[TDBG_SET_TRAIN], *test = &live->set[TDBG_SET_EVAL];
    TDBG_TRY(tdbg_dataset_load_idx(config, "data.train.images", "data.train.labels", train, err));
    if (tdbg_cfg_find(live->root, "data.test.images"))
        TDBG_TRY(tdbg_dataset_load_idx(config, "data.test.images", "data.test.labels", test, err));
    *fine = tdbg_config_n_diagnostics(config) == before && check_batch(config, train) &&
            check_test_shape(config, train, test);
out:
    return st;
}

void tdbg_source_live_check_files(struct tdbg_config *config)
{
    static const char *const keys[] = {"data.train.images", "data.train.labels", "data.test.images",
                                       "data.test.labels"};
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct tdbg_cfg_node *node = tdbg_cfg_find(root, keys[i]);
        if (!node || node->type != TDBG_CFG_STRING)
            continue; /* reported by the root's table, if it is a fault */
        char *path = tdbg_cfg_path(config, root, keys[i]);
        if (path && access(path, R_OK) != 0)
            tdbg_config_report(config, node, NULL, "cannot read data set %s: %s", path,
                               strerror(errno));
        free(path);
    }
}

enum tdbg_status tdbg_source_live_create(struct tdbg_config *config, struct tdbg_source_live **out,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool fine = false;
    struct tdbg_source_live *live = calloc(1, sizeof *live);
    TDBG_FAIL_IF(!live, NO_MEMORY, "no memory for the data source");
    const struct tdbg_cfg_node *root = live->root = tdbg_config_root(config);
    TDBG_TRY(load_sets(config, live, &fine, err));
    if (!fine)
        goto out;
    TDBG_TRY(tdbg_sampler_init(
        &live->sampler, (uint64_t)tdbg_cfg_int(root, "seed"), live->set[TDBG_SET_TRAIN].shape.count,
        tdbg_cfg_int(root, "data.batch"), tdbg_cfg_bool(root, "data.shuffle"),
        tdbg_cfg_bool(root, "data.sampler.reshuffle"), tdbg_cfg_bool(root, "data.drop_last"), err));
    *out = live;
    return TDBG_OK;
out:
    tdbg_source_live_destroy(live);
    return st;
}

void tdbg_source_live_destroy(struct tdbg_source_live *live)
{
    if (!live)
        return;
    for (int i = 0; i < TDBG_SET_COUNT; i++)
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
    memcpy((unsigned char *)x + (size_t)to * set->sample_bytes,
           set->x + (size_t)id * set->sample_bytes, set->sample_bytes);
    ((int64_t *)y)[to] = set->y[id];
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
    return (struct tdbg_source){&live_ops, live};
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
        char images[64], labels[64];
        snprintf(images, sizeof images, "data.%s.images", names[i]);
        snprintf(labels, sizeof labels, "data.%s.labels", names[i]);
        tdbg_json_object_begin(json, names[i]);
        tdbg_json_string(json, "images", tdbg_cfg_string(live->root, images));
        tdbg_json_string(json, "labels", tdbg_cfg_string(live->root, labels));
        tdbg_json_int(json, "samples", set->shape.count);
        tdbg_json_int(json, "classes", set->shape.classes);
        tdbg_json_u64_hex(json, "fingerprint", set->fingerprint);
        tdbg_json_object_end(json);
    }
    tdbg_json_object_end(json);
}
