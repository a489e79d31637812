/* The engine through its two edges, with a source and taps made here: a warm step allocates
 * nothing, the fold over lanes is the aligned tree, taps see what they asked for, a changed tensor
 * changes what follows, and a stop leaves the step. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/schedule.h"
#include "engine/site_table.h"

/* --- allocations of our own code, counted through the linker's --wrap --- */

static long allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t a, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n);

void *__wrap_malloc(size_t n)
{
    allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    allocations++;
    return __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    allocations++;
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t a, size_t n)
{
    allocations++;
    return __real_aligned_alloc(a, n);
}

/* --- a source of random samples: 50 of 3 x 3 bytes, 4 classes --- */

enum { N_TRAIN = 50, N_EVAL = 21, PIXELS = 9, CLASSES = 4, FOLD_ELEMS = 10 };
static unsigned char pixels[N_TRAIN][PIXELS];
static int64_t labels[N_TRAIN];

static void fill_samples(void)
{
    uint64_t key = tdbg_philox_key(1, TDBG_RANDOM_TEST, 2);
    for (uint64_t i = 0; i < N_TRAIN; i++) {
        for (uint64_t j = 0; j < PIXELS; j++)
            pixels[i][j] = (unsigned char)tdbg_philox(key, i, j).word[0];
        labels[i] = tdbg_philox(key, i, 99).word[0] % CLASSES;
    }
}

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    (void)self;
    (void)err;
    const struct tdbg_data_shape shape = {.x_dtype = TDBG_DTYPE_U8,
                                          .x_ndim = 2,
                                          .x_dims = {3, 3},
                                          .y_dtype = TDBG_DTYPE_I64,
                                          .classes = CLASSES};
    shapes[TDBG_SET_TRAIN] = shapes[TDBG_SET_EVAL] = shape;
    shapes[TDBG_SET_TRAIN].count = N_TRAIN;
    shapes[TDBG_SET_EVAL].count = N_EVAL;
    return TDBG_OK;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    (void)self;
    (void)err;
    memcpy(x, pixels[first], (size_t)n * PIXELS);
    memcpy(y, labels + first, (size_t)n * sizeof *labels);
    return TDBG_OK;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    int64_t first = step * 7 % (N_TRAIN - batch);
    for (int64_t i = 0; i < batch; i++)
        ids[i] = first + i;
    *n = batch;
    return eval_batch(self, first, batch, x, y, err);
}

static int64_t clock_ns(void *self)
{
    (void)self;
    return 0;
}

static const struct tdbg_source_ops source_ops = {.describe = describe,
                                                  .train_batch = train_batch,
                                                  .eval_batch = eval_batch,
                                                  .clock_ns = clock_ns};

/* --- a tap that sums the calls, keeps some values, and may change or stop --- */

struct probe {
    const struct tdbg_site *sites;
    int32_t n_sites, n_calls;
    const char *change, *stop;                          /* site names, or NULL */
    uint64_t digest[512];                               /* of the last step */
    float reduce_in[8][CLASSES], reduce_out[CLASSES];   /* fc2.bias */
    float fold_in[8][FOLD_ELEMS], fold_out[FOLD_ELEMS]; /* fwd/bn.spread */
    int32_t last_stage;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)err;
    struct probe *p = self;
    p->sites = sites;
    p->n_sites = n_sites;
    assert_true(n_sites < 512);
    for (int32_t i = 0; i < n_sites; i++)
        wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST | TDBG_WANT_VALUES | TDBG_WANT_CHANGE, 1};
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    (void)step;
    (void)err;
    struct probe *p = self;
    p->n_calls = 0;
    return TDBG_OK;
}

static enum tdbg_status on_site(void *self, int64_t step, int32_t site,
                                const struct tdbg_handle *handle, struct tdbg_err *err)
{
    (void)step;
    struct probe *p = self;
    const struct tdbg_site *s = &p->sites[site];
    float values[4096];
    p->n_calls++;
    if (p->change && strcmp(s->name, p->change) == 0) {
        assert_int_equal(tdbg_handle_copy(handle, values, err), TDBG_OK);
        values[0] = 100;
        assert_int_equal(tdbg_handle_write(handle, values, err), TDBG_OK);
    }
    if (strcmp(s->name, "reduce_in/fc2.bias") == 0)
        assert_int_equal(tdbg_handle_copy(handle, p->reduce_in[s->lane], err), TDBG_OK);
    if (strcmp(s->name, "reduce_out/fc2.bias") == 0)
        assert_int_equal(tdbg_handle_copy(handle, p->reduce_out, err), TDBG_OK);
    if (strcmp(s->name, "fwd/bn.spread_in") == 0)
        assert_int_equal(tdbg_handle_copy(handle, p->fold_in[s->lane], err), TDBG_OK);
    if (strcmp(s->name, "fwd/bn.spread_out") == 0)
        assert_int_equal(tdbg_handle_copy(handle, p->fold_out, err), TDBG_OK);
    assert_int_equal(tdbg_handle_digest(handle, &p->digest[site], NULL, err), TDBG_OK);
    if (handle->same_as >= 0)
        assert_true(p->digest[handle->same_as] == p->digest[site]);
    return p->stop && strcmp(s->name, p->stop) == 0 ? TDBG_STOPPED : TDBG_OK;
}

