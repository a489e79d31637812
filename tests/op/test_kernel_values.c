/* What the kernels' headers promise about single values: special values, the written order of sums,
 * gradients against finite differences, host_math, and what tdbg_cpu_init refuses. The table-driven
 * test over sizes, instruction sets and threads is test_kernels.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#include "base/convert.h"
#include "base/philox.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/host_math.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "kernels/relu.h"
#include "kernels/sgd.h"
#include "kernels/strict_math.h"
#include "kernels/transform.h"
#include "kernels/vector.h"

enum { SEED = 7, LENGTH = 17 };

static const uint32_t canonical_nan = 0x7fc00000u;

/* Calls check once for every instruction set of this processor. */
static void on_every_isa(void (*check)(const struct tdbg_cpu *cpu))
{
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        struct tdbg_cpu cpu;
        if (tdbg_cpu_init(&cpu, tdbg_isa_text((enum tdbg_isa)isa), 1, NULL) == TDBG_OK)
            check(&cpu);
    }
}

static void fill(float *x, int64_t n, uint64_t stream)
{
    uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = tdbg_philox_uniform(tdbg_philox(key, (uint64_t)i, 0).word[0]) * 4 - 2;
}

/* All of x (LENGTH) set to one value, so that whole vectors and the rest after them see it. */
static void spread(float *x, uint32_t bits)
{
    for (int i = 0; i < LENGTH; i++)
        x[i] = tdbg_bits_float(bits);
}

static void expect(const float *got, uint32_t want, const char *what, uint32_t input,
                   const struct tdbg_cpu *cpu)
{
    for (int i = 0; i < LENGTH; i++) {
        if (tdbg_float_bits(got[i]) != want)
            fail_msg("%s of %08x, isa %s, element %d: %08x instead of %08x", what, input,
                     tdbg_isa_text(cpu->isa), i, tdbg_float_bits(got[i]), want);
    }
}

/* ---- special values -------------------------------------------------------------------------- */

static void check_relu(const struct tdbg_cpu *cpu)
{
    static const struct {
        uint32_t x, y, dx; /* y of x; dx of y = x and dy = 0xbf800000 (-1) */
    } rows[] = {
        {0x7fc00000, 0x7fc00000, 0xbf800000}, {0xffc00000, 0x7fc00000, 0xbf800000},
        {0x7f800001, 0x7fc00000, 0xbf800000}, {0x7f800000, 0x7f800000, 0xbf800000},
        {0xff800000, 0x00000000, 0x00000000}, {0x00000000, 0x00000000, 0x00000000},
        {0x80000000, 0x00000000, 0x00000000}, {0x00000001, 0x00000001, 0xbf800000},
        {0x80000001, 0x00000000, 0x00000000}, {0x3f800000, 0x3f800000, 0xbf800000},
    };
    float x[LENGTH], y[LENGTH], dy[LENGTH];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spread(x, rows[i].x);
        tdbg_relu_forward(cpu, LENGTH, x, y);
        expect(y, rows[i].y, "relu", rows[i].x, cpu);
        spread(dy, 0xbf800000);
        tdbg_relu_backward(cpu, LENGTH, x, dy, y);
        expect(y, rows[i].dx, "relu backward", rows[i].x, cpu);
        spread(dy, 0xffc12345);
        tdbg_relu_backward(cpu, LENGTH, x, dy, y);
        expect(y, rows[i].dx ? canonical_nan : 0, "relu backward of NaN", rows[i].x, cpu);
    }
}

