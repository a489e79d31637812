/* The scalar definitions of digest, statistics and chains in base/digest.c. The fast kernels are
 * compared with them in tests/op/test_kernels.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "base/digest_block.h"
#include "base/philox.h"

/* Traces depend on these for ever. */
static void test_golden(void **state)
{
    (void)state;
    const float x[3] = {1, -2, 0.5f};
    const uint8_t bytes[5] = {0, 1, 2, 254, 255};
    const int64_t wide[2] = {-1, INT64_C(1) << 40};
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 0) == UINT64_C(0x8da1221c5cd629ce));
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 3) == UINT64_C(0xc341049b1ba8b4c8));
    assert_true(tdbg_digest_reference(bytes, TDBG_DTYPE_U8, 5) == UINT64_C(0x94dba0dd667b7693));
    assert_true(tdbg_digest_reference(wide, TDBG_DTYPE_I64, 2) == UINT64_C(0xa956e3b629c91dfa));
    assert_true(tdbg_chain_absorb(0, 0) == 1);
    assert_true(tdbg_chain_absorb(1, 2) == UINT64_C(0xe7d92ae6c6350610));
}

/* The definition in digest.h, written out for 64-bit elements. */
static void test_definition(void **state)
{
    (void)state;
    const uint64_t x[3] = {UINT64_C(0x0123456789abcdef), 0, UINT64_MAX};
    uint64_t sum = tdbg_digest_mix(UINT64_MAX, 6);
    for (uint64_t i = 0; i < 3; i++) {
        sum += tdbg_digest_mix(2 * i, (uint32_t)x[i]);
        sum += tdbg_digest_mix(2 * i + 1, (uint32_t)(x[i] >> 32));
    }
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_I64, 3) == sum);
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F64, 3) == sum);
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    uint32_t x[257];
    for (uint32_t i = 0; i < 257; i++)
        x[i] = tdbg_philox(3, i, 0).word[0];
    const uint64_t whole = tdbg_digest_reference(x, TDBG_DTYPE_F32, 257);
    for (int i = 0; i < 257; i++) {
        for (int bit = 0; bit < 32; bit++) {
            x[i] ^= UINT32_C(1) << bit;
            assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 257) != whole);
            x[i] ^= UINT32_C(1) << bit;
        }
    }
}

static void test_order_and_length_count(void **state)
{
    (void)state;
    const float x[4] = {1, 2, 0, 0}, swapped[4] = {2, 1, 0, 0};
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 4) !=
                tdbg_digest_reference(swapped, TDBG_DTYPE_F32, 4));
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 4) !=
                tdbg_digest_reference(x, TDBG_DTYPE_F32, 3));
    assert_true(tdbg_digest_reference(x, TDBG_DTYPE_F32, 0) !=
                tdbg_digest_reference(x + 2, TDBG_DTYPE_F32, 1));
}

/* mix of one word index is a bijection of the word: no two of a sample collide. */
static void test_mix_is_injective(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static uint64_t seen[2 * N];
    for (uint32_t w = 0; w < N; w++) {
        uint64_t m = tdbg_digest_mix(12345, w * 65537u), slot = m % (2 * N);
        for (; seen[slot]; slot = (slot + 1) % (2 * N))
            assert_true(seen[slot] != m);
        seen[slot] = m;
    }
}

static void test_stats(void **state)
{
    (void)state;
    struct tdbg_stats s;
    const float nan = (float)NAN, inf = (float)INFINITY;
    const float x[8] = {3, -4, 0, -0.0f, nan, inf, -inf, 1};
    tdbg_stats_reference(x, TDBG_DTYPE_F32, 8, &s);
    assert_true(s.min == -4 && s.max == 3 && s.mean == 0 && s.rms == sqrt(26.0 / 5));
    assert_true(s.zeros == 2 && s.nans == 1 && s.infs == 2);
    tdbg_stats_reference(x + 4, TDBG_DTYPE_F32, 3, &s);
    assert_true(isnan(s.min) && isnan(s.max) && isnan(s.mean) && isnan(s.rms));
    tdbg_stats_reference(x, TDBG_DTYPE_F32, 0, &s);
    assert_true(isnan(s.min) && s.zeros == 0);
    const float zeros[2] = {-0.0f, -0.0f};
    tdbg_stats_reference(zeros, TDBG_DTYPE_F32, 2, &s);
    assert_true(!signbit(s.min) && !signbit(s.max) && s.zeros == 2);
    const uint16_t half[4] = {0x3c00, 0xc000, 0x0001, 0x7c00}; /* 1, -2, 2^-24, Inf */
    tdbg_stats_reference(half, TDBG_DTYPE_F16, 4, &s);
    assert_true(s.min == -2 && s.max == 1 && s.infs == 1 && s.mean == (0x1p-24 - 1) / 3);
}

