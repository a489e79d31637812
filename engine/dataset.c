/* The table of data set formats, both sets of a run, and copying samples. See dataset.h. */
#include "engine/dataset.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/philox.h"
#include "engine/dataset_fingerprint.h"

static const struct tdbg_dataset_kind *const kinds[] = {
    &tdbg_dataset_idx, &tdbg_dataset_cifar10, &tdbg_dataset_npy,
    &tdbg_dataset_csv, &tdbg_dataset_text,    &tdbg_dataset_hdf5,
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

const struct tdbg_dataset_kind *tdbg_dataset_kind_find(const char *name)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    }
    return NULL;
}

const struct tdbg_dataset_kind *tdbg_dataset_kind_at(int i)
{
    return i < N_KINDS ? kinds[i] : NULL;
}

static const struct tdbg_dataset_kind *kind_of(const struct tdbg_cfg_node *root)
{
    const struct tdbg_cfg_node *name = tdbg_cfg_find(root, "data.kind");
    return name && name->type == TDBG_CFG_STRING ? tdbg_dataset_kind_find(name->s) : NULL;
}

/* "data.train.images" into buf; returns buf. */
enum { KEY_BYTES = 64 };
static const char *key_of(const struct tdbg_dataset_request *request, const char *key,
                          char buf[KEY_BYTES])
{
    snprintf(buf, KEY_BYTES, "data.%s.%s", request->set, key);
    return buf;
}

const struct tdbg_cfg_node *tdbg_dataset_node(const struct tdbg_dataset_request *request,
                                              const char *key)
{
    char buf[KEY_BYTES];
    return tdbg_cfg_find(tdbg_config_root(request->config), key_of(request, key, buf));
}

static bool has_test_set(const struct tdbg_cfg_node *root, const struct tdbg_dataset_kind *kind)
{
    const struct tdbg_dataset_request test = {.set = "test"};
    char key[KEY_BYTES];
    return tdbg_cfg_find(root, key_of(&test, kind->main_key, key)) != NULL;
}

/* Keys that a training set has to have are those that a test set has to have, if there is one. */
static void check_test_keys(struct tdbg_config *config, const struct tdbg_dataset_kind *kind)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_cfg_node *test = tdbg_cfg_find(root, "data.test");
    if (!test || test->type != TDBG_CFG_GROUP)
        return;
    for (int i = 0; i < kind->options.n; i++) {
        const struct tdbg_option *o = &kind->options.options[i];
        static const char prefix[] = "data.train.";
        if (!(o->flags & TDBG_OPT_REQUIRED) || strncmp(o->key, prefix, sizeof prefix - 1) != 0)
            continue;
        const char *key = o->key + sizeof prefix - 1;
        if (!tdbg_cfg_find(test, key))
            tdbg_config_report(config, test, NULL, "data.test has no '%s'", key);
    }
}

void tdbg_dataset_check_config(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_dataset_kind *kind = kind_of(root);
    const struct tdbg_cfg_node *every = tdbg_cfg_find(root, "eval.every");
    const struct tdbg_cfg_node *split = tdbg_cfg_find(root, "data.split");
    if (!kind)
        return;
    check_test_keys(config, kind);
    const bool has_test = has_test_set(root, kind);
    const bool splits =
        split && (split->type == TDBG_CFG_FLOAT || split->type == TDBG_CFG_INT) && split->f > 0;
    if (has_test && splits)
        tdbg_config_report(config, split, "remove one of the two",
                           "data.split is given, but there is a test set");
    if (!has_test && !splits && every && every->type == TDBG_CFG_INT && every->i > 0) {
        char hint[128];
        snprintf(hint, sizeof hint, "add data.test = { %s = ...; }; or data.split = 0.1;",
                 kind->main_key);
        tdbg_config_report(config, every, hint, "eval.every wants a test set, and none is given");
    }
}

static void check_file(struct tdbg_config *config, const struct tdbg_cfg_node *node)
{
    if (node->type != TDBG_CFG_STRING)
        return; /* reported by the root's table, if it is a fault */
    char *path = tdbg_cfg_node_path(config, node);
    if (path && access(path, R_OK) != 0)
        tdbg_config_report(config, node, NULL, "cannot read data set %s: %s", path,
                           strerror(errno));
    free(path);
}

