/* Launches that are repeated as CUDA graphs (kernels/gpu_launch.c): the numbers are those of the
 * CPU whatever is repeated, changed or left out, and the counts say which way they went. Built
 * twice, as test_gpu_ops.c; what only an emulated GPU can be made to do is in
 * test_emulated_launches.cc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu_open.h"
#include "kernels/gpu_graphs.h"

enum { N = 300, BUFFERS = 6, FIRST = 16, LONG = 64, KEPT = 128 };

static struct tdbg_backend *cpu, *gpu;
static struct tdbg_gpu_launch_counts before;

/* The same buffers on both devices. */
struct both {
    float *on_cpu[BUFFERS], *on_gpu[BUFFERS];
};

static struct both make_both(void)
{
    struct both b;
    float host[N];
    struct tdbg_err err = {0};
    for (int k = 0; k < BUFFERS; k++) {
        b.on_cpu[k] = cpu->alloc(cpu->context, sizeof host);
        b.on_gpu[k] = gpu->alloc(gpu->context, sizeof host);
        assert_true(b.on_cpu[k] && b.on_gpu[k]);
        for (int i = 0; i < N; i++)
            host[i] = (float)(i * (k + 1) % 97) - 40.0f;
        assert_int_equal(cpu->to_device(cpu->context, b.on_cpu[k], host, sizeof host, &err),
                         TDBG_OK);
        assert_int_equal(gpu->to_device(gpu->context, b.on_gpu[k], host, sizeof host, &err),
                         TDBG_OK);
    }
    return b;
}

static void free_both(const struct both *b)
{
    for (int k = 0; k < BUFFERS; k++) {
        cpu->free(cpu->context, b->on_cpu[k]);
        gpu->free(gpu->context, b->on_gpu[k]);
    }
}

static void check_same(const struct both *b)
{
    float got[N];
    struct tdbg_err err = {0};
    for (int k = 0; k < BUFFERS; k++) {
        assert_int_equal(gpu->to_host(gpu->context, got, b->on_gpu[k], sizeof got, &err), TDBG_OK);
        assert_memory_equal(got, b->on_cpu[k], sizeof got);
    }
}

/* From here on counts begin at 0. */
static void start_counting(void)
{
    tdbg_gpu_count_launches(gpu->context, &before);
}

static struct tdbg_gpu_launch_counts counted(void)
{
    struct tdbg_gpu_launch_counts now;
    tdbg_gpu_count_launches(gpu->context, &now);
    now.one_by_one -= before.one_by_one;
    now.in_graphs -= before.in_graphs;
    now.graphs -= before.graphs;
    now.built -= before.built;
    now.changed -= before.changed;
    now.rebuilt -= before.rebuilt;
    now.forgotten -= before.forgotten;
    return now;
}

static void check_counts(int one_by_one, int in_graphs, int graphs, int built, int changed)
{
    const struct tdbg_gpu_launch_counts c = counted();
    assert_int_equal(c.one_by_one, one_by_one);
    assert_int_equal(c.in_graphs, in_graphs);
    assert_int_equal(c.graphs, graphs);
    assert_int_equal(c.built, built);
    assert_int_equal(c.changed, changed);
    assert_int_equal(c.rebuilt, 0);
    assert_int_equal(c.held, 0);
}

/* Six launches that read what the ones before have written: any that is left out, late, or has an
 * old argument shows in the numbers. */
enum { LAUNCHES = 6 };
struct sequence {
    int from, to, cleared;
    float by;
    bool more;   /* one in the middle */
    bool short_; /* without the last two */
};

static void run_on(const struct tdbg_backend *be, float *const *x, const struct sequence *s)
{
    be->scale(be->context, N, x[s->from], s->by, x[1]);
    be->fill_zero(be->context, x[s->cleared], (N - 7) * sizeof **x);
    be->vector_add(be->context, N, x[s->cleared], x[1]);
    if (s->more)
        be->vector_add(be->context, N / 2, x[1], x[s->cleared]);
    be->copy(be->context, x[s->to], x[s->cleared], (N - 3) * sizeof **x);
    if (s->short_)
        return;
    be->vector_add(be->context, N, x[s->to], x[s->from]);
    be->scale(be->context, N, x[s->to], 0.5f, x[s->from]);
}

