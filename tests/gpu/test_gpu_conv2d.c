/* Convolution on the GPU backend against the CPU's, bit for bit: random geometry and chosen shapes,
 * such that every kernel and every way to cut a sum is met. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"

static struct tdbg_backend *cpu, *gpu;

enum { X, WEIGHT, BIAS, DY, TENSORS };   /* inputs */
enum { Y, DX, DWEIGHT, DBIAS, RESULTS }; /* outputs */
static const char *const result_text[] = {"y", "dx", "dweight", "dbias"};

struct sizes {
    int64_t in[TENSORS], out[RESULTS];
};

static struct sizes sizes_of(const struct tdbg_conv2d *c)
{
    const int64_t plane = tdbg_conv2d_out_size(c, 0) * tdbg_conv2d_out_size(c, 1);
    const int64_t x = c->samples * c->in * c->height * c->width, y = c->samples * c->out * plane;
    const int64_t weight = c->out * (c->in / c->groups) * c->kernel[0] * c->kernel[1];
    return (struct sizes){{x, weight, c->out, y}, {y, x, weight, c->out}};
}

static void run(const struct tdbg_backend *be, const struct tdbg_conv2d *c,
                float *const in[TENSORS], bool bias, float *out[RESULTS])
{
    const struct sizes n = sizes_of(c);
    const size_t bytes = be->conv2d_workspace_bytes(be->context, c);
    void *workspace = gpu_place(be, NULL, bytes);
    float *place[TENSORS], *result[RESULTS];
    for (int i = 0; i < TENSORS; i++)
        place[i] = gpu_place(be, in[i], (size_t)n.in[i] * sizeof(float));
    for (int i = 0; i < RESULTS; i++)
        result[i] = gpu_place(be, NULL, (size_t)n.out[i] * sizeof(float));
    be->conv2d_forward(be->context, c, place[X], place[WEIGHT], bias ? place[BIAS] : NULL,
                       result[Y], workspace);
    be->conv2d_backward_input(be->context, c, place[DY], place[WEIGHT], result[DX], workspace);
    be->conv2d_backward_weight(be->context, c, place[X], place[DY], result[DWEIGHT], workspace);
    be->conv2d_backward_bias(be->context, c, place[DY], result[DBIAS]);
    for (int i = 0; i < RESULTS; i++)
        out[i] = gpu_bring(be, result[i], (size_t)n.out[i] * sizeof(float));
    for (int i = 0; i < TENSORS; i++)
        gpu_drop(be, place[i]);
    gpu_drop(be, workspace);
}

/* A batch may be smaller than the one that the workspace was made for. */
static void check_workspace(const struct tdbg_conv2d *c)
{
    struct tdbg_conv2d part = *c;
    const size_t whole = gpu->conv2d_workspace_bytes(gpu->context, c);
    for (part.samples = 0; part.samples < c->samples; part.samples++) {
        const size_t bytes = gpu->conv2d_workspace_bytes(gpu->context, &part);
        if (bytes > whole)
            fail_msg("%d samples of %d want %zu bytes, all of them %zu", (int)part.samples,
                     (int)c->samples, bytes, whole);
    }
}

static void check(const struct tdbg_conv2d *c, bool bias, enum gpu_values fill)
{
    const struct sizes n = sizes_of(c);
    float *in[TENSORS], *want[RESULTS], *got[RESULTS];
    char name[300];
    for (int i = 0; i < TENSORS; i++) {
        in[i] = malloc((size_t)n.in[i] * sizeof(float) + 1);
        gpu_fill(in[i], n.in[i], (uint64_t)i, fill);
    }
    check_workspace(c);
    run(cpu, c, in, bias, want);
    run(gpu, c, in, bias, got);
    for (int i = 0; i < RESULTS; i++) {
        snprintf(name, sizeof name,
                 "%s of %d x (%d, %d, %d) -> %d, groups %d, kernel %dx%d, stride %d,%d, padding "
                 "%d,%d, dilation %d,%d, values %d",
                 result_text[i], (int)c->samples, (int)c->in, (int)c->height, (int)c->width,
                 (int)c->out, (int)c->groups, (int)c->kernel[0], (int)c->kernel[1],
                 (int)c->stride[0], (int)c->stride[1], (int)c->padding[0], (int)c->padding[1],
                 (int)c->dilation[0], (int)c->dilation[1], (int)fill);
        gpu_check_same(name, want[i], got[i], n.out[i]);
        free(want[i]);
        free(got[i]);
    }
    for (int i = 0; i < TENSORS; i++)
        free(in[i]);
}