static void test_chains(void **state)
{
    (void)state;
    const struct tdbg_site sites[] = {
        {.name = "fwd/fc1", .stage = TDBG_STAGE_FWD, .lane = 0, .micro = 0, .ndim = 1, .dims = {4}},
        {.name = "loss", .stage = TDBG_STAGE_LOSS, .lane = TDBG_LANE_ALL, .micro = TDBG_LANE_ALL},
        {.name = "loss/rows", .stage = TDBG_STAGE_LOSS, .lane = 0, .micro = 0},
        {.name = "grad/fc1.weight",
         .stage = TDBG_STAGE_GRAD,
         .lane = TDBG_LANE_ALL,
         .micro = TDBG_LANE_ALL},
    };
    assert_false(tdbg_chain_covers(TDBG_CHAIN_MAIN, &sites[0]));
    assert_true(tdbg_chain_covers(TDBG_CHAIN_MAIN, &sites[1]));
    assert_false(tdbg_chain_covers(TDBG_CHAIN_MAIN, &sites[2]));
    assert_true(tdbg_chain_covers(TDBG_CHAIN_MAIN, &sites[3]));
    assert_true(tdbg_chain_covers(1 + TDBG_STAGE_FWD, &sites[0]));
    assert_string_equal(tdbg_chain_name(TDBG_CHAIN_MAIN), "main");
    assert_string_equal(tdbg_chain_name(1 + TDBG_STAGE_GRAD), "grad");
    assert_true(tdbg_chain_start(1 + TDBG_STAGE_EVAL, sites, 4) == 0);

    const uint64_t start = tdbg_chain_start(1 + TDBG_STAGE_FWD, sites, 4);
    struct tdbg_site changed = sites[0];
    changed.dims[0] = 5;
    assert_true(tdbg_chain_start(1 + TDBG_STAGE_FWD, &changed, 1) != start);
    changed = sites[0];
    changed.name = "fwd/fc2";
    assert_true(tdbg_chain_start(1 + TDBG_STAGE_FWD, &changed, 1) != start);
    changed = sites[0];
    changed.dtype = TDBG_DTYPE_F64;
    assert_true(tdbg_chain_start(1 + TDBG_STAGE_FWD, &changed, 1) != start);
    assert_true(tdbg_chain_absorb_text(0, "ab") !=
                tdbg_chain_absorb_text(tdbg_chain_absorb_text(0, "a"), "b"));
}

/* One block by every instruction set that this processor has, against the definition. */
static void check_block(const void *x, enum tdbg_dtype dtype, int64_t n)
{
    tdbg_digest_block_fn *const blocks[] = {tdbg_digest_block_portable, tdbg_digest_block_best()};
    const uint64_t digest = tdbg_digest_reference(x, dtype, n);
    struct tdbg_stats stats, got_stats;
    tdbg_stats_reference(x, dtype, n, &stats);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        struct tdbg_digest_part part;
        uint64_t got;
        blocks[b](x, dtype, 0, n, TDBG_PART_DIGEST | TDBG_PART_STATS, &part);
        tdbg_digest_part_finish(&part, dtype, n, &got, &got_stats);
        assert_true(got == digest);
        assert_memory_equal(&got_stats, &stats, sizeof stats);
    }
}

/* Every length of a short block, every kind of element. */
static void test_blocks(void **state)
{
    (void)state;
    enum { MOST = 70 };
    uint64_t x[MOST];
    for (int dtype = 0; dtype < TDBG_DTYPE_COUNT; dtype++) {
        for (int64_t n = 0; n <= MOST; n++) {
            for (uint32_t i = 0; i < MOST; i++) {
                const struct tdbg_philox_block r = tdbg_philox(5, i, (uint64_t)n);
                x[i] = (uint64_t)r.word[0] << 32 | r.word[1];
                if (r.word[2] % 4 == 0)
                    x[i] = r.word[2] % 8 == 0 ? 0 : UINT64_C(0x8000000000000000);
            }
            check_block(x, (enum tdbg_dtype)dtype, n);
        }
    }
}

/* Words far into a large tensor: the upper half of the index counts too. */
static void test_far_block(void **state)
{
    (void)state;
    enum { N = TDBG_STATS_BLOCK_ELEMS };
    static uint32_t x[N];
    tdbg_digest_block_fn *const blocks[] = {tdbg_digest_block_portable, tdbg_digest_block_best()};
    const int64_t first = (INT64_C(5) << 32) - N;
    for (int64_t at = first; at <= first + N; at += N) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < N; i++) {
            x[i] = tdbg_philox(9, i, (uint64_t)at).word[0];
            sum += tdbg_digest_mix((uint64_t)at + i, x[i]);
        }
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            struct tdbg_digest_part part;
            blocks[b](x, TDBG_DTYPE_F32, at, N, TDBG_PART_DIGEST, &part);
            assert_true(part.digest == sum);
        }
    }
}

/* The fast way gives the bits of the definition, with everything that floats can be. */
static void test_fast_equals_reference(void **state)
{
    (void)state;
    enum { MOST = 9000 };
    static float x[MOST];
    static const uint32_t special[] = {0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                       1, 0x80000001, 0x7f7fffff, 0xff7fffff, 0x7f800001};
    uint64_t seed = 12345;
    for (int round = 0; round < 400; round++) {
        const int64_t n = round < 40 ? round : (int64_t)(seed >> 33) % MOST;
        struct tdbg_stats a, b;
        for (int64_t i = 0; i < n; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint32_t bits = (uint32_t)(seed >> 32);
            if (round % 3 == 1)
                bits = (bits & 0x807fffff) | 0x3f000000; /* numbers of one size, both signs */
            else if (round % 3 == 2 && bits % 5 == 0)
                bits = special[(bits >> 8) % (sizeof special / sizeof *special)];
            memcpy(&x[i], &bits, sizeof bits);
        }
        assert_true(tdbg_digest_fast(x, TDBG_DTYPE_F32, n) ==
                    tdbg_digest_reference(x, TDBG_DTYPE_F32, n));
        tdbg_stats_fast(x, TDBG_DTYPE_F32, n, &a);
        tdbg_stats_reference(x, TDBG_DTYPE_F32, n, &b);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),           cmocka_unit_test(test_definition),
        cmocka_unit_test(test_every_bit_counts), cmocka_unit_test(test_order_and_length_count),
        cmocka_unit_test(test_mix_is_injective), cmocka_unit_test(test_stats),
        cmocka_unit_test(test_chains),           cmocka_unit_test(test_fast_equals_reference),
        cmocka_unit_test(test_blocks),           cmocka_unit_test(test_far_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
