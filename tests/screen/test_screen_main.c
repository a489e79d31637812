/* The main screen where there is room for everything, and charts that are zoomed into. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;

static void test_golden(void **state)
{
    static const struct fake_wish four = {.ranks = 4, .has_jobs = true, .trouble = true};
    (void)state;
    driver_golden_at(&d, &four, 160, 50, true, "1455G/fc2.weight<Enter>", "main-ranks-160x50");
    driver_golden_at(&d, &four, 160, 50, false, "1455G", "main-ranks-160x50-utf8");
    driver_golden_at(&d, &four, 80, 24, true, "1455G/reduce_out<Enter>", "main-ranks-80x24");
    driver_golden_at(&d, &four, 40, 10, true, "1455G<Tab>", "main-ranks-40x10");
    driver_golden_at(&d, &(struct fake_wish){0}, 160, 50, true,
                     "77G/param/fc1<Enter>w/grad/fc1.w<Enter>wb", "main-watches-160x50");
    driver_golden_at(&d, &(struct fake_wish){.samples = FAKE_TOKENS}, 160, 50, true, "5G",
                     "main-tokens-160x50");
    driver_golden_at(&d, &(struct fake_wish){0}, 80, 24, true, "1000G4+", "main-zoomed");
}

static void assert_shown(int64_t first, int64_t n)
{
    const struct tdbg_tui_series *s = tdbg_tui_model_course(&d.app.model);
    if (s->first_step != first || s->n_steps != n)
        fail_msg("steps %lld, %lld of them", (long long)s->first_step, (long long)s->n_steps);
    assert_true(tdbg_tui_series_is_complete(s));
}

static void test_zoom(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.n_steps = 100000}, 80, 24, true, "50000G");
    assert_shown(0, 100000);
    driver_press(&d, "+");
    assert_shown(25000, 50000);
    driver_press(&d, "9+");
    assert_shown(49951, 98);
    /* every step of it is a bucket of its own */
    assert_int_equal(d.app.model.zoom.series.bucket_steps, 1);
    driver_press(&d, "n"); /* within it nothing moves */
    assert_shown(49951, 98);
    driver_press(&d, "200n");
    assert_true(tdbg_tui_model_course(&d.app.model)->first_step <= 50201);
    assert_true(tdbg_tui_model_course(&d.app.model)->first_step > 50201 - 98);
    char *there = driver_screen(&d);
    driver_press(&d, "500n500N");
    char *back = driver_screen(&d);
    assert_string_equal(there, back);
    free(there);
    free(back);
    driver_press(&d, "-");
    assert_int_equal(d.app.model.zoom.n, 196);
    driver_press(&d, "0");
    assert_shown(0, 100000);
    driver_press(&d, "99+g"); /* an end that is as close as it gets */
    assert_int_equal(tdbg_tui_model_course(&d.app.model)->n_steps, 8);
    driver_press(&d, "99-");
    assert_shown(0, 100000);
}

static void test_drag(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.n_steps = 7100}, 80, 24, true, "");
    driver_mouse(&d, 18, 5, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.model.focus.step, 1000);
    driver_mouse(&d, 28, 5, TDBG_BUTTON_RELEASE);
    assert_shown(1000, 1001);
    driver_mouse(&d, 40, 5, TDBG_BUTTON_CLICK); /* a click is no drag */
    driver_mouse(&d, 41, 5, TDBG_BUTTON_RELEASE);
    assert_shown(1000, 1001);
    driver_mouse(&d, 30, 5, TDBG_BUTTON_CLICK); /* nor is what ends elsewhere */
    driver_mouse(&d, 50, 20, TDBG_BUTTON_RELEASE);
    assert_shown(1000, 1001);
    driver_press(&d, "0");
    driver_mouse(&d, 50, 5, TDBG_BUTTON_RELEASE); /* nor what did not begin */
    assert_shown(0, 7100);
    driver_press(&d, "?");
    driver_mouse(&d, 30, 5, TDBG_BUTTON_CLICK);
    driver_mouse(&d, 40, 5, TDBG_BUTTON_RELEASE);
    driver_press(&d, "q");
    assert_shown(0, 7100);
}

/* Clicks into the panes at the side lead where they say. */
static void test_side(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.ranks = 4, .trouble = true}, 160, 50, true, "1455G");
    for (int y = 2; y < 48; y++) {
        driver_mouse(&d, 130, y, TDBG_BUTTON_CLICK);
        if (strcmp(tdbg_tui_app_screen(&d.app)->name, "main") != 0)
            driver_press(&d, "<F2>");
    }
    driver_mouse(&d, 130, 46, TDBG_BUTTON_CLICK);
    assert_string_equal(tdbg_tui_app_screen(&d.app)->name, "ranks");
    driver_press(&d, "q");
    driver_mouse(&d, 130, 35, TDBG_BUTTON_CLICK);
    assert_string_equal(tdbg_tui_app_screen(&d.app)->name, "input");
    driver_press(&d, "q");
    d.app.model.pane = TDBG_PANE_CHART;
    driver_press(&d, "1455G");
    driver_mouse(&d, 130, 14, TDBG_BUTTON_CLICK); /* the nearest finding */
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_zoom, driver_teardown),
        cmocka_unit_test_teardown(test_drag, driver_teardown),
        cmocka_unit_test_teardown(test_side, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
