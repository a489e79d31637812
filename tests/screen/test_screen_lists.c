/* What a user does on the main screen over a made-up run: lists and panes, finding, the mouse,
 * help, quitting, and screens that are too small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static const struct fake_wish plain = {0};
static struct driver d;

/* ---- lists and panes ---- */

static void test_lists(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "jj3<Down>k<Up>");
    driver_expect_at(&d, 0, 3);
    driver_press(&d, "<PgDn>");
    driver_expect_at(&d, 0, 9);
    driver_press(&d, "<^D><PgUp><^U>");
    driver_expect_at(&d, 0, 3);
    driver_press(&d, "<Tab><Tab>G");
    driver_expect_at(&d, 0, d.run.data.n_sites - 1);
    driver_press(&d, "g");
    driver_expect_at(&d, 0, 0);
    driver_press(&d, "5G");
    driver_expect_at(&d, 0, 5);
    driver_press(&d, "99G");
    driver_expect(&d, "this is the last site");
    driver_expect_at(&d, 0, d.run.data.n_sites - 1);
}

/* In the metrics pane the cursor chooses what the chart shows. */
static void test_metrics(void **state)
{
    static const char *const names[] = {"loss", "grad norm", "lr", "step time"};
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "<Tab>");
    for (int i = 0; i < TDBG_METRIC_CHARTED; i++) {
        assert_int_equal(d.app.model.metric, i);
        assert_non_null(strstr(driver_row(&d, 2), names[i]));
        driver_press(&d, "j");
    }
    assert_int_equal(d.app.model.metric, TDBG_METRIC_CHARTED - 1);
    driver_expect(&d, "no chart");
    driver_press(&d, "g");
    assert_int_equal(d.app.model.metric, 0);
    driver_press(&d, "2G");
    assert_int_equal(d.app.model.metric, 2);
    driver_press(&d, "G9k");
    assert_int_equal(d.app.model.metric, 0);
    driver_expect_at(&d, 0, 0);
}

static void test_scale(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    assert_non_null(strstr(driver_row(&d, 2), "loss  log"));
    driver_press(&d, "L");
    assert_non_null(strstr(driver_row(&d, 2), "loss  linear"));
    driver_press(&d, "L");
    assert_non_null(strstr(driver_row(&d, 2), "loss  log"));
}

static void test_find(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "]");
    driver_expect(&d, "nothing to find yet");
    driver_press(&d, "/<Enter>");
    driver_expect(&d, "nothing to find yet");
    driver_press(&d, "/grad<Enter>");
    driver_expect_at(&d, 0, 13);
    driver_expect(&d, "'grad': 1 of 4");
    driver_press(&d, "]");
    driver_expect_at(&d, 0, 14);
    driver_press(&d, "2]");
    driver_expect_at(&d, 0, 16);
    driver_expect(&d, "'grad': 4 of 4");
    driver_press(&d, "]");
    driver_expect_at(&d, 0, 13);
    driver_expect(&d, "1 of 4, around the end");
    driver_press(&d, "[");
    driver_expect_at(&d, 0, 16);
    driver_expect(&d, "4 of 4, around the end");
    driver_press(&d, "3[");
    driver_expect_at(&d, 0, 13);
    driver_press(&d, "/<Enter>"); /* repeats */
    driver_expect_at(&d, 0, 14);
    driver_press(&d, "3/FC1.Weight<Enter>"); /* with a count, and in any case of letters */
    driver_expect_at(&d, 0, 13);
    driver_expect(&d, "1 of 3, around");
    driver_press(&d, "/*.bias<Enter>");
    driver_expect(&d, "1 of 4");
    driver_press(&d, "/nothing at all<Enter>");
    driver_expect(&d, "! no site matches 'nothing at all'");
    driver_expect_at(&d, 0, 14);
    driver_press(&d, "/abc<Backspace><Backspace>x<^U>eval/l<Enter>");
    driver_expect_at(&d, 0, 22);
    driver_press(&d, "/q<Esc>n"); /* q is a letter here, and n a key again */
    driver_expect_at(&d, 1, 22);
    driver_press(&d, "/");
    for (int i = 0; i < 1000; i++)
        tdbg_tui_app_key(&d.app, i % 3 ? 'y' : 0x5c64);
    driver_press(&d, "<Enter>");
    driver_expect(&d, "! no site matches");
}

