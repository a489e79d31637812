/* Targets of every form through the engine's edge: values of any shape, class indices per token,
 * class indices as values; the loss, the divisor and the gradient of a bias against binary64. */
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

/* 8 samples of (2, 3) bytes. fc gives (2, CLASSES) or, behind a flatten, (CLASSES). */
enum { SAMPLES = 8, X_ELEMS = 6, CLASSES = 4, TOKENS = 2, IGNORED = 3 };

struct data {
    struct tdbg_data_shape shape;
    unsigned char x[SAMPLES][X_ELEMS];
    int64_t y_class[SAMPLES * CLASSES];
    float y_value[SAMPLES * CLASSES];
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
    (void)err;
    const struct data *d = self;
    const int64_t targets = tdbg_data_y_elems(&d->shape);
    memcpy(x, d->x[first], (size_t)n * X_ELEMS);
    if (d->shape.y_dtype == TDBG_DTYPE_I64)
        memcpy(y, d->y_class + first * targets, (size_t)(n * targets) * sizeof(int64_t));
    else
        memcpy(y, d->y_value + first * targets, (size_t)(n * targets) * sizeof(float));
    return TDBG_OK;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    (void)step;
    for (int64_t i = 0; i < batch; i++)
        ids[i] = i;
    *n = batch;
    return eval_batch(self, 0, batch, x, y, err);
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

/* A tap that keeps what fc gives, part behind part, and what is asked for by name. */
struct probe {
    const struct tdbg_site *sites;
    float fwd[SAMPLES * TOKENS * CLASSES], bias[CLASSES], divisor, accuracy, eval_loss;
    int64_t n_fwd, n_targets;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)err;
    ((struct probe *)self)->sites = sites;
    for (int32_t i = 0; i < n_sites; i++)
        wants[i] = (struct tdbg_want){TDBG_WANT_VALUES, 1};
    return TDBG_OK;
}

static enum tdbg_status look(void *self, int64_t step, int32_t site,
                             const struct tdbg_handle *handle, struct tdbg_err *err)
{
    (void)step;
    (void)err;
    struct probe *p = self;
    const char *name = p->sites[site].name;
    const size_t bytes = (size_t)handle->elems * sizeof(float);
    if (strcmp(name, "fwd/fc") == 0) {
        memcpy(p->fwd + p->n_fwd, handle->data, bytes);
        p->n_fwd += handle->elems;
    }
    if (strcmp(name, "samples/y") == 0)
        p->n_targets += handle->elems;
    if (strcmp(name, "grad/fc.bias") == 0)
        memcpy(p->bias, handle->data, bytes);
    if (strcmp(name, "reduce_out/divisor") == 0)
        memcpy(&p->divisor, handle->data, bytes);
    if (strcmp(name, "eval/accuracy") == 0)
        memcpy(&p->accuracy, handle->data, bytes);
    if (strcmp(name, "eval/loss") == 0)
        memcpy(&p->eval_loss, handle->data, bytes);
    return TDBG_OK;
}

static const struct tdbg_tap_ops probe_ops = {.plan = plan, .site = look};

static void make_data(struct data *d, enum tdbg_dtype y_dtype, int32_t y_ndim, int64_t y_dim)
{
    *d = (struct data){.shape = {.x_dtype = TDBG_DTYPE_U8,
                                 .x_ndim = 2,
                                 .x_dims = {2, 3},
                                 .y_dtype = y_dtype,
                                 .y_ndim = y_ndim,
                                 .y_dims = {y_dim},
                                 .classes = y_dtype == TDBG_DTYPE_I64 ? CLASSES : 0,
                                 .count = SAMPLES}};
    for (int i = 0; i < SAMPLES * X_ELEMS; i++)
        d->x[i / X_ELEMS][i % X_ELEMS] = (unsigned char)(i * 37 % 11);
    for (int i = 0; i < SAMPLES * CLASSES; i++) {
        d->y_class[i] = i * 5 % 7 % CLASSES;
        d->y_value[i] = (float)(i * 5 % 9) / 8;
    }
}

