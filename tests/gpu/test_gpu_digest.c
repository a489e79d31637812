/* Digests and statistics on a GPU against the reference of base/digest.h, bit for bit, for every
 * element type. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/philox.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "kernels/dropout.h"

enum { SEED = 20261126, MOST_ELEMS = 300 * TDBG_STATS_BLOCK_ELEMS + 7 };

/* Lanes, warps, blocks, and more blocks than are added at a time. */
static const int64_t lengths[] = {0,   1,    15,   16,   17,   31,   32,    33,    255,
                                  257, 2048, 4095, 4096, 4097, 8192, 12289, 40000, MOST_ELEMS};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

static struct tdbg_backend *cpu, *gpu;

/* SPECIAL has NaN, infinities, both zeros and denormals among others. WIDE has numbers of so many
 * sizes that every sum depends on its order; sums of PLAIN f32 are exact. */
enum fill { PLAIN, WIDE, SPECIAL, ZEROS, NANS, FILLS };

static uint64_t special_bits(enum tdbg_dtype dtype, uint32_t random)
{
    static const uint64_t f32[] = {0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000, 0,
                                   0x80000000, 1,          0x807fffff, 0x7f7fffff, 0x5d800000};
    static const uint64_t f64[] = {UINT64_C(0x7ff8000000000000),
                                   UINT64_C(0xfff8000000000001),
                                   UINT64_C(0x7ff0000000000000),
                                   UINT64_C(0xfff0000000000000),
                                   0,
                                   UINT64_C(0x8000000000000000),
                                   1,
                                   UINT64_C(0x800fffffffffffff),
                                   UINT64_C(0x5fe0000000000000),
                                   UINT64_C(0xdfe0000000000000)};
    static const uint64_t f16[] = {0x7e00, 0xfe01, 0x7c00, 0xfc00, 0, 0x8000, 1, 0x83ff, 0x7bff, 1};
    random %= 10;
    switch (dtype) {
    case TDBG_DTYPE_F32:
        return f32[random];
    case TDBG_DTYPE_BF16:
        return f32[random] >> 16;
    case TDBG_DTYPE_F64:
        return f64[random];
    case TDBG_DTYPE_F16:
        return f16[random];
    default: /* the ends of the integers */
        return random % 2 ? UINT64_MAX >> (random % 3) : UINT64_C(0x8000000080000080);
    }
}

static uint64_t plain_bits(enum tdbg_dtype dtype, const struct tdbg_philox_block *r,
                           bool wide_range)
{
    const float scale = wide_range ? tdbg_bits_float((82 + r->word[2] % 90) << 23) : 1;
    const float x = (tdbg_philox_uniform(r->word[0]) * 4 - 2) * scale;
    const double wide = (double)x * (1 + (double)r->word[1] * 0x1p-60);
    uint64_t bits;
    switch (dtype) {
    case TDBG_DTYPE_F32:
        return tdbg_float_bits(x);
    case TDBG_DTYPE_BF16:
        return tdbg_float_bits(x) >> 16;
    case TDBG_DTYPE_F64:
        memcpy(&bits, &wide, sizeof bits);
        return bits;
    case TDBG_DTYPE_F16: /* any that is finite */
        return (r->word[0] & 0x83ff) | r->word[1] % 31 << 10;
    default:
        return (uint64_t)r->word[0] << 32 | r->word[1];
    }
}

static void fill_elems(void *data, enum tdbg_dtype dtype, enum fill fill, int64_t n)
{
    const size_t bytes = tdbg_dtype_bytes(dtype);
    const uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, (uint64_t)dtype);
    for (int64_t i = 0; i < n; i++) {
        const struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, (uint64_t)fill);
        uint64_t bits = plain_bits(dtype, &r, fill == WIDE);
        if (fill == SPECIAL && r.word[2] % 4 == 0)
            bits = special_bits(dtype, r.word[3]);
        else if (fill == ZEROS)
            bits = r.word[2] % 2 ? special_bits(dtype, 4) : special_bits(dtype, 5);
        else if (fill == NANS)
            bits = special_bits(dtype, r.word[3] % 4);
        memcpy((char *)data + (size_t)i * bytes, &bits, bytes);
    }
}

static void check_stats(const char *name, const struct tdbg_stats *want,
                        const struct tdbg_stats *got)
{
    if (memcmp(want, got, sizeof *want) != 0)
        fail_msg("%s: min %a, max %a, mean %a, rms %a, zeros %" PRIu64 ", NaN %" PRIu64
                 ", Inf %" PRIu64 "; the reference has min %a, max %a, mean %a, rms %a, zeros "
                 "%" PRIu64 ", NaN %" PRIu64 ", Inf %" PRIu64,
                 name, got->min, got->max, got->mean, got->rms, got->zeros, got->nans, got->infs,
                 want->min, want->max, want->mean, want->rms, want->zeros, want->nans, want->infs);
}

