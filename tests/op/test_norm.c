/* Layer, RMS and batch norm, forward and backward: on every instruction set of this processor with
 * 1, 2 and 7 threads bit for bit what the headers say word by word, within a stated bound of a
 * binary64 reference, and a golden hash per norm. The references are in norm_reference.c. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "base/philox.h"
#include "kernels/batch_norm.h"
#include "kernels/reduce.h"
#include "kernels/row_norm.h"
#include "kernels/stream_store.h"
#include "kernels/sum_lanes.h"
#include "norm_reference.h"

enum { SEED = 20261125 };
static const int thread_counts[] = {1, 2, 7};
static const char *const kind_text[] = {"layer norm", "RMS norm", "batch norm"};

/* Values like a layer's; a mean 10^4 times the deviation; exponents from 2^-145 to 2^14; NaN, Inf,
 * zeros and denormals among others; all the same. */
enum fill { FILL_PLAIN, FILL_FAR, FILL_WIDE, FILL_SPECIAL, FILL_CONSTANT, FILL_COUNT };
static const char *const fill_text[] = {"plain", "far", "wide", "special", "constant"};

static float special_value(uint32_t word)
{
    static const uint32_t bits[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000,
                                    0xff800000, 0x80000000, 0x00000001, 0x807fffff};
    return tdbg_bits_float(bits[word % (sizeof bits / sizeof *bits)]);
}

static float *make_floats(enum fill fill, int64_t n, uint64_t stream)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, stream);
    for (int64_t i = 0; i < n; i++) {
        struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, fill);
        x[i] = tdbg_philox_uniform(r.word[0]) * 4 - 2;
        if (fill == FILL_FAR)
            x[i] = 10000 + x[i];
        if (fill == FILL_WIDE)
            x[i] = ldexpf(x[i], (int)(r.word[1] % 160) - 145);
        if (fill == FILL_SPECIAL && r.word[1] % 509 == 0)
            x[i] = special_value(r.word[2]);
        if (fill == FILL_CONSTANT)
            x[i] = 0.1f;
    }
    return x;
}

/* ---- running the kernels --------------------------------------------------------------------- */

struct output {
    float *f[NORM_OUTPUTS];
};

static struct output make_output(const struct norm_input *in)
{
    struct output out;
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        size_t bytes = (size_t)norm_output_elems(in, k) * sizeof(float);
        out.f[k] = aligned_alloc(64, (bytes + 127) / 64 * 64);
        memset(out.f[k], 0x5a, bytes);
    }
    return out;
}

static void free_output(struct output *out)
{
    for (int k = 0; k < NORM_OUTPUTS; k++)
        free(out->f[k]);
}

static void run_rows(const struct norm_input *in, const struct tdbg_cpu *cpu, struct output *out)
{
    const struct tdbg_row_norm norm = {
        .rows = in->groups, .width = in->inner, .eps = in->eps, .centre = in->kind == NORM_LAYER};
    float *stats = malloc((size_t)tdbg_row_norm_stats_elems(&norm) * sizeof *stats + 1);
    void *workspace = malloc(tdbg_row_norm_workspace_bytes(&norm) + 1);
    const float *weight = in->scaled ? in->weight : NULL;
    tdbg_row_norm_forward(cpu, &norm, in->x, weight, in->shifted ? in->bias : NULL, out->f[NORM_Y],
                          stats);
    tdbg_row_norm_backward(cpu, &norm, in->x, weight, stats, in->dy, out->f[NORM_DX],
                           in->scaled ? out->f[NORM_DWEIGHT] : NULL,
                           in->scaled ? out->f[NORM_DBIAS] : NULL, workspace);
    free(stats);
    free(workspace);
}

static struct tdbg_batch_norm batch_norm_of(const struct norm_input *in)
{
    return (struct tdbg_batch_norm){in->outer, in->groups, in->inner, in->eps};
}

static void run_batch(const struct norm_input *in, const struct tdbg_cpu *cpu, struct output *out)
{
    const struct tdbg_batch_norm norm = batch_norm_of(in);
    float *stats = malloc((size_t)tdbg_batch_norm_stats_elems(&norm) * sizeof *stats);
    void *workspace = malloc(tdbg_batch_norm_workspace_bytes(&norm));
    const float *weight = in->scaled ? in->weight : NULL;
    float *mean = out->f[NORM_RUNNING_MEAN], *var = out->f[NORM_RUNNING_VAR];
    memcpy(mean, in->running_mean, (size_t)in->groups * sizeof *mean);
    memcpy(var, in->running_var, (size_t)in->groups * sizeof *var);
    tdbg_batch_norm_forward(cpu, &norm, in->x, weight, in->shifted ? in->bias : NULL, in->momentum,
                            mean, var, out->f[NORM_Y], stats, workspace);
    tdbg_batch_norm_backward(cpu, &norm, in->x, weight, stats, in->dy, out->f[NORM_DX],
                             in->scaled ? out->f[NORM_DWEIGHT] : NULL,
                             in->scaled ? out->f[NORM_DBIAS] : NULL, workspace);
    free(stats);
    free(workspace);
}

