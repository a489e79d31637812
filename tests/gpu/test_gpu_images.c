/* Pooling and data transforms on the GPU backend against the CPU's, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/philox.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"

enum { CPU, GPU, DEVICES };
static struct tdbg_backend *backend[DEVICES];

static int64_t between(uint64_t *next, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(gpu_random(200, (*next)++) % (uint64_t)(hi - lo + 1));
}

static float *make(int64_t n, uint64_t stream, enum gpu_values values)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    gpu_fill(x, n, stream, values);
    return x;
}

/* Few values, so that a window has several largest ones; or nothing but -Inf. */
static void make_equal(float *x, int64_t n, bool all)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = all ? -INFINITY : (float)(int)x[i];
}

static void *place(int device, const void *host, int64_t n, size_t size)
{
    return gpu_place(backend[device], host, (size_t)n * size);
}

/* What both devices have made of the same; the results are given back. */
static void compare(const char *name, float *const result[DEVICES], int64_t n)
{
    float *want = gpu_bring(backend[CPU], result[CPU], (size_t)n * sizeof(float));
    float *got = gpu_bring(backend[GPU], result[GPU], (size_t)n * sizeof(float));
    gpu_check_same(name, want, got, n);
    free(want);
    free(got);
}

static void drop(void *const on[DEVICES])
{
    for (int d = 0; d < DEVICES; d++)
        gpu_drop(backend[d], on[d]);
}

/* ---- pooling ---- */

enum { MAX_Y, INDEX, MAX_Y_ALONE, MAX_DX, AVG_Y, AVG_DX, POOL_RESULTS };

static void check_pool(const struct tdbg_pool2d *p, const float *x, const float *dy)
{
    static const char *const text[] = {"max y",  "index", "max y without index",
                                       "max dx", "avg y", "avg dx"};
    const int64_t outs = tdbg_pool2d_out_size(p, 0) * tdbg_pool2d_out_size(p, 1) * p->planes;
    const int64_t ins = p->planes * p->height * p->width;
    float *result[POOL_RESULTS][DEVICES];
    void *on_x[DEVICES], *on_dy[DEVICES];
    char name[200];
    for (int d = 0; d < DEVICES; d++) {
        const struct tdbg_backend *be = backend[d];
        on_x[d] = place(d, x, ins, sizeof *x);
        on_dy[d] = place(d, dy, outs, sizeof *dy);
        for (int r = 0; r < POOL_RESULTS; r++)
            result[r][d] = place(d, NULL, r == MAX_DX || r == AVG_DX ? ins : outs, sizeof *x);
        int32_t *index = (int32_t *)(void *)result[INDEX][d];
        be->max_pool2d_forward(be->context, p, on_x[d], result[MAX_Y][d], index);
        be->max_pool2d_forward(be->context, p, on_x[d], result[MAX_Y_ALONE][d], NULL);
        be->max_pool2d_backward(be->context, p, index, on_dy[d], result[MAX_DX][d]);
        be->avg_pool2d_forward(be->context, p, on_x[d], result[AVG_Y][d]);
        be->avg_pool2d_backward(be->context, p, on_dy[d], result[AVG_DX][d]);
    }
    for (int r = 0; r < POOL_RESULTS; r++) {
        snprintf(name, sizeof name,
                 "%s of (%d, %d, %d), kernel %dx%d, stride %d,%d, padding %d,%d, padding %s",
                 text[r], (int)p->planes, (int)p->height, (int)p->width, (int)p->kernel[0],
                 (int)p->kernel[1], (int)p->stride[0], (int)p->stride[1], (int)p->padding[0],
                 (int)p->padding[1], p->include_pad ? "counted" : "left out");
        compare(name, result[r], r == MAX_DX || r == AVG_DX ? ins : outs);
    }
    drop(on_x);
    drop(on_dy);
}

static void test_pools(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (int i = 0; i < 200; i++) {
        struct tdbg_pool2d p = {.planes = between(&next, i % 50 ? 1 : 0, 5)};
        p.include_pad = i & 1;
        do {
            for (int a = 0; a < 2; a++) {
                p.kernel[a] = between(&next, 1, 5);
                p.stride[a] = between(&next, 1, 4);
                p.padding[a] = between(&next, 0, p.kernel[a] / 2);
            }
            p.height = between(&next, 1, 12);
            p.width = between(&next, 1, 20);
        } while (tdbg_pool2d_out_size(&p, 0) < 1 || tdbg_pool2d_out_size(&p, 1) < 1);
        const int64_t ins = p.planes * p.height * p.width;
        const int64_t outs = tdbg_pool2d_out_size(&p, 0) * tdbg_pool2d_out_size(&p, 1) * p.planes;
        float *x = make(ins, 1000 + (uint64_t)i, (enum gpu_values)(i % GPU_VALUES));
        float *dy = make(outs, 2000 + (uint64_t)i, (enum gpu_values)(i % GPU_VALUES));
        if (i % 5 == 0)
            make_equal(x, ins, i % 25 == 0);
        check_pool(&p, x, dy);
        free(x);
        free(dy);
    }
}

