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

int main(int argc, char **argv)
{
    static enum tdbg_dtype dtypes[TDBG_DTYPE_COUNT];
    struct CMUnitTest tests[TDBG_DTYPE_COUNT + 1] = {cmocka_unit_test(test_anywhere)};
    gpu_open_both(&cpu, &gpu);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (int i = 0; i < TDBG_DTYPE_COUNT; i++) {
        dtypes[i] = (enum tdbg_dtype)i;
        tests[1 + i] = (struct CMUnitTest){.name = tdbg_dtype_text(dtypes[i]),
                                           .test_func = test_dtype,
                                           .initial_state = &dtypes[i]};
    }
    const int failed = cmocka_run_group_tests_name("gpu-digest", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