/* Each op makes a NaN out of numbers (0/0, Inf - Inf, 0 * Inf) and passes one on. */
static void check_canonical_nan(const struct tdbg_cpu *cpu)
{
    static const uint32_t inputs[] = {0x7f800000, 0xff800000, 0xffffffff, 0x7f800001};
    const struct tdbg_sgd sgd = {.lr = 0.5f, .momentum = 0.5f, .nesterov = true};
    const struct tdbg_adamw adamw = {.beta1 = 0.5f,
                                     .beta2 = 0.5f,
                                     .one_minus_beta1 = 0.5f,
                                     .decay = 1,
                                     .step_size = 1,
                                     .one_minus_beta2 = 0.5f,
                                     .eps = 0x1p-9f,
                                     .bias2_sqrt = 0.5f};
    float x[LENGTH], y[LENGTH], z[LENGTH], w[LENGTH], mean[1], std[1] = {1};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        const uint32_t in = inputs[i];
        spread(x, in);
        spread(y, in ^ 0x80000000u);
        tdbg_vector_add(cpu, LENGTH, y, x);
        expect(y, canonical_nan, "sum", in, cpu);
        tdbg_vector_divide(cpu, LENGTH, x, (float)INFINITY, y);
        expect(y, canonical_nan, "quotient", in, cpu);
        tdbg_transform_scale(cpu, LENGTH, x, 0, y);
        expect(y, canonical_nan, "product", in, cpu);
        mean[0] = x[0];
        tdbg_transform_normalize(cpu, 1, 1, LENGTH, x, mean, std, y);
        expect(y, canonical_nan, "normalize", in, cpu);
        tdbg_reduce_rows(cpu, 1, LENGTH, y, z);
        expect(z, canonical_nan, "column sum", in, cpu);
        float sum = tdbg_reduce_sum(cpu, LENGTH, y, NULL);
        assert_int_equal(tdbg_float_bits(sum), canonical_nan);
        spread(y, in);
        spread(z, 0);
        tdbg_sgd_step(cpu, LENGTH, &sgd, x, y, z);
        expect(y, canonical_nan, "sgd", in, cpu);
        spread(y, 0);
        spread(z, in ^ 0x80000000u);
        spread(w, 0);
        tdbg_adamw_step(cpu, LENGTH, &adamw, x, y, z, w);
        expect(y, canonical_nan, "adamw parameter", in, cpu);
        expect(z, canonical_nan, "adamw first moment", in, cpu);
    }
}

static void check_exp_log(const struct tdbg_cpu *cpu)
{
    static const uint32_t exp_rows[][2] = {
        {0x00000000, 0x3f800000}, {0x80000000, 0x3f800000}, {0x7f800000, 0x7f800000},
        {0xff800000, 0x00000000}, {0xffc00000, 0x7fc00000}, {0x42b17217, 0x7f7fff84},
        {0x42b17218, 0x7f800000}, {0xc2cff1b5, 0x00000000}, {0xc2cff1b4, 0x00000001},
    };
    static const uint32_t log_rows[][2] = {
        {0x3f800000, 0x00000000}, {0x00000000, 0xff800000}, {0x80000000, 0xff800000},
        {0x7f800000, 0x7f800000}, {0xff800000, 0x7fc00000}, {0xbf800000, 0x7fc00000},
        {0x80000001, 0x7fc00000}, {0xffc00000, 0x7fc00000}, {0x00000001, 0xc2ce8ed0},
    };
    (void)cpu;
    for (size_t i = 0; i < sizeof exp_rows / sizeof *exp_rows; i++)
        assert_int_equal(tdbg_float_bits(tdbg_strict_expf(tdbg_bits_float(exp_rows[i][0]))),
                         exp_rows[i][1]);
    for (size_t i = 0; i < sizeof log_rows / sizeof *log_rows; i++)
        assert_int_equal(tdbg_float_bits(tdbg_strict_logf(tdbg_bits_float(log_rows[i][0]))),
                         log_rows[i][1]);
}

static void check_cross_entropy(const struct tdbg_cpu *cpu)
{
    const float inf = (float)INFINITY;
    const float logits[6][3] = {
        {1, 1, 1}, {inf, 0, 0}, {0, (float)NAN, 0}, {0, 0, -inf}, {-inf, -inf, -inf}, {5, 6, 7},
    };
    const int32_t targets[6] = {0, 1, 0, 2, 0, -1};
    float loss[6], dlogits[6][3];
    tdbg_cross_entropy_forward(cpu, 6, 3, logits[0], targets, -1, loss);
    tdbg_cross_entropy_backward(cpu, 6, 3, logits[0], targets, -1, dlogits[0]);
    assert_int_equal(tdbg_float_bits(loss[0]), 0x3f8c9f54); /* log 3 */
    assert_int_equal(tdbg_float_bits(loss[1]), canonical_nan);
    assert_int_equal(tdbg_float_bits(loss[2]), canonical_nan);
    assert_true(isinf(loss[3]) && loss[3] > 0);
    assert_int_equal(tdbg_float_bits(loss[4]), canonical_nan);
    assert_int_equal(tdbg_float_bits(loss[5]), 0);
    for (int j = 0; j < 3; j++) {
        assert_int_equal(tdbg_float_bits(dlogits[1][j]), canonical_nan);
        assert_int_equal(tdbg_float_bits(dlogits[2][j]), canonical_nan);
        assert_int_equal(tdbg_float_bits(dlogits[5][j]), 0);
    }
    assert_true(dlogits[3][2] == -1 && dlogits[3][0] == 0.5f);
    /* Row 0: the first of equals; 1: Inf at 0, target 1; 2: NaN at 1, target 0; 3: target is last.
     */
    assert_int_equal(tdbg_cross_entropy_count_correct(cpu, 4, 3, logits[0], targets, -1), 1);
    const int32_t best[6] = {0, 0, 1, 0, 0, -1};
    assert_int_equal(tdbg_cross_entropy_count_correct(cpu, 6, 3, logits[0], best, -1), 5);
}

