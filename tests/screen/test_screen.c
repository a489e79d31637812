/* The terminal without a terminal: keys, sizes and mouse events go into the app over a made-up run,
 * painted screens are compared with golden text files, and what has to hold of any way through the
 * screens is checked: reverse moves cancel, ends stop. Lists, finding, mouse and
 * help are in test_screen_lists.c, reads and faults in test_screen_reads.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static const struct fake_wish plain = {0};
static struct driver d;

/* ---- golden screens ---- */

static void test_golden_sizes(void **state)
{
    static const struct {
        int width, height;
    } sizes[] = {{80, 24}, {160, 50}, {40, 10}, {60, 20}, {20, 5}, {1, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int ascii = 0; ascii < 2; ascii++) {
            char name[64];
            driver_reopen(&d, &plain, sizes[i].width, sizes[i].height, ascii, "1455G7s");
            snprintf(name, sizeof name, "size-%dx%d-%s", sizes[i].width, sizes[i].height,
                     ascii ? "ascii" : "utf8");
            driver_golden(&d, name);
        }
    }
}

static bool rows_from_1000_fail(enum fake_read what, int64_t step)
{
    return what == FAKE_READ_ROWS && step >= 1000 && step < 1010;
}

static bool everything_fails(enum fake_read what, int64_t step)
{
    (void)what, (void)step;
    return true;
}