static struct output run(const struct norm_input *in, const struct tdbg_cpu *cpu)
{
    struct output out = make_output(in);
    if (in->kind == NORM_BATCH)
        run_batch(in, cpu, &out);
    else
        run_rows(in, cpu, &out);
    return out;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static const char *describe(const struct norm_input *in, enum fill fill, const struct tdbg_cpu *cpu)
{
    static char text[256];
    snprintf(text, sizeof text, "%s (%lld, %lld, %lld)%s%s fill %s isa %s threads %d seed %d",
             kind_text[in->kind], (long long)in->outer, (long long)in->groups, (long long)in->inner,
             in->scaled ? " weight" : "", in->shifted ? " bias" : "", fill_text[fill],
             tdbg_isa_text(cpu->isa), cpu->threads, (int)SEED);
    return text;
}

static void check_same(const struct norm_input *in, enum fill fill, const struct tdbg_cpu *cpu,
                       const struct output *want, const struct output *got)
{
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        for (int64_t i = 0; i < norm_output_elems(in, k); i++) {
            uint32_t a = tdbg_float_bits(want->f[k][i]), b = tdbg_float_bits(got->f[k][i]);
            a = want->f[k][i] != want->f[k][i] ? 0x7fc00000u : a;
            if (a != b)
                fail_msg("%s: output %d [%lld] is %08x, by the word %08x", describe(in, fill, cpu),
                         k, (long long)i, b, a);
        }
    }
}

/* Largest error beside what is allowed. */
static double check_close(const struct norm_input *in, enum fill fill, const struct tdbg_cpu *cpu,
                          const struct output *got)
{
    double *exact[NORM_OUTPUTS], *allowed[NORM_OUTPUTS], worst = 0;
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        exact[k] = malloc((size_t)norm_output_elems(in, k) * sizeof(double) + 8);
        allowed[k] = malloc((size_t)norm_output_elems(in, k) * sizeof(double) + 8);
    }
    norm_reference(in, exact, allowed);
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        for (int64_t i = 0; i < norm_output_elems(in, k); i++) {
            double error = fabs((double)got->f[k][i] - exact[k][i]);
            if (!(error <= allowed[k][i]))
                fail_msg("%s: output %d [%lld] is %a, exact %a, allowed %g",
                         describe(in, fill, cpu), k, (long long)i, (double)got->f[k][i],
                         exact[k][i], allowed[k][i]);
            worst = error / allowed[k][i] > worst ? error / allowed[k][i] : worst;
        }
        free(exact[k]);
        free(allowed[k]);
    }
    return worst;
}

static uint64_t check_case(struct norm_input in, enum fill fill, uint64_t h)
{
    const int64_t n = norm_elems(&in);
    struct tdbg_cpu cpu;
    float *x = make_floats(fill, n, 1);
    float *dy = make_floats(fill == FILL_SPECIAL ? FILL_SPECIAL : FILL_PLAIN, n, 2);
    float *per[4];
    for (int k = 0; k < 4; k++)
        per[k] = make_floats(FILL_PLAIN, in.groups + norm_width(&in), (uint64_t)(3 + k));
    for (int64_t g = 0; g < in.groups; g++)
        per[3][g] = fabsf(per[3][g]);
    in.x = x;
    in.dy = dy;
    in.weight = per[0];
    in.bias = per[1];
    in.running_mean = per[2];
    in.running_var = per[3];

    struct output want = make_output(&in);
    norm_by_the_word(&in, want.f);
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
            const char *text = tdbg_isa_text((enum tdbg_isa)isa);
            if (tdbg_cpu_init(&cpu, text, thread_counts[t], NULL) != TDBG_OK)
                continue; /* this processor lacks it */
            struct output got = run(&in, &cpu);
            check_same(&in, fill, &cpu, &want, &got);
            if (isa == 0 && t == 0 && fill != FILL_SPECIAL)
                check_close(&in, fill, &cpu, &got);
            if (isa == 0 && t == 0) {
                for (int k = 0; k < NORM_OUTPUTS; k++)
                    h = tdbg_chain_absorb(h, tdbg_digest_reference(got.f[k], TDBG_DTYPE_F32,
                                                                   norm_output_elems(&in, k)));
            }
            free_output(&got);
        }
    }
    free_output(&want);
    free(x);
    free(dy);
    for (int k = 0; k < 4; k++)
        free(per[k]);
    return h;
}