static void check(const void *data, enum tdbg_dtype dtype, enum fill fill, int64_t n)
{
    const uint64_t want = tdbg_digest_reference(data, dtype, n);
    struct tdbg_stats want_stats, got_stats;
    struct tdbg_err err = {0};
    uint64_t got = 0;
    char name[80];
    void *at = gpu_place(gpu, data, (size_t)n * tdbg_dtype_bytes(dtype));
    snprintf(name, sizeof name, "%s, fill %d, %lld elements", tdbg_dtype_text(dtype), (int)fill,
             (long long)n);
    tdbg_stats_reference(data, dtype, n, &want_stats);
    if (gpu->digest(gpu->context, at, dtype, n, &got, &got_stats, &err) != TDBG_OK)
        fail_msg("%s: %s", name, err.message);
    if (got != want)
        fail_msg("%s: digest %016" PRIx64 ", the reference has %016" PRIx64, name, got, want);
    check_stats(name, &want_stats, &got_stats);
    if (n < MOST_ELEMS) { /* one without the other */
        got = 0;
        memset(&got_stats, 0x5a, sizeof got_stats);
        assert_int_equal(gpu->digest(gpu->context, at, dtype, n, &got, NULL, &err), TDBG_OK);
        assert_int_equal(gpu->digest(gpu->context, at, dtype, n, NULL, &got_stats, &err), TDBG_OK);
        assert_int_equal(got, want);
        check_stats(name, &want_stats, &got_stats);
    }
    gpu_drop(gpu, at);
}

static void test_dtype(void **state)
{
    const enum tdbg_dtype dtype = *(const enum tdbg_dtype *)*state;
    void *data = malloc((size_t)MOST_ELEMS * 8);
    for (int fill = 0; fill < FILLS; fill++) {
        fill_elems(data, dtype, (enum fill)fill, MOST_ELEMS);
        for (int i = 0; i < N_LENGTHS; i++) {
            if (lengths[i] < MOST_ELEMS || fill == WIDE)
                check(data, dtype, (enum fill)fill, lengths[i]);
        }
    }
    free(data);
}

/* A piece of a tensor is aligned to its elements alone. */
static void test_anywhere(void **state)
{
    enum { N = 5000 };
    float x[N + 3];
    uint64_t digest;
    struct tdbg_err err = {0};
    (void)state;
    fill_elems(x, TDBG_DTYPE_F32, PLAIN, N + 3);
    float *at = gpu_place(gpu, x, sizeof x);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(gpu->digest(gpu->context, at + k, TDBG_DTYPE_F32, N, &digest, NULL, &err),
                         TDBG_OK);
        assert_int_equal(digest, tdbg_digest_reference(x + k, TDBG_DTYPE_F32, N));
    }
    gpu_drop(gpu, at);
}

/* ---- digests that are not waited for -----------------------------------------------------------
 */

enum { N_LATER = 400, LATER_ELEMS = 12289 };

/* A tensor on the device, and what its digest has to be. */
struct later {
    enum tdbg_dtype dtype;
    int64_t n;
    void *host, *at;
    uint64_t digest;
    struct tdbg_stats stats;
};

static struct later place_later(enum tdbg_dtype dtype, enum fill fill, int64_t n)
{
    struct later l = {.dtype = dtype, .n = n};
    const size_t bytes = (size_t)n * tdbg_dtype_bytes(dtype);
    l.host = malloc(bytes + 1);
    fill_elems(l.host, dtype, fill, n);
    l.digest = tdbg_digest_reference(l.host, dtype, n);
    tdbg_stats_reference(l.host, dtype, n, &l.stats);
    l.at = gpu_place(gpu, l.host, bytes);
    return l;
}

static void drop_later(struct later *l)
{
    gpu_drop(gpu, l->at);
    free(l->host);
}

static void ask(const struct later *l, int32_t slot)
{
    struct tdbg_err err = {0};
    if (gpu->digest_later(gpu->context, l->at, l->dtype, l->n, slot, &err) != TDBG_OK)
        fail_msg("%s", err.message);
}

static void check_later(const char *name, const struct later *l, uint64_t digest,
                        const struct tdbg_stats *stats)
{
    char text[120];
    snprintf(text, sizeof text, "%s: %s, %lld elements", name, tdbg_dtype_text(l->dtype),
             (long long)l->n);
    if (digest != l->digest)
        fail_msg("%s: digest %016" PRIx64 ", the reference has %016" PRIx64, text, digest,
                 l->digest);
    check_stats(text, &l->stats, stats);
}