static void test_special_values(void **state)
{
    (void)state;
    on_every_isa(check_relu);
    on_every_isa(check_canonical_nan);
    on_every_isa(check_exp_log);
    on_every_isa(check_cross_entropy);
}

/* ---- the definitions, word by word ----------------------------------------------------------- */

static float literal_block(int64_t n, const float *x)
{
    float lane[32] = {0};
    for (int64_t i = 0; i < n; i++)
        lane[i % 32] += x[i];
    for (int width = 16; width > 0; width /= 2) {
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    }
    return lane[0];
}

static float literal_sum(int64_t n, const float *x)
{
    if (n <= 4096)
        return literal_block(n, x);
    int64_t blocks = (n + 4095) / 4096;
    float *result = malloc((size_t)blocks * sizeof *result);
    for (int64_t b = 0; b < blocks; b++)
        result[b] = literal_block(n - b * 4096 < 4096 ? n - b * 4096 : 4096, x + b * 4096);
    float sum = literal_sum(blocks, result);
    free(result);
    return sum;
}

static void check_sum(const struct tdbg_cpu *cpu)
{
    enum { LONGEST = 4096 * 4096 + 100 };
    static const int64_t lengths[] = {0, 1, 32, 33, 4096, 4097, 100000, 4096 * 4096, LONGEST};
    float *x = malloc(LONGEST * sizeof *x);
    float *scratch = malloc((size_t)tdbg_reduce_scratch_elems(LONGEST) * sizeof *scratch);
    const struct tdbg_cpu team = {.table = cpu->table, .isa = cpu->isa, .threads = 3};
    fill(x, LONGEST, 1);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        float got = tdbg_reduce_sum(&team, lengths[i], x, scratch);
        float want = literal_sum(lengths[i], x);
        if (tdbg_float_bits(got) != tdbg_float_bits(want))
            fail_msg("sum of %lld, isa %s, seed %d: %a instead of %a", (long long)lengths[i],
                     tdbg_isa_text(cpu->isa), (int)SEED, (double)got, (double)want);
    }
    free(x);
    free(scratch);
}

static void check_rows(const struct tdbg_cpu *cpu)
{
    enum { ROWS = 700, COLS = 70 };
    static float x[ROWS * COLS], out[COLS];
    fill(x, ROWS * COLS, 2);
    tdbg_reduce_rows(cpu, ROWS, COLS, x, out);
    for (int c = 0; c < COLS; c++) {
        float sum = 0;
        for (int first = 0; first < ROWS; first += 256) {
            float part = 0;
            for (int r = first; r < ROWS && r < first + 256; r++)
                part += x[r * COLS + c];
            sum = first == 0 ? part : sum + part;
        }
        assert_int_equal(tdbg_float_bits(out[c]), tdbg_float_bits(sum));
    }
}