/* The next of a stream of random numbers in lo..hi. */
static int64_t between(uint64_t *next, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(gpu_random(100, (*next)++) % (uint64_t)(hi - lo + 1));
}

static struct tdbg_conv2d random_conv(uint64_t *next)
{
    struct tdbg_conv2d c = {.samples = between(next, 1, 4), .groups = 1};
    const int64_t bits = between(next, 0, 127);
    if (bits & 1)
        c.groups = between(next, 1, 6);
    c.in = c.groups * ((bits & 6) == 0 ? 1 : between(next, 1, 20));
    c.out = c.groups * (bits & 8 ? between(next, 1, 5) : between(next, 1, 40));
    do {
        for (int axis = 0; axis < 2; axis++) {
            const bool plain = bits & 16;
            c.kernel[axis] = between(next, 1, 5);
            c.stride[axis] = plain ? 1 : between(next, 1, 4);
            c.padding[axis] = between(next, 0, bits & 32 ? 0 : 3);
            c.dilation[axis] = plain ? 1 : between(next, 1, 3);
        }
        c.height = between(next, 1, 12);
        c.width = between(next, 1, bits & 64 ? 30 : 10);
    } while (tdbg_conv2d_out_size(&c, 0) < 1 || tdbg_conv2d_out_size(&c, 1) < 1);
    return c;
}

static void test_random_shapes(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (int i = 0; i < 120; i++) {
        const struct tdbg_conv2d c = random_conv(&next);
        check(&c, i & 1, (enum gpu_values)(i % GPU_VALUES));
    }
}

/* Rows of every tile, slices in tiles and in scratch memory, more slices than scratch memory has
 * room for, nothing. */
static void test_chosen_shapes(void **state)
{
    (void)state;
    static const struct tdbg_conv2d chosen[] = {
        {2, 33, 7, 9, 129, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {2, 70, 6, 6, 140, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
        {2, 5, 14, 14, 128, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {2, 120, 14, 14, 5, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {9, 96, 5, 5, 96, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {3, 30, 5, 4, 70, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {1, 256, 3, 3, 96, 1, {2, 1}, {1, 1}, {0, 0}, {1, 1}},
        {1, 257, 2, 2, 17, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {2, 8, 20, 20, 8, 2, {7, 7}, {2, 2}, {3, 3}, {1, 1}},
        {9, 3, 24, 25, 33, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {30, 20, 24, 24, 6, 1, {2, 2}, {1, 1}, {0, 0}, {1, 1}},
        {40, 6, 20, 21, 6, 6, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {20, 5, 16, 16, 10, 5, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
        {2, 200, 1, 1, 1, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {300, 4, 2, 1, 3, 1, {2, 1}, {1, 1}, {0, 0}, {1, 1}},
        {1, 1, 1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {2, 3, 9, 9, 20, 1, {1, 1}, {3, 4}, {0, 0}, {1, 1}},
        {1, 1, 270, 260, 1, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {0, 3, 5, 5, 4, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {0, 3, 5, 5, 24, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
    };
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        check(&chosen[i], true, GPU_TINY);
        check(&chosen[i], i & 1, i % 2 ? GPU_RARE : GPU_PLAIN);
    }
}

int main(void)
{
    gpu_open_both(&cpu, &gpu);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_chosen_shapes),
    };
    const int failed = cmocka_run_group_tests_name("gpu-conv2d", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
