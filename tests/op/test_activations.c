/* Activations, softmax and dropout as kernels: the same bits on every instruction set and 1, 2 and
 * 7 threads, golden hashes, float64 references, special values, and dropout's mask against Philox
 * word by word. The functions themselves are swept by sweep_math.c. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/philox.h"
#include "kernels/activation.h"
#include "kernels/dropout.h"
#include "kernels/softmax.h"
#include "kernels/strict_math.h"

enum { N = 40961, SEED = 4 };

static float in_x[N], in_dy[N];

static void fill_inputs(void)
{
    static const uint32_t special[] = {0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000, 0x00000000,
                                       0x80000000, 0x00000001, 0x80000001, 0x7f7fffff, 0xff7fffff};
    const uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, 1);
    for (int i = 0; i < N; i++) {
        struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, 0);
        in_x[i] = (tdbg_philox_uniform(r.word[0]) - 0.5f) * (i % 8 == 0 ? 60.0f : 8.0f);
        in_dy[i] = tdbg_philox_uniform(r.word[1]) * 4 - 2;
        if (i % 1021 == 5)
            in_x[i] = tdbg_strict_float(special[i / 1021 % 10]);
    }
}

/* ---- every kernel as one call on in_x, in_dy ------------------------------------------------- */

struct kernel {
    const char *name;
    void (*run)(const struct tdbg_cpu *cpu, int64_t variant, float *out);
    int64_t variant;
    uint64_t golden;
};

static void run_activation(const struct tdbg_cpu *cpu, int64_t kind, float *out)
{
    tdbg_activation_forward(cpu, (enum tdbg_activation)kind, N, in_x, out);
}

static void run_gradient(const struct tdbg_cpu *cpu, int64_t kind, float *out)
{
    memcpy(out, in_x, sizeof in_x);
    if (tdbg_activation_wants_output((enum tdbg_activation)kind))
        tdbg_activation_forward(cpu, (enum tdbg_activation)kind, N, out, out);
    tdbg_activation_backward(cpu, (enum tdbg_activation)kind, N, out, in_dy, out);
}

/* A long row of in_x has a NaN, always. */
static const float *logits_of(int64_t cols)
{
    return cols < 1000 ? in_x : in_dy;
}

static void run_softmax(const struct tdbg_cpu *cpu, int64_t cols, float *out)
{
    memcpy(out, logits_of(cols), sizeof in_x);
    tdbg_softmax_forward(cpu, N / cols, cols, out, out);
}

static void run_softmax_gradient(const struct tdbg_cpu *cpu, int64_t cols, float *out)
{
    run_softmax(cpu, cols, out);
    tdbg_softmax_backward(cpu, N / cols, cols, out, in_dy, out);
}

static void run_dropout(const struct tdbg_cpu *cpu, int64_t elems, float *out)
{
    const struct tdbg_dropout d = tdbg_dropout_make(0.2, SEED, "drop", 7, 1000);
    memcpy(out, in_x, sizeof in_x);
    tdbg_dropout_apply(cpu, &d, N / elems, elems, out, out);
}

static struct kernel kernels[] = {
    {"gelu", run_activation, TDBG_ACTIVATION_GELU_ERF, 0x57ba80ec67fca998},
    {"gelu'", run_gradient, TDBG_ACTIVATION_GELU_ERF, 0x8812986f669fc4a8},
    {"gelu_tanh", run_activation, TDBG_ACTIVATION_GELU_TANH, 0x8270abea5b7cda71},
    {"gelu_tanh'", run_gradient, TDBG_ACTIVATION_GELU_TANH, 0xe8e62e99fd1865f6},
    {"silu", run_activation, TDBG_ACTIVATION_SILU, 0xfeee2e10bdd12a6e},
    {"silu'", run_gradient, TDBG_ACTIVATION_SILU, 0x2e56c2b23a4c78b9},
    {"tanh", run_activation, TDBG_ACTIVATION_TANH, 0x0271c7248d4e626d},
    {"tanh'", run_gradient, TDBG_ACTIVATION_TANH, 0xbd6d7c98cf8e295e},
    {"sigmoid", run_activation, TDBG_ACTIVATION_SIGMOID, 0x75598c55d28daf7a},
    {"sigmoid'", run_gradient, TDBG_ACTIVATION_SIGMOID, 0xc7a71da449822958},
    {"softmax 1", run_softmax, 1, 0xed2f75be006b45e6},
    {"softmax 10", run_softmax, 10, 0x342b6de7230133c9},
    {"softmax 33", run_softmax, 33, 0x9ffe1fbebd6ae287},
    {"softmax 1000", run_softmax, 1000, 0x64f3f66ef92a4bc0},
    {"softmax 20000", run_softmax, 20000, 0x3f26741ee9125e46},
    {"softmax' 10", run_softmax_gradient, 10, 0xcdf2ea0b14b570ab},
    {"softmax' 20000", run_softmax_gradient, 20000, 0xbe8b59a3cd63661f},
    {"dropout 1", run_dropout, 1, 0xe48c7e4cb3841a38},
    {"dropout 67", run_dropout, 67, 0xc13793ef79ad41b2},
    {"dropout 40961", run_dropout, N, 0x75c18b792a3a18be},
};
enum { N_KERNELS = sizeof kernels / sizeof kernels[0] };