static void run_both(const struct both *b, const struct sequence *s)
{
    run_on(cpu, b->on_cpu, s);
    run_on(gpu, b->on_gpu, s);
    check_same(b);
}

static const struct sequence plain = {.from = 0, .to = 3, .cleared = 2, .by = 1.25f};

static void test_repeated(void **state)
{
    (void)state;
    const struct both b = make_both();
    start_counting();
    run_on(cpu, b.on_cpu, &plain);
    run_on(gpu, b.on_gpu, &plain);
    check_counts(LAUNCHES, 0, 0, 0, 0); /* seen for the first time, and not held back */
    check_same(&b);
    for (int i = 1; i <= 4; i++) {
        run_both(&b, &plain);
        check_counts(LAUNCHES, i * LAUNCHES, i, 1, 0);
    }
    free_both(&b);
}

/* What differs from time to time: a number, and where a copy, a clear and the kernels go to. */
static void test_other_arguments(void **state)
{
    (void)state;
    const struct both b = make_both();
    struct sequence s = plain;
    run_both(&b, &s);
    run_both(&b, &s);
    start_counting();
    for (int i = 1; i <= 3; i++) {
        s.by += 0.5f;
        run_both(&b, &s);
        check_counts(0, i * LAUNCHES, i, 0, i);
    }
    s.cleared = 4; /* the clear, an addition, and the copy */
    run_both(&b, &s);
    check_counts(0, 4 * LAUNCHES, 4, 0, 3 + 3);
    s.to = 5; /* the copy and what is behind it */
    run_both(&b, &s);
    check_counts(0, 5 * LAUNCHES, 5, 0, 6 + 3);
    run_both(&b, &s);
    check_counts(0, 6 * LAUNCHES, 6, 0, 9);
    free_both(&b);
}

/* More than half of the arguments are others: a layer of the same kind has a graph of its own. */
static void test_layers(void **state)
{
    (void)state;
    const struct both b = make_both();
    const struct sequence layer[] = {{.from = 0, .to = 3, .cleared = 2, .by = 1.25f},
                                     {.from = 3, .to = 5, .cleared = 4, .by = 0.75f}};
    for (int round = 0; round < 2; round++) {
        run_both(&b, &layer[0]);
        run_both(&b, &layer[1]);
    }
    start_counting();
    for (int round = 1; round <= 3; round++) {
        run_both(&b, &layer[0]);
        run_both(&b, &layer[1]);
        check_counts(0, 2 * round * LAUNCHES, 2 * round, 0, 0);
    }
    free_both(&b);
}

/* Copies of which each goes elsewhere every time, as those of values that are recorded. */
static void test_other_places(void **state)
{
    (void)state;
    const struct both b = make_both();
    start_counting();
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 3; i++) {
            const int to = 3 + (i + round) % 3;
            cpu->copy(cpu->context, b.on_cpu[to], b.on_cpu[i], N * sizeof(float));
            gpu->copy(gpu->context, b.on_gpu[to], b.on_gpu[i], N * sizeof(float));
        }
        check_same(&b);
    }
    check_counts(3, 5 * 3, 5, 1, 4 * 3);
    free_both(&b);
}

/* One more launch in the middle, and an end that comes early: each is another graph, and what was
 * held back in expectation of the other one is not lost. */
static void test_other_shapes(void **state)
{
    (void)state;
    const struct both b = make_both();
    struct sequence more = plain, less = plain;
    more.more = true;
    less.short_ = true;
    run_both(&b, &plain);
    run_both(&b, &plain);
    start_counting();
    run_both(&b, &more);
    check_counts(LAUNCHES + 1, 0, 0, 0, 0);
    run_both(&b, &less);
    check_counts(2 * LAUNCHES - 1, 0, 0, 0, 0);
    for (int i = 0; i < 4; i++) {
        run_both(&b, &more);
        run_both(&b, &plain);
        run_both(&b, &less);
    }
    check_counts(2 * LAUNCHES - 1, 4 * (3 * LAUNCHES - 1), 12, 2, 0);
    free_both(&b);
}