/* ---- the cases ------------------------------------------------------------------------------- */

/* (rows, width, 1): rows of one element, below and above 32 lanes, of several blocks; slices of 256
 * rows; the last ones are worth more than one thread. */
static const int64_t row_shapes[][3] = {
    {1, 1, 1},    {3, 1, 1},     {1, 2, 1},    {5, 31, 1},    {4, 32, 1},
    {17, 33, 1},  {300, 64, 1},  {7, 100, 1},  {2, 4096, 1},  {2, 4097, 1},
    {3, 9000, 1}, {1, 40000, 1}, {700, 40, 1}, {4000, 24, 1},
};
/* (samples, channels, inner): one element; features; below and above 32 lanes; blocks of several
 * samples; samples of several blocks; more than 256 blocks. */
static const int64_t image_shapes[][3] = {
    {1, 1, 1},     {2, 3, 1},    {257, 5, 1},  {600, 70, 1},  {33, 600, 1},   {9, 4, 4},
    {300, 130, 9}, {40, 3, 32},  {40, 3, 33},  {90, 20, 49},  {5, 2, 1024},   {3, 9, 784},
    {2, 3, 4096},  {2, 3, 4097}, {1, 2, 9000}, {4200, 1, 16}, {263, 1, 2100},
};

struct group_of_cases {
    enum norm_kind kind;
    bool scaled, shifted;
    uint64_t golden;
};

static const struct group_of_cases cases[] = {
    {NORM_LAYER, true, true, UINT64_C(0x2013cde004849a89)},
    {NORM_LAYER, true, false, UINT64_C(0xdbd1bbbad22faacf)},
    {NORM_LAYER, false, false, UINT64_C(0x98885f2aa821aff5)},
    {NORM_RMS, true, false, UINT64_C(0xf5abfe1d9a248fa2)},
    {NORM_RMS, false, false, UINT64_C(0x1200ddb2db3897cb)},
    {NORM_BATCH, true, true, UINT64_C(0x079ea06a7dd6cd5d)},
    {NORM_BATCH, false, false, UINT64_C(0x4b525cd80edbd5dd)},
};

static void test_norm(void **state)
{
    const struct group_of_cases *c = *state;
    const bool batch = c->kind == NORM_BATCH;
    const int64_t(*shapes)[3] = batch ? image_shapes : row_shapes;
    const size_t n =
        batch ? sizeof image_shapes / sizeof *image_shapes : sizeof row_shapes / sizeof *row_shapes;
    uint64_t h = 0;
    for (size_t s = 0; s < n; s++) {
        struct norm_input in = {.kind = c->kind,
                                .outer = batch ? shapes[s][0] : 1,
                                .groups = batch ? shapes[s][1] : shapes[s][0],
                                .inner = batch ? shapes[s][2] : shapes[s][1],
                                .eps = 1e-5f,
                                .momentum = 0.1f,
                                .scaled = c->scaled,
                                .shifted = c->shifted};
        for (int fill = 0; fill < FILL_COUNT; fill++)
            h = check_case(in, (enum fill)fill, h);
    }
    if (h != c->golden)
        fail_msg("%s%s: the golden hash is now 0x%016" PRIx64 ", seed %d: a bit has moved (see "
                 "docs/numerics.md before you change it)",
                 kind_text[c->kind], c->scaled ? " with weight" : "", h, (int)SEED);
}

/* ---- single promises ------------------------------------------------------------------------- */

