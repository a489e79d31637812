/* See lib_run.h. */
#include "lib_run.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

const struct tdbg_tensor lib_tensors[N_TENSORS] = {
    [STATE] = {.name = "state/w",
               .elem = TDBG_F32,
               .ndim = 2,
               .shape = {CLASSES, PIXELS},
               .keep = TDBG_KEEP_KEYFRAME},
    [FWD] = {.name = "fwd/logits",
             .op = "linear",
             .elem = TDBG_F64,
             .ndim = 2,
             .shape = {BATCH, CLASSES},
             .batched = 1,
             .keep = TDBG_KEEP_VALUES,
             .value_every = 2},
    [HIDDEN] = {.name = "fwd/hidden", /* as small, but stored at other steps */
                .op = "relu",
                .elem = TDBG_F64,
                .ndim = 2,
                .shape = {BATCH, PIXELS},
                .batched = 1,
                .keep = TDBG_KEEP_VALUES,
                .value_every = 3},
    [LOSS] = {.name = "loss",
              .stage = "loss",
              .unit = "nats",
              .elem = TDBG_F32,
              .keep = TDBG_KEEP_VALUES},
    [GRAD] = {.name = "grad/w",
              .elem = TDBG_F32,
              .ndim = 2,
              .shape = {CLASSES, PIXELS},
              .keep = TDBG_KEEP_VALUES},
    [BIAS] = {.name = "grad/b", .elem = TDBG_BF16, .ndim = 1, .shape = {CLASSES}},
    [MOMENT] = {.name = "optim/w.avg",
                .elem = TDBG_BF16,
                .ndim = 2,
                .shape = {PIXELS, 2 * LARGE},
                .keep = TDBG_KEEP_VALUES},
    [PARAM] = {.name = "param/w",
               .elem = TDBG_F32,
               .ndim = 2,
               .shape = {LARGE, PIXELS},
               .keep = TDBG_KEEP_DELTA,
               .digest_every = 5,
               .value_every = 5},
    [ACCURACY] = {.name = "eval/accuracy", .elem = TDBG_F32, .keep = TDBG_KEEP_VALUES},
};

/* 64 bits that follow from where they stand. */
uint64_t lib_bits(int64_t a, int64_t b, int64_t c)
{
    uint64_t x = (uint64_t)a * 0x9e3779b97f4a7c15u + (uint64_t)b * 0xbf58476d1ce4e5b9u +
                 (uint64_t)c * 0x94d049bb133111ebu;
    x = (x ^ x >> 31) * 0xd6e8feb86659fd93u;
    return x ^ x >> 29;
}

static int64_t step_samples(int64_t step)
{
    return step % 7 == 0 ? 0 : step % 5 == 0 ? 2 : BATCH;
}

static int64_t step_elems(int id, int64_t step)
{
    int64_t n = 1;
    for (int d = 0; d < lib_tensors[id].ndim; d++)
        n *= d == 0 && lib_tensors[id].batched ? step_samples(step) : lib_tensors[id].shape[d];
    return n;
}

/* Fills a tensor's values; returns how many. Random bits, so NaN and Inf among them. */
int64_t lib_fill(int id, int64_t step, void *data)
{
    int64_t n = step_elems(id, step);
    for (int64_t i = 0; i < n; i++) {
        uint64_t b = lib_bits(id, step, i);
        memcpy((char *)data + (size_t)i * tdbg_elem_bytes(lib_tensors[id].elem), &b,
               tdbg_elem_bytes(lib_tensors[id].elem));
    }
    if (id == GRAD || id == STATE || id == LOSS) {
        for (int64_t i = 0; i < n; i++)
            ((float *)data)[i] = (float)(lib_bits(id, step, i) % 1000) / 100 - 5;
    }
    return n;
}

static void fill_sample(int64_t id, uint8_t *x, int64_t *y)
{
    for (int i = 0; i < PIXELS; i++)
        x[i] = (uint8_t)lib_bits(77, id, i);
    *y = id % CLASSES;
}

