/* Kernels of losses: bits, references, golden hashes (kernel_case.h), single values that the
 * headers promise, and the losses of engine/loss.h against PyTorch's values. */
#include "kernel_case.h"

#include "base/config.h"
#include "engine/loss.h"
#include "kernels/cross_entropy.h"
#include "kernels/numerics.h"
#include "kernels/pointwise_loss.h"
#include "kernels/reduce.h"

enum { IGNORE = -100, KIND_SMOOTH_SMALL = 4 };

static float beta_of(int variant)
{
    return variant == KIND_SMOOTH_SMALL ? 0.25f : 1.0f;
}

static enum tdbg_pointwise_loss kind_of(int variant)
{
    return variant == KIND_SMOOTH_SMALL ? TDBG_POINTWISE_SMOOTH_L1
                                        : (enum tdbg_pointwise_loss)variant;
}

static void run_pointwise(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                          struct case_output *out)
{
    tdbg_pointwise_loss_forward(cpu, kind_of(variant), beta_of(variant), in->rows, in->cols, in->a,
                                in->b, case_give(out, 0, in->rows, NULL));
    tdbg_pointwise_loss_backward(cpu, kind_of(variant), beta_of(variant), in->n, in->a, in->b,
                                 case_give(out, 1, in->n, NULL));
}

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

/* Loss and derivative of one element in binary64. */
static double pointwise(int variant, double x, double t, double *derivative)
{
    const double d = x - t, beta = (double)beta_of(variant), near = fabs(d) < beta;
    switch (kind_of(variant)) {
    case TDBG_POINTWISE_MSE:
        *derivative = 2 * d;
        return d * d;
    case TDBG_POINTWISE_L1:
        *derivative = sign(d);
        return fabs(d);
    case TDBG_POINTWISE_SMOOTH_L1:
        *derivative = near ? d / beta : sign(d);
        return near ? 0.5 * d * d / beta : fabs(d) - 0.5 * beta;
    default:
        *derivative = 1 / (1 + exp(-x)) - t;
        return fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
    }
}

/* A term has at most ten roundings relative to |x| + |t| + 1 <= 5 (squares: 16), and passes through
 * at most 3 * 133 additions. */
static void ref_pointwise(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                          double *allowed[CASE_OUTPUTS])
{
    for (int64_t i = 0; i < in->n; i++) {
        const int64_t r = i / in->cols;
        const double term = pointwise(variant, (double)in->a[i], (double)in->b[i], &exact[1][i]);
        exact[0][r] += term;
        allowed[0][r] += 0x1p-24 * (40 + (in->cols < 4096 ? 140 : 400) * fabs(term));
        allowed[1][i] = 0x1p-24 * 10 * (1 + fabs(exact[1][i]));
    }
}

static struct tdbg_cross_entropy how_of(int variant, const struct case_input *in)
{
    const bool weighted = variant & 1, smooth = variant & 2;
    double sum = 0;
    for (int64_t j = 0; j < in->cols; j++)
        sum += weighted ? (double)in->d[j] : 1;
    const double eps = smooth ? 0.1 : 0;
    return (struct tdbg_cross_entropy){.weights = weighted ? in->d : NULL,
                                       .keep = (float)(1 - eps),
                                       .share = (float)(eps / (double)in->cols),
                                       .weight_sum = (float)sum};
}

static void run_weighted(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                         struct case_output *out)
{
    const struct tdbg_cross_entropy how = how_of(variant, in);
    tdbg_cross_entropy_weighted_forward(cpu, &how, in->rows, in->cols, in->a, in->targets, IGNORE,
                                        case_give(out, 0, in->rows, NULL));
    tdbg_cross_entropy_weighted_backward(cpu, &how, in->rows, in->cols, in->a, in->targets, IGNORE,
                                         case_give(out, 1, in->n, NULL));
    tdbg_cross_entropy_target_weights(cpu, in->rows, in->targets, IGNORE, how.weights,
                                      case_give(out, 2, in->rows, NULL));
}

