/* Activations and losses on both backends, bit for bit, over awkward shapes. */
#include "gpu_case.h"

/* One row or element, whole and broken warps, blocks of terms, long rows; and nothing at all. */
static const int64_t shapes[][2] = {
    {0, 5},    {1, 1},    {3, 1},    {1, 31},   {2, 32},    {33, 10},    {64, 33},
    {3, 1000}, {2, 4096}, {3, 4097}, {2, 8192}, {2, 10000}, {1, 130001}, {1000, 7},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, IGNORE = -100 };

static void call_relu(struct gpu_run *run)
{
    const struct case_input *in = run->in;
    const struct tdbg_backend *be = run->be;
    float *x = gpu_input(run, in->a, in->n), *dy = gpu_input(run, in->b, in->n);
    float *y = gpu_input(run, in->c, in->n), *dx = gpu_input(run, in->c, in->n);
    be->relu_forward(be->context, in->n, x, y);
    be->relu_backward(be->context, in->n, y, dy, dx);
    gpu_output(run, 0, y, in->n);
    gpu_output(run, 1, dx, in->n);
    be->vector_sum(be->context, in->n, x, dy, x);
    be->vector_add(be->context, in->n, dy, x);
    gpu_output(run, 2, x, in->n);
    gpu_output(run, 3, dy, in->n);
}

static void call_activation(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const struct case_input *in = run->in;
    const enum tdbg_activation kind = (enum tdbg_activation)run->variant;
    float *x = gpu_input(run, in->a, in->n), *dy = gpu_input(run, in->b, in->n);
    float *y = gpu_input(run, NULL, in->n), *dx = gpu_input(run, NULL, in->n);
    be->activation_forward(be->context, kind, in->n, x, y);
    be->activation_backward(be->context, kind, in->n, tdbg_activation_wants_output(kind) ? y : x,
                            dy, dx);
    be->activation_forward(be->context, kind, in->n, x, x);       /* in place */
    be->activation_backward(be->context, kind, in->n, y, dy, dy); /* in place */
    gpu_output(run, 0, y, in->n);
    gpu_output(run, 1, dx, in->n);
    gpu_output(run, 2, x, in->n);
    gpu_output(run, 3, dy, in->n);
}

static void call_cross_entropy(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const struct case_input *in = run->in;
    float *x = gpu_input(run, in->a, in->n), *loss = gpu_input(run, NULL, in->rows);
    float *dx = gpu_input(run, NULL, in->n);
    int32_t *t = gpu_place(be, in->targets, (size_t)in->rows * sizeof *t);
    be->cross_entropy_forward(be->context, in->rows, in->cols, x, t, IGNORE, loss);
    be->cross_entropy_backward(be->context, in->rows, in->cols, x, t, IGNORE, dx);
    run->numbers[0] = be->count_correct(be->context, in->rows, in->cols, x, t, IGNORE);
    gpu_output(run, 0, loss, in->rows);
    gpu_output(run, 1, dx, in->n);
    gpu_drop(be, x);
    gpu_drop(be, t);
}

/* variant: bit 0 weights, bit 1 smoothing */
static void call_weighted(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const struct case_input *in = run->in;
    float *x = gpu_input(run, in->a, in->n), *loss = gpu_input(run, NULL, in->rows);
    float *dx = gpu_input(run, NULL, in->n), *weight = gpu_input(run, NULL, in->rows);
    float *weights = run->variant & 1 && in->rows > 0 ? gpu_input(run, in->d, in->cols) : NULL;
    int32_t *t = gpu_place(be, in->targets, (size_t)in->rows * sizeof *t);
    const float smoothing = run->variant & 2 ? 0.1f : 0;
    const struct tdbg_cross_entropy how = {.weights = weights,
                                           .keep = 1 - smoothing,
                                           .share = smoothing / (float)in->cols,
                                           .weight_sum = (float)in->cols * 0.75f};
    be->cross_entropy_weighted_forward(be->context, &how, in->rows, in->cols, x, t, IGNORE, loss);
    be->cross_entropy_weighted_backward(be->context, &how, in->rows, in->cols, x, t, IGNORE, dx);
    be->target_weights(be->context, in->rows, t, IGNORE, weights, weight);
    gpu_output(run, 0, loss, in->rows);
    gpu_output(run, 1, dx, in->n);
    gpu_output(run, 2, weight, in->rows);
    gpu_drop(be, x);
    gpu_drop(be, t);
    gpu_drop(be, weights);
}