static void bits_are_the_same_everywhere(void **state)
{
    (void)state;
    static const int thread_counts[] = {1, 2, 7};
    static float out[N];
    int wrong = 0;
    for (int k = 0; k < N_KERNELS; k++) {
        for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
            for (int t = 0; t < 3; t++) {
                struct tdbg_cpu cpu;
                const char *text = tdbg_isa_text((enum tdbg_isa)isa);
                if (tdbg_cpu_init(&cpu, text, thread_counts[t], NULL) != TDBG_OK)
                    continue;
                kernels[k].run(&cpu, kernels[k].variant, out);
                const uint64_t hash = tdbg_digest_reference(out, TDBG_DTYPE_F32, N);
                if (hash == kernels[k].golden)
                    continue;
                wrong++;
                print_error("%s, %s, %d threads: 0x%016" PRIx64 ", golden is 0x%016" PRIx64 "\n",
                            kernels[k].name, text, thread_counts[t], hash, kernels[k].golden);
            }
        }
    }
    assert_int_equal(wrong, 0);
}

/* ---- references ------------------------------------------------------------------------------ */

static struct tdbg_cpu auto_cpu(void)
{
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 2, NULL), TDBG_OK);
    return cpu;
}

static void assert_near(float value, double exact, double allowed)
{
    if (isnan(exact)) {
        assert_int_equal(tdbg_strict_bits(value), 0x7fc00000);
        return;
    }
    if (!(fabs((double)value - exact) <= allowed))
        fail_msg("%a instead of %a, more than %g away", (double)value, exact, allowed);
}

/* y has a relative error of 2^-24 for each of: exp (twice), the sum's terms and roundings, the
 * quotient; the sum's lanes add at most 128 and 5 terms in a row. */
static void softmax_equals_a_float64_reference(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 10, 31, 32, 33, 64, 1000, 4096, 4097, 20000};
    static float y[N], dx[N];
    const struct tdbg_cpu cpu = auto_cpu();
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        const int64_t cols = lengths[k];
        run_softmax(&cpu, cols, y);
        tdbg_softmax_backward(&cpu, N / cols, cols, y, in_dy, dx);
        for (int64_t r = 0; r < N / cols; r++) {
            const float *x = logits_of(cols) + r * cols;
            double max = -INFINITY, sum = 0, s = 0, size = 0;
            for (int64_t j = 0; j < cols; j++)
                max = (double)x[j] > max ? (double)x[j] : max;
            for (int64_t j = 0; j < cols; j++)
                sum += exp((double)x[j] - max);
            for (int64_t j = 0; j < cols; j++) {
                const int64_t at = r * cols + j;
                const double exact = exp((double)x[j] - max) / sum;
                /* x - max is rounded, which moves exp by as much */
                const double moved = fabs((double)x[j] - max) * 0x1p-24 + 140 * 0x1p-24;
                assert_near(y[at], exact, (exact > 0 ? exact * moved : 0) + 0x1p-149);
                s += (double)in_dy[at] * (double)y[at];
                size += fabs((double)in_dy[at] * (double)y[at]);
            }
            for (int64_t j = 0; j < cols; j++) {
                const int64_t at = r * cols + j;
                const double d = (double)in_dy[at] - s;
                assert_near(dx[at], (double)y[at] * d,
                            (double)y[at] * (size * 140 + fabs(d) * 2) * 0x1p-24 + 0x1p-149);
            }
        }
    }
}

static void special_rows_and_values(void **state)
{
    (void)state;
    const struct tdbg_cpu cpu = auto_cpu();
    const float inf = INFINITY;
    const float rows[4][3] = {{1, inf, 2}, {-inf, -inf, -inf}, {0, NAN, 1}, {-inf, 5, -inf}};
    float y[12], x[4] = {-inf, inf, -0.0f, NAN};
    tdbg_softmax_forward(&cpu, 4, 3, &rows[0][0], y);
    for (int i = 0; i < 9; i++)
        assert_int_equal(tdbg_strict_bits(y[i]), 0x7fc00000);
    assert_true(y[9] == 0 && y[10] == 1 && y[11] == 0);
    for (int kind = 0; kind <= TDBG_ACTIVATION_SIGMOID; kind++) {
        const bool odd = kind != TDBG_ACTIVATION_SIGMOID;
        tdbg_activation_forward(&cpu, (enum tdbg_activation)kind, 4, x, y);
        const bool tanh_like = kind == TDBG_ACTIVATION_TANH;
        assert_int_equal(tdbg_strict_bits(y[0]), tanh_like ? 0xbf800000u : odd ? 0x80000000u : 0u);
        assert_true(y[1] == (tanh_like || !odd ? 1.0f : inf));
        assert_int_equal(tdbg_strict_bits(y[2]), odd ? 0x80000000u : 0x3f000000u);
        assert_int_equal(tdbg_strict_bits(y[3]), 0x7fc00000u);
    }
}