/* So many launches with nothing between them are cut: short at first, so that the GPU begins. */
static void test_cut(void **state)
{
    (void)state;
    enum { MANY = FIRST + LONG + 20 };
    const struct both b = make_both();
    start_counting();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            const int from = i % BUFFERS, to = (i * 5 + 1) % BUFFERS;
            cpu->vector_add(cpu->context, N, b.on_cpu[to], b.on_cpu[from]);
            gpu->vector_add(gpu->context, N, b.on_gpu[to], b.on_gpu[from]);
            const int begin = i < FIRST ? 0 : i < FIRST + LONG ? FIRST : FIRST + LONG;
            const bool is_end = i + 1 == FIRST || i + 1 == FIRST + LONG;
            if (round > 0 || is_end)
                assert_int_equal(counted().held, is_end ? 0 : i + 1 - begin);
        }
        check_same(&b);
    }
    check_counts(MANY, 2 * MANY, 2 * 3, 3, 0);
    free_both(&b);
}

/* More kinds of segments than are kept: those that were not used for longest are forgotten. */
static void test_forgets(void **state)
{
    (void)state;
    enum { KINDS = KEPT + 12 };
    const struct both b = make_both();
    start_counting();
    for (int kind = 0; kind < KINDS; kind++) {
        for (int again = 0; again < 2; again++) {
            for (int i = 0; i < 3; i++) {
                const size_t bytes = (size_t)(kind + 1 + i) * sizeof(float);
                cpu->fill_zero(cpu->context, b.on_cpu[i], bytes);
                gpu->fill_zero(gpu->context, b.on_gpu[i], bytes);
            }
            check_same(&b);
        }
    }
    assert_int_equal(counted().kept, KEPT);
    assert_true(counted().forgotten >= KINDS - KEPT);
    check_counts(KINDS * 3, KINDS * 3, KINDS, KINDS, 0);
    start_counting();
    for (int kind = 0; kind < KINDS; kind += KINDS - 1) { /* the first is gone, the last is not */
        for (int i = 0; i < 3; i++)
            gpu->fill_zero(gpu->context, b.on_gpu[i], (size_t)(kind + 1 + i) * sizeof(float));
        check_same(&b);
        check_counts(3, kind > 0 ? 3 : 0, kind > 0, 0, 0);
    }
    free_both(&b);
}

/* --- whatever else is asked of the device finds what was launched before it --- */

static void warm_up(const struct both *b)
{
    run_both(b, &plain);
    run_both(b, &plain);
    run_both(b, &plain);
    start_counting();
}

/* The launches wait in expectation of the ones that came behind them last time. */
static void hold(const struct both *b)
{
    struct sequence begin = plain;
    begin.short_ = true;
    run_on(cpu, b->on_cpu, &begin);
    run_on(gpu, b->on_gpu, &begin);
    assert_int_equal(counted().held, LAUNCHES - 2);
}

static void test_read_and_written(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    const struct both b = make_both();
    float got[N], host[N] = {0};
    warm_up(&b);
    hold(&b);
    assert_int_equal(gpu->to_host(gpu->context, got, b.on_gpu[3], sizeof got, &err), TDBG_OK);
    assert_memory_equal(got, b.on_cpu[3], sizeof got);
    hold(&b);
    for (int i = 0; i < N; i++)
        host[i] = (float)i;
    cpu->to_device(cpu->context, b.on_cpu[2], host, sizeof host, &err);
    assert_int_equal(gpu->to_device(gpu->context, b.on_gpu[2], host, sizeof host, &err), TDBG_OK);
    assert_int_equal(counted().held, 0); /* or they would have been before it */
    check_same(&b);
    free_both(&b);
}