static void ref_weighted(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                         double *allowed[CASE_OUTPUTS])
{
    const struct tdbg_cross_entropy how = how_of(variant, in);
    const double keep = (double)how.keep, share = (double)how.share;
    for (int64_t r = 0; r < in->rows; r++) {
        const float *x = in->a + r * in->cols;
        const int32_t t = in->targets[r];
        if (t == IGNORE)
            continue;
        double sum = 0, smooth = 0;
        for (int64_t j = 0; j < in->cols; j++)
            sum += exp((double)x[j]);
        for (int64_t j = 0; j < in->cols; j++)
            smooth += (how.weights ? (double)how.weights[j] : 1) * (log(sum) - (double)x[j]);
        const double wt = how.weights ? (double)how.weights[t] : 1;
        exact[2][r] = wt;
        exact[0][r] = keep * wt * (log(sum) - (double)x[t]) + share * smooth;
        allowed[0][r] = 0x1p-24 * (40 + 140 * (fabs(exact[0][r]) + share * smooth));
        for (int64_t j = 0; j < in->cols; j++) {
            const double p = exp((double)x[j]) / sum;
            const double off = share * (how.weights ? (double)how.weights[j] : 1);
            const double factor = share * (double)how.weight_sum + keep * wt;
            exact[1][r * in->cols + j] = p * factor - off - (j == t ? keep * wt : 0);
            allowed[1][r * in->cols + j] =
                0x1p-24 * (180 * p * factor + 4 * off + (j == t ? 4 * keep * wt : 0)) + 0x1p-140;
        }
    }
}

static void run_sum_rows(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                         struct case_output *out)
{
    (void)variant;
    tdbg_pointwise_loss_sum_rows(cpu, in->rows, in->cols, in->a, case_give(out, 0, in->rows, NULL));
}

static void ref_sum_rows(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                         double *allowed[CASE_OUTPUTS])
{
    (void)variant;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i / in->cols] += (double)in->a[i];
        allowed[0][i / in->cols] += 0x1p-24 * 400 * fabs((double)in->a[i]);
    }
}

static const struct kernel_case cases[] = {
    {"mse", TDBG_POINTWISE_MSE, run_pointwise, ref_pointwise, UINT64_C(0xd181565a5b9c07c0)},
    {"l1", TDBG_POINTWISE_L1, run_pointwise, ref_pointwise, UINT64_C(0xf3166ffcc7bf1c46)},
    {"smooth_l1", TDBG_POINTWISE_SMOOTH_L1, run_pointwise, ref_pointwise,
     UINT64_C(0x36479d2cbd31cd17)},
    {"smooth_l1 beta 0.25", KIND_SMOOTH_SMALL, run_pointwise, ref_pointwise,
     UINT64_C(0x5a1fdc8dba752664)},
    {"bce", TDBG_POINTWISE_BCE, run_pointwise, ref_pointwise, UINT64_C(0x2384c48491983a35)},
    {"cross_entropy weighted", 1, run_weighted, ref_weighted, UINT64_C(0x250e7fd4f8b15d1c)},
    {"cross_entropy smooth", 2, run_weighted, ref_weighted, UINT64_C(0xe4d629b9f91f81d9)},
    {"cross_entropy weighted smooth", 3, run_weighted, ref_weighted, UINT64_C(0x4492ed4cef010260)},
    {"sum_rows", 0, run_sum_rows, ref_sum_rows, UINT64_C(0x8316828b85cdbfaf)},
};

/* ---- against PyTorch --------------------------------------------------------------------------
 */

enum { ROWS = 6, COLS = 4 };

/* The values of torch.nn.functional in float64 over x[i][j] = ((7i + 5j) % 13 - 6) * 0.37, class
 * targets {0, 3, 1, 2, 1, 0} or values ((3i + 11j) % 7) / 8: the loss, the first five elements of
 * the gradient and the sum of the squares of all. */