/* Tensors whose results are stored around the caches, with rows at every alignment. */
static void test_stream(void **state)
{
    (void)state;
    const struct norm_input inputs[] = {
        {.kind = NORM_LAYER, .outer = 1, .groups = 2048, .inner = 4099},
        {.kind = NORM_BATCH, .outer = 41, .groups = 200, .inner = 1027},
        {.kind = NORM_BATCH, .outer = 1100, .groups = 853, .inner = 9},
    };
    struct tdbg_cpu portable, best;
    assert_int_equal(tdbg_cpu_init(&portable, "portable", 2, NULL), TDBG_OK);
    assert_int_equal(tdbg_cpu_init(&best, "auto", 2, NULL), TDBG_OK);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        struct norm_input in = inputs[i];
        const int64_t n = norm_elems(&in);
        assert_true(n >= TDBG_STREAM_MIN_BYTES / 4);
        float *x = make_floats(FILL_PLAIN, n, 1), *dy = make_floats(FILL_PLAIN, n, 2);
        float *per = make_floats(FILL_PLAIN, 5000, 3);
        in.x = x;
        in.dy = dy;
        in.weight = in.bias = in.running_mean = in.running_var = per;
        in.scaled = in.shifted = true;
        struct output want = run(&in, &portable), got = run(&in, &best);
        check_same(&in, FILL_PLAIN, &best, &want, &got);
        free_output(&want);
        free_output(&got);
        free(x);
        free(dy);
        free(per);
    }
}

/* The analytic gradients that the reference and the kernels share, against differences of the
 * reference's own forward pass. */
static double loss_of(const struct norm_input *in)
{
    double *exact[NORM_OUTPUTS], *allowed[NORM_OUTPUTS], loss = 0;
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        exact[k] = malloc((size_t)norm_output_elems(in, k) * sizeof(double) + 8);
        allowed[k] = malloc((size_t)norm_output_elems(in, k) * sizeof(double) + 8);
    }
    norm_reference(in, exact, allowed);
    for (int64_t i = 0; i < norm_elems(in); i++)
        loss += exact[NORM_Y][i] * (double)in->dy[i];
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        free(exact[k]);
        free(allowed[k]);
    }
    return loss;
}

static void check_slope(const struct norm_input *in, float *variable, double gradient)
{
    const float old = *variable, step = 0x1p-10f;
    *variable = old + step;
    const double up = (double)*variable, above = loss_of(in);
    *variable = old - step;
    const double slope = (above - loss_of(in)) / (up - (double)*variable);
    *variable = old;
    if (!(fabs(slope - gradient) <= 1e-3 * (1 + fabs(slope))))
        fail_msg("%s: gradient %g, difference %g", kind_text[in->kind], gradient, slope);
}

static void test_gradients(void **state)
{
    (void)state;
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 1, NULL), TDBG_OK);
    for (int kind = 0; kind < NORM_KINDS; kind++) {
        struct norm_input in = {.kind = (enum norm_kind)kind,
                                .outer = kind == NORM_BATCH ? 3 : 1,
                                .groups = 4,
                                .inner = 5,
                                .eps = 1e-3f,
                                .scaled = true,
                                .shifted = kind != NORM_RMS};
        const int64_t n = norm_elems(&in);
        float *x = make_floats(FILL_PLAIN, n, 1), *dy = make_floats(FILL_PLAIN, n, 2);
        float *weight = make_floats(FILL_PLAIN, 5, 3), *bias = make_floats(FILL_PLAIN, 5, 4);
        in.x = x;
        in.dy = dy;
        in.weight = weight;
        in.bias = in.running_mean = in.running_var = bias;
        struct output out = run(&in, &cpu);
        for (int64_t i = 0; i < n; i++)
            check_slope(&in, x + i, (double)out.f[NORM_DX][i]);
        for (int64_t j = 0; j < norm_width(&in); j++) {
            check_slope(&in, weight + j, (double)out.f[NORM_DWEIGHT][j]);
            if (in.shifted)
                check_slope(&in, bias + j, (double)out.f[NORM_DBIAS][j]);
        }
        free_output(&out);
        free(x);
        free(dy);
        free(weight);
        free(bias);
    }
}

/* Evaluation: the running statistics, through the same last stage. */
static void test_evaluation(void **state)
{
    (void)state;
    const struct tdbg_batch_norm norm = {3, 2, 5, 1e-5f};
    const float mean[2] = {0.5f, -3}, var[2] = {2, 0.25f}, weight[2] = {1.5f, -2};
    const float bias[2] = {0.25f, 4};
    float *x = make_floats(FILL_PLAIN, 30, 9), y[30], stats[6];
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        struct tdbg_cpu cpu;
        if (tdbg_cpu_init(&cpu, tdbg_isa_text((enum tdbg_isa)isa), 1, NULL) != TDBG_OK)
            continue;
        tdbg_batch_norm_recall(&norm, mean, var, stats);
        tdbg_batch_norm_apply(&cpu, &norm, x, stats, weight, bias, y);
        for (int i = 0; i < 30; i++) {
            int c = i / 5 % 2;
            float h = (x[i] - mean[c]) * (1 / sqrtf(var[c] + 1e-5f));
            assert_true(y[i] == fmaf(h, weight[c], bias[c]));
        }
    }
    free(x);
}