/* Takes slot 0, the only one. */
static void check_first(const char *name, const struct later *l)
{
    struct tdbg_err err = {0};
    struct tdbg_stats stats;
    uint64_t digest = 0;
    memset(&stats, 0x5a, sizeof stats);
    assert_int_equal(gpu->digests_take(gpu->context, 1, &digest, &stats, &err), TDBG_OK);
    check_later(name, l, digest, &stats);
}

/* Types and lengths mixed, more of them than a launch takes; every seventh slot stays empty. */
static void test_later_in_a_row(void **state)
{
    static struct later of[N_LATER];
    static uint64_t digests[N_LATER];
    static struct tdbg_stats stats[N_LATER];
    struct tdbg_err err = {0};
    (void)state;
    for (uint32_t i = 0; i < N_LATER; i++) {
        const struct tdbg_philox_block r = tdbg_philox(SEED, i, 0);
        const int64_t n = r.word[1] % 3 == 0 ? r.word[1] % 5000 : lengths[r.word[1] % 15];
        of[i] = place_later((enum tdbg_dtype)(r.word[0] % TDBG_DTYPE_COUNT),
                            (enum fill)(r.word[2] % FILLS), n);
    }
    for (int32_t step = 0; step < 2; step++) {
        memset(digests, 0, sizeof digests);
        for (int32_t i = N_LATER - 1; i >= 0; i--) {
            if (i % 7 != step)
                ask(&of[i], i);
        }
        assert_int_equal(gpu->digests_take(gpu->context, N_LATER, digests, stats, &err), TDBG_OK);
        for (int32_t i = 0; i < N_LATER; i++) {
            if (i % 7 != step)
                check_later("in a row", &of[i], digests[i], &stats[i]);
            else
                assert_int_equal(digests[i], 0);
        }
    }
    for (int i = 0; i < N_LATER; i++)
        drop_later(&of[i]);
}

/* More tensors that have to be added up than a launch takes, and more parts than there is room for
 * at first. */
static void test_later_parts(void **state)
{
    enum { TENSORS = 140 };
    struct later large = place_later(TDBG_DTYPE_BF16, WIDE, MOST_ELEMS);
    struct later small = place_later(TDBG_DTYPE_F32, WIDE, TDBG_STATS_BLOCK_ELEMS + 1);
    static uint64_t digests[TENSORS];
    static struct tdbg_stats stats[TENSORS];
    struct tdbg_err err = {0};
    (void)state;
    for (int32_t i = 0; i < TENSORS; i++)
        ask(i == 3 || i == 6 ? &large : &small, i);
    assert_int_equal(gpu->digests_take(gpu->context, TENSORS, digests, stats, &err), TDBG_OK);
    for (int32_t i = 0; i < TENSORS; i++)
        check_later("parts", i == 3 || i == 6 ? &large : &small, digests[i], &stats[i]);
    drop_later(&large);
    drop_later(&small);
}

/* What changes a tensor or gives its memory away. other: as large, of ones. */
enum change { BY_KERNEL, BY_FILL, BY_COPY, BY_UPLOAD, BY_FREEING, BY_DROPOUT, BY_PEER, CHANGES };

/* Another backend, with a stream of its own, that knows that the first one has been waited for. */
static void clear_as_peer(struct later *l, size_t bytes)
{
    struct tdbg_backend *peer;
    struct tdbg_err err = {0};
    float x;
    gpu_fetch(gpu, &x, l->at, sizeof x);
    assert_int_equal(tdbg_backend_cuda_create(0, &peer, &err), TDBG_OK);
    peer->fill_zero(peer->context, l->at, bytes);
    gpu_fetch(peer, &x, l->at, sizeof x);
    tdbg_backend_cuda_destroy(peer);
}

static void change_tensor(enum change change, struct later *l, const void *other, const void *host)
{
    const size_t bytes = (size_t)l->n * sizeof(float);
    struct tdbg_dropout nothing_stays = {.threshold = UINT64_C(1) << 32};
    struct tdbg_err err = {0};
    switch (change) {
    case BY_KERNEL:
        gpu->vector_add(gpu->context, l->n, l->at, other);
        break;
    case BY_FILL:
        gpu->fill_zero(gpu->context, l->at, bytes);
        break;
    case BY_COPY:
        gpu->copy(gpu->context, l->at, other, bytes);
        break;
    case BY_UPLOAD:
        assert_int_equal(gpu->to_device(gpu->context, l->at, host, bytes, &err), TDBG_OK);
        break;
    case BY_FREEING: /* the next one may get the same memory */
        gpu_drop(gpu, l->at);
        l->at = gpu_place(gpu, NULL, bytes);
        break;
    case BY_PEER:
        clear_as_peer(l, bytes);
        break;
    default:
        gpu->dropout_apply(gpu->context, &nothing_stays, 1, l->n, other, l->at);
    }
}

