/* What a GPU backend is beside its kernels: a whole table, memory, copies, and what it says of
 * itself. Built twice, as test_gpu_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu_open.h"

static struct tdbg_backend *cpu, *gpu;

/* From the first kernel on there is nothing but functions in the table. */
static void test_table(void **state)
{
    (void)state;
    const size_t first = offsetof(struct tdbg_backend, gemm_workspace_bytes);
    for (size_t at = first; at < sizeof *cpu; at += sizeof(void (*)(void))) {
        void (*here)(void), (*there)(void);
        memcpy(&here, (const char *)cpu + at, sizeof here);
        memcpy(&there, (const char *)gpu + at, sizeof there);
        if (here && !there)
            fail_msg("the GPU has no kernel for entry %zu behind gemm_workspace_bytes",
                     (at - first) / sizeof here);
    }
    assert_non_null(gpu->digest);
    assert_false(gpu->on_host);
    assert_true(cpu->on_host);
    assert_string_equal(gpu->name, "cuda");
}

/* Pieces of blocks at odd places, to the GPU, on it, and back. */
static void test_copies(void **state)
{
    (void)state;
    enum { BYTES = 100003 };
    struct tdbg_err err = {0};
    uint64_t ticket;
    unsigned char *host = malloc(BYTES), *got = malloc(BYTES);
    unsigned char *a = gpu->alloc(gpu->context, BYTES), *b = gpu->alloc(gpu->context, BYTES);
    assert_true(host && got && a && b);
    assert_int_equal(gpu->to_host(gpu->context, got, a, BYTES, &err), TDBG_OK);
    for (int i = 0; i < BYTES; i++) {
        assert_int_equal(got[i], 0); /* memory is zeroed */
        host[i] = (unsigned char)(i * 7 + i / 256);
    }
    assert_int_equal(gpu->to_device(gpu->context, a + 3, host + 3, BYTES - 3, &err), TDBG_OK);
    memset(host, 0, 3); /* the caller may change it at once */
    gpu->copy(gpu->context, b + 1, a + 1, BYTES - 2);
    gpu->fill_zero(gpu->context, b + 1000, 501);
    assert_int_equal(gpu->to_queue(gpu->context, got, b, BYTES, &ticket, &err), TDBG_OK);
    assert_int_equal(ticket, 0); /* nobody has pinned a queue: it is there */
    host[BYTES - 1] = 0;
    memset(host + 1000, 0, 501);
    assert_memory_equal(got, host, BYTES);
    assert_int_equal(gpu->to_host(gpu->context, got, a, 0, &err), TDBG_OK);
    gpu->free(gpu->context, a);
    gpu->free(gpu->context, b);
    free(host);
    free(got);
}

/* Copies that nobody waits for, of a tensor that goes on changing: each has the value of its time.
 * More than the staging buffer holds, and some too large for it. */
static void test_queue(void **state)
{
    (void)state;
    enum {
        PIECES = 300,
        MOST = 100000,
        LARGE = 5 << 20,
        SMALL = 9 << 20,
        QUEUE = PIECES * MOST + 3 * LARGE
    };
    static uint64_t ticket[PIECES];
    struct tdbg_err err = {0};
    unsigned char *queue = malloc(QUEUE), *at = queue;
    unsigned char *x = gpu->alloc(gpu->context, LARGE);
    uint64_t reached, before = 0;
    assert_true(queue && x);
    memset(queue, 0xee, QUEUE);
    /* the staging buffer is as large as what is pinned at the first copy */
    unsigned char *small = calloc(1, SMALL);
    assert_non_null(small);
    gpu->pin(gpu->context, small, SMALL);
    assert_int_equal(gpu->to_queue(gpu->context, small, x, 1, &ticket[0], &err), TDBG_OK);
    gpu->pin(gpu->context, queue, QUEUE);
    for (int k = 0; k < PIECES; k++) {
        const size_t bytes = k % 100 == 99 ? LARGE : (size_t)(k * 331 % MOST + 1);
        gpu->fill_zero(gpu->context, x, bytes);
        unsigned char mark = (unsigned char)(k % 250 + 1);
        assert_int_equal(gpu->to_device(gpu->context, x + bytes - 1, &mark, 1, &err), TDBG_OK);
        assert_int_equal(gpu->to_queue(gpu->context, at, x, bytes, &ticket[k], &err), TDBG_OK);
        if (ticket[k] > 0) {
            assert_true(ticket[k] >= before);
            before = ticket[k];
        } else {
            assert_int_equal(bytes, LARGE);
        }
        at += bytes;
        if (k % 50 == 7) {
            assert_int_equal(gpu->queue_reached(gpu->context, ticket[k / 2], &reached, &err),
                             TDBG_OK);
            assert_true(reached >= ticket[k / 2]);
        }
    }
    assert_true(before > 1); /* they were left to the GPU */
    assert_int_equal(gpu->queue_reached(gpu->context, before, &reached, &err), TDBG_OK);
    assert_true(reached >= before);
    at = queue;
    for (int k = 0; k < PIECES; k++) {
        const size_t bytes = k % 100 == 99 ? LARGE : (size_t)(k * 331 % MOST + 1);
        for (size_t i = 0; i + 1 < bytes; i += i < 64 ? 1 : 61)
            assert_int_equal(at[i], 0);
        assert_int_equal(at[bytes - 1], k % 250 + 1);
        at += bytes;
    }
    gpu->unpin(gpu->context, queue);
    gpu->unpin(gpu->context, small);
    gpu->free(gpu->context, x);
    free(queue);
    free(small);
}