/* Esc drops the search: nothing is marked any more. */
static void test_search_is_dropped(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "13s");
    char *before = driver_screen(&d);
    driver_press(&d, "/grad/fc1.b<Enter>S");
    driver_press(&d, "<Esc>");
    char *after = driver_screen(&d);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Where the sites are not shown, a find shows them. */
static void test_find_opens_the_sites(void **state)
{
    (void)state;
    driver_reopen(&d, &plain, 60, 20, true, "");
    assert_int_equal(d.app.model.pane, TDBG_PANE_CHART);
    driver_press(&d, "/fc2.bias<Enter>");
    assert_int_equal(d.app.model.pane, TDBG_PANE_SITES);
    bool seen = false;
    for (int y = 0; y < 20; y++)
        seen = seen || strstr(driver_row(&d, y), "> grad/fc2.bias") != NULL;
    assert_true(seen);
}

static void test_mouse(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_mouse(&d, 44, 5, TDBG_BUTTON_CLICK); /* the chart: 36 columns of 71 */
    driver_expect_at(&d, 36 * 2000 / 71, 0);
    driver_mouse(&d, 0, 5, TDBG_BUTTON_CLICK); /* its gutter */
    driver_expect_at(&d, 36 * 2000 / 71, 0);
    driver_mouse(&d, 5, 12, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.model.pane, TDBG_PANE_METRICS);
    driver_mouse(&d, 20, 18, TDBG_BUTTON_CLICK); /* the third site */
    assert_int_equal(d.app.model.pane, TDBG_PANE_SITES);
    assert_int_equal(d.app.model.focus.site, 2);
    driver_mouse(&d, 20, 18, TDBG_BUTTON_WHEEL_DOWN);
    assert_int_equal(d.app.model.focus.site, 5);
    driver_mouse(&d, 20, 18, TDBG_BUTTON_WHEEL_UP);
    assert_int_equal(d.app.model.focus.site, 2);
    static const int outside[][2] = {{-1, -1}, {80, 24}, {1 << 30, 1 << 30}, {79, 23}, {0, 0}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        driver_mouse(&d, outside[i][0], outside[i][1], TDBG_BUTTON_CLICK);
        assert_int_equal(d.app.model.focus.site, 2);
    }
    driver_press(&d, "?");
    driver_mouse(&d, 3, 3, TDBG_BUTTON_WHEEL_DOWN);
    driver_mouse(&d, 3, 3, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.help_top, 3);
}

/* A click on a column goes to a step that this column shows, whatever the size of the run. */
static void test_chart_columns_agree(void **state)
{
    static const int64_t lengths[] = {1, 2, 3, 50, 70, 71, 72, 100, 2000, 99991};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        driver_open_80x24(&d, &(struct fake_wish){.first_step = 17, .n_steps = lengths[i]});
        for (int x = 8; x < 79; x++) {
            driver_mouse(&d, x, 4, TDBG_BUTTON_CLICK);
            const char *axis = driver_row(&d, 8), *mark = strchr(axis, '^');
            assert_non_null(mark);
            const int64_t step = d.app.model.focus.step;
            /* with fewer steps than columns a step has several, and the mark is one of them */
            driver_mouse(&d, (int)(mark - axis), 4, TDBG_BUTTON_CLICK);
            assert_int_equal(d.app.model.focus.step, step);
            if (lengths[i] >= 71)
                assert_int_equal(mark - axis, x);
        }
    }
}

/* ---- help, quitting, small screens ---- */