static const struct tdbg_tap_ops probe_ops = {plan, begin_step, on_site, NULL};

/* --- an engine for a test --- */

static const char config_text[] =
    "seed = 5; steps = 40;"
    "data = { kind = \"idx\"; train = { images = \"a\"; labels = \"b\"; };"
    " test = { images = \"a\"; labels = \"b\"; }; batch = 12;"
    " transforms = ({ op = \"scale\"; by = 0.01; }, { op = \"normalize\"; mean = [0.5];"
    " std = [0.25]; }); };"
    "model = ({ op = \"flatten\"; }, { op = \"linear\"; name = \"fc1\"; out = 11; }, { op = "
    "\"relu\"; }, { op = \"linear\"; name = \"fc2\"; out = 4; });"
    "optimizer = { kind = \"adamw\"; lr = 0.01; }; eval = { every = 5; };";

/* A model in which a micro-batch's lanes run together. */
static const char synchronised[] =
    "model=({ op = \"flatten\"; }, { op = \"linear\"; name = \"fc1\"; out = 5; }, "
    "{ op = \"batch_norm\"; name = \"bn\"; sync = true; }, { op = \"relu\"; }, "
    "{ op = \"linear\"; name = \"fc2\"; out = 4; })";

struct bench {
    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_engine *engine;
    struct probe probe;
};

static void open_engine(struct bench *b, const char *const *sets, int n_sets, int threads)
{
    struct tdbg_err err = {0};
    fill_samples();
    *b = (struct bench){0};
    assert_int_equal(tdbg_config_parse(config_text, "test", sets, n_sets, &b->config, &err),
                     TDBG_OK);
    const struct tdbg_option_table none = {0};
    tdbg_engine_check_options(b->config, &none, 0);
    assert_int_equal(tdbg_config_result(b->config, &err), TDBG_OK);
    assert_int_equal(tdbg_backend_cpu_create("auto", threads, &b->backend, &err), TDBG_OK);
    assert_int_equal(tdbg_engine_create(b->config, b->backend,
                                        (struct tdbg_source){.ops = &source_ops, .world_size = 1},
                                        &b->engine, &err),
                     TDBG_OK);
    assert_non_null(b->engine);
    assert_int_equal(tdbg_engine_init_state(b->engine, &err), TDBG_OK);
    const struct tdbg_tap tap = {&probe_ops, &b->probe};
    assert_int_equal(tdbg_engine_set_taps(b->engine, &tap, 1, &err), TDBG_OK);
}

static void close_engine(struct bench *b)
{
    tdbg_engine_destroy(b->engine);
    tdbg_backend_cpu_destroy(b->backend);
    tdbg_config_destroy(b->config);
}

static void run_steps(struct bench *b, int64_t from, int64_t to)
{
    for (int64_t step = from; step < to; step++)
        assert_int_equal(tdbg_engine_run_step(b->engine, step, NULL, NULL), TDBG_OK);
}

static const char *const cut_sets[] = {"engine.lanes=3", "engine.accumulate=2", synchronised};

static void test_warm_step_allocates_nothing(void **state)
{
    (void)state;
    for (int n_sets = 2; n_sets <= 3; n_sets++) {
        struct bench b;
        open_engine(&b, cut_sets, n_sets, 2);
        run_steps(&b, 0, 2);
        long before = allocations;
        run_steps(&b, 2, 40); /* with evaluations */
        assert_int_equal(allocations - before, 0);
        close_engine(&b);
    }
}