void tdbg_dataset_check_files(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_dataset_kind *kind = kind_of(root);
    for (int i = 0; kind && i < kind->options.n; i++) {
        const struct tdbg_option *o = &kind->options.options[i];
        const struct tdbg_cfg_node *node = tdbg_cfg_find(root, o->key);
        if (!node || (o->type != TDBG_OPT_PATH && o->type != TDBG_OPT_PATHS))
            continue;
        if (node->type != TDBG_CFG_LIST)
            check_file(config, node);
        for (int k = 0; node->type == TDBG_CFG_LIST && k < node->n_child; k++)
            check_file(config, node->child[k]);
    }
}

enum tdbg_status tdbg_dataset_fault(struct tdbg_config *config, const struct tdbg_cfg_node *at,
                                    const char *path, struct tdbg_err *fault, struct tdbg_err *err)
{
    enum tdbg_status st = fault->status;
    if (st == TDBG_DATA) {
        tdbg_config_report(config, at, NULL, "cannot read data set %s: %s", path, fault->message);
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        tdbg_err_set(err, st, fault->file, fault->line, "cannot read data set %s: %s", path,
                     fault->message);
    }
    tdbg_err_clear(fault);
    return st;
}

enum tdbg_data_inputs tdbg_dataset_inputs(const struct tdbg_cfg_node *root)
{
    const char *text = tdbg_cfg_string(root, "data.inputs");
    return strcmp(text, "values") == 0   ? TDBG_INPUTS_VALUES
           : strcmp(text, "tokens") == 0 ? TDBG_INPUTS_TOKENS
                                         : TDBG_INPUTS_AUTO;
}

enum tdbg_data_targets tdbg_dataset_targets(const struct tdbg_cfg_node *root)
{
    const char *text = tdbg_cfg_string(root, "data.targets");
    return strcmp(text, "values") == 0    ? TDBG_TARGETS_VALUES
           : strcmp(text, "classes") == 0 ? TDBG_TARGETS_CLASSES
                                          : TDBG_TARGETS_AUTO;
}

/* --- the split --- */