static void test_help(void **state)
{
    (void)state;
    driver_reopen(&d, &plain, 80, 100, true, "?");
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        const char *help = tdbg_tui_request_info((enum tdbg_tui_request)r)->help;
        const bool is_there =
            tdbg_tui_screen_handles(&tdbg_tui_screen_main, (enum tdbg_tui_request)r);
        int seen = 0;
        for (int y = 0; y < 100; y++)
            seen += strstr(driver_row(&d, y), help) != NULL;
        if (is_there != (seen > 0))
            fail_msg("the help %s '%s'", seen ? "has" : "does not have", help);
    }
    driver_resize(&d, 80, 10);
    driver_press(&d, "/tensor back<Enter>");
    assert_non_null(strstr(driver_row(&d, 2), "one column of the chart or tensor back"));
    driver_press(&d, "/no such key<Enter>");
    driver_expect(&d, "no key matches 'no such key'");
    driver_press(&d, "gG<PgUp><PgDn>5G");
    assert_int_equal(d.app.help_top, 5);
    driver_press(&d, "n");
    driver_expect(&d, "n does nothing here");
    driver_press(&d, "q");
    assert_false(d.app.done);
    assert_non_null(strstr(driver_row(&d, 0), "step 0/2000"));
}

static void test_quit(void **state)
{
    static const char *const ways[] = {"q", "Q", "?Q", "?qq", "?/abc<Esc>Q"};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        driver_open_80x24(&d, &plain);
        driver_press(&d, ways[i]);
        assert_true(d.app.done);
        driver_press(&d, "qn?/5G"); /* nothing more happens */
        driver_mouse(&d, 3, 3, TDBG_BUTTON_CLICK);
        driver_resize(&d, 20, 20);
        assert_true(d.app.done);
    }
    driver_open_80x24(&d, &plain);
    driver_press(&d, "<^L>");
    assert_true(d.app.wants_redraw && !d.app.done);
    driver_press(&d, "<^Z>");
    assert_true(d.app.wants_suspend && !d.app.done);
    driver_press(&d, "<^C><Esc><Enter>");
    assert_false(d.app.done);
}

/* Where the screen says that q quits, it does, whatever was open before. */
static void test_too_small(void **state)
{
    static const char *const before[] = {"", "?", "/gra", "12", "?/x"};
    static const int sizes[][2] = {{39, 10}, {40, 9}, {20, 5}, {2, 2}, {1, 1}, {300, 1}, {1, 300}};
    (void)state;
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            driver_open_80x24(&d, &plain);
            driver_press(&d, before[i]);
            char *screen = driver_screen(&d);
            driver_resize(&d, sizes[j][0], sizes[j][1]);
            assert_non_null(strchr(driver_row(&d, 0), 'q'));
            driver_mouse(&d, 0, 0, TDBG_BUTTON_CLICK);
            driver_resize(&d, 80, 24); /* and nothing is lost */
            char *again = driver_screen(&d);
            assert_string_equal(screen, again);
            free(screen);
            free(again);
            driver_resize(&d, sizes[j][0], sizes[j][1]);
            driver_press(&d, "?/"); /* does not open what cannot be seen */
            driver_press(&d, "q");
            assert_true(d.app.done);
        }
    }
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_lists, driver_teardown),
        cmocka_unit_test_teardown(test_metrics, driver_teardown),
        cmocka_unit_test_teardown(test_scale, driver_teardown),
        cmocka_unit_test_teardown(test_find, driver_teardown),
        cmocka_unit_test_teardown(test_search_is_dropped, driver_teardown),
        cmocka_unit_test_teardown(test_find_opens_the_sites, driver_teardown),
        cmocka_unit_test_teardown(test_mouse, driver_teardown),
        cmocka_unit_test_teardown(test_chart_columns_agree, driver_teardown),
        cmocka_unit_test_teardown(test_help, driver_teardown),
        cmocka_unit_test_teardown(test_quit, driver_teardown),
        cmocka_unit_test_teardown(test_too_small, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