static void test_every_site_is_shown_in_stage_order(void **state)
{
    (void)state;
    for (int n_sets = 2; n_sets <= 3; n_sets++) {
        struct bench b;
        open_engine(&b, cut_sets, n_sets, 1);
        run_steps(&b, 0, 5);
        assert_int_equal(b.probe.n_calls, b.probe.n_sites);
        for (int32_t i = 1; i < b.probe.n_sites; i++)
            assert_true(b.probe.sites[i - 1].stage <= b.probe.sites[i].stage);
        close_engine(&b);
    }
}

/* ((0 + 1) + (2 + 3)) + ((4 + 5) + 6), whatever the number of lanes leaves over. */
static float tree(const float *lane, int64_t lo, int64_t width, int64_t n)
{
    if (width == 1)
        return lane[lo];
    float left = tree(lane, lo, width / 2, n);
    return lo + width / 2 < n ? left + tree(lane, lo + width / 2, width / 2, n) : left;
}

static void test_lanes_fold_as_the_aligned_tree(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 8; lanes++) {
        char set[32];
        snprintf(set, sizeof set, "engine.lanes=%d", lanes);
        const char *const sets[] = {set};
        struct bench b;
        open_engine(&b, sets, 1, 1);
        run_steps(&b, 0, 3);
        for (int c = 0; c < CLASSES; c++) {
            float lane[8];
            for (int l = 0; l < lanes; l++)
                lane[l] = b.probe.reduce_in[l][c];
            assert_true(b.probe.reduce_out[c] == tree(lane, 0, 8, lanes));
        }
        close_engine(&b);
    }
}

/* In the middle of the graph as well, and gradients where lanes run together. */
static void test_norm_sums_fold_as_the_aligned_tree(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 8; lanes++) {
        char set[32];
        snprintf(set, sizeof set, "engine.lanes=%d", lanes);
        const char *const sets[] = {set, synchronised};
        struct bench b;
        open_engine(&b, sets, 2, 1);
        run_steps(&b, 0, 3);
        for (int c = 0; c < FOLD_ELEMS; c++) {
            float spread[8], bias[8];
            for (int l = 0; l < lanes; l++) {
                spread[l] = b.probe.fold_in[l][c];
                bias[l] = b.probe.reduce_in[l][c % CLASSES];
            }
            assert_true(b.probe.fold_out[c] == tree(spread, 0, 8, lanes));
            assert_true(b.probe.reduce_out[c % CLASSES] == tree(bias, 0, 8, lanes));
        }
        close_engine(&b);
    }
}

/* A changed sum changes what follows in every lane, one lane's share as well as what came out. */
static void test_change_of_a_fold_reaches_all_lanes(void **state)
{
    (void)state;
    static const char *const names[] = {"fwd/bn.sum_in", "fwd/bn.sum_out", "fwd/bn.spread_out"};
    const char *const sets[] = {"engine.lanes=2", synchronised};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct bench a, b;
        open_engine(&a, sets, 2, 1);
        open_engine(&b, sets, 2, 1);
        b.probe.change = names[k];
        run_steps(&a, 0, 1);
        run_steps(&b, 0, 1);
        for (int32_t i = 0; i < a.probe.n_sites; i++) {
            const struct tdbg_site *s = &a.probe.sites[i];
            if (strcmp(s->name, "fwd/bn") == 0 || strcmp(s->name, "fwd/bn.spread_out") == 0)
                assert_true(a.probe.digest[i] != b.probe.digest[i]);
            if (strcmp(s->name, "fwd/fc1") == 0)
                assert_true(a.probe.digest[i] == b.probe.digest[i]);
        }
        close_engine(&a);
        close_engine(&b);
    }
}

static void test_parts_cover_the_batch(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 40; n++) {
        for (int32_t lanes = 1; lanes < 9; lanes++) {
            int64_t at = 0, lo, hi;
            for (int32_t part = 0; part < lanes * 3; part++) {
                tdbg_site_part_range(n, lanes, 3, part / 3, part % 3, &lo, &hi);
                assert_true(lo == at && hi >= lo && hi - lo <= tdbg_site_part_rows(n, lanes, 3));
                at = hi;
            }
            assert_true(at == n);
        }
    }
}

static int32_t site_id(const struct bench *b, const char *name)
{
    for (int32_t i = 0; i < b->probe.n_sites; i++) {
        if (strcmp(b->probe.sites[i].name, name) == 0)
            return i;
    }
    fail_msg("no site %s", name);
    return -1;
}