static int compare_rows(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Which samples: the last ones of a text, whose neighbours are alike; else a choice by the seed. In
 * both parts they keep their order. */
static enum tdbg_status split(struct tdbg_config *config, struct tdbg_dataset sets[TDBG_SET_COUNT],
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    struct tdbg_dataset *train = &sets[TDBG_SET_TRAIN], *eval = &sets[TDBG_SET_EVAL];
    const int64_t count = train->shape.count;
    int64_t n = (int64_t)floor(tdbg_cfg_float(root, "data.split") * (double)count + 0.5);
    n = n < 1 ? 1 : n;
    if (n >= count) {
        tdbg_config_report(config, tdbg_cfg_find(root, "data.split"), NULL,
                           "data.split leaves no sample of %lld for the training",
                           (long long)count);
        return TDBG_OK;
    }
    *eval = *train; /* borrows the arrays, which live as long */
    eval->x.array.block = eval->y.array.block = NULL;
    eval->x.array.mapped_bytes = eval->y.array.mapped_bytes = 0;
    eval->vocab = NULL;
    train->shape.count = count - n;
    eval->shape.count = n;
    eval->first_row = count - n;
    if (strcmp(tdbg_cfg_string(root, "data.kind"), "text") == 0)
        goto out;
    train->row = malloc((size_t)count * sizeof *train->row);
    eval->row = malloc((size_t)n * sizeof *eval->row);
    TDBG_FAIL_IF(!train->row || !eval->row, NO_MEMORY, "no memory to split %lld samples",
                 (long long)count);
    const uint64_t seed = (uint64_t)tdbg_cfg_int(root, "seed");
    tdbg_philox_permutation(tdbg_philox_key(seed, TDBG_RANDOM_SPLIT, 0), count, train->row);
    memcpy(eval->row, train->row + (count - n), (size_t)n * sizeof *eval->row);
    qsort(train->row, (size_t)(count - n), sizeof *train->row, compare_rows);
    qsort(eval->row, (size_t)n, sizeof *eval->row, compare_rows);
out:
    return st;
}

/* --- loading --- */

static bool same_dims(int32_t a_ndim, const int64_t *a, int32_t b_ndim, const int64_t *b)
{
    return a_ndim == b_ndim && memcmp(a, b, (size_t)a_ndim * sizeof *a) == 0;
}

static bool check_test_shape(struct tdbg_config *config, const struct tdbg_dataset *train,
                             const struct tdbg_dataset *test)
{
    const struct tdbg_data_shape *a = &train->shape, *b = &test->shape;
    const struct tdbg_cfg_node *at = tdbg_cfg_find(tdbg_config_root(config), "data.test");
    if (!same_dims(a->x_ndim, a->x_dims, b->x_ndim, b->x_dims) || a->x_dtype != b->x_dtype) {
        tdbg_config_report(config, at, NULL, "test samples have another %s than training samples",
                           a->x_dtype != b->x_dtype ? "type" : "shape");
        return false;
    }
    if (!same_dims(a->y_ndim, a->y_dims, b->y_ndim, b->y_dims) || a->y_dtype != b->y_dtype) {
        tdbg_config_report(config, at, NULL, "test targets have another %s than training targets",
                           a->y_dtype != b->y_dtype ? "type" : "shape");
        return false;
    }
    return true;
}

enum tdbg_status tdbg_dataset_load(struct tdbg_config *config, tdbg_read_hdf5_fn read_hdf5,
                                   struct tdbg_dataset sets[TDBG_SET_COUNT], struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_dataset_kind *kind = kind_of(root);
    struct tdbg_dataset *train = &sets[TDBG_SET_TRAIN], *test = &sets[TDBG_SET_EVAL];
    const int before = tdbg_config_n_diagnostics(config);
    struct tdbg_dataset_request request = {
        .config = config, .set = "train", .read_hdf5 = read_hdf5};
    TDBG_ASSERT(kind);
    TDBG_TRY(kind->load(&request, train, err));
    if (has_test_set(root, kind)) {
        request.set = "test";
        request.train = train;
        TDBG_TRY(kind->load(&request, test, err));
    }
    if (tdbg_config_n_diagnostics(config) != before)
        goto out;
    if (tdbg_cfg_float(root, "data.split") > 0)
        TDBG_TRY(split(config, sets, err));
    else if (test->shape.count > 0 && !check_test_shape(config, train, test))
        goto out;
    if (tdbg_config_n_diagnostics(config) != before)
        goto out;
    if (train->shape.vocab > 0 && test->shape.count > 0) /* one set of tokens for both */
        train->shape.vocab = test->shape.vocab =
            train->shape.vocab > test->shape.vocab ? train->shape.vocab : test->shape.vocab;
    TDBG_TRY(tdbg_dataset_fingerprint(train, err));
    if (test->shape.count > 0)
        TDBG_TRY(tdbg_dataset_fingerprint(test, err));
out:
    return st;
}

void tdbg_dataset_clear(struct tdbg_dataset *dataset)
{
    tdbg_array_free(&dataset->x.array);
    tdbg_array_free(&dataset->y.array);
    free(dataset->row);
    free(dataset->vocab);
    *dataset = (struct tdbg_dataset){0};
}

static void copy_side(const struct tdbg_data_side *side, int64_t row, enum tdbg_dtype dtype,
                      int64_t elems, void *out)
{
    const int64_t first = side->first + row * side->stride;
    int64_t wide[256];
    if (dtype == TDBG_DTYPE_U8) {
        memcpy(out, side->array.data + first, (size_t)elems);
    } else if (dtype == TDBG_DTYPE_F32) {
        tdbg_array_to_f32(&side->array, first, elems, out);
    } else if (dtype == TDBG_DTYPE_I64) {
        tdbg_array_to_i64(&side->array, first, elems, out);
    } else { /* i32: tokens */
        for (int64_t i = 0; i < elems; i += 256) {
            const int64_t n = elems - i < 256 ? elems - i : 256;
            tdbg_array_to_i64(&side->array, first + i, n, wide);
            for (int64_t k = 0; k < n; k++)
                ((int32_t *)out)[i + k] = (int32_t)wide[k];
        }
    }
}

void tdbg_dataset_copy(const struct tdbg_dataset *d, int64_t i, void *x, void *y)
{
    const int64_t row = d->row ? d->row[i] : d->first_row + i;
    copy_side(&d->x, row, d->shape.x_dtype, tdbg_data_x_elems(&d->shape), x);
    copy_side(&d->y, row, d->shape.y_dtype, tdbg_data_y_elems(&d->shape), y);
}
