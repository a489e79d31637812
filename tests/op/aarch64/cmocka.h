/* The part of cmocka that the tests of kernels use, for a processor that no cmocka is installed
 * for: a test that fails says where and ends the program. See ../aarch64.py. */
#ifndef TDBG_TESTS_AARCH64_CMOCKA_H
#define TDBG_TESTS_AARCH64_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    int (*setup_func)(void **state);
    int (*teardown_func)(void **state);
    void *initial_state;
};

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL, NULL                                                                    \
    }

#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   fprintf(stderr, __VA_ARGS__)
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)
#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            fail_msg("not true: %s", #c);                                                          \
    } while (0)
#define assert_false(c)                  assert_true(!(c))
#define assert_non_null(p)               assert_true((p) != NULL)
#define assert_null(p)                   assert_true((p) == NULL)
#define assert_int_equal(a, b)           assert_true((long long)(a) == (long long)(b))
#define assert_in_range(v, low, high)    assert_true((v) >= (low) && (v) <= (high))
#define assert_memory_equal(a, b, n)     assert_true(memcmp(a, b, n) == 0)
#define assert_memory_not_equal(a, b, n) assert_true(memcmp(a, b, n) != 0)

static inline int cmocka_run(const struct CMUnitTest *tests, size_t n, int (*setup)(void **state),
                             int (*teardown)(void **state))
{
    void *group = NULL;
    if (setup)
        setup(&group);
    for (size_t i = 0; i < n; i++) {
        void *state = tests[i].initial_state ? tests[i].initial_state : group;
        tests[i].test_func(&state);
        printf("ok %s\n", tests[i].name);
    }
    if (teardown)
        teardown(&group);
    return 0;
}

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define _cmocka_run_group_tests(name, tests, n, setup, teardown)                                   \
    cmocka_run(tests, n, setup, teardown)

#endif
