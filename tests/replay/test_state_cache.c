/* Unit tests of the schedule by which states are kept: the cost is the least of all schedules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "replay/state_cache.h"

enum { LONGEST = 300 };
static int64_t least[LONGEST + 1][TDBG_MAX_CACHED_STATES + 1];

/* Of n steps the m-th state is kept: the part behind it with one state less, then that before. */
static int64_t cost_with(int64_t n, int states, int64_t m)
{
    return m + least[n - m][states - 1] + least[m][states];
}

static void fill(void)
{
    for (int64_t n = 1; n <= LONGEST; n++) {
        least[n][0] = n * (n - 1) / 2;
        for (int states = 1; states <= TDBG_MAX_CACHED_STATES; states++) {
            least[n][states] = n == 1 ? 0 : INT64_MAX;
            for (int64_t m = 1; m < n; m++) {
                const int64_t cost = cost_with(n, states, m);
                least[n][states] = cost < least[n][states] ? cost : least[n][states];
            }
        }
    }
}

static void test_cost_is_least(void **state)
{
    (void)state;
    fill();
    for (int64_t n = 1; n <= LONGEST; n++) {
        for (int states = 0; states <= TDBG_MAX_CACHED_STATES; states++)
            assert_int_equal(tdbg_state_cache_cost(n, states), least[n][states]);
    }
    assert_int_equal(tdbg_state_cache_cost(50, 4), 122); /* 3.44 passes a step with its own */
}

static void test_distance_is_best(void **state)
{
    (void)state;
    fill();
    for (int64_t n = 2; n <= LONGEST; n++) {
        for (int states = 1; states <= TDBG_MAX_CACHED_STATES; states++) {
            const int64_t m = tdbg_state_cache_distance(n, states);
            assert_true(m >= 1 && m < n);
            assert_int_equal(cost_with(n, states, m), least[n][states]);
        }
    }
}

static void test_long_ways(void **state)
{
    (void)state;
    const int64_t n = 100000000;
    assert_true(tdbg_state_cache_cost(n, TDBG_MAX_CACHED_STATES) > n);
    assert_true(tdbg_state_cache_distance(n, 1) > 1 && tdbg_state_cache_distance(n, 8) < n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost_is_least),
        cmocka_unit_test(test_distance_is_best),
        cmocka_unit_test(test_long_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