/* ---- dropout --------------------------------------------------------------------------------- */

static void dropout_masks_by_philox(void **state)
{
    (void)state;
    enum { ROWS = 5, ELEMS = 201 };
    static float y[ROWS * ELEMS];
    const struct tdbg_cpu cpu = auto_cpu();
    const double p = 0.3;
    const struct tdbg_dropout d = tdbg_dropout_make(p, 11, "block1.drop", 5, 40);
    const uint64_t op =
        tdbg_philox_key(11, TDBG_RANDOM_DROPOUT, tdbg_philox_hash_name("block1.drop"));
    const uint64_t key = tdbg_philox_key(op, TDBG_RANDOM_DROPOUT, 5);
    int dropped = 0;
    tdbg_dropout_apply(&cpu, &d, ROWS, ELEMS, in_dy, y);
    for (uint64_t r = 0; r < ROWS; r++) {
        for (uint64_t e = 0; e < ELEMS; e++) {
            const uint32_t word = tdbg_philox(key, e / 4, 40 + r).word[e % 4];
            const bool drops = (double)word < floor(p * 0x1p32 + 0.5);
            const float expected = drops ? 0.0f : in_dy[r * ELEMS + e] * (float)(1 / (1 - p));
            assert_int_equal(tdbg_strict_bits(y[r * ELEMS + e]), tdbg_strict_bits(expected));
            dropped += drops;
        }
    }
    assert_in_range(dropped, 250, 350); /* 301.5 expected, standard deviation 14.5 */
}

/* A part of a batch has the masks that its samples have in the whole. */
static void dropout_follows_the_sample(void **state)
{
    (void)state;
    enum { ROWS = 6, ELEMS = 100 };
    float whole[ROWS * ELEMS], part[2 * ELEMS], other[ROWS * ELEMS];
    const struct tdbg_cpu cpu = auto_cpu();
    struct tdbg_dropout d = tdbg_dropout_make(0.5, 3, "d", 0, 0);
    tdbg_dropout_apply(&cpu, &d, ROWS, ELEMS, in_dy, whole);
    d = tdbg_dropout_make(0.5, 3, "d", 0, 4);
    tdbg_dropout_apply(&cpu, &d, 2, ELEMS, in_dy + 4 * ELEMS, part);
    assert_memory_equal(part, whole + 4 * ELEMS, sizeof part);
    d = tdbg_dropout_make(0.5, 3, "d", 1, 0);
    tdbg_dropout_apply(&cpu, &d, ROWS, ELEMS, in_dy, other);
    assert_memory_not_equal(other, whole, sizeof other);
    d = tdbg_dropout_make(0.5, 3, "e", 0, 0);
    tdbg_dropout_apply(&cpu, &d, ROWS, ELEMS, in_dy, other);
    assert_memory_not_equal(other, whole, sizeof other);
}

static void dropout_of_nothing_and_of_all(void **state)
{
    (void)state;
    static float y[1000];
    const struct tdbg_cpu cpu = auto_cpu();
    struct tdbg_dropout d = tdbg_dropout_make(0, 3, "d", 0, 0);
    tdbg_dropout_apply(&cpu, &d, 10, 100, in_dy, y);
    assert_memory_equal(y, in_dy, sizeof y);
    d = tdbg_dropout_make(1, 3, "d", 0, 0);
    tdbg_dropout_apply(&cpu, &d, 10, 100, in_x, y);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(tdbg_strict_bits(y[i]), 0);
    d = tdbg_dropout_make(1 - 0x1p-40, 3, "d", 0, 0); /* rounds to 1, but for the scale */
    tdbg_dropout_apply(&cpu, &d, 10, 100, in_x, y);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(tdbg_strict_bits(y[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_the_same_everywhere),
        cmocka_unit_test(softmax_equals_a_float64_reference),
        cmocka_unit_test(special_rows_and_values),
        cmocka_unit_test(dropout_masks_by_philox),
        cmocka_unit_test(dropout_follows_the_sample),
        cmocka_unit_test(dropout_of_nothing_and_of_all),
    };
    fill_inputs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
