/* What a batch has to be before the engine takes it: tokens of the vocabulary, classes of the model
 * or ignore_index, values in the domain of the loss; in training and in evaluation. And the lengths
 * of padded samples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/config.h"
#include "engine/engine.h"
#include "engine/engine_options.h"

enum { SAMPLES = 6, TOKENS = 4, VOCAB = 5, FIRST_ID = 100 };

/* --- a source of what each test puts here; the evaluation set is the same --- */

struct data {
    struct tdbg_data_shape shape;
    int32_t x[SAMPLES][TOKENS];
    int64_t y_class[SAMPLES][TOKENS];
    float y_value[SAMPLES];
    bool only_eval; /* training gets zeros */
};

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    (void)err;
    shapes[TDBG_SET_TRAIN] = shapes[TDBG_SET_EVAL] = ((struct data *)self)->shape;
    return TDBG_OK;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    const struct data *d = self;
    (void)err;
    memcpy(x, d->x[first], (size_t)n * sizeof d->x[0]);
    if (d->shape.y_dtype == TDBG_DTYPE_F32)
        memcpy(y, d->y_value + first, (size_t)n * sizeof *d->y_value);
    else
        memcpy(y, d->y_class[first], (size_t)n * sizeof d->y_class[0]);
    return TDBG_OK;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    const struct data *d = self;
    (void)step;
    *n = batch;
    for (int64_t i = 0; i < batch; i++)
        ids[i] = FIRST_ID + i;
    if (!d->only_eval)
        return eval_batch(self, 0, batch, x, y, err);
    memset(x, 0, (size_t)batch * sizeof d->x[0]);
    memset(y, 0, (size_t)batch * sizeof d->y_class[0]);
    return TDBG_OK;
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

static struct data make_data(void)
{
    struct data d = {.shape = {.x_dtype = TDBG_DTYPE_I32,
                               .x_ndim = 1,
                               .x_dims = {TOKENS},
                               .y_dtype = TDBG_DTYPE_I64,
                               .y_ndim = 1,
                               .y_dims = {TOKENS},
                               .classes = VOCAB,
                               .vocab = VOCAB,
                               .count = SAMPLES}};
    for (int i = 0; i < SAMPLES * TOKENS; i++) {
        d.x[i / TOKENS][i % TOKENS] = i % VOCAB;
        d.y_class[i / TOKENS][i % TOKENS] = (i + 1) % VOCAB;
    }
    return d;
}

/* --- a tap that keeps the lengths of all samples --- */

struct probe {
    const struct tdbg_site *sites;
    int32_t length[SAMPLES];
    int64_t n;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)err;
    ((struct probe *)self)->sites = sites;
    for (int32_t i = 0; i < n_sites; i++) {
        if (strcmp(sites[i].name, "input/length") == 0)
            wants[i] = (struct tdbg_want){TDBG_WANT_VALUES, 1};
    }
    return TDBG_OK;
}

static enum tdbg_status on_site(void *self, int64_t step, int32_t site,
                                const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct probe *p = self;
    (void)step;
    (void)site;
    assert_int_equal(tdbg_handle_copy(handle, p->length + p->n, err), TDBG_OK);
    p->n += handle->elems;
    return TDBG_OK;
}

static const struct tdbg_tap_ops probe_ops = {plan, NULL, on_site, NULL};

/* --- running a step --- */

#define TO_CLASSES "{ op = \"embedding\"; dim = 3; }, { op = \"linear\"; name = \"fc\"; out = 5; }"
#define TO_VALUE                                                                                   \
    "{ op = \"embedding\"; dim = 3; }, { op = \"flatten\"; }, { op = \"linear\"; name = \"fc\"; "  \
    "out = 1; }"

/* One step with an evaluation behind it. */
static enum tdbg_status run_step(struct data *d, const char *model, const char *loss,
                                 const char *tokens, struct probe *probe, struct tdbg_err *err)
{
    char text[1024];
    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_engine *engine = NULL;
    struct tdbg_err fault = {0};
    snprintf(text, sizeof text,
             "steps = 1; data = { kind = \"text\"; train = { text = \"x\"; }; test = { text = "
             "\"x\"; }; batch = 6; tokens = { context = 4; %s }; }; model = ( %s ); loss = { %s }; "
             "optimizer = { kind = \"sgd\"; lr = 0.1; }; eval = { every = 1; }; engine = { lanes = "
             "2; };",
             tokens, model, loss);
    if (tdbg_config_parse(text, "test.cfg", NULL, 0, &config, &fault) != TDBG_OK)
        fail_msg("%s", fault.message);
    tdbg_engine_check_options(config, NULL, 0);
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &backend, &fault), TDBG_OK);
    if (tdbg_config_result(config, &fault) == TDBG_OK)
        tdbg_engine_create(config, backend,
                           (struct tdbg_source){.ops = &source_ops, .self = d, .world_size = 1},
                           &engine, &fault);
    if (!engine && tdbg_config_result(config, &fault) != TDBG_OK)
        fail_msg("%s", fault.message);
    assert_int_equal(tdbg_engine_init_state(engine, &fault), TDBG_OK);
    const struct tdbg_tap tap = {&probe_ops, probe};
    assert_int_equal(tdbg_engine_set_taps(engine, &tap, probe ? 1 : 0, &fault), TDBG_OK);
    const enum tdbg_status st = tdbg_engine_run_step(engine, 0, NULL, err);
    tdbg_engine_destroy(engine);
    tdbg_backend_cpu_destroy(backend);
    tdbg_config_destroy(config);
    return st;
}