/* Lanes that fold their sums have the statistics of the whole batch. */
static void test_folded_lanes(void **state)
{
    (void)state;
    enum { SAMPLES = 24, CHANNELS = 3, INNER = 50, LANES = 4, PART = SAMPLES / LANES };
    const struct tdbg_batch_norm whole = {SAMPLES, CHANNELS, INNER, 1e-5f};
    const struct tdbg_batch_norm lane = {PART, CHANNELS, INNER, 1e-5f};
    const int64_t stride = PART * CHANNELS * INNER, count = SAMPLES * INNER;
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 1, NULL), TDBG_OK);
    float *x = make_floats(FILL_FAR, LANES * stride, 1);
    float *parts = malloc((size_t)tdbg_batch_norm_parts_elems(&whole) * LANES * sizeof *parts);
    float sum[LANES][CHANNELS], spread[LANES][2 * CHANNELS], stats[9], want[9];
    for (int l = 0; l < LANES; l++) {
        tdbg_batch_norm_blocks(&cpu, &lane, x + l * stride, parts);
        tdbg_batch_norm_sum(&cpu, &lane, parts, sum[l]);
    }
    for (int c = 0; c < CHANNELS; c++)
        sum[0][c] = (sum[0][c] + sum[1][c]) + (sum[2][c] + sum[3][c]);
    for (int l = 0; l < LANES; l++) {
        tdbg_batch_norm_blocks(&cpu, &lane, x + l * stride, parts);
        tdbg_batch_norm_spread(&cpu, &lane, parts, sum[0], count, spread[l]);
    }
    for (int c = 0; c < 2 * CHANNELS; c++)
        spread[0][c] = (spread[0][c] + spread[1][c]) + (spread[2][c] + spread[3][c]);
    tdbg_batch_norm_finish(&whole, sum[0], spread[0], count, stats);
    tdbg_batch_norm_blocks(&cpu, &whole, x, parts);
    tdbg_batch_norm_sum(&cpu, &whole, parts, sum[0]);
    tdbg_batch_norm_spread(&cpu, &whole, parts, sum[0], count, spread[0]);
    tdbg_batch_norm_finish(&whole, sum[0], spread[0], count, want);
    for (int c = 0; c < CHANNELS; c++) {
        double mean = (double)stats[c] + (double)stats[CHANNELS + c];
        assert_true(fabs(mean - (double)want[c] - (double)want[CHANNELS + c]) < 1e-6);
        assert_true(fabs((double)stats[6 + c] / (double)want[6 + c] - 1) < 1e-6);
    }
    free(parts);
    free(x);
}

/* The tree of sum_lanes.h gives what tdbg_reduce_sum gives, at every number of levels. */
static void test_tree(void **state)
{
    (void)state;
    const int64_t block = TDBG_SUM_BLOCK;
    const int64_t lengths[] = {1,
                               100,
                               block,
                               block + 1,
                               40 * block,
                               block * block - 5,
                               block * block,
                               block * block + 3 * block + 1};
    const int64_t most = lengths[7];
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "auto", 1, NULL), TDBG_OK);
    float *x = malloc((size_t)most * sizeof *x);
    float *scratch = malloc((size_t)tdbg_reduce_scratch_elems(most) * sizeof *scratch);
    uint32_t random = 1;
    for (int64_t i = 0; i < most; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(random >> 8) * 0x1p-23f - 1;
    }
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        struct tdbg_sum_tree tree = {0};
        for (int64_t i = 0; i < lengths[k]; i += block) {
            int64_t n = lengths[k] - i < block ? lengths[k] - i : block;
            tdbg_sum_tree_add(&tree, tdbg_reduce_sum(&cpu, n, x + i, NULL));
        }
        float want = tdbg_reduce_sum(&cpu, lengths[k], x, scratch);
        assert_int_equal(tdbg_float_bits(tdbg_sum_tree_finish(&tree)), tdbg_float_bits(want));
    }
    free(x);
    free(scratch);
}

int main(void)
{
    enum { COUNT = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[COUNT + 5] = {
        cmocka_unit_test(test_stream),     cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_evaluation), cmocka_unit_test(test_folded_lanes),
        cmocka_unit_test(test_tree),
    };
    for (int i = 0; i < COUNT; i++) {
        tests[5 + i] =
            (struct CMUnitTest){.name = kind_text[cases[i].kind], .test_func = test_norm};
        memcpy(&tests[5 + i].initial_state, &(const struct group_of_cases *){&cases[i]},
               sizeof(void *));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