static void test_golden_screens(void **state)
{
    static const struct {
        const char *name;
        struct fake_wish wish;
        int width, height;
        bool ascii;
        const char *keys;
    } screens[] = {
        {"first", {0}, 80, 24, true, ""},
        {"last", {0}, 80, 24, true, "G"},
        {"linear", {0}, 80, 24, false, "L700G"},
        {"step-time", {0}, 80, 24, false, "<Tab>3j"},
        {"sites-pane", {0}, 80, 24, true, "<Tab><Tab>9j"},
        {"stacked-100x40", {0}, 100, 40, false, "555G"},
        {"one-pane-metrics", {0}, 60, 20, true, "250G<Tab>"},
        {"one-pane-sites", {0}, 60, 20, true, "250G<Shift-Tab>"},
        {"small-metrics", {0}, 40, 10, true, "<Tab>"},
        {"small-sites", {0}, 40, 10, true, "250G<Shift-Tab>20s"},
        {"help", {0}, 80, 24, true, "?"},
        {"help-wide", {0}, 160, 50, false, "?"},
        {"help-small", {0}, 40, 10, true, "?9j"},
        {"prompt", {0}, 80, 24, true, "/grad/fc2.w"},
        {"prompt-small",
         {0},
         40,
         10,
         true,
         "/the beginning of a long answer scrolls out at the left"},
        {"found", {0}, 80, 24, true, "/grad/<Enter>]"},
        {"count", {0}, 80, 24, true, "1234567"},
        {"unknown-key", {0}, 80, 24, true, "x"},
        {"lanes", {.lanes = 2}, 80, 24, true, "6s"},
        {"micro-batches", {.lanes = 2, .micros = 2}, 80, 24, true, "6s"},
        {"wide-names", {.wide_names = true}, 80, 24, false, "2s"},
        {"wide-names-ascii", {.wide_names = true}, 80, 24, true, "2s"},
        {"no-sites", {.no_sites = true}, 80, 24, true, "5n"},
        {"one-step", {.n_steps = 1}, 80, 24, true, ""},
        {"three-steps", {.n_steps = 3}, 80, 24, true, "n"},
        {"from-5000", {.first_step = 5000, .n_steps = 700}, 80, 24, true, "99n"},
        {"cut-off", {.cut_off = true}, 80, 24, true, ""},
        {"long-run", {.n_steps = 1000000}, 160, 50, false, "765432G"},
        {"damaged-rows", {.n_steps = 4000, .fails = rows_from_1000_fail}, 80, 24, true, "1005G"},
        {"all-damaged", {.fails = everything_fails}, 80, 24, true, "n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        driver_golden_at(&d, &screens[i].wish, screens[i].width, screens[i].height,
                         screens[i].ascii, screens[i].keys, screens[i].name);
}

/* The first paint, while most of the course waits to be read. */
static void test_golden_reading(void **state)
{
    static const struct fake_wish wish = {.n_steps = 100000};
    (void)state;
    driver_open_unread(&d, &wish);
    driver_golden(&d, "reading");
    tdbg_tui_app_key(&d.app, 'G'); /* to where nothing of the course is known yet */
    tdbg_tui_app_draw(&d.app);
    driver_golden(&d, "reading-end");
}

/* ---- moves ---- */

/* Presses `there` then `back`, at several sizes and places; the screen has to be the same again. */
static void assert_cancels(const char *there, const char *back)
{
    static const char *const places[] = {"", "700G", "7s", "1460G21s", "300G/param<Enter><Esc>"};
    static const int sizes[][2] = {{80, 24}, {160, 50}, {60, 20}, {40, 10}};
    for (size_t i = 0; i < 4 * sizeof places / sizeof places[0]; i++) {
        driver_reopen(&d, &plain, sizes[i % 4][0], sizes[i % 4][1], true, places[i / 4]);
        char *before = driver_screen(&d);
        driver_press(&d, there);
        char *between = driver_screen(&d);
        driver_press(&d, back);
        char *after = driver_screen(&d);
        if (strcmp(before, after) != 0)
            fail_msg("%s then %s:\n%s\n%s", there, back, before, after);
        if (sizes[i % 4][0] >= 80 && strcmp(before, between) == 0)
            fail_msg("%s changes nothing:\n%s", there, before);
        free(before);
        free(between);
        free(after);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    assert_cancels("100n", "100N");
    assert_cancels("n", "N");
    assert_cancels("n", "p");
    for (int i = 1; i < 60; i = i * 3 / 2 + 1) {
        char there[600] = "", back[600] = "";
        for (int j = 0; j < i; j++) {
            strcat(there, "s");
            strcat(back, "S");
        }
        assert_cancels(there, back);
    }
    assert_cancels("1000s", "1000S");
    assert_cancels("3nss2s", "SS2S3N");
    assert_cancels("?", "q");
    assert_cancels("?jjj", "?");
    assert_cancels("?<F1>n", "N");
    assert_cancels("L", "L");
    assert_cancels("<Tab>", "<Shift-Tab>");
    assert_cancels("5<Tab>", "5<Shift-Tab>");
    assert_cancels("/", "<Esc>");
    assert_cancels("/abc", "<^C>");
    assert_cancels("/", "<Backspace>");
    assert_cancels("12", "<Esc>");
    assert_cancels("x", "<Esc>");
}

/* A hundred single steps on and back, and one of a hundred. */
static void test_single_steps_add_up(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "1400G");
    char *before = driver_screen(&d);
    for (int i = 0; i < 100; i++)
        driver_press(&d, "n");
    driver_expect_at(&d, 1500, 0);
    char *far = driver_screen(&d);
    for (int i = 0; i < 100; i++)
        driver_press(&d, "N");
    char *after = driver_screen(&d);
    assert_string_equal(before, after);
    driver_press(&d, "100n");
    char *once = driver_screen(&d);
    assert_string_equal(far, once);
    free(before);
    free(far);
    free(after);
    free(once);
}

static void test_resize_and_back(void **state)
{
    static const int sizes[][2] = {{160, 50}, {40, 10}, {1, 1}, {20, 5}, {200, 70}, {80, 23}};
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "321G9s");
    char *before = driver_screen(&d);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        driver_resize(&d, sizes[i][0], sizes[i][1]);
        driver_resize(&d, 80, 24);
        char *after = driver_screen(&d);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
    driver_resize(&d, 0, -3);
}

static void test_goto(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "42G");
    driver_expect_at(&d, 42, 0);
    assert_non_null(strstr(driver_row(&d, 0), "step 42/2000"));
    driver_press(&d, "G");
    driver_expect_at(&d, 1999, 0);
    driver_expect(&d, NULL);
    driver_press(&d, "g");
    driver_expect_at(&d, 0, 0);
    driver_expect(&d, NULL);
    driver_press(&d, "<End><Home>");
    driver_expect_at(&d, 0, 0);
    driver_press(&d, "100G0G"); /* digits are always counts, and the first step is step 0 */
    driver_expect_at(&d, 0, 0);
    driver_press(&d, "007G");
    driver_expect_at(&d, 7, 0);
    driver_press(&d, "0n"); /* a 0 alone is a key of its own, but for G */
    driver_expect_at(&d, 8, 0);
    driver_press(&d, "00G");
    driver_expect_at(&d, 0, 0);
    driver_press(&d, "12<Esc>n"); /* a dropped count counts for nothing */
    driver_expect_at(&d, 1, 0);
}