static const struct torch_case {
    const char *text; /* of the loss group */
    int64_t tokens;   /* 0: one target per sample; else samples of so many */
    double loss, grad[5], square;
} torch_cases[] = {
    {"kind = \"cross_entropy\";",
     0,
     2.1956082647514172,
     {-0.163326858072, 0.0212405799011, 0.135086254726, 0.00700002344483, 0.0170323268827},
     0.213149593012},
    {"reduction = \"sum\";",
     0,
     13.173649588508503,
     {-0.979961148433, 0.127443479406, 0.810517528358, 0.042000140669, 0.102193961296},
     7.67338534844},
    {"label_smoothing = 0.1;",
     0,
     2.1940665980847505,
     {-0.150826858072, 0.0170739132344, 0.13091958806, 0.00283335677817, 0.012865660216},
     0.18590776033},
    {"class_weights = [0.5, 1.0, 2.0, 0.25];",
     0,
     2.246871696429084,
     {-0.0933296331841, 0.0121374742292, 0.0771921455579, 0.00400001339705, 0.00486637910934},
     0.31194939313},
    {"class_weights = [0.5, 1.0, 2.0, 0.25]; label_smoothing = 0.2;",
     0,
     2.214246747209047,
     {-0.0787099380389, 0.00473772269548, 0.0716531519829, 0.00231906336058, 0.00278098285757},
     0.22901760135},
    {"class_weights = [0.5, 1.0, 2.0, 0.25]; label_smoothing = 0.2; reduction = \"sum\";",
     0,
     11.624795422847496,
     {-0.413227174704, 0.0248730441513, 0.37617904791, 0.012175082643, 0.0146001600023},
     6.31229763722},
    {"ignore_index = 1;",
     0,
     2.2633712414058964,
     {-0.244990287108, 0.0318608698516, 0.202629382089, 0.0105000351673, 0.025548490324},
     0.302029195178},
    {"ignore_index = 1;",
     3,
     2.2633712414058964,
     {-0.244990287108, 0.0318608698516, 0.202629382089, 0.0105000351673, 0.025548490324},
     0.302029195178},
    {"class_weights = [0.5, 1.0, 2.0, 0.25]; label_smoothing = 0.2; ignore_index = 1;",
     2,
     2.4018101100765055,
     {-0.127146822986, 0.00765324435424, 0.115747399357, 0.00374617927478, 0.00449235692377},
     0.405273159885},
    {"kind = \"mse\";",
     0,
     2.5136729166666667,
     {-0.185, -0.0725, 0.112916666667, -0.175416666667, -0.000416666666667},
     0.418945486111},
    {"kind = \"mse\"; reduction = \"sum\";",
     0,
     60.32815,
     {-4.44, -1.74, 2.71, -4.21, -0.01},
     241.3126},
    {"kind = \"l1\";",
     0,
     1.3641666666666665,
     {-0.0416666666667, -0.0416666666667, 0.0416666666667, -0.0416666666667, -0.0416666666667},
     0.0416666666667},
    {"kind = \"smooth_l1\"; beta = 0.5;",
     0,
     1.1336520833333332,
     {-0.0416666666667, -0.0416666666667, 0.0416666666667, -0.0416666666667, -0.000416666666667},
     0.0361642361111},
    {"kind = \"bce\";",
     0,
     1.0742684040197734,
     {0.0040820335124, -0.00381079076803, 0.0287321908628, -0.0183155241961, 0.00901912410137},
     0.00953248663633},
};