static void test_whole_planes(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1},    {3, 31},    {40, 49},    {2, 4096},
                                        {2, 4097}, {3, 20000}, {1, 140000}, {0, 5}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t planes = shapes[i / 2][0], elems = shapes[i / 2][1];
        float *x = make(planes * elems, i, i & 1 ? GPU_RARE : GPU_PLAIN);
        float *dy = make(planes, i + 50, i & 1 ? GPU_SPECIAL : GPU_PLAIN), *y[DEVICES],
              *dx[DEVICES];
        void *on_x[DEVICES], *on_dy[DEVICES];
        char name[100];
        for (int d = 0; d < DEVICES; d++) {
            const struct tdbg_backend *be = backend[d];
            on_x[d] = place(d, x, planes * elems, sizeof *x);
            on_dy[d] = place(d, dy, planes, sizeof *dy);
            y[d] = place(d, NULL, planes, sizeof *x);
            dx[d] = place(d, NULL, planes * elems, sizeof *x);
            be->global_avg_pool_forward(be->context, planes, elems, on_x[d], y[d]);
            be->global_avg_pool_backward(be->context, planes, elems, on_dy[d], dx[d]);
        }
        snprintf(name, sizeof name, "mean of (%d, %d)", (int)planes, (int)elems);
        compare(name, y, planes);
        compare(name, dx, planes * elems);
        drop(on_x);
        drop(on_dy);
        free(x);
        free(dy);
    }
}

/* ---- transforms ---- */

/* Runs a transform on both devices: x (ins) to y (outs). */
static void check_transform(const char *name, const float *x, int64_t ins, int64_t outs,
                            void (*run)(const struct tdbg_backend *be, const void *what,
                                        const int64_t *ids, const float *x, float *y),
                            const void *what, const int64_t *ids, int64_t n_ids)
{
    float *y[DEVICES];
    void *on_x[DEVICES], *on_ids[DEVICES];
    for (int d = 0; d < DEVICES; d++) {
        on_x[d] = place(d, x, ins, sizeof *x);
        on_ids[d] = place(d, ids, n_ids, sizeof *ids);
        y[d] = place(d, NULL, outs, sizeof *x);
        run(backend[d], what, on_ids[d], on_x[d], y[d]);
    }
    compare(name, y, outs);
    drop(on_x);
    drop(on_ids);
}

static void run_resize(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                       const float *x, float *y)
{
    (void)ids;
    be->resize(be->context, what, x, y);
}

static void run_channels(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                         const float *x, float *y)
{
    (void)ids;
    be->channels(be->context, what, x, y);
}

static void run_crop(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                     const float *x, float *y)
{
    struct tdbg_crop crop = *(const struct tdbg_crop *)what;
    crop.random.ids = ids;
    be->crop(be->context, &crop, x, y);
}

static void run_flip(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                     const float *x, float *y)
{
    struct tdbg_flip flip = *(const struct tdbg_flip *)what;
    flip.random.ids = ids;
    be->flip(be->context, &flip, x, y);
}

static void test_resize(void **state)
{
    (void)state;
    uint64_t next = 5000;
    for (int i = 0; i < 60; i++) {
        const struct tdbg_resize r = {.planes = between(&next, i % 20 ? 1 : 0, 4),
                                      .in_h = between(&next, 1, 20),
                                      .in_w = between(&next, 1, 20),
                                      .out_h = between(&next, 1, 30),
                                      .out_w = between(&next, 1, 30),
                                      .nearest = i & 1};
        const int64_t ins = r.planes * r.in_h * r.in_w, outs = r.planes * r.out_h * r.out_w;
        float *x = make(ins, 3000 + (uint64_t)i, i % 3 ? GPU_PLAIN : GPU_SPECIAL);
        check_transform("resize", x, ins, outs, run_resize, &r, NULL, 0);
        free(x);
    }
}

static void test_channels(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        const struct tdbg_channels c = {.rows = i % 8,
                                        .channels = i & 4 || i & 2 ? 3 : 5,
                                        .inner = 37,
                                        .hwc = i & 1,
                                        .reverse = i & 2,
                                        .gray = i & 4};
        const int64_t ins = c.rows * c.channels * c.inner;
        float *x = make(ins, 4000 + (uint64_t)i, i & 8 ? GPU_PLAIN : GPU_SPECIAL);
        check_transform("channels", x, ins, c.gray ? c.rows * c.inner : ins, run_channels, &c, NULL,
                        0);
        free(x);
    }
}