static void test_ends(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "N");
    driver_expect_at(&d, 0, 0);
    driver_expect(&d, "stopped at the first step, 0");
    driver_press(&d, "S");
    driver_expect_at(&d, 0, 0);
    driver_expect(&d, "stopped at the first op of the first step");
    driver_press(&d, "n");
    driver_expect(&d, NULL);
    driver_press(&d, "5000G");
    driver_expect_at(&d, 1999, 0);
    driver_expect(&d, "stopped at the last step, 1999");
    driver_press(&d, "n");
    driver_expect_at(&d, 1999, 0);
    driver_expect(&d, "stopped at the last step, 1999");
    driver_press(&d, "30s");
    driver_expect_at(&d, 1999, d.run.data.n_sites - 1);
    driver_expect(&d, "stopped at the last op of the last step");
    driver_press(&d, "j");
    driver_expect(&d, "this is the last site");
    driver_press(&d, "99k");
    driver_expect_at(&d, 1999, 0);
    driver_expect(&d, "this is the first site");
    driver_press(&d, "s1990G50s50S");
    driver_expect_at(&d, 1990, 1);
    driver_press(&d, "2S");
    driver_expect_at(&d, 1989, d.run.data.n_sites - 1);
}

/* Counts far beyond what a number can hold stop at the ends. */
static void test_counts_overflow(void **state)
{
    static const char digits[] = "99999999999999999999999999999999999999999999999";
    static const struct {
        const char *key;
        bool to_end;
    } moves[] = {{"n", true},     {"N", false}, {"s", true},      {"S", false},      {"l", true},
                 {"h", false},    {"G", true},  {"<PgDn>", true}, {"<PgUp>", false}, {"<^D>", true},
                 {"<^U>", false}, {"j", true},  {"k", false}};
    (void)state;
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        driver_open_80x24(&d, &(struct fake_wish){.first_step = 10, .n_steps = 200000});
        driver_press(&d, "100000G3s");
        driver_press(&d, digits);
        assert_non_null(strstr(driver_message(&d), "1000000000000"));
        driver_press(&d, moves[i].key);
        const bool at_end = d.app.model.focus.step == 10 + 200000 - 1 ||
                            d.app.model.focus.site == d.run.data.n_sites - 1;
        const bool at_start = d.app.model.focus.step == 10 || d.app.model.focus.site == 0;
        if (moves[i].to_end ? !at_end : !at_start)
            fail_msg("a huge count and %s", moves[i].key);
    }
    driver_press(&d, digits);
    driver_press(&d, "/grad<Enter>");
    driver_press(&d, digits);
    driver_press(&d, "]");
    driver_press(&d, digits);
    driver_press(&d, "[");
    driver_press(&d, digits);
    driver_press(&d, "<Tab>");
    driver_press(&d, digits);
    driver_press(&d, "<Shift-Tab>?");
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        driver_press(&d, digits);
        driver_press(&d, moves[i].key);
    }
}

static void test_columns(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "l");
    const int64_t column = d.app.model.focus.step;
    assert_true(column > 20 && column < 40); /* 2000 steps on some 70 columns */
    driver_press(&d, "5lh<Left>");
    driver_expect_at(&d, 4 * column, 0);
    driver_open_80x24(&d, &(struct fake_wish){.n_steps = 10});
    driver_press(&d, "<Right>");
    driver_expect_at(&d, 1, 0);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden_sizes, driver_teardown),
        cmocka_unit_test_teardown(test_golden_screens, driver_teardown),
        cmocka_unit_test_teardown(test_golden_reading, driver_teardown),
        cmocka_unit_test_teardown(test_there_and_back, driver_teardown),
        cmocka_unit_test_teardown(test_single_steps_add_up, driver_teardown),
        cmocka_unit_test_teardown(test_resize_and_back, driver_teardown),
        cmocka_unit_test_teardown(test_goto, driver_teardown),
        cmocka_unit_test_teardown(test_ends, driver_teardown),
        cmocka_unit_test_teardown(test_counts_overflow, driver_teardown),
        cmocka_unit_test_teardown(test_columns, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