/* One step of a model whose last op is fc; returns its loss. The config's loss is `loss`. */
static float run_step(struct data *d, const char *model, const char *loss, struct probe *probe)
{
    char text[1024];
    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_engine *engine;
    struct tdbg_err err = {0};
    snprintf(
        text, sizeof text,
        "steps = 1; data = { kind = \"idx\"; train = { images = \"x\"; labels = \"y\"; }; test "
        "= { images = \"x\"; labels = \"y\"; }; batch = 8; }; model = ( %s ); loss = { %s }; "
        "optimizer = { kind = \"sgd\"; lr = 0.1; }; eval = { every = 1; }; engine = { lanes = "
        "3; accumulate = 2; };",
        model, loss);
    *probe = (struct probe){0};
    if (tdbg_config_parse(text, "test.cfg", NULL, 0, &config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    tdbg_engine_check_options(config, NULL, 0);
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &backend, &err), TDBG_OK);
    if (tdbg_config_result(config, &err) == TDBG_OK)
        tdbg_engine_create(config, backend,
                           (struct tdbg_source){.ops = &source_ops, .self = d, .world_size = 1},
                           &engine, &err);
    if (tdbg_config_result(config, &err) != TDBG_OK || err.message)
        fail_msg("%s", err.message);
    struct tdbg_step_info info;
    assert_int_equal(tdbg_engine_init_state(engine, &err), TDBG_OK);
    const struct tdbg_tap tap = {&probe_ops, probe};
    assert_int_equal(tdbg_engine_set_taps(engine, &tap, 1, &err), TDBG_OK);
    if (tdbg_engine_run_step(engine, 0, &info, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    tdbg_engine_destroy(engine);
    tdbg_backend_cpu_destroy(backend);
    tdbg_config_destroy(config);
    return info.loss;
}

#define FLAT "{ op = \"flatten\"; }, { op = \"linear\"; name = \"fc\"; out = "
#define ROWS "{ op = \"relu\"; }, { op = \"linear\"; name = \"fc\"; out = "

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 2e-6 * (0.01 + fabs(want))))
        fail_msg("%.9g instead of %.9g", got, want);
}

/* Mean squared error of fc (n values per sample) against y. */
static void check_mse(const struct data *d, const struct probe *p, int64_t n, double loss)
{
    double sum = 0, bias[CLASSES] = {0};
    const int64_t total = SAMPLES * n;
    assert_int_equal(p->n_fwd, total);
    assert_int_equal(p->n_targets, total);
    for (int64_t i = 0; i < total; i++) {
        const double y =
            d->shape.y_dtype == TDBG_DTYPE_I64 ? (double)d->y_class[i] : (double)d->y_value[i];
        const double difference = (double)p->fwd[i] - y;
        sum += difference * difference;
        bias[i % n] += 2 * difference / (double)total;
    }
    assert_near(loss, sum / (double)total);
    for (int64_t j = 0; j < n; j++)
        assert_near((double)p->bias[j], bias[j]);
}

static void test_values(void **state)
{
    (void)state;
    struct data d;
    struct probe p;
    make_data(&d, TDBG_DTYPE_F32, 1, CLASSES);
    float loss = run_step(&d, FLAT "4; }", "kind = \"mse\";", &p);
    check_mse(&d, &p, CLASSES, (double)loss);
    make_data(&d, TDBG_DTYPE_F32, 0, 0);
    loss = run_step(&d, FLAT "1; }", "kind = \"mse\";", &p);
    check_mse(&d, &p, 1, (double)loss);
    make_data(&d, TDBG_DTYPE_I64, 0, 0);
    loss = run_step(&d, FLAT "1; }", "kind = \"mse\";", &p);
    check_mse(&d, &p, 1, (double)loss);
    assert_true(isfinite(p.eval_loss) && p.eval_loss > 0);
}

/* Class indices per token, of which one may be ignored. */
static void check_tokens(const struct data *d, const struct probe *p, bool ignore, double loss)
{
    double sum = 0, counted = 0, bias[CLASSES] = {0};
    assert_int_equal(p->n_targets, SAMPLES * TOKENS);
    for (int64_t i = 0; i < SAMPLES * TOKENS; i++) {
        const float *z = p->fwd + i * CLASSES;
        const int64_t y = d->y_class[i];
        double norm = 0;
        if (ignore && y == IGNORED)
            continue;
        for (int j = 0; j < CLASSES; j++)
            norm += exp((double)z[j]);
        sum += log(norm) - (double)z[y];
        counted++;
        for (int j = 0; j < CLASSES; j++)
            bias[j] += exp((double)z[j]) / norm - (j == y);
    }
    assert_near(loss, sum / counted);
    if (ignore)
        assert_true((double)p->divisor == counted);
    for (int j = 0; j < CLASSES; j++)
        assert_near((double)p->bias[j], bias[j] / counted);
    assert_near((double)p->accuracy * counted, round((double)p->accuracy * counted));
}

static void test_tokens(void **state)
{
    (void)state;
    struct data d;
    struct probe p;
    make_data(&d, TDBG_DTYPE_I64, 1, TOKENS);
    float loss = run_step(&d, ROWS "4; }", "label_smoothing = 0.0;", &p);
    check_tokens(&d, &p, false, (double)loss);
    loss = run_step(&d, ROWS "4; }", "ignore_index = 3;", &p);
    check_tokens(&d, &p, true, (double)loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
