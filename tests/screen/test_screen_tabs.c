/* The row of tabs: every screen is shown or can be reached, at every width. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;

static const struct tdbg_tui_screen *const screens[] = {
    &tdbg_tui_screen_main,     &tdbg_tui_screen_ops,       &tdbg_tui_screen_tensor,
    &tdbg_tui_screen_ranks,    &tdbg_tui_screen_input,     &tdbg_tui_screen_diff,
    &tdbg_tui_screen_findings, &tdbg_tui_screen_optimizer,
};
static const char letters[] = "motridfp";
enum { N = sizeof screens / sizeof screens[0], TAB_ROW = 1 };

static void open_at(int width)
{
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true}, width, 24, true, "");
}

static void open_screen(int i)
{
    driver_press(&d, " ");
    driver_press(&d, (char[]){letters[i], 0});
    assert_ptr_equal(tdbg_tui_app_screen(&d.app), screens[i]);
}

/* Where the name of a screen begins in the row, or -1. */
static int column_of(int i)
{
    const char *row = driver_row(&d, TAB_ROW), *name = strstr(row, screens[i]->name);
    return name ? (int)(name - row) : -1;
}

static void assert_only_this_is_marked(int i)
{
    const int from = column_of(i) - 3, to = column_of(i) + (int)strlen(screens[i]->name);
    if (from < 1)
        fail_msg("'%s' does not show %s whole", driver_row(&d, TAB_ROW), screens[i]->name);
    for (int x = 0; x < d.app.width; x++) {
        const bool is_marked =
            tdbg_tui_grid_at(&d.app.grid, x, TAB_ROW)->style & TDBG_STYLE_UNDERLINE;
        assert_int_equal(is_marked, x >= from && x < to);
    }
}

/* From 80 columns on they are all there, and a click on any of them opens it. */
static void test_all_at_80_columns(void **state)
{
    static const int widths[] = {80, 83, 84, 85, 86, 160};
    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        open_at(widths[w]);
        for (int i = 0; i < N; i++) {
            const int from = column_of(i) - 3, to = column_of(i) + (int)strlen(screens[i]->name);
            assert_true(column_of(i) > 0);
            for (int x = from; x < to; x++) {
                open_screen((i + 1) % N);
                driver_mouse(&d, x, TAB_ROW, TDBG_BUTTON_CLICK);
                assert_ptr_equal(tdbg_tui_app_screen(&d.app), screens[i]);
            }
            assert_only_this_is_marked(i);
            driver_mouse(&d, to, TAB_ROW, TDBG_BUTTON_CLICK); /* the gap behind it */
            assert_ptr_equal(tdbg_tui_app_screen(&d.app), screens[i]);
        }
    }
}

/* Where they do not fit, the current one does, and arrows lead to the others. */
static void test_arrows(void **state)
{
    (void)state;
    for (int width = 40; width < 80; width++) {
        open_at(width);
        for (int i = 0; i < N; i++) {
            open_screen(i);
            assert_only_this_is_marked(i);
            const char *row = driver_row(&d, TAB_ROW);
            assert_int_equal(row[0] == '<', column_of(0) < 0);
            assert_int_equal((int)strlen(row) == width && row[width - 1] == '>',
                             column_of(N - 1) < 0);
        }
        open_screen(0);
        for (int i = 0; i < N && column_of(N - 1) < 0; i++)
            driver_mouse(&d, width - 1, TAB_ROW, TDBG_BUTTON_CLICK);
        assert_true(column_of(N - 1) > 0);
        for (int i = 0; i < N && column_of(0) < 0; i++)
            driver_mouse(&d, 0, TAB_ROW, TDBG_BUTTON_CLICK);
        assert_true(column_of(0) > 0);
        const struct tdbg_tui_screen *there = tdbg_tui_app_screen(&d.app);
        driver_mouse(&d, 0, TAB_ROW, TDBG_BUTTON_CLICK); /* no arrow is there any more */
        assert_ptr_equal(tdbg_tui_app_screen(&d.app), there);
    }
}

static void test_golden(void **state)
{
    (void)state;
    open_at(80);
    driver_press(&d, " p");
    driver_golden(&d, "tabs-80x24");
    open_at(40);
    driver_press(&d, " r");
    driver_golden(&d, "tabs-40x24");
}

/* A screen without a tab (the breakpoints) marks none, and keys may be bound to anything. */
static void test_odd_rows(void **state)
{
    (void)state;
    open_at(40);
    driver_press(&d, "B");
    assert_true(column_of(0) > 0);
    for (int x = 0; x < 40; x++)
        assert_false(tdbg_tui_grid_at(&d.app.grid, x, TAB_ROW)->style & TDBG_STYLE_UNDERLINE);
    for (uint32_t key = '!'; key <= '/'; key++)
        assert_int_equal(tdbg_tui_keymap_bind(&d.app.keymap, key, TDBG_REQUEST_SCREEN_OPS, NULL),
                         TDBG_OK);
    for (int i = 0; i < N; i++)
        open_screen(i);
    driver_mouse(&d, 39, TAB_ROW, TDBG_BUTTON_CLICK);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_all_at_80_columns, driver_teardown),
        cmocka_unit_test_teardown(test_arrows, driver_teardown),
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_odd_rows, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
