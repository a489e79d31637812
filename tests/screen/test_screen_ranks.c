/* The ranks screen, and the rank of the focus everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;

static const struct fake_wish four = {.ranks = 4, .has_jobs = true};

static void open_at(int width, int height, bool ascii, const char *keys)
{
    driver_reopen(&d, &four, width, height, ascii, keys);
}

static void test_golden(void **state)
{
    static const struct {
        int width, height;
        bool ascii;
        const char *name;
    } sizes[] = {{80, 24, true, "ranks-80x24"},
                 {80, 24, false, "ranks-80x24-utf8"},
                 {160, 50, true, "ranks-160x50"},
                 {40, 10, true, "ranks-40x10"},
                 {40, 10, false, "ranks-40x10-utf8"}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        open_at(sizes[i].width, sizes[i].height, sizes[i].ascii,
                "1300G/reduce_out/fc2<Enter><F5>2r");
        driver_golden(&d, sizes[i].name);
    }
    open_at(80, 24, true, "1300G/reduce_out/fc2<Enter> r2r<Enter>");
    driver_golden(&d, "ranks-elements");
    driver_open_80x24(&d, &(struct fake_wish){0});
    driver_press(&d, "<F5>");
    driver_golden(&d, "ranks-one");
}

static void test_rank_moves(void **state)
{
    (void)state;
    open_at(80, 24, true, "7G9s");
    driver_press(&d, "r");
    assert_int_equal(d.app.model.focus.rank, 1);
    assert_int_equal(d.app.model.focus.step, 7);
    assert_int_equal(d.app.model.focus.site, 9);
    assert_non_null(strstr(driver_row(&d, 0), "fake.rank1.h5"));
    assert_non_null(strstr(driver_row(&d, 0), "rank 1/4"));
    driver_press(&d, "2r"); /* rank 3 has no file: it is said and passed over */
    driver_expect(&d, "rank 3 is left out: runs/fake.rank3.h5 is not there");
    assert_int_equal(d.app.model.focus.rank, 0);
    driver_press(&d, "R");
    driver_expect(&d, "rank 3 is left out");
    assert_int_equal(d.app.model.focus.rank, 2);
    driver_press(&d, "R");
    driver_expect(&d, NULL);
    assert_int_equal(d.app.model.focus.rank, 1);
    driver_press(&d, "1000000000001r");
    assert_int_equal(d.app.model.focus.step, 7);

    driver_open_80x24(&d, &(struct fake_wish){0});
    driver_press(&d, "r");
    driver_expect(&d, "this run has one rank");
}

/* Undo, redo and marks go to the rank as well. */
static void test_rank_comes_back(void **state)
{
    (void)state;
    open_at(80, 24, true, "7G9sr5nma");
    driver_press(&d, "rz");
    assert_int_equal(d.app.model.focus.rank, 1);
    assert_int_equal(d.app.model.focus.step, 12);
    driver_press(&d, "2z");
    assert_int_equal(d.app.model.focus.rank, 0);
    assert_int_equal(d.app.model.focus.step, 7);
    driver_press(&d, "3<^R>");
    assert_int_equal(d.app.model.focus.rank, 2);
    driver_press(&d, "'a");
    assert_int_equal(d.app.model.focus.rank, 1);
    assert_int_equal(d.app.model.focus.step, 12);
    driver_press(&d, "''");
    assert_int_equal(d.app.model.focus.rank, 2);
}

static void test_first_split(void **state)
{
    (void)state;
    open_at(80, 24, true, "<F5>C");
    assert_int_equal(d.app.model.focus.step, FAKE_SPLIT);
    assert_string_equal(d.app.model.data->sites[d.app.model.focus.site].name,
                        "reduce_out/fc2.weight");
    driver_expect(&d, "rank 2 differs from step 1200 on, first in reduce_out/fc2.weight");
    const struct tdbg_tui_rank_table *t = &d.app.ranks;
    assert_int_equal(t->fold, TDBG_FOLD_KNOWN);
    for (int32_t rank = 0; rank < 4; rank++)
        assert_int_equal(tdbg_tui_rank_is_odd(t, rank), rank == 2);
    assert_true(tdbg_tui_rank_sum_is_wrong(t, 2));
    driver_press(&d, "N");
    for (int32_t rank = 0; rank < 4; rank++)
        assert_false(tdbg_tui_rank_is_odd(t, rank));

    driver_reopen(&d, &(struct fake_wish){.ranks = 2, .n_steps = 50, .has_jobs = true}, 80, 24,
                  true, "<F5>C");
    driver_expect(&d, "the ranks agree");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_SEARCH], 1);
}

static void test_elements(void **state)
{
    (void)state;
    open_at(80, 24, true, "<F5>C2r<Enter>");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 2);
    assert_true(d.app.ranks.has_difference);
    assert_int_equal(d.app.ranks.difference.n_differ, 1);
    assert_int_equal(d.app.ranks.difference.first.index, 17);
    driver_press(&d, "n"); /* of another step: forgotten */
    assert_int_equal(d.app.ranks.site, -1);
}

/* A key costs one row of each rank's file, and two paints of one step cost nothing more. */
static void test_reads(void **state)
{
    (void)state;
    driver_open_unread(&d, &four);
    assert_int_equal(d.run.n_opened_ranks, 0); /* other files are looked at after the first paint */
    open_at(80, 24, true, "500G<F5>");
    fake_run_reset_counts(&d.run);
    driver_press(&d, "n");
    assert_int_equal(d.run.n_digest_reads, 3);
    assert_true(d.run.n_stats_reads <= 3 + 4);
    assert_int_equal(d.run.n_folds, 1);
    fake_run_reset_counts(&d.run);
    driver_press(&d, "?q");
    assert_int_equal(d.run.n_digest_reads + d.run.n_folds + d.run.n_rows, 0);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_rank_moves, driver_teardown),
        cmocka_unit_test_teardown(test_rank_comes_back, driver_teardown),
        cmocka_unit_test_teardown(test_first_split, driver_teardown),
        cmocka_unit_test_teardown(test_elements, driver_teardown),
        cmocka_unit_test_teardown(test_reads, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