/* The digest is of the value that there was when it was asked for. */
static void test_later_change(void **state)
{
    static const int64_t sizes[] = {1, 100, LATER_ELEMS};
    float *ones = malloc(LATER_ELEMS * sizeof *ones);
    (void)state;
    for (int i = 0; i < LATER_ELEMS; i++)
        ones[i] = 1;
    float *other = gpu_place(gpu, ones, LATER_ELEMS * sizeof *ones);
    for (int change = 0; change < CHANGES; change++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct later l = place_later(TDBG_DTYPE_F32, WIDE, sizes[i]);
            char name[40];
            snprintf(name, sizeof name, "change %d", change);
            ask(&l, 0);
            change_tensor((enum change)change, &l, other, ones);
            check_first(name, &l);
            drop_later(&l);
        }
    }
    gpu_drop(gpu, other);
    free(ones);
}

/* Requests, each followed by a kernel that changes the tensor, and digests that are waited for
 * between them; all under way at the same time. */
static void test_later_between_kernels(void **state)
{
    enum { STEPS = 24, N = 5000 };
    static struct later versions[STEPS];
    struct later l = place_later(TDBG_DTYPE_F32, PLAIN, N), twin = place_later(l.dtype, WIDE, N);
    static uint64_t digests[2 * STEPS];
    static struct tdbg_stats stats[2 * STEPS];
    static float value[N];
    float *x = l.host;
    struct tdbg_err err = {0};
    uint64_t now, ticket;
    (void)state;
    for (int32_t k = 0; k < STEPS; k++) {
        versions[k] = (struct later){.dtype = l.dtype, .n = N};
        versions[k].digest = tdbg_digest_reference(x, l.dtype, N);
        tdbg_stats_reference(x, l.dtype, N, &versions[k].stats);
        ask(&l, 2 * k);
        if (k % 2 == 0) { /* its value is recorded, too */
            assert_int_equal(gpu->to_queue(gpu->context, value, l.at, N * sizeof *x, &ticket, &err),
                             TDBG_OK);
            assert_int_equal(ticket, 0); /* nobody has pinned a queue */
            assert_memory_equal(value, x, N * sizeof *x);
        }
        if (k % 3 != 0)
            ask(&twin, 2 * k + 1);
        if (k % 4 == 0) {
            assert_int_equal(gpu->digest(gpu->context, twin.at, twin.dtype, N, &now, NULL, &err),
                             TDBG_OK);
            assert_int_equal(now, twin.digest);
        }
        gpu->vector_sum(gpu->context, N, l.at, l.at, l.at);
        for (int i = 0; i < N; i++)
            x[i] += x[i];
    }
    assert_int_equal(gpu->digests_take(gpu->context, 2 * STEPS, digests, stats, &err), TDBG_OK);
    for (int32_t k = 0; k < STEPS; k++) {
        check_later("version", &versions[k], digests[2 * k], &stats[2 * k]);
        if (k % 3 != 0)
            check_later("twin", &twin, digests[2 * k + 1], &stats[2 * k + 1]);
    }
    drop_later(&l);
    drop_later(&twin);
}

/* A step that is given up leaves requests; under the same slot the last one counts. */
static void test_later_again(void **state)
{
    struct later old = place_later(TDBG_DTYPE_I32, PLAIN, LATER_ELEMS);
    struct later young = place_later(TDBG_DTYPE_F64, WIDE, LATER_ELEMS);
    (void)state;
    for (int order = 0; order < 8; order++) { /* blocks run in any order */
        ask(&old, 0);
        ask(&young, 0);
        check_first("again", &young);
        ask(&young, 0);
        ask(&old, 0);
        check_first("again", &old);
    }
    drop_later(&old);
    drop_later(&young);
}

int main(int argc, char **argv)
{
    static enum tdbg_dtype dtypes[TDBG_DTYPE_COUNT];
    enum { OTHERS = 6 };
    struct CMUnitTest tests[TDBG_DTYPE_COUNT + OTHERS] = {
        cmocka_unit_test(test_anywhere),
        cmocka_unit_test(test_later_in_a_row),
        cmocka_unit_test(test_later_parts),
        cmocka_unit_test(test_later_change),
        cmocka_unit_test(test_later_between_kernels),
        cmocka_unit_test(test_later_again)};
    gpu_open_both(&cpu, &gpu);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (int i = 0; i < TDBG_DTYPE_COUNT; i++) {
        dtypes[i] = (enum tdbg_dtype)i;
        tests[OTHERS + i] = (struct CMUnitTest){.name = tdbg_dtype_text(dtypes[i]),
                                                .test_func = test_dtype,
                                                .initial_state = &dtypes[i]};
    }
    const int failed = cmocka_run_group_tests_name("gpu-digest", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
