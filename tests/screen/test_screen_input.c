/* The input screen: images and numbers; tokens are in test_screen_tokens.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tui/picture.h"

static struct driver d;

static void open_with(enum fake_samples samples, int width, int height, bool ascii,
                      const char *keys)
{
    driver_reopen(&d, &(struct fake_wish){.samples = samples, .has_jobs = true}, width, height,
                  ascii, keys);
}

static void test_golden(void **state)
{
    static const struct {
        enum fake_samples samples;
        int width, height;
        bool ascii;
        const char *keys, *name;
    } screens[] = {
        {FAKE_IMAGES, 80, 24, true, "<F6>l", "input-images-80x24"},
        {FAKE_IMAGES, 80, 24, false, "<F6>l", "input-images-80x24-utf8"},
        {FAKE_IMAGES, 160, 50, true, "<F6>l", "input-images-160x50"},
        {FAKE_IMAGES, 40, 10, true, "<F6>l", "input-images-40x10"},
        {FAKE_IMAGES, 40, 10, false, "<F6>l", "input-images-40x10-utf8"},
        {FAKE_COLOUR_IMAGES, 80, 24, false, "3n<F6>", "input-colour"},
        {FAKE_IMAGES, 80, 24, true, "<F6>lv", "input-after"},
        {FAKE_IMAGES, 80, 24, true, "<F6><Enter>", "input-large"},
        {FAKE_NUMBERS, 80, 24, true, "<F6>j", "input-numbers-80x24"},
        {FAKE_NUMBERS, 40, 10, true, "<F6>j<Enter>", "input-numbers-40x10"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++) {
        open_with(screens[i].samples, screens[i].width, screens[i].height, screens[i].ascii,
                  screens[i].keys);
        driver_golden(&d, screens[i].name);
    }
}

static void test_moves(void **state)
{
    (void)state;
    open_with(FAKE_IMAGES, 80, 24, true, "<F6>G");
    assert_int_equal(d.app.input.at, 63);
    driver_press(&d, "l");
    driver_expect(&d, "this is the last sample");
    driver_press(&d, "ghk");
    driver_expect(&d, "this is the first sample");
    driver_press(&d, "12G");
    assert_int_equal(d.app.input.at, 12);
    driver_press(&d, "9223372036854775807j"); /* a count has an end */
    assert_int_equal(d.app.input.at, 63);
    driver_press(&d, "937n"); /* the last batch of the epoch is a short one */
    assert_int_equal(d.app.input.n, 32);
    assert_int_equal(d.app.input.at, 31);
    driver_press(&d, "<F2>g<F6>v");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 1);
    driver_press(&d, "l"); /* of the same lane: there already */
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 1);
    driver_press(&d, "n");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 2);
    driver_mouse(&d, 40, 10, TDBG_BUTTON_CLICK);
    driver_mouse(&d, 40, 10, TDBG_BUTTON_WHEEL_DOWN);
}

/* Nobody computes values: said, and everything else works. */
static void test_without_jobs(void **state)
{
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){0});
    driver_press(&d, "<F6>v");
    assert_string_equal(d.app.input.after_why, "nothing computes it here");
    driver_press(&d, "v<Enter>");
    driver_open_80x24(&d, &(struct fake_wish){.no_sites = true});
    driver_press(&d, "<F6>vl");
    assert_non_null(strstr(driver_row(&d, 2), "this trace has no samples"));
}

/* The parts of the ranks are the batch. */
static void test_parts(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.ranks = 4, .lanes = 1}, 80, 24, true, "<F6>");
    for (int rank = 0; rank < 3; rank++) {
        assert_int_equal(d.app.input.first, 16 * rank);
        assert_int_equal(d.app.input.n, 16);
        driver_press(&d, "r");
    }
}

/* Only what is visible is read. */
static void test_reads(void **state)
{
    (void)state;
    open_with(FAKE_IMAGES, 80, 24, true, "");
    fake_run_reset_counts(&d.run);
    driver_press(&d, "<F6>");
    assert_true(d.run.n_samples <= 2);
    assert_int_equal(d.run.n_sample_reads, 2);
    fake_run_reset_counts(&d.run);
    driver_press(&d, "l?q");
    assert_int_equal(d.run.n_sample_reads, 0);
}

/* A slope in 256 colours has every level once, in order; in 8 colours two, in mono the ramp. */
static void test_levels(void **state)
{
    uint8_t data[TDBG_PICTURE_GREYS * 2];
    struct tdbg_tui_grid grid = {.colours = 256};
    struct tdbg_tui_picture p = {.data = data,
                                 .dtype = TDBG_DTYPE_U8,
                                 .channels = 1,
                                 .height = 2,
                                 .width = TDBG_PICTURE_GREYS};
    const struct tdbg_tui_rect rect = {0, 0, TDBG_PICTURE_GREYS, 1};
    (void)state;
    for (int i = 0; i < TDBG_PICTURE_GREYS * 2; i++)
        data[i] = (uint8_t)(255 * (i % TDBG_PICTURE_GREYS) / (TDBG_PICTURE_GREYS - 1));
    tdbg_tui_picture_set_range(&p);
    tdbg_tui_grid_resize(&grid, TDBG_PICTURE_GREYS, 1);
    tdbg_tui_paint_picture(&p, &grid, rect);
    for (int x = 0; x < TDBG_PICTURE_GREYS; x++) {
        const struct tdbg_tui_cell *cell = tdbg_tui_grid_at(&grid, x, 0);
        assert_int_equal(cell->front, TDBG_PICTURE_GREY + x);
        assert_int_equal(cell->back, TDBG_PICTURE_GREY + x);
        assert_int_equal(cell->code, 0x2580);
    }
    grid.colours = 8;
    tdbg_tui_paint_picture(&p, &grid, rect);
    for (int x = 0; x < TDBG_PICTURE_GREYS; x++) {
        const uint8_t front = tdbg_tui_grid_at(&grid, x, 0)->front;
        assert_true(front == TDBG_PICTURE_GREY ||
                    front == TDBG_PICTURE_GREY + TDBG_PICTURE_GREYS - 1);
    }
    grid.colours = 0;
    tdbg_tui_paint_picture(&p, &grid, rect);
    assert_int_equal(tdbg_tui_grid_at(&grid, 0, 0)->code, ' ');
    assert_int_equal(tdbg_tui_grid_at(&grid, 12, 0)->code, '+');
    assert_int_equal(tdbg_tui_grid_at(&grid, TDBG_PICTURE_GREYS - 1, 0)->code, '@');
    assert_int_equal(tdbg_tui_grid_at(&grid, 5, 0)->front, 0);
    tdbg_tui_grid_free(&grid);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_moves, driver_teardown),
        cmocka_unit_test_teardown(test_without_jobs, driver_teardown),
        cmocka_unit_test_teardown(test_parts, driver_teardown),
        cmocka_unit_test_teardown(test_reads, driver_teardown),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