static void check_optimizers(const struct tdbg_cpu *cpu)
{
    enum { N = 100 };
    const struct tdbg_sgd s = {
        .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f, .nesterov = true};
    const struct tdbg_adamw a = {.beta1 = 0.9f,
                                 .beta2 = 0.999f,
                                 .eps = 1e-8f,
                                 .one_minus_beta1 = 0.1f,
                                 .one_minus_beta2 = 0.001f,
                                 .decay = 0.9999f,
                                 .step_size = 0.01f,
                                 .bias2_sqrt = 0.03f};
    float g[N], p[N], buf[N], p_new[N], buf_new[N], v[N], m_new[N], v_new[N];
    fill(g, N, 3);
    fill(p, N, 4);
    fill(buf, N, 5);
    for (int i = 0; i < N; i++)
        v[i] = buf[i] * buf[i];
    memcpy(p_new, p, sizeof p);
    memcpy(buf_new, buf, sizeof buf);
    tdbg_sgd_step(cpu, N, &s, g, p_new, buf_new);
    for (int i = 0; i < N; i++) {
        float d = fmaf(s.weight_decay, p[i], g[i]), b = fmaf(s.momentum, buf[i], d);
        assert_true(buf_new[i] == b);
        assert_true(p_new[i] == fmaf(-s.lr, fmaf(s.momentum, b, d), p[i]));
    }
    memcpy(p_new, p, sizeof p);
    memcpy(m_new, buf, sizeof buf);
    memcpy(v_new, v, sizeof v);
    tdbg_adamw_step(cpu, N, &a, g, p_new, m_new, v_new);
    for (int i = 0; i < N; i++) {
        float m = fmaf(a.beta1, buf[i], a.one_minus_beta1 * g[i]);
        float second = fmaf(a.beta2, v[i], (a.one_minus_beta2 * g[i]) * g[i]);
        float change = m / (sqrtf(second) / a.bias2_sqrt + a.eps);
        assert_true(m_new[i] == m && v_new[i] == second);
        assert_true(p_new[i] == fmaf(-a.step_size, change, p[i] * a.decay));
    }
}

static void test_definitions(void **state)
{
    (void)state;
    on_every_isa(check_sum);
    on_every_isa(check_rows);
    on_every_isa(check_optimizers);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static double loss_f64(int n, const double *x, int target)
{
    double max = x[0], sum = 0;
    for (int j = 0; j < n; j++)
        max = fmax(max, x[j]);
    for (int j = 0; j < n; j++)
        sum += exp(x[j] - max);
    return log(sum) - (x[target] - max);
}

/* Central differences in double err by about h^2 + 2^-53 / h: 1e-10 with h = 1e-5. */
static void check_gradients(const struct tdbg_cpu *cpu)
{
    enum { ROWS = 20, CLASSES = 11 };
    const double h = 1e-5;
    float x[ROWS * CLASSES], dx[ROWS * CLASSES], y[ROWS * CLASSES], dy[ROWS * CLASSES];
    int32_t targets[ROWS];
    fill(x, ROWS * CLASSES, 6);
    fill(dy, ROWS * CLASSES, 7);
    for (int r = 0; r < ROWS; r++)
        targets[r] = r % CLASSES;
    tdbg_cross_entropy_backward(cpu, ROWS, CLASSES, x, targets, -1, dx);
    for (int i = 0; i < ROWS * CLASSES; i++) {
        int r = i / CLASSES, j = i % CLASSES;
        double row[CLASSES];
        for (int k = 0; k < CLASSES; k++)
            row[k] = (double)x[r * CLASSES + k];
        row[j] += h;
        double up = loss_f64(CLASSES, row, targets[r]);
        row[j] -= 2 * h;
        double slope = (up - loss_f64(CLASSES, row, targets[r])) / (2 * h);
        assert_true(fabs(slope - (double)dx[i]) < 3e-7);
    }
    tdbg_relu_forward(cpu, ROWS * CLASSES, x, y);
    tdbg_relu_backward(cpu, ROWS * CLASSES, y, dy, dx);
    for (int i = 0; i < ROWS * CLASSES; i++) {
        double v = (double)x[i];
        if (fabs(v) < 2 * h)
            continue; /* the kink */
        double slope = (fmax(v + h, 0) - fmax(v - h, 0)) / (2 * h);
        assert_true(fabs(slope * (double)dy[i] - (double)dx[i]) < 1e-9);
    }
}

static void test_gradients(void **state)
{
    (void)state;
    on_every_isa(check_gradients);
}

/* ---- host_math ------------------------------------------------------------------------------- */

static void test_cos_pi(void **state)
{
    (void)state;
    const long double pi = 3.141592653589793238462643383279502884L;
    double worst = 0;
    for (int i = 0; i <= 1000000; i++) {
        double x = i / 1e6;
        worst = fmax(worst, fabs((double)((long double)tdbg_host_cos_pi(x) - cosl(pi * x))));
    }
    print_message("cos_pi: largest error %.3g\n", worst);
    assert_true(worst < 1e-15);
    assert_true(tdbg_host_cos_pi(0) == 1 && tdbg_host_cos_pi(1) == -1);
    assert_true(tdbg_host_cos_pi(0.5) == 0 && !signbit(tdbg_host_cos_pi(0.5)));
}

static void test_pow_int(void **state)
{
    (void)state;
    assert_true(tdbg_host_pow_int(0.9, 0) == 1);
    assert_true(tdbg_host_pow_int(0.9, 1) == 0.9);
    assert_true(tdbg_host_pow_int(2, 10) == 1024);
    const double x = 0.999, x2 = x * x, x4 = x2 * x2;
    assert_true(tdbg_host_pow_int(x, 7) == x * x2 * x4);
    for (int n = 1; n < 100000; n = n * 3 + 1) {
        double want = pow(x, n);
        assert_true(fabs(tdbg_host_pow_int(x, n) - want) <= want * n * 0x1p-51);
    }
    assert_true(tdbg_host_pow_int(0.9, INT64_MAX) == 0);
}

/* ---- tdbg_cpu_init --------------------------------------------------------------------------- */

static void test_cpu_choice(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 0, &err), TDBG_OK);
    assert_true(cpu.threads >= 1 && cpu.table != NULL);
    assert_int_equal(tdbg_cpu_init(&cpu, "portable", 3, &err), TDBG_OK);
    assert_int_equal(cpu.threads, 3);
    assert_int_equal(cpu.isa, TDBG_ISA_PORTABLE);
    assert_int_equal(tdbg_cpu_init(&cpu, "mmx", 1, &err), TDBG_USAGE);
    assert_non_null(strstr(err.message, "mmx"));
    assert_int_equal(tdbg_cpu_init(&cpu, "portable", -1, &err), TDBG_USAGE);
    tdbg_err_clear(&err);
}

