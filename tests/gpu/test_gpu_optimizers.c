/* Optimizers' steps and clipping on the GPU backend beside the CPU's, bit for bit: every form of
 * every one, for one range and for several, at sizes around the widths of blocks and tiles, at
 * addresses that only floats are aligned to. What lies between the ranges stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/gradient_clip.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"

static struct tdbg_backend *backends[2]; /* CPU, GPU */

enum { TENSORS = 5, SHIFT = 3, MAX_RANGES = 560 }; /* SHIFT: floats in front of the first range */

/* Ranges of these sizes, in this order, all of them so many times. */
struct layout {
    int32_t n_sizes, times;
    int64_t sizes[8];
};

static const struct layout layouts[] = {
    {1, 1, {0}},        {1, 1, {1}},    {1, 1, {31}},   {1, 1, {257}},
    {1, 1, {1024}},     {1, 1, {2050}}, {1, 1, {9001}}, {5, 1, {1, 3, 4096, 4097, 20000}},
    {3, 30, {2, 0, 5}}, /* more tiles than blocks: a block goes from range to range */
};

/* Places them one behind the other, with gaps of 0 to 5 elements. Returns the size of the buffer.
 */
static int64_t place_ranges(const struct layout *layout, struct tdbg_range *range,
                            struct tdbg_ranges *ranges)
{
    int64_t at = SHIFT;
    const int32_t n = layout->n_sizes * layout->times;
    assert_true(n <= MAX_RANGES);
    for (int32_t r = 0; r < n; r++) {
        range[r].offset = at;
        range[r].elems = layout->sizes[r % layout->n_sizes];
        at += range[r].elems + r * 5 % 6;
    }
    *ranges = tdbg_ranges_of(range, n);
    return at + 1;
}

/* The table of the ranges is going to change. */
static void forget(const struct tdbg_backend *be)
{
    if (be->forget_tables)
        be->forget_tables(be->context);
}

/* x: gradient, parameter and three state tensors, flat; the last of the state is never negative. */
typedef void run_fn(const struct tdbg_backend *be, int variant, const struct tdbg_ranges *ranges,
                    float *const *x);

static void run_sgd(const struct tdbg_backend *be, int variant, const struct tdbg_ranges *ranges,
                    float *const *x)
{
    const struct tdbg_sgd sgd = {.lr = 0.3f,
                                 .momentum = variant & 1 ? 0.9f : 0,
                                 .nesterov = variant & 2,
                                 .weight_decay = variant & 4 ? 0.01f : 0};
    be->sgd(be->context, ranges, &sgd, x[0], x[1], variant & 1 ? x[2] : NULL);
}

static void run_adam(const struct tdbg_backend *be, int variant, const struct tdbg_ranges *ranges,
                     float *const *x)
{
    const struct tdbg_adam adam = {.beta1 = 0.9f,
                                   .beta2 = 0.999f,
                                   .eps = 1e-8f,
                                   .one_minus_beta1 = 0.1f,
                                   .one_minus_beta2 = 0.001f,
                                   .weight_decay = variant & 1 ? 0.02f : 0,
                                   .step_size = 0.003f,
                                   .bias2_sqrt = 0.3f};
    be->adam(be->context, ranges, &adam, x[0], x[1], x[2], x[4]);
}

static void run_adamw(const struct tdbg_backend *be, int variant, const struct tdbg_ranges *ranges,
                      float *const *x)
{
    const struct tdbg_adamw adamw = {.beta1 = 0.9f,
                                     .beta2 = 0.95f,
                                     .eps = 1e-8f,
                                     .one_minus_beta1 = 0.1f,
                                     .one_minus_beta2 = 0.05f,
                                     .decay = variant & 1 ? 0.999f : 1,
                                     .step_size = 0.003f,
                                     .bias2_sqrt = 0.7f};
    be->adamw(be->context, ranges, &adamw, x[0], x[1], x[2], x[4]);
}

static void run_adadelta(const struct tdbg_backend *be, int variant,
                         const struct tdbg_ranges *ranges, float *const *x)
{
    const struct tdbg_adadelta adadelta = {.lr = 0.5f,
                                           .rho = 0.9f,
                                           .eps = 1e-6f,
                                           .weight_decay = variant & 1 ? 0.03f : 0,
                                           .one_minus_rho = 0.1f};
    be->adadelta(be->context, ranges, &adadelta, x[0], x[1], x[3], x[4]);
}