enum { MOST_SAMPLES = 5 };
static const int64_t sample_ids[MOST_SAMPLES] = {3, 0, 41, 7, 1000000007};

static struct tdbg_augment augment_of(int i)
{
    return (struct tdbg_augment){.on = i % 4 != 0,
                                 .key = tdbg_philox_key(GPU_SEED, TDBG_RANDOM_AUGMENT, (uint64_t)i),
                                 .transform = (uint64_t)i % 3};
}

static void test_crop_and_flip(void **state)
{
    (void)state;
    uint64_t next = 9000;
    for (int i = 0; i < 60; i++) {
        struct tdbg_crop c = {.samples = between(&next, 0, MOST_SAMPLES),
                              .planes = between(&next, 1, 3),
                              .in_h = between(&next, 1, 12),
                              .in_w = between(&next, 1, 12),
                              .pad = between(&next, 0, 5),
                              .random = augment_of(i)};
        c.out_h = between(&next, 1, c.in_h + 2 * c.pad);
        c.out_w = between(&next, 1, c.in_w + 2 * c.pad);
        const int64_t planes = c.samples * c.planes, ins = planes * c.in_h * c.in_w;
        float *x = make(ins, 5000 + (uint64_t)i, GPU_SPECIAL);
        check_transform("crop", x, ins, planes * c.out_h * c.out_w, run_crop, &c, sample_ids,
                        c.samples);
        const struct tdbg_flip f = {.samples = c.samples,
                                    .planes = c.planes,
                                    .h = c.in_h,
                                    .w = c.in_w,
                                    .p = 0.5f,
                                    .random = c.random};
        check_transform("flip", x, ins, ins, run_flip, &f, sample_ids, c.samples);
        free(x);
    }
}

static void run_values(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                       const float *x, float *y)
{
    const int64_t n = *(const int64_t *)what;
    (void)ids;
    be->scale(be->context, n, x, 1.0f / 255, y);
    be->scale(be->context, n, y, 3.0f, y);
}

struct normalized {
    int64_t outer, channels, inner;
    float *mean, *std;
};

static void run_normalize(const struct tdbg_backend *be, const void *what, const int64_t *ids,
                          const float *x, float *y)
{
    const struct normalized *n = what;
    (void)ids;
    be->normalize(be->context, n->outer, n->channels, n->inner, x, n->mean, n->std, y);
    be->normalize(be->context, n->outer, n->channels, n->inner, y, n->mean, n->std, y);
}

static void test_values(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 255, 1000, 70001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *x = make(sizes[i], i, GPU_SPECIAL);
        check_transform("scale", x, sizes[i], sizes[i], run_values, &sizes[i], NULL, 0);
        free(x);
    }
    static const int64_t shapes[][3] = {{4, 3, 49}, {10, 1, 5}, {3, 200, 1},
                                        {2, 65, 3}, {1, 64, 7}, {0, 3, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct normalized n = {shapes[i][0], shapes[i][1], shapes[i][2], NULL, NULL};
        const int64_t all = n.outer * n.channels * n.inner;
        float *x = make(all, 60 + i, GPU_SPECIAL);
        n.mean = make(n.channels, 70 + i, GPU_PLAIN);
        n.std = make(n.channels, 80 + i, GPU_PLAIN);
        check_transform("normalize", x, all, all, run_normalize, &n, NULL, 0);
        free(x);
        free(n.mean);
        free(n.std);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    float *y[DEVICES];
    void *on_x[DEVICES];
    for (int i = 0; i < 1000; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (int d = 0; d < DEVICES; d++) {
        const struct tdbg_backend *be = backend[d];
        on_x[d] = place(d, bytes, 1000, 1);
        y[d] = place(d, NULL, 1000, sizeof(float));
        be->u8_to_f32(be->context, 1000, on_x[d], y[d]);
    }
    compare("u8_to_f32", y, 1000);
    drop(on_x);
}

int main(void)
{
    gpu_open_both(&backend[CPU], &backend[GPU]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),  cmocka_unit_test(test_whole_planes),
        cmocka_unit_test(test_resize), cmocka_unit_test(test_channels),
        cmocka_unit_test(test_values), cmocka_unit_test(test_crop_and_flip),
        cmocka_unit_test(test_bytes),
    };
    const int failed = cmocka_run_group_tests_name("gpu-images", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(backend[GPU]);
    tdbg_backend_cpu_destroy(backend[CPU]);
    return failed;
}
