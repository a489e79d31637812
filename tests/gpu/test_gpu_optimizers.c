/* Optimizers' steps and clipping on the GPU backend beside the CPU's, bit for bit: every form of
 * every one, at sizes around the widths of blocks, at addresses that only floats are aligned to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"
#include "kernels/reduce.h"

static struct tdbg_backend *backends[2]; /* CPU, GPU */

enum { TENSORS = 5, SHIFT = 3 }; /* SHIFT: floats in front of each tensor */

static const int64_t sizes[] = {0, 1, 31, 257, 1024, 2050, 9001};

/* grad, param and three state tensors; the last of the state is never negative. */
struct tensors {
    int64_t n;
    float *x[TENSORS];
};

typedef void run_fn(const struct tdbg_backend *be, int variant, int64_t n, float *const *x);

static void run_sgd(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_sgd sgd = {.lr = 0.3f,
                                 .momentum = variant & 1 ? 0.9f : 0,
                                 .nesterov = variant & 2,
                                 .weight_decay = variant & 4 ? 0.01f : 0};
    be->sgd(be->context, n, &sgd, x[0], x[1], variant & 1 ? x[2] : NULL);
}

static void run_adam(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_adam adam = {.beta1 = 0.9f,
                                   .beta2 = 0.999f,
                                   .eps = 1e-8f,
                                   .one_minus_beta1 = 0.1f,
                                   .one_minus_beta2 = 0.001f,
                                   .weight_decay = variant & 1 ? 0.02f : 0,
                                   .step_size = 0.003f,
                                   .bias2_sqrt = 0.3f};
    be->adam(be->context, n, &adam, x[0], x[1], x[2], x[4]);
}

static void run_adamw(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_adamw adamw = {.beta1 = 0.9f,
                                     .beta2 = 0.95f,
                                     .eps = 1e-8f,
                                     .one_minus_beta1 = 0.1f,
                                     .one_minus_beta2 = 0.05f,
                                     .decay = variant & 1 ? 0.999f : 1,
                                     .step_size = 0.003f,
                                     .bias2_sqrt = 0.7f};
    be->adamw(be->context, n, &adamw, x[0], x[1], x[2], x[4]);
}

static void run_adadelta(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_adadelta adadelta = {.lr = 0.5f,
                                           .rho = 0.9f,
                                           .eps = 1e-6f,
                                           .weight_decay = variant & 1 ? 0.03f : 0,
                                           .one_minus_rho = 0.1f};
    be->adadelta(be->context, n, &adadelta, x[0], x[1], x[3], x[4]);
}

static void run_adagrad(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_adagrad adagrad = {
        .lr = 0.2f, .eps = 1e-10f, .weight_decay = variant & 1 ? 0.04f : 0};
    be->adagrad(be->context, n, &adagrad, x[0], x[1], x[4]);
}

static void run_rmsprop(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
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
    be->rmsprop(be->context, n, &rmsprop, x[0], x[1], &state);
}

static void run_lion(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    const struct tdbg_lion lion = {.lr = 0.01f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.99f,
                                   .one_minus_beta1 = 0.1f,
                                   .one_minus_beta2 = 0.01f,
                                   .decay = variant & 1 ? 0.998f : 1};
    be->lion(be->context, n, &lion, x[0], x[1], x[2]);
}

static void run_clip_value(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    be->clip_value(be->context, n, variant & 1 ? 0.5f : 0x1p-130f, x[0]);
}

static void run_clip_scale(const struct tdbg_backend *be, int variant, int64_t n, float *const *x)
{
    if (n > variant)
        be->clip_scale(be->context, n, x[2] + variant, x[0]);
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

static void check_step(const struct step_case *c, int variant, int64_t n, enum gpu_values kind)
{
    const size_t bytes = (size_t)(n + SHIFT) * sizeof(float);
    float *result[2][TENSORS], *from = malloc(bytes);
    for (int b = 0; b < 2; b++) {
        float *all[TENSORS], *x[TENSORS];
        for (int t = 0; t < TENSORS; t++) {
            gpu_fill(from, n + SHIFT, (uint64_t)t, kind);
            for (int64_t i = 0; t == TENSORS - 1 && i < n + SHIFT; i++)
                from[i] = from[i] < 0 ? -from[i] : from[i];
            all[t] = gpu_place(backends[b], from, bytes);
            x[t] = all[t] + SHIFT;
        }
        c->run(backends[b], variant, n, x);
        for (int t = 0; t < TENSORS; t++)
            result[b][t] = gpu_bring(backends[b], all[t], bytes);
    }
    for (int t = 0; t < TENSORS; t++) {
        char name[96];
        snprintf(name, sizeof name, "%s %d, n %lld, values %d: tensor %d", c->name, variant,
                 (long long)n, (int)kind, t);
        gpu_check_same(name, result[0][t], result[1][t], n + SHIFT);
        free(result[0][t]);
        free(result[1][t]);
    }
    free(from);
}

static void test_step(void **state)
{
    const struct step_case *c = *state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int variant = 0; variant < c->variants; variant++)
            for (int kind = 0; kind < GPU_VALUES; kind++)
                check_step(c, variant, sizes[s], (enum gpu_values)kind);
}

static void test_square_sum(void **state)
{
    static const int64_t counts[] = {0, 1, 31, 33, 4096, 4097, 40000, 135173};
    (void)state;
    for (size_t s = 0; s < sizeof counts / sizeof *counts; s++) {
        for (int kind = 0; kind < GPU_VALUES; kind++) {
            const int64_t n = counts[s], room = tdbg_reduce_scratch_elems(n);
            float *sum[2], *from = malloc((size_t)(n + 1) * sizeof *from);
            gpu_fill(from, n + 1, (uint64_t)n, (enum gpu_values)kind);
            for (int b = 0; b < 2; b++) {
                const struct tdbg_backend *be = backends[b];
                float *x = gpu_place(be, from, (size_t)(n + 1) * sizeof *from);
                float *out = gpu_place(be, NULL, sizeof(float));
                float *scratch = gpu_place(be, NULL, (size_t)room * sizeof(float));
                be->clip_square_sum(be->context, n, x + 1, out, scratch);
                sum[b] = gpu_bring(be, out, sizeof(float));
                be->free(be->context, x);
                be->free(be->context, scratch);
            }
            gpu_check_same("square sum", sum[0], sum[1], 1);
            free(sum[0]);
            free(sum[1]);
            free(from);
        }
    }
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