static struct tdbg_config *parse_loss(const char *text)
{
    char whole[256];
    struct tdbg_config *config;
    struct tdbg_err err = {0};
    snprintf(whole, sizeof whole, "loss = { %s };", text);
    if (tdbg_config_parse(whole, "test.cfg", NULL, 0, &config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    tdbg_loss_check_options(config, tdbg_cfg_find(tdbg_config_root(config), "loss"));
    return config;
}

static void fill_shapes(const struct torch_case *c, bool classes, struct tdbg_shape *output,
                        struct tdbg_data_shape data[TDBG_SET_COUNT])
{
    memset(data, 0, TDBG_SET_COUNT * sizeof *data);
    data[TDBG_SET_TRAIN].y_dtype = classes ? TDBG_DTYPE_I64 : TDBG_DTYPE_F32;
    data[TDBG_SET_TRAIN].classes = classes ? 4 : 0;
    *output = (struct tdbg_shape){.ndim = 1, .dims = {COLS}};
    if (c->tokens > 0) {
        *output = (struct tdbg_shape){.ndim = 2, .dims = {c->tokens, COLS}};
        data[TDBG_SET_TRAIN].y_ndim = 1;
        data[TDBG_SET_TRAIN].y_dims[0] = c->tokens;
    } else if (!classes) {
        data[TDBG_SET_TRAIN].y_ndim = 1;
        data[TDBG_SET_TRAIN].y_dims[0] = COLS;
    }
}

static void check_torch_case(const struct torch_case *c, const struct tdbg_backend *be)
{
    static const int32_t targets[ROWS] = {0, 3, 1, 2, 1, 0};
    float x[ROWS * COLS], v[ROWS * COLS], d[ROWS * COLS], each[ROWS], work[64], weights[COLS];
    float sum, divisor, scratch[8];
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = (float)(((i / COLS * 7 + i % COLS * 5) % 13 - 6) * 0.37);
        v[i] = (float)((i / COLS * 3 + i % COLS * 11) % 7) / 8;
    }
    struct tdbg_config *config = parse_loss(c->text);
    struct tdbg_loss loss = tdbg_loss_read(tdbg_cfg_find(tdbg_config_root(config), "loss"));
    const bool classes = tdbg_loss_takes_classes(&loss);
    struct tdbg_data_shape data[TDBG_SET_COUNT];
    struct tdbg_shape output;
    fill_shapes(c, classes, &output, data);
    assert_true(tdbg_loss_set_shape(config, &loss, NULL, "last", &output, data));
    assert_int_equal(tdbg_loss_place_weights(&loss, be, weights, NULL), TDBG_OK);
    const int64_t rows = c->tokens > 0 ? ROWS / c->tokens : ROWS;
    assert_true(tdbg_loss_workspace_elems(&loss, rows) <= 64);
    const void *t = classes ? (const void *)targets : v;
    tdbg_loss_forward(&loss, be, rows, x, t, each, work);
    tdbg_loss_backward(&loss, be, rows, x, t, d);
    be->reduce_sum(be->context, rows, each, &sum, scratch);
    divisor = tdbg_loss_fixed_divisor(&loss, rows);
    if (tdbg_loss_divisor_varies(&loss)) {
        tdbg_loss_weigh_targets(&loss, be, rows, t, work);
        tdbg_loss_divisor_share(&loss, be, rows, &divisor, work);
    }
    double square = 0;
    for (int i = 0; i < ROWS * COLS; i++) {
        const double g = (double)(d[i] / divisor);
        if (i < 5 && fabs(g - c->grad[i]) > 2e-6 * (1e-3 + fabs(c->grad[i])))
            fail_msg("%s: gradient %d is %.9g, PyTorch has %.9g", c->text, i, g, c->grad[i]);
        square += g * g;
    }
    if (fabs((double)(sum / divisor) - c->loss) > 1e-6 * c->loss)
        fail_msg("%s: loss %.9g, PyTorch has %.9g", c->text, (double)(sum / divisor), c->loss);
    if (fabs(square - c->square) > 2e-6 * c->square)
        fail_msg("%s: squares %.9g, PyTorch has %.9g", c->text, square, c->square);
    tdbg_config_destroy(config);
}

static void test_equals_torch(void **state)
{
    (void)state;
    struct tdbg_backend *be;
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &be, NULL), TDBG_OK);
    for (size_t i = 0; i < sizeof torch_cases / sizeof *torch_cases; i++)
        check_torch_case(&torch_cases[i], be);
    tdbg_backend_cpu_destroy(be);
}

/* ---- what headers promise ----------------------------------------------------------------------
 */

static float one_loss(enum tdbg_pointwise_loss kind, float beta, float x, float t, float *dx)
{
    struct tdbg_cpu cpu;
    float loss;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 1, NULL), TDBG_OK);
    tdbg_pointwise_loss_forward(&cpu, kind, beta, 1, 1, &x, &t, &loss);
    tdbg_pointwise_loss_backward(&cpu, kind, beta, 1, &x, &t, dx);
    return loss;
}

static void test_single_values(void **state)
{
    (void)state;
    float d;
    assert_true(one_loss(TDBG_POINTWISE_MSE, 0, 3, 1, &d) == 4 && d == 4);
    assert_true(one_loss(TDBG_POINTWISE_L1, 0, 1, 3, &d) == 2 && d == -1);
    assert_true(one_loss(TDBG_POINTWISE_L1, 0, 3, 3, &d) == 0 && tdbg_float_bits(d) == 0);
    assert_true(one_loss(TDBG_POINTWISE_SMOOTH_L1, 0, 3, 1, &d) == 2 && d == 1);
    assert_true(one_loss(TDBG_POINTWISE_SMOOTH_L1, 1, 1.5f, 1, &d) == 0.125f && d == 0.5f);
    /* the log loss stays finite where exp overflows, and exact where it vanishes */
    assert_true(one_loss(TDBG_POINTWISE_BCE, 0, 1000, 0, &d) == 1000 && d == 1);
    assert_true(one_loss(TDBG_POINTWISE_BCE, 0, -1000, 0, &d) == 0 && d == 0);
    assert_true(one_loss(TDBG_POINTWISE_BCE, 0, -1000, 1, &d) == 1000 && d == -1);
    float tiny = one_loss(TDBG_POINTWISE_BCE, 0, -20, 0, &d);
    assert_true(fabs((double)tiny / log1p(exp(-20)) - 1) < 4 * 0x1p-24);
    assert_true(fabs((double)one_loss(TDBG_POINTWISE_BCE, 0, 0, 0.5f, &d) - log(2)) < 1e-7 &&
                d == 0);
    (void)one_loss(TDBG_POINTWISE_MSE, 0, NAN, 0, &d);
    assert_int_equal(tdbg_float_bits(d), 0x7fc00000);
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 1, NULL), TDBG_OK);
    const float x[] = {1, -1, 0, 2, NAN}, t[] = {1, 1, 0, 0, 0};
    assert_int_equal(tdbg_pointwise_loss_count_correct(&cpu, 5, x, t), 3);
}