static void test_digests(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    const struct both b = make_both();
    struct tdbg_stats want_stats, got_stats[2];
    uint64_t want, got[2];
    warm_up(&b);
    for (int round = 0; round < 4; round++) {
        hold(&b);
        cpu->digest(cpu->context, b.on_cpu[3], TDBG_DTYPE_F32, N, &want, &want_stats, &err);
        assert_int_equal(
            gpu->digest(gpu->context, b.on_gpu[3], TDBG_DTYPE_F32, N, &got[0], &got_stats[0], &err),
            TDBG_OK);
        assert_true(got[0] == want);
        /* of a tensor that changes right behind the request */
        assert_int_equal(gpu->digest_later(gpu->context, b.on_gpu[3], TDBG_DTYPE_F32, N, 1, &err),
                         TDBG_OK);
        if (round < 2) {
            cpu->copy(cpu->context, b.on_cpu[3], b.on_cpu[5], N * sizeof(float));
            gpu->copy(gpu->context, b.on_gpu[3], b.on_gpu[5], N * sizeof(float));
        } else {
            cpu->fill_zero(cpu->context, b.on_cpu[3], N * sizeof(float));
            gpu->fill_zero(gpu->context, b.on_gpu[3], N * sizeof(float));
        }
        run_on(cpu, b.on_cpu, &plain);
        run_on(gpu, b.on_gpu, &plain);
        assert_int_equal(gpu->digests_take(gpu->context, 2, got, got_stats, &err), TDBG_OK);
        assert_true(got[1] == want);
        check_same(&b);
    }
    assert_true(counted().in_graphs > 0);
    free_both(&b);
}

/* Into the queue of a recording, of a tensor that goes on changing; the copies are launches. */
static void test_queued(void **state)
{
    (void)state;
    enum { ROUNDS = 12, QUEUE = 9 << 20 };
    struct tdbg_err err = {0};
    const struct both b = make_both();
    float want[ROUNDS][N];
    uint64_t ticket = 0, reached = 0;
    float *queue = calloc(1, QUEUE);
    assert_non_null(queue);
    gpu->pin(gpu->context, queue, QUEUE);
    start_counting();
    for (int round = 0; round < ROUNDS; round++) {
        run_on(cpu, b.on_cpu, &plain);
        run_on(gpu, b.on_gpu, &plain);
        memcpy(want[round], b.on_cpu[3], sizeof want[round]);
        assert_int_equal(gpu->to_queue(gpu->context, queue + round * N, b.on_gpu[3],
                                       sizeof want[round], &ticket, &err),
                         TDBG_OK);
        run_on(cpu, b.on_cpu, &plain);
        run_on(gpu, b.on_gpu, &plain);
        if (round % 3 == 2 && round + 1 < ROUNDS)
            check_same(&b);
    }
    assert_true(counted().held > 0);
    assert_int_equal(gpu->queue_reached(gpu->context, ticket, &reached, &err), TDBG_OK);
    assert_memory_equal(queue, want, sizeof want);
    assert_true(counted().in_graphs > 0);
    check_same(&b);
    gpu->unpin(gpu->context, queue);
    free(queue);
    free_both(&b);
}

/* Memory that is freed while launches that use it are held back, and given out again. */
static void test_freed(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    const struct both b = make_both();
    float got[N], zeros[N] = {0};
    for (int round = 0; round < 5; round++) {
        float *x = gpu->alloc(gpu->context, sizeof got);
        float *y = gpu->alloc(gpu->context, sizeof got);
        assert_int_equal(gpu->to_host(gpu->context, got, x, sizeof got, &err), TDBG_OK);
        assert_memory_equal(got, zeros, sizeof got);
        for (int i = 0; i < 4; i++)
            gpu->copy(gpu->context, i % 2 ? y : x, b.on_gpu[i], sizeof got);
        gpu->free(gpu->context, x);
        assert_int_equal(counted().held, 0);
        assert_int_equal(gpu->to_host(gpu->context, got, y, sizeof got, &err), TDBG_OK);
        assert_memory_equal(got, b.on_cpu[3], sizeof got);
        gpu->free(gpu->context, y);
    }
    free_both(&b);
}

/* A step that a tap may disturb goes out launch by launch. */
static void test_disturbed(void **state)
{
    (void)state;
    const struct both b = make_both();
    warm_up(&b);
    hold(&b);
    gpu->begin_step(gpu->context, false);
    assert_int_equal(counted().held, 0);
    check_same(&b);
    start_counting();
    run_both(&b, &plain);
    run_both(&b, &plain);
    check_counts(2 * LAUNCHES, 0, 0, 0, 0);
    gpu->begin_step(gpu->context, true);
    run_both(&b, &plain);
    check_counts(2 * LAUNCHES, LAUNCHES, 1, 0, 0);
    free_both(&b);
}

/* --- programs of all that can be launched, repeated with changes here and there --- */