static void test_change_reaches_what_follows_and_nothing_before(void **state)
{
    (void)state;
    /* Adam's first update is the gradient's sign only; plain SGD shows every change. */
    static const char *const sets[] = {"optimizer={kind=\"sgd\"; lr=0.1;}"};
    struct bench a, b;
    open_engine(&a, sets, 1, 1);
    open_engine(&b, sets, 1, 1);
    b.probe.change = "fwd/fc1";
    run_steps(&a, 0, 1);
    run_steps(&b, 0, 1);
    int32_t changed = site_id(&a, "fwd/fc1");
    for (int32_t i = 0; i < changed; i++)
        assert_true(a.probe.digest[i] == b.probe.digest[i]);
    static const char *const after[] = {"fwd/fc1", "fwd/fc2", "loss", "grad/fc2.weight",
                                        "param/fc1.weight"};
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
        int32_t id = site_id(&a, after[i]);
        assert_true(a.probe.digest[id] != b.probe.digest[id]);
    }
    close_engine(&a);
    close_engine(&b);
}

static void test_stop_leaves_the_step(void **state)
{
    (void)state;
    struct bench b;
    open_engine(&b, NULL, 0, 1);
    b.probe.stop = "loss/sum";
    assert_int_equal(tdbg_engine_run_step(b.engine, 0, NULL, NULL), TDBG_STOPPED);
    assert_true(b.probe.digest[site_id(&b, "fwd/fc2")] != 0);
    assert_true(b.probe.digest[site_id(&b, "grad/fc2.bias")] == 0);
    close_engine(&b);
}

static void test_a_step_is_a_function_of_its_state(void **state)
{
    (void)state;
    struct bench a, b;
    float item[200];
    int32_t n;
    open_engine(&a, NULL, 0, 1);
    open_engine(&b, NULL, 0, 2);
    run_steps(&a, 0, 7);
    const struct tdbg_engine_item *items = tdbg_engine_items(a.engine, &n);
    for (int32_t i = 0; i < n; i++) {
        assert_true(items[i].elems <= 200);
        assert_int_equal(tdbg_engine_get_item(a.engine, i, item, NULL), TDBG_OK);
        assert_int_equal(tdbg_engine_set_item(b.engine, i, item, NULL), TDBG_OK);
    }
    run_steps(&a, 7, 10);
    run_steps(&b, 7, 10);
    assert_memory_equal(a.probe.digest, b.probe.digest, sizeof a.probe.digest);
    close_engine(&a);
    close_engine(&b);
}

static void test_bad_label_is_an_error(void **state)
{
    (void)state;
    struct bench b;
    struct tdbg_err err = {0};
    open_engine(&b, NULL, 0, 1);
    labels[3] = CLASSES;
    assert_int_equal(tdbg_engine_run_step(b.engine, 0, NULL, &err), TDBG_DATA);
    assert_non_null(strstr(err.message, "class index 4"));
    tdbg_err_clear(&err);
    close_engine(&b);
}

static void test_schedules(void **state)
{
    (void)state;
    struct tdbg_schedule s = {.kind = TDBG_SCHEDULE_COSINE,
                              .warmup_steps = 4,
                              .total_steps = 104,
                              .length = 100,
                              .lr = 0.5,
                              .lr_min = 0.1};
    assert_true(tdbg_schedule_lr(&s, 0) == 0.125 && tdbg_schedule_lr(&s, 3) == 0.5);
    assert_true(tdbg_schedule_lr(&s, 4) == 0.5);
    assert_true(fabs(tdbg_schedule_lr(&s, 54) - 0.3) < 1e-15);
    assert_true(fabs(tdbg_schedule_lr(&s, 29) - (0.1 + 0.4 * (1 + sqrt(0.5)) / 2)) < 1e-15);
    assert_true(tdbg_schedule_lr(&s, 104) == 0.1);
    s.kind = TDBG_SCHEDULE_CONSTANT;
    assert_true(tdbg_schedule_lr(&s, 1) == 0.25 && tdbg_schedule_lr(&s, 90) == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_step_allocates_nothing),
        cmocka_unit_test(test_every_site_is_shown_in_stage_order),
        cmocka_unit_test(test_lanes_fold_as_the_aligned_tree),
        cmocka_unit_test(test_norm_sums_fold_as_the_aligned_tree),
        cmocka_unit_test(test_change_of_a_fold_reaches_all_lanes),
        cmocka_unit_test(test_parts_cover_the_batch),
        cmocka_unit_test(test_change_reaches_what_follows_and_nothing_before),
        cmocka_unit_test(test_stop_leaves_the_step),
        cmocka_unit_test(test_a_step_is_a_function_of_its_state),
        cmocka_unit_test(test_bad_label_is_an_error),
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
