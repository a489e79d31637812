/* Random numbers: the published vectors of Philox4x32-10, keys, bounded integers, permutations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/philox.h"

/* Known answers of the Random123 library (kat_vectors). */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, counter_lo, counter_hi;
        uint32_t want[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {UINT64_C(0x299f31d0a4093822),
         UINT64_C(0x85a308d3243f6a88),
         UINT64_C(0x0370734413198a2e),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tdbg_philox_block b =
            tdbg_philox(rows[i].key, rows[i].counter_lo, rows[i].counter_hi);
        for (int w = 0; w < 4; w++)
            assert_int_equal(b.word[w], rows[i].want[w]);
    }
}

/* Traces depend on these for ever: they are part of the numerics version. */
static void test_golden_streams(void **state)
{
    (void)state;
    assert_true(tdbg_philox_hash_name("") == UINT64_C(0xcbf29ce484222325));
    assert_true(tdbg_philox_hash_name("foobar") == UINT64_C(0x85944171f73967e8)); /* FNV's own */
    assert_true(tdbg_philox_key(0, TDBG_RANDOM_INIT, 0) == UINT64_C(0xf08d6eaa844515e1));
    uint64_t key = tdbg_philox_key(42, TDBG_RANDOM_SHUFFLE, 3);
    static const int64_t want[10] = {4, 3, 5, 1, 0, 8, 7, 2, 6, 9};
    int64_t perm[10];
    tdbg_philox_permutation(key, 10, perm);
    for (int i = 0; i < 10; i++)
        assert_int_equal(perm[i], want[i]);
}

static void test_keys_differ(void **state)
{
    (void)state;
    uint64_t keys[4 * 5 * 4];
    int n = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        for (int use = TDBG_RANDOM_INIT; use <= TDBG_RANDOM_TEST; use++) {
            for (uint64_t stream = 0; stream < 4; stream++)
                keys[n++] = tdbg_philox_key(seed, (enum tdbg_random_use)use, stream);
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++)
            assert_true(keys[i] != keys[j]);
    }
}

static void test_uniform(void **state)
{
    (void)state;
    enum { N = 1000000 };
    double sum = 0, square = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = (double)tdbg_philox_uniform(tdbg_philox(1, i, 0).word[i % 4]);
        assert_true(u >= 0 && u < 1);
        sum += u;
        square += u * u;
    }
    assert_true(tdbg_philox_uniform(UINT32_MAX) < 1 && tdbg_philox_uniform(0) == 0);
    /* Six standard deviations: sqrt(1/12/N) and sqrt(4/45/N). */
    assert_true(fabs(sum / N - 0.5) < 6 * sqrt(1.0 / 12 / N));
    assert_true(fabs(square / N - 1.0 / 3) < 6 * sqrt(4.0 / 45 / N));
}

static void test_below(void **state)
{
    (void)state;
    enum { N = 700000 };
    static const uint64_t limits[] = {1, 2, 3, 7, 1000, UINT64_C(1) << 63, UINT64_MAX};
    uint64_t counter = 0;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (int k = 0; k < 1000; k++)
            assert_true(tdbg_philox_below(9, &counter, limits[i]) < limits[i]);
    }
    int count[7] = {0};
    counter = 0;
    for (int k = 0; k < N; k++)
        count[tdbg_philox_below(5, &counter, 7)]++;
    assert_true(counter == N); /* a rejection is as rare as 2^-61 here */
    double chi_square = 0;
    for (int k = 0; k < 7; k++)
        chi_square += (count[k] - N / 7.0) * (count[k] - N / 7.0) / (N / 7.0);
    assert_true(chi_square < 30); /* 6 degrees of freedom: 4e-5 */
}

/* With n just above 2^63 almost half of the candidates are rejected; both halves of a block are
 * used, and then the next block. */
static void test_below_rejects(void **state)
{
    (void)state;
    const uint64_t n = (UINT64_C(1) << 63) + 1, biased = -n % n;
    uint64_t counter = 0;
    int blocks_of_two = 0;
    for (int k = 0; k < 200; k++) {
        uint64_t before = counter, got = tdbg_philox_below(11, &counter, n), want = 0;
        uint64_t used = 0;
        for (int found = 0; !found; used++) {
            struct tdbg_philox_block b = tdbg_philox(11, before + used, 0);
            for (int half = 0; half < 2 && !found; half++) {
                uint64_t word = (uint64_t)b.word[2 * half + 1] << 32 | b.word[2 * half];
                found = word * n >= biased;
                /* floor(word * n / 2^64) with n = 2^63 + 1 */
                want = (word >> 1) + (((word & 1) << 63) > UINT64_MAX - word);
            }
        }
        assert_true(got == want && counter == before + used);
        blocks_of_two += used > 1;
    }
    assert_true(blocks_of_two > 20);
}

static void test_permutation(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 2, 3, 100, 60000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        int64_t *perm = malloc((size_t)n * sizeof *perm + 1);
        char *seen = calloc((size_t)n + 1, 1);
        tdbg_philox_permutation(77, n, perm);
        for (int64_t k = 0; k < n; k++) {
            assert_in_range(perm[k], 0, n - 1);
            assert_int_equal(seen[perm[k]], 0);
            seen[perm[k]] = 1;
        }
        free(perm);
        free(seen);
    }
}

/* All 24 orders of four come up equally often. */
static void test_permutation_is_fair(void **state)
{
    (void)state;
    enum { N = 48000 };
    int count[256] = {0};
    for (uint64_t key = 0; key < N; key++) {
        int64_t p[4];
        tdbg_philox_permutation(tdbg_philox_key(1, TDBG_RANDOM_TEST, key), 4, p);
        count[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    double chi_square = 0;
    int orders = 0;
    for (int k = 0; k < 256; k++) {
        orders += count[k] > 0;
        if (count[k] > 0)
            chi_square += (count[k] - N / 24.0) * (count[k] - N / 24.0) / (N / 24.0);
    }
    assert_int_equal(orders, 24);
    assert_true(chi_square < 60); /* 23 degrees of freedom: 4e-5 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_golden_streams),
        cmocka_unit_test(test_keys_differ),   cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_below),         cmocka_unit_test(test_below_rejects),
        cmocka_unit_test(test_permutation),   cmocka_unit_test(test_permutation_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