/* The step is refused, and the message names the sample and says what is wrong with it. */
static void expect_refused(struct data *d, const char *model, const char *loss, const char *sample,
                           const char *what)
{
    struct tdbg_err err = {0};
    assert_int_equal(run_step(d, model, loss, "", NULL, &err), TDBG_DATA);
    if (!strstr(err.message, sample) || !strstr(err.message, what))
        fail_msg("neither '%s' nor '%s' in: %s", sample, what, err.message);
    tdbg_err_clear(&err);
}

static void expect_taken(struct data *d, const char *model, const char *loss)
{
    struct tdbg_err err = {0};
    if (run_step(d, model, loss, "", NULL, &err) != TDBG_OK)
        fail_msg("%s", err.message);
}

#define CLASSES_LOSS "kind = \"cross_entropy\";"

static void test_tokens_have_a_row(void **state)
{
    static const int32_t bad[] = {-1, VOCAB, VOCAB + 1, INT32_MAX, INT32_MIN};
    (void)state;
    struct data d = make_data();
    expect_taken(&d, TO_CLASSES, CLASSES_LOSS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char what[64];
        d = make_data();
        d.x[5][3] = bad[i];
        snprintf(what, sizeof what, "token %d, but there are 5", (int)bad[i]);
        expect_refused(&d, TO_CLASSES, CLASSES_LOSS, "sample 105", what);
        d.only_eval = true;
        expect_refused(&d, TO_CLASSES, CLASSES_LOSS, "sample 5 ", what);
    }
}

/* 2^32 + 1 would be class 1 in 32 bits. */
static void test_classes_are_the_models(void **state)
{
    static const int64_t bad[] = {-1, VOCAB, INT64_C(4294967297), INT64_MIN, -100};
    (void)state;
    struct data d = make_data();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char what[64];
        d = make_data();
        d.y_class[2][1] = bad[i];
        snprintf(what, sizeof what, "class index %lld, but the model has 5", (long long)bad[i]);
        expect_refused(&d, TO_CLASSES, CLASSES_LOSS, "sample 102", what);
        d.only_eval = true;
        expect_refused(&d, TO_CLASSES, CLASSES_LOSS, "sample 2 ", what);
    }
    d = make_data();
    d.y_class[2][1] = -100;
    expect_taken(&d, TO_CLASSES, CLASSES_LOSS " ignore_index = -100;");
    d.y_class[2][1] = -101;
    expect_refused(&d, TO_CLASSES, CLASSES_LOSS " ignore_index = -100;", "sample 102", "-101");
    d.y_class[2][1] = INT64_C(0x1ffffff9c); /* its lower 32 bits are those of -100 */
    expect_refused(&d, TO_CLASSES, CLASSES_LOSS " ignore_index = -100;", "sample 102", "class");
}

static void test_values_are_the_losses(void **state)
{
    static const float bad[] = {-0.001f, 1.001f, NAN, INFINITY};
    (void)state;
    struct data d = make_data();
    d.shape.y_dtype = TDBG_DTYPE_F32;
    d.shape.y_ndim = 0;
    d.shape.classes = 0;
    d.y_value[0] = 1;
    expect_taken(&d, TO_VALUE, "kind = \"bce\";");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d.y_value[4] = bad[i];
        expect_refused(&d, TO_VALUE, "kind = \"bce\";", "sample 104", "which loss bce cannot take");
        expect_taken(&d, TO_VALUE, "kind = \"mse\";");
    }
}

/* Up to the last token that is no padding, which may be among the others too. */
static void test_lengths(void **state)
{
    static const int32_t x[SAMPLES][TOKENS] = {{1, 2, 3, 4}, {1, 0, 3, 0}, {1, 0, 0, 0},
                                               {0, 0, 0, 0}, {0, 0, 0, 1}, {0, 2, 0, 0}};
    static const int32_t length[2][SAMPLES] = {{4, 3, 1, 0, 4, 2}, {3, 4, 4, 4, 4, 4}};
    (void)state;
    struct data d = make_data();
    memcpy(d.x, x, sizeof x);
    for (int k = 0; k < 2; k++) {
        struct probe p = {0};
        struct tdbg_err err = {0};
        assert_int_equal(
            run_step(&d, TO_CLASSES, CLASSES_LOSS, k ? "pad = 4;" : "pad = 0;", &p, &err), TDBG_OK);
        assert_int_equal(p.n, SAMPLES);
        assert_memory_equal(p.length, length[k], sizeof p.length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_have_a_row),
        cmocka_unit_test(test_classes_are_the_models),
        cmocka_unit_test(test_values_are_the_losses),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