static void call_pointwise(struct gpu_run *run)
{
    static const struct {
        enum tdbg_pointwise_loss kind;
        float beta;
    } losses[] = {{TDBG_POINTWISE_MSE, 0},
                  {TDBG_POINTWISE_L1, 0},
                  {TDBG_POINTWISE_SMOOTH_L1, 0},
                  {TDBG_POINTWISE_SMOOTH_L1, 0.7f},
                  {TDBG_POINTWISE_BCE, 0}};
    const struct tdbg_backend *be = run->be;
    const struct case_input *in = run->in;
    const enum tdbg_pointwise_loss kind = losses[run->variant].kind;
    const float beta = losses[run->variant].beta;
    float *x = gpu_input(run, in->a, in->n), *target = gpu_input(run, in->b, in->n);
    float *loss = gpu_input(run, NULL, in->rows), *dx = gpu_input(run, NULL, in->n);
    be->pointwise_loss_forward(be->context, kind, beta, in->rows, in->cols, x, target, loss);
    be->pointwise_loss_backward(be->context, kind, beta, in->n, x, target, dx);
    run->numbers[0] = be->pointwise_count_correct(be->context, in->n, x, target);
    gpu_output(run, 0, loss, in->rows);
    gpu_output(run, 1, dx, in->n);
    gpu_drop(be, x);
    gpu_drop(be, target);
}

static const struct gpu_case cases[] = {
    {"relu", call_relu, 1},
    {"activation", call_activation, 5},
    {"cross_entropy", call_cross_entropy, 1},
    {"cross_entropy_weighted", call_weighted, 4},
    {"pointwise_loss", call_pointwise, 5},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_case(void **state)
{
    gpu_case_test(*state, shapes, N_SHAPES);
}

/* Rows whose largest logit is tied, or NaN in several places, or only -Inf. */
static void test_count_ties(void **state)
{
    enum { ROWS = 6, CLASSES = 70 };
    static const int32_t targets[ROWS] = {3, 3, 40, 0, 69, -100};
    float *x = calloc(ROWS * CLASSES, sizeof *x);
    int64_t count[2];
    (void)state;
    x[0 * CLASSES + 3] = x[0 * CLASSES + 35] = x[0 * CLASSES + 67] = 2; /* right */
    x[1 * CLASSES + 2] = x[1 * CLASSES + 3] = 2;                        /* wrong */
    x[2 * CLASSES + 40] = x[2 * CLASSES + 41] = NAN;                    /* right */
    x[2 * CLASSES + 5] = INFINITY;
    for (int j = 0; j < CLASSES; j++)
        x[3 * CLASSES + j] = -INFINITY; /* right: the first */
    x[4 * CLASSES + 0] = -0.0f;         /* wrong: -0 is not less than +0 */
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = b ? gpu_case_gpu : gpu_case_cpu;
        float *at = gpu_place(be, x, ROWS * CLASSES * sizeof *x);
        int32_t *t = gpu_place(be, targets, sizeof targets);
        count[b] = be->count_correct(be->context, ROWS, CLASSES, at, t, -100);
        gpu_drop(be, at);
        gpu_drop(be, t);
    }
    assert_int_equal(count[0], 3);
    assert_int_equal(count[1], 3);
    free(x);
}

/* More than TDBG_SUM_BLOCK blocks of terms: one level more. */
static void test_long_sum(void **state)
{
    const int64_t n = (INT64_C(1) << 24) + 4096 * 33 + 5;
    float *x = malloc((size_t)n * sizeof *x), *sum[2];
    uint32_t random = 1;
    (void)state;
    for (int64_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(random >> 8) * 0x1p-24f;
    }
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = b ? gpu_case_gpu : gpu_case_cpu;
        float *at = gpu_place(be, x, (size_t)n * sizeof *x), *out = gpu_place(be, NULL, sizeof *x);
        float *zero = be->alloc(be->context, (size_t)n * sizeof *x);
        be->fill_zero(be->context, zero, (size_t)n * sizeof *x);
        be->pointwise_loss_forward(be->context, TDBG_POINTWISE_L1, 0, 1, n, at, zero, out);
        sum[b] = gpu_bring(be, out, sizeof *x);
        gpu_drop(be, at);
        gpu_drop(be, zero);
    }
    gpu_check_same("a long sum", sum[0], sum[1], 1);
    assert_true(sum[0][0] > 0x1p22f);
    free(sum[0]);
    free(sum[1]);
    free(x);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[N_CASES + 2] = {cmocka_unit_test(test_count_ties),
                                            cmocka_unit_test(test_long_sum)};
    gpu_open_both(&gpu_case_cpu, &gpu_case_gpu);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (int i = 0; i < N_CASES; i++)
        tests[2 + i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = test_case, .initial_state = (void *)&cases[i]};
    const int failed = cmocka_run_group_tests_name("gpu-losses", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu_case_gpu);
    tdbg_backend_cpu_destroy(gpu_case_cpu);
    return failed;
}
