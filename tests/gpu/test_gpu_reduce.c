/* Sums, division, transposition and bfloat16 on both backends, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../op/kernel_case.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "kernels/reduce.h"

static struct tdbg_backend *cpu, *gpu;

/* SPARSE: special values so few that most sums stay numbers. ZEROS: of both signs. */
enum fill { PLAIN, SPECIAL, SPARSE, ZEROS, FILLS };

static float *make(int64_t n, enum fill fill)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    const uint64_t key = tdbg_philox_key(CASE_SEED, TDBG_RANDOM_TEST, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) {
        const struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, (uint64_t)fill);
        const bool special = fill == SPECIAL || (fill == SPARSE && r.word[3] % 4096 == 0);
        x[i] = case_value(&r, special ? CASE_SPECIAL : CASE_PLAIN);
        if (fill == ZEROS)
            x[i] = x[i] < 0 ? -0.0f : i % 7 == 3 ? 0.0f : -0.0f;
    }
    return x;
}

static void *rubbish(size_t bytes)
{
    void *x = malloc(bytes + 1);
    memset(x, 0x5a, bytes);
    return x;
}

/* One function on both backends: from x into y, with some memory of its own. */
struct call {
    char name[128];
    void (*run)(const struct tdbg_backend *backend, const struct call *call, const void *x, void *y,
                void *scratch);
    int64_t n, rows, cols;
    float by;
    size_t x_bytes, y_bytes, scratch_bytes;
};

static void check(const struct call *call, const void *x)
{
    void *want = rubbish(call->y_bytes), *got = rubbish(call->y_bytes);
    void *scratch = rubbish(call->scratch_bytes);
    call->run(cpu, call, x, want, scratch);

    void *gpu_x = gpu_place(gpu, x, call->x_bytes), *gpu_y = gpu_place(gpu, got, call->y_bytes);
    void *gpu_scratch = gpu_place(gpu, scratch, call->scratch_bytes);
    call->run(gpu, call, gpu_x, gpu_y, gpu_scratch);
    gpu_fetch(gpu, got, gpu_y, call->y_bytes);
    if (call->y_bytes % sizeof(float) == 0)
        gpu_check_same(call->name, want, got, (int64_t)(call->y_bytes / sizeof(float)));
    if (memcmp(want, got, call->y_bytes) != 0)
        fail_msg("%s: the bytes differ", call->name);
    gpu->free(gpu->context, gpu_x);
    gpu->free(gpu->context, gpu_y);
    gpu->free(gpu->context, gpu_scratch);
    free(want);
    free(got);
    free(scratch);
}

static const int64_t lengths[] = {0, 1, 2, 31, 33, 255, 256, 4095, 4096, 4097, 8192, 70001, 300000};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* ---- sums ---- */

static void run_sum(const struct tdbg_backend *be, const struct call *call, const void *x, void *y,
                    void *scratch)
{
    be->reduce_sum(be->context, call->n, x, y, scratch);
}

static void test_sum(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTHS * FILLS; i++) {
        struct call call = {.run = run_sum, .n = lengths[i / FILLS], .y_bytes = sizeof(float)};
        float *x = make(call.n, (enum fill)(i % FILLS));
        call.x_bytes = (size_t)call.n * sizeof(float);
        call.scratch_bytes = (size_t)tdbg_reduce_scratch_elems(call.n) * sizeof(float);
        snprintf(call.name, sizeof call.name, "sum of %lld, fill %d", (long long)call.n, i % FILLS);
        check(&call, x);
        free(x);
    }
}

/* More than 4096 blocks: a third round. */
static void test_long_sum(void **state)
{
    (void)state;
    struct call call = {.name = "sum of three rounds",
                        .run = run_sum,
                        .n = 4096 * 4096 + 5000,
                        .y_bytes = sizeof(float)};
    float *x = malloc((size_t)call.n * sizeof *x);
    for (int64_t i = 0; i < call.n; i++)
        x[i] = (float)(i % 1009) * 0x1.3p-7f - 1;
    call.x_bytes = (size_t)call.n * sizeof(float);
    call.scratch_bytes = (size_t)tdbg_reduce_scratch_elems(call.n) * sizeof(float);
    check(&call, x);
    free(x);
}

static void run_sum_rows(const struct tdbg_backend *be, const struct call *call, const void *x,
                         void *y, void *scratch)
{
    (void)scratch;
    be->sum_rows(be->context, call->rows, call->cols, x, y);
}

static void run_reduce_rows(const struct tdbg_backend *be, const struct call *call, const void *x,
                            void *y, void *scratch)
{
    (void)scratch;
    be->reduce_rows(be->context, call->rows, call->cols, x, y);
}