static int64_t fill_batch(int64_t step, int64_t *ids, uint8_t *x, int64_t *y)
{
    int64_t n = step_samples(step);
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (step * 4 + i) % 40;
        fill_sample(ids[i], x + i * PIXELS, y + i);
    }
    return n;
}

static char folder[64];

const char *lib_path(const char *name, char *buf)
{
    sprintf(buf, "%s/%s", folder, name);
    return buf;
}

const char *const lib_tokens[LIB_TOKENS] = {"the", "a\0b", "", "\xe4\xb8"};
const size_t lib_token_bytes[LIB_TOKENS] = {3, 3, 0, 2};

/* --- recording --- */

struct tdbg_rec *lib_describe(void)
{
    struct tdbg_rec *rec = tdbg_rec_create();
    int32_t id;
    assert_non_null(rec);
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_BATCH, BATCH), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_SEED, -1), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_PLANNED_STEPS, 100), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_KEYFRAME_EVERY, KEYFRAMES), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_FIRST_STEP, FIRST), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, "lr = 0.1\n"), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, "lr = 0.2 # \xc3\xa4\n"),
                     TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG_PATH, "t.ini"), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_text(rec, TDBG_TEXT_PROGRAM, "test \"1\""), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_text(rec, TDBG_TEXT_DATASET, "{\"kind\": \"none\"}"),
                     TDBG_SUCCESS);
    const struct tdbg_tensor x = {.elem = TDBG_U8, .ndim = 2, .shape = {3, 4}};
    const struct tdbg_tensor y = {.elem = TDBG_I64};
    assert_int_equal(tdbg_rec_set_samples(rec, &x, &y, 40), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_vocabulary(rec, 2, lib_tokens, NULL), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_set_vocabulary(rec, LIB_TOKENS, lib_tokens, lib_token_bytes),
                     TDBG_SUCCESS); /* in place of the other */
    for (int i = STATE; i < N_TENSORS; i++) {
        assert_int_equal(tdbg_rec_add(rec, &lib_tensors[i], &id), TDBG_SUCCESS);
        assert_int_equal(id, i);
    }
    return rec;
}

int lib_put(struct tdbg_rec *rec, int id, int64_t step)
{
    static _Thread_local double data[MOST_BYTES / 8];
    int64_t n = lib_fill(id, step, data);
    return tdbg_rec_put(rec, id, data, n);
}

int lib_put_batch(struct tdbg_rec *rec, int64_t step)
{
    int64_t ids[BATCH], y[BATCH];
    uint8_t x[BATCH * PIXELS];
    int64_t n = fill_batch(step, ids, x, y);
    return tdbg_rec_put_samples(rec, n, ids, x, y);
}

static bool evaluates(int64_t step)
{
    return step % 6 == 0;
}

void lib_record_step(struct tdbg_rec *rec, int64_t step)
{
    assert_int_equal(tdbg_rec_step(rec, step / 10, step_samples(step)), TDBG_SUCCESS);
    for (int i = ACCURACY; i >= STATE; i--) { /* any order */
        if (i != ACCURACY || evaluates(step))
            assert_int_equal(lib_put(rec, i, step), TDBG_SUCCESS);
    }
    assert_int_equal(lib_put_batch(rec, step), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_commit(rec, (float)step, 0.5f), TDBG_SUCCESS);
}

void lib_record(const char *path)
{
    struct tdbg_rec *rec = lib_describe();
    assert_int_equal(tdbg_rec_begin(rec, path, TDBG_REC_OVERWRITE), TDBG_SUCCESS);
    for (int64_t step = FIRST; step < FIRST + STEPS; step++)
        lib_record_step(rec, step);
    assert_int_equal(tdbg_rec_close(rec), TDBG_SUCCESS);
    assert_string_equal(tdbg_rec_error(rec), "");
    tdbg_rec_free(rec);
}

/* --- reading back --- */

struct tdbg_read *lib_open(const char *path)
{
    struct tdbg_read *t = NULL;
    if (tdbg_read_open(path, &t) != TDBG_SUCCESS)
        fail_msg("%s", tdbg_read_error(t));
    return t;
}