/* What there is too little of is not given out, and the GPU works on after that. */
static void test_memory(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    int64_t before, during, total;
    float one = 1.0f, got = 0.0f;
    const size_t bytes = 64 << 20;
    assert_true(gpu->room(gpu->context, &before, &total));
    assert_true(before > 0 && before <= total);
    void *block = gpu->alloc(gpu->context, bytes);
    assert_non_null(block);
    assert_true(gpu->room(gpu->context, &during, &total));
    assert_true(during + (int64_t)bytes <= before);
    assert_null(gpu->alloc(gpu->context, (size_t)1 << 50));
    assert_int_equal(gpu->to_device(gpu->context, block, &one, sizeof one, &err), TDBG_OK);
    gpu->vector_add(gpu->context, 1, block, block);
    assert_int_equal(gpu->to_host(gpu->context, &got, block, sizeof got, &err), TDBG_OK);
    assert_true(got > 1.5f && got < 2.5f);
    gpu->free(gpu->context, block);
}

static void test_choice(void **state)
{
    (void)state;
    struct tdbg_err err = {0}, passed_over = {0};
    struct tdbg_backend *chosen = NULL;
    struct tdbg_backend_choice choice = {.device = "auto", .isa = "auto", .threads = 1};
    for (int32_t number = 0; number < 3; number++) { /* of ranks: they share what there is */
        choice.number = number;
        assert_int_equal(tdbg_backend_open(&choice, &chosen, &passed_over, &err), TDBG_OK);
        assert_string_equal(chosen->name, "cuda");
        tdbg_backend_destroy(chosen);
    }
    assert_int_equal(passed_over.status, TDBG_OK);
    choice.device = "cpu";
    assert_int_equal(tdbg_backend_open(&choice, &chosen, &passed_over, &err), TDBG_OK);
    assert_string_equal(chosen->name, "cpu");
    tdbg_backend_destroy(chosen);
    choice.device = "tpu";
    assert_int_equal(tdbg_backend_open(&choice, &chosen, NULL, &err), TDBG_USAGE);
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_backend_cuda_create(4096, &chosen, &err), TDBG_DEVICE);
    assert_non_null(strstr(err.message, "there is no GPU 4096"));
    tdbg_err_clear(&err);
}

/* A table of the host is copied once, until it is told to be gone: then another may be there. */
static void test_tables(void **state)
{
    (void)state;
    float table[4] = {1, 2, 3, 4}, got[4];
    struct tdbg_err err = {0};
    float *x = gpu->alloc(gpu->context, sizeof table); /* zeros */
    float *y = gpu->alloc(gpu->context, sizeof table);
    for (int round = 0; round < 3; round++) {
        table[0] = (float)(10 + round);
        gpu->forget_tables(gpu->context);
        gpu->position_add_fixed(gpu->context, 1, 4, x, table, y);
        assert_int_equal(gpu->to_host(gpu->context, got, y, sizeof got, &err), TDBG_OK);
        assert_memory_equal(got, table, sizeof got);
    }
    gpu->free(gpu->context, x);
    gpu->free(gpu->context, y);
}

static void test_description(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    struct tdbg_json json;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    tdbg_json_init(&json, out, false);
    tdbg_json_object_begin(&json, NULL);
    gpu->describe(gpu->context, &json);
    tdbg_json_object_end(&json);
    fclose(out);
    static const char *const keys[] = {
        "name",         "number", "compute_capability", "multiprocessors", "cuda_driver",
        "cuda_runtime", "graphs"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_non_null(strstr(text, keys[i]));
    assert_non_null(strstr(text, gpu->isa));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),      cmocka_unit_test(test_queue),
        cmocka_unit_test(test_memory),      cmocka_unit_test(test_choice),
        cmocka_unit_test(test_description), cmocka_unit_test(test_table),
        cmocka_unit_test(test_tables),
    };
    gpu_open_both(&cpu, &gpu);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tdbg_backend_destroy(gpu);
    tdbg_backend_destroy(cpu);
    return failed;
}