static void test_rows(void **state)
{
    (void)state;
    /* the last: more slices than a slice has terms */
    static const int64_t shapes[][2] = {{1, 1},     {3, 0},      {0, 3},     {1, 4096},
                                        {9, 4097},  {2, 40000},  {17, 33},   {255, 31},
                                        {256, 32},  {257, 65},   {1000, 10}, {513, 70},
                                        {2560, 96}, {1, 100000}, {4000, 3},  {66000, 2}};
    for (int i = 0; i < (int)(sizeof shapes / sizeof *shapes) * FILLS; i++) {
        const int64_t rows = shapes[i / FILLS][0], cols = shapes[i / FILLS][1];
        float *x = make(rows * cols, (enum fill)(i % FILLS));
        struct call call = {.run = run_sum_rows,
                            .rows = rows,
                            .cols = cols,
                            .x_bytes = (size_t)(rows * cols) * sizeof(float),
                            .y_bytes = (size_t)rows * sizeof(float)};
        snprintf(call.name, sizeof call.name, "sums of rows (%lld, %lld), fill %d", (long long)rows,
                 (long long)cols, i % FILLS);
        check(&call, x);
        call.run = run_reduce_rows;
        call.y_bytes = (size_t)cols * sizeof(float);
        snprintf(call.name, sizeof call.name, "sum over rows (%lld, %lld), fill %d",
                 (long long)rows, (long long)cols, i % FILLS);
        check(&call, x);
        free(x);
    }
}

/* ---- elements ---- */

static void run_divide(const struct tdbg_backend *be, const struct call *call, const void *x,
                       void *y, void *scratch)
{
    (void)scratch;
    be->vector_divide(be->context, call->n, x, call->by, y);
}

static void test_divide(void **state)
{
    (void)state;
    static const float by[] = {1, 3, 10, -7.5f, 0x1p-130f, 0x1.8p127f, 0, -0.0f};
    for (int i = 0; i < 8 * FILLS; i++) {
        struct call call = {.run = run_divide, .n = 1000 + i, .by = by[i / FILLS]};
        float *x = make(call.n, (enum fill)(i % FILLS));
        call.x_bytes = call.y_bytes = (size_t)call.n * sizeof(float);
        snprintf(call.name, sizeof call.name, "division by %a, fill %d", (double)call.by,
                 i % FILLS);
        check(&call, x);
        free(x);
    }
}

static void run_transpose(const struct tdbg_backend *be, const struct call *call, const void *x,
                          void *y, void *scratch)
{
    (void)scratch;
    be->transpose(be->context, call->n, call->rows, call->cols, x, y);
}

/* Values are copied: a NaN keeps its bits. */
static void test_transpose(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{0, 3, 4},    {2, 0, 4},   {2, 4, 0},  {1, 1, 1},
                                        {3, 32, 32},  {2, 33, 31}, {1, 1, 70}, {1, 70, 1},
                                        {5, 100, 65}, {70, 3, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct call call = {
            .run = run_transpose, .n = shapes[i][0], .rows = shapes[i][1], .cols = shapes[i][2]};
        const int64_t n = call.n * call.rows * call.cols;
        float *x = make(n, SPECIAL);
        call.x_bytes = call.y_bytes = (size_t)n * sizeof(float);
        snprintf(call.name, sizeof call.name, "transposition (%lld, %lld, %lld)", (long long)call.n,
                 (long long)call.rows, (long long)call.cols);
        check(&call, x);
        free(x);
    }
}

static void run_bf16_round(const struct tdbg_backend *be, const struct call *call, const void *x,
                           void *y, void *scratch)
{
    (void)scratch;
    be->bf16_round(be->context, call->n, x, y);
}

static void run_bf16_pack(const struct tdbg_backend *be, const struct call *call, const void *x,
                          void *y, void *scratch)
{
    (void)scratch;
    be->bf16_pack(be->context, call->n, x, y);
}

static void run_bf16_unpack(const struct tdbg_backend *be, const struct call *call, const void *x,
                            void *y, void *scratch)
{
    (void)scratch;
    be->bf16_unpack(be->context, call->n, x, y);
}

/* Every upper half of an f32 with lower halves around the tie, and lengths of no multiple. */
static void test_bf16(void **state)
{
    (void)state;
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    const int64_t n = 6 * 65536 - 3;
    const size_t wide = (size_t)n * sizeof(float), narrow = (size_t)n * sizeof(uint16_t);
    uint32_t *x = malloc(wide);
    for (int64_t i = 0; i < n; i++)
        x[i] = (uint32_t)(i / 6) << 16 | low[i % 6];
    check(&(struct call){"bf16_round", run_bf16_round, n, 0, 0, 0, wide, wide, 0}, x);
    check(&(struct call){"bf16_pack", run_bf16_pack, n, 0, 0, 0, wide, narrow, 0}, x);
    check(&(struct call){"bf16_unpack", run_bf16_unpack, n, 0, 0, 0, narrow, wide, 0}, x);
    check(&(struct call){"bf16_round of none", run_bf16_round, 0, 0, 0, 0, 0, 0, 0}, x);
    free(x);
}

int main(void)
{
    gpu_open_both(&cpu, &gpu);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),       cmocka_unit_test(test_long_sum),
        cmocka_unit_test(test_rows),      cmocka_unit_test(test_divide),
        cmocka_unit_test(test_transpose), cmocka_unit_test(test_bf16),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