enum { PROGRAMS = 5, LONGEST = 90, ROUNDS = 300 };

struct step {
    uint32_t what, to, from, n;
    float by;
};

static uint32_t drawn(uint32_t below)
{
    static uint64_t state = 12345;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

/* Halves and sums of two: numbers stay in their range. */
static struct step draw_step(void)
{
    const uint32_t to = drawn(BUFFERS);
    return (struct step){.what = drawn(4),
                         .to = to,
                         .from = (to + 1 + drawn(BUFFERS - 1)) % BUFFERS,
                         .n = drawn(2) ? N : N / 2,
                         .by = drawn(2) ? 0.5f : 0.25f};
}

static void run_step(const struct tdbg_backend *be, float *const *x, const struct step *s)
{
    switch (s->what) {
    case 0:
        be->scale(be->context, s->n, x[s->from], s->by, x[s->to]);
        break;
    case 1:
        be->vector_add(be->context, s->n, x[s->to], x[s->from]);
        be->scale(be->context, s->n, x[s->to], 0.5f, x[s->to]);
        break;
    case 2:
        be->copy(be->context, x[s->to], x[s->from], s->n * sizeof **x);
        break;
    default:
        be->fill_zero(be->context, x[s->to], s->n / 8 * sizeof **x);
    }
}

/* Changes a step: its arguments, or what it is, too. */
static struct step vary(const struct step *s, bool only_arguments)
{
    struct step other = draw_step();
    if (!only_arguments)
        return other;
    other.what = s->what;
    other.n = s->n;
    return other;
}

static void test_programs(void **state)
{
    (void)state;
    static struct step program[PROGRAMS][LONGEST];
    struct both b = make_both();
    int length[PROGRAMS];
    for (int p = 0; p < PROGRAMS; p++) {
        length[p] = 5 + (int)drawn(LONGEST - 5);
        for (int i = 0; i < length[p]; i++)
            program[p][i] = draw_step();
    }
    start_counting();
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t p = drawn(PROGRAMS), way = drawn(3); /* as it is, others, or broken up */
        for (int i = 0; i < length[p]; i++) {
            struct step s = program[p][i];
            if (way > 0 && drawn(20) == 0)
                s = vary(&s, way == 1);
            run_step(cpu, b.on_cpu, &s);
            run_step(gpu, b.on_gpu, &s);
            if (way == 2 && drawn(20) == 0)
                check_same(&b);
        }
        check_same(&b);
        if (round % 20 == 19) { /* numbers that are not 0 yet, at other places */
            free_both(&b);
            b = make_both();
        }
    }
    const struct tdbg_gpu_launch_counts c = counted();
    assert_true(c.in_graphs > 2 * c.one_by_one && c.built > PROGRAMS && c.changed > 0);
    free_both(&b);
}

/* Nothing to be done is nothing to be sent. */
static void test_nothing(void **state)
{
    (void)state;
    const struct both b = make_both();
    start_counting();
    for (int i = 0; i < 5; i++) {
        gpu->copy(gpu->context, b.on_gpu[0], b.on_gpu[1], 0);
        gpu->fill_zero(gpu->context, b.on_gpu[0], 0);
        gpu->vector_add(gpu->context, 0, b.on_gpu[0], b.on_gpu[1]);
        check_same(&b);
    }
    check_counts(0, 0, 0, 0, 0);
    free_both(&b);
}

/* Has to be the first test: graphs that cannot be had are not what is tested here. */
static void test_there_are_graphs(void **state)
{
    bool is_failure = false;
    (void)state;
    const char *why = tdbg_gpu_why_no_graphs(gpu->context, &is_failure);
    if (why)
        fail_msg("no graphs: %s", why);
    assert_null(gpu->why_no_graphs(gpu->context));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_are_graphs),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_other_places),
        cmocka_unit_test(test_other_arguments),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_read_and_written),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_queued),
        cmocka_unit_test(test_freed),
        cmocka_unit_test(test_disturbed),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_nothing),
    };
    unsetenv("TDBG_CUDA_GRAPHS");
    gpu_open_both(&cpu, &gpu);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tdbg_backend_destroy(gpu);
    tdbg_backend_destroy(cpu);
    return failed;
}