static void run_adagrad(const struct tdbg_backend *be, int variant,
                        const struct tdbg_ranges *ranges, float *const *x)
{
    const struct tdbg_adagrad adagrad = {
        .lr = 0.2f, .eps = 1e-10f, .weight_decay = variant & 1 ? 0.04f : 0};
    be->adagrad(be->context, ranges, &adagrad, x[0], x[1], x[4]);
}

static void run_rmsprop(const struct tdbg_backend *be, int variant,
                        const struct tdbg_ranges *ranges, float *const *x)
{
    const struct tdbg_rmsprop rmsprop = {.lr = 0.1f,
                                         .alpha = 0.99f,
                                         .eps = 1e-8f,
                                         .momentum = variant & 1 ? 0.8f : 0,
                                         .centered = variant & 2,
                                         .weight_decay = variant & 4 ? 0.05f : 0,
                                         .one_minus_alpha = 0.01f};
    const struct tdbg_rmsprop_state state = {.square_avg = x[4],
                                             .momentum_buffer = variant & 1 ? x[2] : NULL,
                                             .grad_avg = variant & 2 ? x[3] : NULL};
    be->rmsprop(be->context, ranges, &rmsprop, x[0], x[1], &state);
}

static void run_lion(const struct tdbg_backend *be, int variant, const struct tdbg_ranges *ranges,
                     float *const *x)
{
    const struct tdbg_lion lion = {.lr = 0.01f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.99f,
                                   .one_minus_beta1 = 0.1f,
                                   .one_minus_beta2 = 0.01f,
                                   .decay = variant & 1 ? 0.998f : 1};
    be->lion(be->context, ranges, &lion, x[0], x[1], x[2]);
}

static void run_clip_value(const struct tdbg_backend *be, int variant,
                           const struct tdbg_ranges *ranges, float *const *x)
{
    be->clip_value(be->context, ranges, variant & 1 ? 0.5f : 0x1p-130f, x[0]);
}

static void run_clip_scale(const struct tdbg_backend *be, int variant,
                           const struct tdbg_ranges *ranges, float *const *x)
{
    be->clip_scale(be->context, ranges, x[2] + variant, x[0]);
}

struct step_case {
    const char *name;
    run_fn *run;
    int variants;
};

static const struct step_case step_cases[] = {
    {"sgd", run_sgd, 8},
    {"adam", run_adam, 2},
    {"adamw", run_adamw, 2},
    {"adadelta", run_adadelta, 2},
    {"adagrad", run_adagrad, 2},
    {"rmsprop", run_rmsprop, 8},
    {"lion", run_lion, 2},
    {"clip_value", run_clip_value, 2},
    {"clip_scale", run_clip_scale, 4},
};

/* Fails where elements in front of, between or behind the ranges have changed. */
static void check_gaps(const char *name, const struct tdbg_ranges *ranges, const float *before,
                       const float *after, int64_t elems)
{
    int64_t at = 0;
    for (int32_t r = 0; r <= ranges->n; r++) {
        const int64_t end = r < ranges->n ? ranges->range[r].offset : elems;
        gpu_check_same(name, before + at, after + at, end - at);
        at = r < ranges->n ? end + ranges->range[r].elems : at;
    }
}

static void check_step(const struct step_case *c, int variant, const struct layout *layout,
                       enum gpu_values kind)
{
    struct tdbg_range range[MAX_RANGES];
    struct tdbg_ranges ranges;
    const int64_t n = place_ranges(layout, range, &ranges);
    const size_t bytes = (size_t)n * sizeof(float);
    float *from[TENSORS], *x[2][TENSORS];
    for (int t = 0; t < TENSORS; t++) {
        from[t] = malloc(bytes);
        gpu_fill(from[t], n, (uint64_t)t, kind);
        for (int64_t i = 0; t == TENSORS - 1 && i < n; i++)
            from[t][i] = from[t][i] < 0 ? -from[t][i] : from[t][i];
    }
    for (int b = 0; b < 2; b++) {
        for (int t = 0; t < TENSORS; t++)
            x[b][t] = gpu_place(backends[b], from[t], bytes);
        c->run(backends[b], variant, &ranges, x[b]);
        for (int t = 0; t < TENSORS; t++)
            x[b][t] = gpu_bring(backends[b], x[b][t], bytes);
        forget(backends[b]);
    }
    for (int t = 0; t < TENSORS; t++) {
        char name[128];
        snprintf(name, sizeof name, "%s %d, %d ranges of %lld elements, values %d: tensor %d",
                 c->name, variant, (int)ranges.n, (long long)n, (int)kind, t);
        gpu_check_same(name, x[0][t], x[1][t], n);
        check_gaps(name, &ranges, from[t], x[1][t], n);
        check_gaps(name, &ranges, from[t], x[0][t], n);
        free(x[0][t]);
        free(x[1][t]);
        free(from[t]);
    }
}