struct cover {
    int64_t n, grain;
    unsigned char *times; /* (n) */
};

static void mark_range(void *ctx, int64_t lo, int64_t hi)
{
    struct cover *c = ctx;
    if (lo % c->grain != 0 || lo >= hi || hi > c->n)
        abort(); /* cmocka's own checks are not made for other threads */
    for (int64_t i = lo; i < hi; i++)
        c->times[i]++;
}

static void nested_range(void *ctx, int64_t lo, int64_t hi)
{
    struct cover *c = ctx;
    for (int64_t i = lo; i < hi; i++)
        tdbg_parallel_for(3, 1, 1, mark_range,
                          &(struct cover){.n = 1, .grain = 1, .times = c->times + i});
}

static void test_parallel_for(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 2, 63, 64, 65, 1000}, grains[] = {1, 2, 64, 5000};
    unsigned char times[1000];
    for (int threads = 1; threads <= 7; threads++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                struct cover c = {.n = lengths[i], .grain = grains[g], .times = times};
                memset(times, 0, sizeof times);
                tdbg_parallel_for(threads, c.n, c.grain, mark_range, &c);
                tdbg_parallel_for(threads, c.n, c.grain, nested_range, &c);
                for (int64_t k = 0; k < (int64_t)sizeof times; k++)
                    assert_int_equal(times[k], k < c.n ? 2 : 0);
            }
        }
    }
}

static void test_floating_point_mode(void **state)
{
    (void)state;
#ifdef __x86_64__
    static const unsigned modes[] = {0x8000, 0x0040, 0x2000, 0x4000, 0x6000};
    const unsigned kept = _mm_getcsr();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct tdbg_cpu cpu;
        _mm_setcsr(kept | modes[i]);
        enum tdbg_status st = tdbg_cpu_init(&cpu, "portable", 1, NULL);
        _mm_setcsr(kept);
        assert_int_equal(st, TDBG_DEVICE);
        assert_int_equal(tdbg_cpu_init(&cpu, "portable", 2, NULL), TDBG_OK);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_cos_pi),
        cmocka_unit_test(test_pow_int),
        cmocka_unit_test(test_cpu_choice),
        cmocka_unit_test(test_floating_point_mode),
        cmocka_unit_test(test_parallel_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