void lib_check_description(struct tdbg_read *t)
{
    struct tdbg_tensor d;
    int32_t id, lane, micro;
    assert_int_equal(tdbg_read_int(t, TDBG_INT_BATCH), BATCH);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_SEED), -1);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_PLANNED_STEPS), 100);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_KEYFRAME_EVERY), KEYFRAMES);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_FIRST_STEP), FIRST);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_STEPS), STEPS);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_CLOSED), 1);
    assert_int_equal(tdbg_read_int(t, TDBG_INT_NUMERICS_VERSION), 0);
    assert_true(tdbg_read_int(t, TDBG_INT_FILE_BYTES) > 1000);
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_CONFIG), "lr = 0.2 # \xc3\xa4\n");
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_CONFIG_PATH), "t.ini");
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_DATASET), "{\"kind\": \"none\"}");
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_PRESET), "library");
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_GRAPH), "");
    assert_int_equal(strlen(tdbg_read_text(t, TDBG_TEXT_RUN_ID)), 36);
    assert_non_null(strstr(tdbg_read_text(t, TDBG_TEXT_ENVIRONMENT), "\"test \\\"1\\\"\""));
    assert_null(tdbg_read_text(t, TDBG_TEXT_PROGRAM));
    assert_int_equal(tdbg_read_n_tensors(t), N_TENSORS);
    for (int i = STATE; i < N_TENSORS; i++) {
        assert_int_equal(tdbg_read_find(t, lib_tensors[i].name, -1, -1, &id), TDBG_SUCCESS);
        assert_int_equal(id, i);
        assert_int_equal(tdbg_read_lane(t, id, &lane, &micro), TDBG_SUCCESS);
        assert_true(lane == -1 && micro == -1);
        assert_int_equal(tdbg_read_tensor(t, i, &d), TDBG_SUCCESS);
        assert_string_equal(d.name, lib_tensors[i].name);
        assert_string_equal(d.op, lib_tensors[i].op ? lib_tensors[i].op : "");
        assert_string_equal(d.unit, lib_tensors[i].unit ? lib_tensors[i].unit : "");
        assert_int_equal(strncmp(d.name, d.stage, strlen(d.stage)), 0);
        assert_true(d.elem == lib_tensors[i].elem && d.ndim == lib_tensors[i].ndim);
        assert_int_equal(d.batched, lib_tensors[i].batched);
        assert_memory_equal(d.shape, lib_tensors[i].shape, sizeof d.shape);
        assert_int_equal(d.digest_every, i == STATE ? KEYFRAMES : i == PARAM ? 5 : 1);
    }
    assert_int_equal(tdbg_read_tensor(t, X, &d), TDBG_SUCCESS);
    assert_string_equal(d.name, "samples/x");
    assert_true(d.keep == TDBG_KEEP_SAMPLES && d.ndim == 3 && d.shape[0] == BATCH);
}