static void test_step(void **state)
{
    const struct step_case *c = *state;
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
        for (int variant = 0; variant < c->variants; variant++)
            for (int kind = 0; kind < GPU_VALUES; kind++)
                check_step(c, variant, &layouts[l], (enum gpu_values)kind);
}

static void check_square_sums(const struct layout *layout, enum gpu_values kind)
{
    struct tdbg_range range[MAX_RANGES];
    struct tdbg_ranges ranges;
    const int64_t n = place_ranges(layout, range, &ranges);
    const size_t scratch_bytes = (size_t)tdbg_clip_scratch_elems(&ranges) * sizeof(float);
    const size_t out_bytes = (size_t)ranges.n * sizeof(float);
    float *sums[2], *from = malloc((size_t)n * sizeof *from);
    gpu_fill(from, n, (uint64_t)n, kind);
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        float *x = gpu_place(be, from, (size_t)n * sizeof *from);
        float *out = gpu_place(be, NULL, out_bytes);
        float *scratch = gpu_place(be, NULL, scratch_bytes);
        be->clip_square_sum(be->context, &ranges, x, out, scratch);
        sums[b] = gpu_bring(be, out, out_bytes);
        gpu_drop(be, x);
        gpu_drop(be, scratch);
        forget(be);
    }
    gpu_check_same("square sums", sums[0], sums[1], ranges.n);
    free(sums[0]);
    free(sums[1]);
    free(from);
}

static void test_square_sum(void **state)
{
    static const struct layout small[] = {
        {8, 1, {0, 1, 31, 33, 4096, 4097, 40000, 135173}},
        {1, 1, {0}},
        {4, 140, {7, 0, 40, 1}}, /* more tiles than warps */
    };
    static const struct layout large = {2, 1, {4096 * 4096 + 4097, 5}}; /* sums of sums of sums */
    (void)state;
    for (size_t l = 0; l < sizeof small / sizeof *small; l++)
        for (int kind = 0; kind < GPU_VALUES; kind++)
            check_square_sums(&small[l], (enum gpu_values)kind);
    check_square_sums(&large, GPU_PLAIN);
}

static void test_norm(void **state)
{
    static const int64_t counts[] = {0, 1, 5, 300, 2500};
    static const float special[] = {__builtin_inff(), __builtin_nanf(""), 1e30f, 0};
    (void)state;
    for (int i = 0; i < 5 * 5; i++) {
        const int64_t n = counts[i % 5];
        float *out[2], squares[2500];
        for (int64_t k = 0; k < n; k++)
            squares[k] = tdbg_philox_uniform(gpu_random(9, (uint64_t)(k + i))) * 0x1p-10f;
        if (n > 0 && i / 5 > 0)
            squares[n / 2] = special[i / 5 - 1];
        for (int b = 0; b < 2; b++) {
            const struct tdbg_backend *be = backends[b];
            float *x = gpu_place(be, squares, (size_t)n * sizeof *squares);
            out[b] = gpu_place(be, NULL, 2 * sizeof(float));
            be->clip_norm(be->context, n, x, 0.25f, out[b]);
            be->free(be->context, x);
            out[b] = gpu_bring(be, out[b], 2 * sizeof(float));
        }
        gpu_check_same("norm and factor", out[0], out[1], 2);
        free(out[0]);
        free(out[1]);
    }
}

int main(int argc, char **argv)
{
    enum { STEPS = sizeof step_cases / sizeof *step_cases };
    struct CMUnitTest tests[STEPS + 2] = {
        {.name = "clip_square_sum", .test_func = test_square_sum},
        {.name = "clip_norm", .test_func = test_norm},
    };
    for (int i = 0; i < STEPS; i++)
        tests[2 + i] = (struct CMUnitTest){.name = step_cases[i].name,
                                           .test_func = test_step,
                                           .initial_state = (void *)&step_cases[i]};
    gpu_open_both(&backends[0], &backends[1]);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests_name("gpu-optimizers", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(backends[1]);
    tdbg_backend_cpu_destroy(backends[0]);
    return failed;
}
