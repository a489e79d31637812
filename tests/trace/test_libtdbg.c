/* The public library: what is recorded is read back, in several threads too. */
#include <pthread.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib_run.h"

static void check_vocabulary(struct tdbg_read *t)
{
    int64_t n;
    const int64_t *start;
    const unsigned char *bytes;
    assert_int_equal(tdbg_read_vocabulary(t, &n, &start, &bytes), TDBG_SUCCESS);
    assert_int_equal(n, LIB_TOKENS);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(start[i + 1] - start[i], lib_token_bytes[i]);
        assert_memory_equal(bytes + start[i], lib_tokens[i], lib_token_bytes[i]);
    }
    assert_int_equal(tdbg_read_vocabulary(t, NULL, &start, &bytes), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_vocabulary(NULL, &n, &start, &bytes), TDBG_ERR_USAGE);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    char path[128];
    float want[CLASSES * PIXELS], back[CLASSES * PIXELS];
    struct tdbg_tensor item, x, y;
    struct tdbg_read_step rows[STEPS];
    int64_t total;
    lib_record(lib_path("a.h5", path));
    struct tdbg_read *t = lib_open(path);
    assert_string_equal(tdbg_read_text(t, TDBG_TEXT_PATH), path);
    lib_check_description(t);
    for (int64_t step = FIRST; step < FIRST + STEPS; step++)
        lib_check_step(t, step);
    assert_int_equal(tdbg_read_steps(t, FIRST, STEPS, rows), TDBG_SUCCESS);
    assert_true(rows[STEPS - 1].step == FIRST + STEPS - 1);
    assert_int_equal(tdbg_read_samples_shape(t, TDBG_TRAIN_SAMPLES, &x, &y, &total), TDBG_SUCCESS);
    assert_true(total == 40 && x.elem == TDBG_U8 && x.ndim == 2 && x.shape[1] == 4 && y.ndim == 0);
    assert_int_equal(tdbg_read_samples_shape(t, TDBG_EVAL_SAMPLES, NULL, NULL, &total),
                     TDBG_SUCCESS);
    assert_int_equal(total, 0);
    check_vocabulary(t);
    assert_int_equal(tdbg_read_n_items(t), 1);
    assert_int_equal(tdbg_read_item(t, 0, &item), TDBG_SUCCESS);
    assert_string_equal(item.name, "w");
    assert_int_equal(tdbg_read_keyframe_before(t, FIRST), -1);
    assert_int_equal(tdbg_read_keyframe_before(t, 11), 8);
    assert_int_equal(tdbg_read_keyframe(t, 8, 0, back, sizeof back), TDBG_SUCCESS);
    lib_fill(STATE, 8, want);
    assert_memory_equal(back, want, sizeof back);
    assert_int_equal(tdbg_read_keyframe(t, 9, 0, back, sizeof back), TDBG_ERR_NOT_FOUND);
    assert_string_equal(tdbg_read_chain_name(0), "main");
    assert_null(tdbg_read_chain_name(TDBG_CHAINS));
    tdbg_read_close(t);
}

static void test_equal_runs_have_equal_chains(void **unused)
{
    (void)unused;
    char a[128], b[128];
    uint64_t chain_a[TDBG_CHAINS], chain_b[TDBG_CHAINS];
    lib_record(lib_path("a.h5", a));
    lib_record(lib_path("b.h5", b));
    struct tdbg_read *ta = lib_open(a), *tb = lib_open(b);
    assert_int_equal(tdbg_read_chains(ta, FIRST + STEPS - 1, chain_a), TDBG_SUCCESS);
    assert_int_equal(tdbg_read_chains(tb, FIRST + STEPS - 1, chain_b), TDBG_SUCCESS);
    assert_memory_equal(chain_a, chain_b, sizeof chain_a);
    assert_string_not_equal(tdbg_read_text(ta, TDBG_TEXT_RUN_ID),
                            tdbg_read_text(tb, TDBG_TEXT_RUN_ID));
    tdbg_read_close(ta);
    tdbg_read_close(tb);
}
static void *record_in_thread(void *name)
{
    char path[128];
    lib_record(lib_path(name, path));
    struct tdbg_read *t = lib_open(path);
    for (int64_t step = FIRST; step < FIRST + STEPS; step++)
        lib_check_step(t, step);
    tdbg_read_close(t);
    return NULL;
}

static void test_threads(void **unused)
{
    (void)unused;
    pthread_t threads[4];
    char names[4][8];
    for (int i = 0; i < 4; i++) {
        sprintf(names[i], "t%d.h5", i);
        assert_int_equal(pthread_create(&threads[i], NULL, record_in_thread, names[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_equal_runs_have_equal_chains),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, lib_make_folder, lib_remove_folder);
}