/* A row is summed as reduce.h says, also where blocks of blocks are full. */
static void test_row_sum(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 4096, 4097, 8193, 130001, 4096 * 4096 + 4097};
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 2, NULL), TDBG_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int64_t n = lengths[i];
        float *x = malloc((size_t)n * sizeof *x + 1), sum;
        float *scratch = malloc((size_t)tdbg_reduce_scratch_elems(n) * sizeof *scratch + 1);
        for (int64_t k = 0; k < n; k++)
            x[k] = (float)((uint32_t)k * 2654435761u) * 0x1p-32f - 0.4f;
        tdbg_pointwise_loss_sum_rows(&cpu, 1, n, x, &sum);
        assert_true(tdbg_float_bits(sum) == tdbg_float_bits(tdbg_reduce_sum(&cpu, n, x, scratch)));
        free(x);
        free(scratch);
    }
}

static void check_fault(const char *text, struct tdbg_shape output, struct tdbg_data_shape train,
                        const char *says)
{
    struct tdbg_config *config = parse_loss(text);
    struct tdbg_err err = {0};
    struct tdbg_data_shape data[TDBG_SET_COUNT] = {train};
    if (tdbg_config_n_diagnostics(config) == 0) {
        const struct tdbg_cfg_node *group = tdbg_cfg_find(tdbg_config_root(config), "loss");
        struct tdbg_loss loss = tdbg_loss_read(group);
        assert_false(tdbg_loss_set_shape(config, &loss, group, "last", &output, data));
    }
    assert_int_equal(tdbg_config_result(config, &err), TDBG_CONFIG);
    if (!strstr(err.message, says))
        fail_msg("%s: %s", text, err.message);
    tdbg_err_clear(&err);
    tdbg_config_destroy(config);
}

static void test_faults(void **state)
{
    (void)state;
    const struct tdbg_shape four = {.ndim = 1, .dims = {4}};
    const struct tdbg_data_shape five = {.y_dtype = TDBG_DTYPE_I64, .classes = 5};
    const struct tdbg_data_shape two = {.y_dtype = TDBG_DTYPE_I64, .classes = 2};
    const struct tdbg_data_shape tokens = {
        .y_dtype = TDBG_DTYPE_I64, .y_ndim = 1, .y_dims = {7}, .classes = 2};
    const struct tdbg_data_shape values = {.y_dtype = TDBG_DTYPE_F32, .y_ndim = 1, .y_dims = {3}};
    check_fault("kind = \"hinge\";", four, five, "unknown kind \"hinge\" of loss");
    check_fault("kind = \"mse\"; label_smoothing = 0.1;", four, values, "unknown key");
    check_fault("reduction = \"mean\";", four, five, "one row of at least 5 logits");
    check_fault("reduction = \"mean\";", four, tokens, "one row per token of at least 2 logits");
    check_fault("class_weights = [1.0, 2.0];", four, two, "has 2 weights");
    check_fault("reduction = \"mean\";", four, values, "wants class indices");
    check_fault("kind = \"mse\";", four, values, "3 target values per sample");
    check_fault("kind = \"mse\";", four, two, "1 target value per sample");
}

int main(void)
{
    enum { COUNT = sizeof cases / sizeof *cases, MORE = 4 };
    struct CMUnitTest tests[COUNT + MORE] = {
        [COUNT] = cmocka_unit_test(test_equals_torch),
        [COUNT + 1] = cmocka_unit_test(test_single_values),
        [COUNT + 2] = cmocka_unit_test(test_row_sum),
        [COUNT + 3] = cmocka_unit_test(test_faults),
    };
    for (int i = 0; i < COUNT; i++) {
        tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = case_test};
        memcpy(&tests[i].initial_state, &(const struct kernel_case *){&cases[i]}, sizeof(void *));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