static bool same_double(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void check_tensor(struct tdbg_read *t, int id, int64_t step, const uint64_t *digests,
                         const struct tdbg_tensor_stats *all)
{
    static _Thread_local double data[MOST_BYTES / 8], back[MOST_BYTES / 8];
    int64_t n = lib_fill(id, step, data), n_back = -1;
    const struct tdbg_tensor *d = &lib_tensors[id];
    struct tdbg_tensor_stats stats;
    uint64_t digest;
    bool there = d->name[0] != 'e' || evaluates(step);
    int every = id == STATE ? KEYFRAMES : d->value_every ? d->value_every : 1;
    int digest_every = id == STATE ? KEYFRAMES : d->digest_every ? d->digest_every : 1;
    int wanted = there && step % digest_every == 0 ? TDBG_HAS_DIGEST : 0;
    if (there && d->keep != TDBG_KEEP_DIGEST && step % every == 0)
        wanted |= TDBG_HAS_VALUES;
    assert_int_equal(tdbg_read_has(t, step, id), wanted);
    assert_int_equal(tdbg_digest_of(data, d->elem, n, &digest), TDBG_SUCCESS);
    assert_true(digests[id] == (wanted & TDBG_HAS_DIGEST ? digest : 0));
    int result = tdbg_read_stats(t, step, id, &stats);
    if ((wanted & TDBG_HAS_DIGEST) && n > 0) {
        assert_int_equal(result, TDBG_SUCCESS);
        assert_true(same_double(stats.mean, all[id].mean) && stats.nans == all[id].nans);
        if (id == LOSS) {
            float loss;
            memcpy(&loss, data, sizeof loss);
            assert_true(stats.min == (double)loss && stats.max == (double)loss);
        }
    } else {
        assert_int_equal(result, TDBG_ERR_NOT_FOUND);
    }
    memset(back, 0xee, sizeof back);
    result = tdbg_read_values(t, step, id, back, sizeof back, &n_back);
    if (!(wanted & TDBG_HAS_VALUES)) {
        assert_int_equal(result, there ? TDBG_ERR_NOT_STORED : TDBG_ERR_NOT_FOUND);
        return;
    }
    assert_int_equal(result, TDBG_SUCCESS);
    assert_int_equal(n_back, n);
    assert_memory_equal(back, data, (size_t)n * tdbg_elem_bytes(d->elem));
}

static void check_samples(struct tdbg_read *t, int64_t step)
{
    int64_t ids[BATCH], y[BATCH], ids_back[BATCH], y_back[BATCH], n_back;
    uint8_t x[BATCH * PIXELS], x_back[BATCH * PIXELS];
    int64_t n = fill_batch(step, ids, x, y);
    assert_int_equal(tdbg_read_batch_ids(t, step, ids_back, &n_back), TDBG_SUCCESS);
    assert_int_equal(n_back, n);
    assert_memory_equal(ids_back, ids, (size_t)n * 8);
    assert_int_equal(tdbg_read_samples(t, TDBG_TRAIN_SAMPLES, n, ids, x_back, y_back),
                     TDBG_SUCCESS);
    assert_memory_equal(x_back, x, (size_t)n * PIXELS);
    assert_memory_equal(y_back, y, (size_t)n * 8);
    assert_int_equal(tdbg_read_values(t, step, X, x_back, sizeof x_back, &n_back), TDBG_SUCCESS);
    assert_int_equal(n_back, n * PIXELS);
    assert_memory_equal(x_back, x, (size_t)n * PIXELS);
}

void lib_check_step(struct tdbg_read *t, int64_t step)
{
    uint64_t digests[N_TENSORS], chains[TDBG_CHAINS];
    struct tdbg_tensor_stats all[N_TENSORS];
    struct tdbg_read_step row;
    double square = 0;
    float grad[CLASSES * PIXELS];
    assert_int_equal(tdbg_read_steps(t, step, 1, &row), TDBG_SUCCESS);
    assert_true(row.step == step && row.epoch == step / 10 && row.samples == step_samples(step));
    assert_true(row.loss == (float)step && row.lr == 0.5f && row.evaluated == evaluates(step));
    assert_true(row.start_ns >= 0 && row.duration_ns >= 0);
    assert_int_equal(tdbg_read_chains(t, step, chains), TDBG_SUCCESS);
    assert_true(chains[0] != 0);
    assert_int_equal(tdbg_read_digests(t, step, digests), TDBG_SUCCESS);
    assert_int_equal(tdbg_read_step_stats(t, step, all), TDBG_SUCCESS);
    for (int i = STATE; i < N_TENSORS; i++)
        check_tensor(t, i, step, digests, all);
    check_samples(t, step);
    lib_fill(GRAD, step, grad);
    for (int i = 0; i < CLASSES * PIXELS; i++)
        square += (double)grad[i] * (double)grad[i];
    square += all[BIAS].rms * all[BIAS].rms * CLASSES;
    assert_true(all[BIAS].nans + all[BIAS].infs > 0
                    ? isnan(row.grad_norm)
                    : fabs(row.grad_norm - sqrt(square)) <= 1e-9 * sqrt(square));
}

int lib_make_folder(void **unused)
{
    (void)unused;
    strcpy(folder, "/tmp/tdbg-lib-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

int lib_remove_folder(void **unused)
{
    (void)unused;
    char path[300];
    DIR *dir = opendir(folder);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof path, "%.40s/%.200s", folder, e->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    return rmdir(folder);
}
